"""Ending training when it no longer helps."""

import operator
from typing import TYPE_CHECKING, Any

from cnet._arrays import Array
from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._monitor import Monitor

if TYPE_CHECKING:
    from cnet._trainer import Trainer


class EarlyStopping(Callback):
    """Ends training when a number has not improved for some epochs. Names and meaning are those of Keras.

    Each call of `Trainer.fit` starts afresh.

    Parameters
    ----------
    monitor : str
        A name in the history, such as ``"val_loss"``, ``"val_accuracy"`` or ``"loss"``.
    min_delta : float
        What an improvement must exceed.
    patience : int
        How many epochs without improvement are borne before the last.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracies, and less for all else.
    restore_best_weights : bool
        End with the weights of the best epoch, and not of the last; also where training ends for another reason.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        The epoch that had it, as `Trainer.epoch` counts.
    stopped_epoch : int
        The epoch after which training was ended; 0 if it was not.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of bounds; in `fit`, if no number is called `monitor`.

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

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, mode: str = "auto", restore_best_weights: bool = False) -> None:
        try:
            self.patience = operator.index(patience)
        except TypeError:
            raise TypeError(f"patience is {patience!r}, expected an integer of at least 0") from None
        if self.patience < 0:
            raise ValueError(f"patience is {patience}, expected an integer of at least 0")
        self._arguments: tuple[Any, ...] = monitor, mode, min_delta
        self.restore_best_weights = restore_best_weights
        self._start()

    def _start(self) -> None:
        self._monitor = Monitor(*self._arguments)
        self._weights: dict[str, Array] | None = None
        self.best_epoch = self.stopped_epoch = self._waited = 0

    @property
    def best(self) -> float | None:
        """The best value so far."""
        return self._monitor.best

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        self._start()

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        if self._monitor.improved(logs):
            self.best_epoch, self._waited = trainer.epoch, 0
            if self.restore_best_weights:
                self._weights = trainer.model.state_dict()
            return
        self._waited += 1
        if self._waited >= self.patience:
            self.stopped_epoch, trainer.stop = trainer.epoch, True

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._weights is not None:
            trainer.model.load_state_dict(dict(self._weights))
            self._weights = None
