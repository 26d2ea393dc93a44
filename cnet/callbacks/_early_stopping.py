"""The callback that ends training when a metric stops improving."""

from typing import Any, ClassVar

import numpy as np

from cnet._utils.arrays import Array
from cnet._utils.validation import flag, integer, is_count, is_number, real
from cnet.callbacks._callback import Logs
from cnet.callbacks._monitor import MonitorCallback
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module

Weights = dict[str, Array]


class EarlyStopping(MonitorCallback):
    """Ends training when a metric has stopped improving. Arguments are those of Keras.

    Each call of `Trainer.fit` starts from the initial state, except the first one after
    `Trainer.load_checkpoint`, which continues from the state in the checkpoint. Training that this
    callback had ended then remains ended: `fit` trains no epoch, unless `patience` has been raised.

    Parameters
    ----------
    monitor : str
        Name of a metric in the history, such as ``"val_loss"``, ``"val_accuracy"`` or ``"loss"``,
        or of a metric that another callback adds.
    min_delta : float
        An improvement must be larger than this; at least 0.
    patience : int
        Number of consecutive epochs without improvement after which training ends; 0 acts like 1.
    verbose : int
        1: print when training ends early and when weights are restored.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better. "auto" uses the direction of the metric: lower for
        losses, higher for accuracies.
    baseline : float or None
        The count of epochs without improvement is reset only if the metric also improves on this.
    restore_best_weights : bool
        Restore the weights of the best epoch at the end, also if training ends for another reason.
    start_from_epoch : int
        Number of epochs to ignore at the beginning of each `fit`.

    Attributes
    ----------
    best : float or None
        Best value so far.
    best_epoch : int
        Epoch of the best value, as counted by `Trainer.epoch`; 0 if there is none yet.
    stopped_epoch : int
        Epoch after which this callback ended training; 0 if it did not.

    Raises
    ------
    TypeError, ValueError
        If an option is invalid. In `fit`, before the first step: if there is no metric of the name
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
    """Integers of the state, and the attributes that hold them."""

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
        real("min_delta", self.min_delta, 0)
        integer("patience", self.patience, 0)
        if self.baseline is not None:
            real("baseline", self.baseline)
        flag("restore_best_weights", self.restore_best_weights)
        integer("start_from_epoch", self.start_from_epoch, 0)

    def _start(self) -> None:
        self.best: float | None = None
        self.best_epoch = self.stopped_epoch = 0
        self._wait = self._epochs = 0  # epochs without improvement, and epochs of this `fit`
        self._best_weights: Weights | None = None
        self._last_weights: Weights | None = (
            None  # weights before the best ones were restored at the end of training
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
        """Return the best value, its epoch and weights, and the epochs without improvement."""
        numbers = {name: getattr(self, attribute) for name, attribute in self._numbers.items()}
        return {
            "best": self.best,
            **numbers,
            "best_weights": self._best_weights,
            "last_weights": self._last_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state. `Trainer.fit` calls this after `on_train_begin`."""
        if self._trainer is None:
            raise RuntimeError(
                "the state of EarlyStopping can only be restored within fit: load a checkpoint, "
                "and fit restores it"
            )
        model = self._trainer.model
        self._check_state(state, model)
        self.best, self._best_weights = state["best"], state["best_weights"]
        for name, attribute in self._numbers.items():
            setattr(self, attribute, state[name])
        # If training ended with the best weights restored, continue from the last weights, unless
        # the model has changed since.
        if state["last_weights"] is not None and _same(model.state_dict(), self._best_weights):
            model.load_state_dict(state["last_weights"])
        if self.stopped_epoch and self._wait >= self.patience:
            self._trainer.stop = True
        else:
            self.stopped_epoch = 0

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the trainer: a copy made during training is not part of it."""
        return vars(self) | {"_trainer": None}

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module") -> None:
        own = model.state_dict()
        problem = None
        if state.keys() != {"best", "best_weights", "last_weights", *cls._numbers}:
            problem = f"it has the entries {', '.join(map(str, state))}"
        elif not all(is_count(state[name]) for name in cls._numbers) or not (
            state["best"] is None or is_number(state["best"])
        ):
            problem = "its numbers are invalid"
        elif not all(
            weights is None or _fit(weights, own)
            for weights in (state["best_weights"], state["last_weights"])
        ):
            problem = "its weights do not match the model"
        elif state["best_weights"] is None and state["last_weights"] is not None:
            problem = "it has weights of the last epoch, but no best weights"
        if problem:
            raise ValueError(f"the state of EarlyStopping is invalid: {problem}")


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
