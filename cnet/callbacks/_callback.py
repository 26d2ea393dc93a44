"""What a callback is, and how a function becomes one."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnet.optim.lr_scheduler import LRScheduler

if TYPE_CHECKING:
    from cnet._trainer import Trainer

Logs = dict[str, float]


class Callback:
    """Base of the callbacks: override what is of interest.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> class Stop(cnet.callbacks.Callback):
    ...     def on_epoch_end(self, trainer, logs):
    ...         if logs["loss"] < 1e3:
    ...             trainer.stop = True
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> len(trainer.fit([[1.0, 2.0]], [3.0], epochs=5, callbacks=[Stop()], verbose=False)["loss"])
    1
    """

    every_batch = True
    """Whether `on_batch_end` is wanted after each step, or, which costs nothing, some tens of times a second."""

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        """Before the first of `epochs` epochs of `steps` steps each; None if that is not known of the batches."""

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        """After step `step` (from 1) of an epoch; called only where a class overrides it."""

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        """After an epoch and its validation; `logs` has the epoch's numbers. Setting ``trainer.stop`` ends training."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also when training was interrupted."""


class _Function(Callback):
    def __init__(self, function: Callable[["Trainer", Logs], Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self.function(trainer, logs)


class _SchedulePerEpoch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        self.scheduler._watch(trainer.metric_modes)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self.scheduler._end_epoch(logs)


class _SchedulePerBatch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        self.scheduler.step()


def as_callback(callback: Any) -> Callback:
    """A callback as it is, a scheduler of learning rates or a function wrapped into one."""
    if isinstance(callback, LRScheduler):
        return (_SchedulePerBatch if callback.per_batch else _SchedulePerEpoch)(callback)
    if isinstance(callback, Callback):
        return callback
    if callable(callback) and not isinstance(callback, type):
        return _Function(callback)
    raise TypeError(f"{callback!r} is no callback: expected a cnet.callbacks.Callback or a function f(trainer, logs)")
