"""Ending training when it no longer helps."""

from typing import Any, ClassVar

import numpy as np

from cnet._utils.arrays import Array
from cnet._utils.validation import count, finite, flag, is_count, is_number
from cnet.callbacks._callback import Logs
from cnet.callbacks._monitor import MonitorCallback
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module

Weights = dict[str, Array]


class EarlyStopping(MonitorCallback):
    """Ends training when a metric has stopped improving. Arguments and meaning are those of Keras.

    Each call of `Trainer.fit` starts over, except the first one after `Trainer.load_checkpoint`,
    which continues from the state in the checkpoint. A training that this callback had ended then
    stays ended: `fit` trains no epoch, unless `patience` has been raised.

    Parameters
    ----------
    monitor : str
        Name of a metric in the history, such as ``"val_loss"``, ``"val_accuracy"`` or ``"loss"``,
        or of one that another callback adds.
    min_delta : float
        An improvement must exceed this; at least 0.
    patience : int
        Training ends after this many epochs in a row without improvement; 0 and 1 are the same.
    verbose : int
        1: print when training ends early and when weights are restored.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes the metric's own direction: less for losses,
        more for accuracies.
    baseline : float or None
        The patience starts again only when the metric improves on this too.
    restore_best_weights : bool
        End with the weights of the best epoch instead of those of the last; also where training
        ends for another reason.
    start_from_epoch : int
        Epochs of a `fit` that are ignored at its beginning.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        The epoch that had it, as `Trainer.epoch` counts; 0 before there is one.
    stopped_epoch : int
        The epoch after which training was ended; 0 if it was not.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of bounds; in `fit`, before the first step, if no metric is called
        `monitor`.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> stopping = cnet.callbacks.EarlyStopping(monitor="loss", patience=3, min_delta=1e-3)
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=1000, callbacks=[stopping], verbose=False)
    >>> len(history["loss"]) - stopping.best_epoch
    3
    """

    _numbers: ClassVar = {
        "best_epoch": "best_epoch",
        "stopped_epoch": "stopped_epoch",
        "wait": "_wait",
        "epochs": "_epochs",
    }
    """Whole numbers of the state, and the attributes that hold them."""

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, verbose)
        self.min_delta, self.patience, self.baseline = min_delta, patience, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self._check_settings()
        self._start()

    def _check_settings(self) -> None:
        super()._check_settings()
        finite("min_delta", self.min_delta, 0)
        count("patience", self.patience, 0)
        if self.baseline is not None:
            finite("baseline", self.baseline)
        flag("restore_best_weights", self.restore_best_weights)
        count("start_from_epoch", self.start_from_epoch, 0)

    def _start(self) -> None:
        self.best: float | None = None
        self.best_epoch = self.stopped_epoch = 0
        self._wait = self._epochs = 0  # epochs without improvement, and epochs of this training
        self._best_weights: Weights | None = None
        self._last_weights: Weights | None = (
            None  # those that the best ones replaced when training ended
        )
        self._trainer: Trainer | None = None

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self._check_settings()
        self._find_direction(trainer)
        self._start()
        self._trainer = trainer

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        value = self._value(trainer, logs)
        self._epochs += 1
        if self._epochs <= self.start_from_epoch:
            return
        self._wait += 1
        if self._better(value, self.best, self.min_delta):
            self.best, self.best_epoch = value, trainer.epoch
            if self.restore_best_weights:
                self._best_weights = trainer.model.state_dict()
            if self.baseline is None or self._better(value, self.baseline, self.min_delta):
                self._wait = 0
        elif self._wait >= self.patience and self._epochs > 1:
            self.stopped_epoch, trainer.stop = trainer.epoch, True

    def on_train_end(self, trainer: Trainer) -> None:
        self._trainer = None
        if self.stopped_epoch:
            self._say(f"Epoch {self.stopped_epoch}: early stopping")
        if self._best_weights is not None:
            self._last_weights = trainer.model.state_dict()
            trainer.model.load_state_dict(dict(self._best_weights))
            self._say(f"Restoring model weights from the end of the best epoch: {self.best_epoch}.")

    def _identity(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "direction": self.direction,
            "restore_best_weights": bool(self.restore_best_weights),
        }

    def state_dict(self) -> dict[str, Any]:
        """The best value, its epoch and weights, and the number of epochs without improvement."""
        numbers = {name: getattr(self, attribute) for name, attribute in self._numbers.items()}
        return {
            "best": self.best,
            **numbers,
            "best_weights": self._best_weights,
            "last_weights": self._last_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from where `state_dict` was called. `Trainer.fit` calls it after
        `on_train_begin`.
        """
        if self._trainer is None:
            raise RuntimeError(
                "EarlyStopping takes up a state within fit only: load a checkpoint, and fit "
                "hands it the state"
            )
        model = self._trainer.model
        self._check_state(state, model)
        self.best, self._best_weights = state["best"], state["best_weights"]
        for name, attribute in self._numbers.items():
            setattr(self, attribute, state[name])
        # Where training ended with the best weights in the model, it continues from the last ones,
        # unless the model has been changed since.
        if state["last_weights"] is not None and _same(model.state_dict(), self._best_weights):
            model.load_state_dict(state["last_weights"])
        if self.stopped_epoch and self._wait >= self.patience:
            self._trainer.stop = True
        else:
            self.stopped_epoch = 0

    def __getstate__(self) -> dict[str, Any]:
        """A copy made while training runs is not part of that training."""
        return vars(self) | {"_trainer": None}

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module") -> None:
        own = model.state_dict()
        problem = None
        if state.keys() != {"best", "best_weights", "last_weights", *cls._numbers}:
            problem = f"it has {', '.join(map(str, state))}"
        elif not all(is_count(state[name]) for name in cls._numbers) or not (
            state["best"] is None or is_number(state["best"])
        ):
            problem = "its numbers cannot be"
        elif not all(
            weights is None or _fit(weights, own)
            for weights in (state["best_weights"], state["last_weights"])
        ):
            problem = "its weights are not those of such a model"
        elif state["best_weights"] is None and state["last_weights"] is not None:
            problem = "it has weights of the last epoch, but none of the best"
        if problem:
            raise ValueError(f"the state of EarlyStopping does not fit: {problem}")


def _fit(weights: Any, own: Weights) -> bool:
    return (
        isinstance(weights, dict)
        and weights.keys() == own.keys()
        and all(
            isinstance(values := weights[name], np.ndarray)
            and (values.shape, values.dtype) == (array.shape, array.dtype)
            and np.isfinite(values).all()
            for name, array in own.items()
        )
    )


def _same(weights: Weights, others: Weights | None) -> bool:
    return others is not None and all(
        np.array_equal(values, others[name]) for name, values in weights.items()
    )
