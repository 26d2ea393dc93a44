"""What a callback is, and how a function becomes one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from cnet.callbacks._hooks import check_callback, check_function
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module
from cnet.optim.lr_scheduler import LRScheduler

Logs = dict[str, float]


class Callback:
    """Base of the callbacks: override what is of interest.

    Attributes
    ----------
    metrics : mapping of str
        Metrics that `on_epoch_end` adds to `logs`, each with "min" if less is better or "max" if
        more is. They go into the history, and callbacks later in the list can watch them.

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

    A metric of one's own:

    >>> class WeightNorm(cnet.callbacks.Callback):
    ...     metrics = {"weight_norm": "min"}
    ...     def on_epoch_end(self, trainer, logs):
    ...         logs["weight_norm"] = float((trainer.model[0].weight.data ** 2).sum() ** 0.5)
    >>> list(trainer.fit([[1.0, 2.0]], [3.0], callbacks=[WeightNorm()], verbose=False))
    ['loss', 'weight_norm']
    """

    metrics: Mapping[str, str] = {}

    every_batch = True
    """Whether `on_batch_end` is wanted after each step, or, which costs nothing, some tens of times
    a second.
    """

    _catches_up = True
    """Whether it is told of an epoch after a checkpoint is loaded that was written before it was
    told.
    """

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        """Before the first of `epochs` epochs of `steps` steps each; None if that is not known of
        the batches.
        """

    def on_batch_end(self, trainer: Trainer, step: int, loss: float) -> None:
        """After step `step` (from 1) of an epoch; called only where a class overrides it."""

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        """After an epoch and its validation; `logs` has the epoch's numbers. Setting
        ``trainer.stop`` ends training.
        """

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training was interrupted. Not called where
        `on_train_begin` failed.
        """

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: numbers, strings, None, arrays, and lists and
        dictionaries of them. Nothing by default.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave: called in the first `fit` after
        `Trainer.load_checkpoint`, after `on_train_begin`.
        """
        raise TypeError(f"{type(self).__name__} does not define load_state_dict(state)")

    def _identity(self) -> dict[str, Any]:
        """Settings that must be the same for a state to be taken up."""
        return {}

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module") -> None:
        """Raise ValueError for a state of a file that `load_state_dict` would reject. Only cnet's
        own callbacks are asked.
        """
        raise ValueError(f"{cls.__name__} keeps no state")


class _Function(Callback):
    def __init__(self, function: Callable[[Trainer, Logs], Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        self.function(trainer, logs)

    def _identity(self) -> dict[str, Any]:
        return {"name": getattr(self.function, "__qualname__", type(self.function).__name__)}


class _SchedulePerEpoch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self.scheduler._watch(trainer.metric_modes)

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        self.scheduler._end_epoch(logs)


class _SchedulePerBatch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_batch_end(self, trainer: Trainer, step: int, loss: float) -> None:
        self.scheduler.step()


def is_schedule(callback: Callback) -> TypeGuard[_SchedulePerEpoch | _SchedulePerBatch]:
    """Whether it steps a scheduler of learning rates."""
    return isinstance(callback, _SchedulePerEpoch | _SchedulePerBatch)


def as_callback(callback: Any) -> Callback:
    """A callback as it is, a scheduler of learning rates or a function wrapped into one."""
    if isinstance(callback, LRScheduler):
        return (_SchedulePerBatch if callback.per_batch else _SchedulePerEpoch)(callback)
    if isinstance(callback, Callback):
        check_callback(callback, Callback)
        return callback
    if isinstance(callback, type) and issubclass(callback, Callback | LRScheduler):
        raise TypeError(
            f"{callback.__name__} is a class, expected an object of it: {callback.__name__}(...)"
        )
    if callable(callback) and not isinstance(callback, type):
        check_function(callback)
        return _Function(callback)
    raise TypeError(
        f"{callback!r} is no callback: expected a cnet.callbacks.Callback or a function "
        "f(trainer, logs)"
    )


def as_list(callbacks: Any) -> list[Any]:
    """The callbacks that `fit` is given: several, one, or None."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback | LRScheduler) or callable(callbacks):
        return [callbacks]
    if not isinstance(callbacks, Iterable):
        raise TypeError(
            f"callbacks is {callbacks!r}, expected a callback or a list such as [callback]"
        )
    several = list(callbacks)
    for i, callback in enumerate(several):
        if isinstance(callback, Callback) and any(callback is other for other in several[:i]):
            raise ValueError(
                f"the same {type(callback).__name__} is in callbacks twice: it would be called "
                "twice after each epoch"
            )
    return several
