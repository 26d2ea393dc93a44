"""The base class of callbacks, and the conversion of functions and schedulers to callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from cnet.callbacks._hooks import check_callback, check_function
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module
from cnet.optim.lr_scheduler import LRScheduler

Logs = dict[str, float]


class Callback:
    """Base class of callbacks: override the methods that you need.

    Attributes
    ----------
    metrics : mapping of str
        Metrics that `on_epoch_end` adds to `logs`, with "min" if lower is better or "max" if higher
        is better. They are added to the history, and later callbacks in the list can monitor them.

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

    A custom metric:

    >>> class WeightNorm(cnet.callbacks.Callback):
    ...     metrics = {"weight_norm": "min"}
    ...     def on_epoch_end(self, trainer, logs):
    ...         logs["weight_norm"] = float((trainer.model[0].weight.data ** 2).sum() ** 0.5)
    >>> list(trainer.fit([[1.0, 2.0]], [3.0], callbacks=[WeightNorm()], verbose=False))
    ['loss', 'weight_norm']
    """

    metrics: Mapping[str, str] = {}

    every_batch = True
    """Whether `on_batch_end` is called after each step; if False, only some tens of times a second.

    The latter has no measurable cost.
    """

    _catches_up = True
    """Whether a callback that missed the epoch of a checkpoint is notified after loading it."""

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        """Called before the first epoch. `steps` per epoch is None for batches without a length."""

    def on_batch_end(self, trainer: Trainer, step: int, loss: float) -> None:
        """Called after step `step` (from 1) of an epoch, if a subclass overrides it."""

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        """Called after an epoch and its validation, with the epoch's metrics in `logs`.

        Setting ``trainer.stop`` to True ends training.
        """

    def on_train_end(self, trainer: Trainer) -> None:
        """Called after the last epoch or an interruption, unless `on_train_begin` failed."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of this callback for a checkpoint. Empty by default.

        It may contain numbers, strings, None, arrays, and lists and dictionaries of them.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned.

        It is called in the first `fit` after `Trainer.load_checkpoint`, after `on_train_begin`.
        """
        raise TypeError(f"{type(self).__name__} does not define load_state_dict(state)")

    def _identity(self) -> dict[str, Any]:
        """Return the options that must match for a saved state to be restored."""
        return {}

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: Module) -> None:
        """Raise ValueError if `load_state_dict` would reject a state from a file.

        It is only called for callbacks of cnet itself.
        """
        raise ValueError(f"{cls.__name__} has no state to restore")


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
    """Whether the callback steps a learning rate scheduler."""
    return isinstance(callback, _SchedulePerEpoch | _SchedulePerBatch)


def as_callback(callback: Any) -> Callback:
    """Return a callback unchanged, or wrap a scheduler or a function in one."""
    if isinstance(callback, LRScheduler):
        return (_SchedulePerBatch if callback.per_batch else _SchedulePerEpoch)(callback)
    if isinstance(callback, Callback):
        check_callback(callback, Callback)
        return callback
    if isinstance(callback, type) and issubclass(callback, Callback | LRScheduler):
        raise TypeError(
            f"{callback.__name__} is a class, expected an instance of it: {callback.__name__}(...)"
        )
    if callable(callback) and not isinstance(callback, type):
        check_function(callback)
        return _Function(callback)
    raise TypeError(
        f"{callback!r} is not a callback: expected a cnet.callbacks.Callback or a function "
        "f(trainer, logs)"
    )


def as_list(callbacks: Any) -> list[Any]:
    """Return a list of the callbacks passed to `fit`: several, one, or None."""
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
                f"callbacks contains the same {type(callback).__name__} twice, which would be "
                "called twice after each epoch: pass it once"
            )
    return several
