"""What all schedulers have in common."""

import math
from numbers import Real
from typing import Any

from cnet.optim._optimizer import Optimizer


class LRScheduler:
    """Base of the schedulers. To write one, override `rate`.

    Parameters
    ----------
    optimizer : optim.Optimizer
    per_batch : bool
        As a callback, step after each batch instead of after each epoch.

    Attributes
    ----------
    last_epoch : int
        Steps taken.
    base_lrs : list of float
        The rates that groups began with.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> class Inverse(optim.lr_scheduler.LRScheduler):
    ...     def rate(self, base, step):
    ...         return base / (1 + step)
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = Inverse(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _remembered: tuple[str, ...] = ("last_epoch", "base_lrs")
    """Attributes that `state_dict` holds: what steps change, or a training tells."""

    def __init__(self, optimizer: Optimizer, *, per_batch: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer is {optimizer!r}, expected one such as optim.SGD(model.parameters(), lr=0.1)")
        if any("lr" not in group for group in optimizer.param_groups):
            raise ValueError(f"{type(optimizer).__name__} has no setting lr that could follow a schedule")
        self.optimizer = optimizer
        self.per_batch = per_batch
        self.base_lrs: list[float] = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self._go_to(0)

    def rate(self, base: float, step: int) -> float:
        """The rate of a group that began with rate `base`, after `step` steps."""
        raise TypeError(f"{type(self).__name__} does not define rate(base, step)")

    def step(self) -> None:
        """Go on to the next rate."""
        self._go_to(self.last_epoch + 1)

    def _go_to(self, step: int) -> None:
        self.last_epoch = step
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base, step)

    def state_dict(self) -> dict[str, Any]:
        """What later steps go on from: numbers, and lists of them. `Trainer.save_checkpoint` keeps it for the schedulers that `fit` steps."""
        return {name: getattr(self, name) for name in self._remembered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where `state_dict` was called, in a scheduler that was constructed alike, and set the rates there.

        Parameters
        ----------
        state : dict

        Raises
        ------
        ValueError
            If it is no state of such a scheduler; then nothing is changed.
        """
        if not _alike(state, own := self.state_dict()):
            raise ValueError(f"{state!r} is no state of such a {type(self).__name__}, expected one like {own!r}")
        self._restore(state)
        self._go_to(self.last_epoch)

    def _restore(self, state: dict[str, Any]) -> None:
        for name in self._remembered:
            setattr(self, name, state[name])

    def get_last_lr(self) -> list[float]:
        """The rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def on_train_begin(self, steps: int | None) -> None:
        """Before a training of so many batches that steps it; None if that is not known."""

    def on_epoch_end(self, logs: dict[str, float]) -> None:
        """After an epoch of a training that steps it per epoch."""
        self.step()


def _alike(value: Any, own: Any) -> bool:
    """Whether a value may take the place of another: numbers or nothing, and dictionaries and lists of them."""
    if isinstance(own, dict):
        return isinstance(value, dict) and value.keys() == own.keys() and all(_alike(value[name], own[name]) for name in own)
    if isinstance(own, list):
        return isinstance(value, list) and len(value) == len(own) and all(map(_alike, value, own))
    if isinstance(own, int):  # a number of steps
        return type(value) is int and value >= 0
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def cosine(start: float, end: float, share: float) -> float:
    """The value after a share of the way from `start` to `end`, along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def count(name: str, value: Any, least: int = 1) -> int:
    """A setting that is a number of steps, or an error."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    return value
