"""Schedulers that combine others: in sequence, or all at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import ClassVar

from cnet.optim._construction import put_back, settings_of
from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._plateau import ReduceLROnPlateau
from cnet.optim.lr_scheduler._scheduler import LRScheduler, check_optimizer
from cnet.optim.lr_scheduler._settings import (
    Checks,
    ListOf,
    Optional,
    PerGroup,
    flag,
    number,
    whole,
)
from cnet.optim.lr_scheduler._state import State


class _Combined(LRScheduler):
    """Base of the schedulers that combine others.

    `per_batch` is that of the parts. It is None if the parts differ and it was not given.
    """

    _settings: ClassVar[Checks] = {"per_batch": Optional(flag)}
    _progress: ClassVar[Checks] = {"_last_lr": PerGroup(number())}
    _other = ("_schedulers",)

    def _hold(
        self, optimizer: Optimizer | None, schedulers: Iterable[LRScheduler], per_batch: bool | None
    ) -> None:
        """Check and store the parts."""
        name, parts = type(self).__name__, list(schedulers)
        if not parts:
            raise ValueError(f"{name} got no schedulers, expected at least one")
        for i, scheduler in enumerate(parts):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    f"scheduler {i} of {name} is {scheduler!r}, expected a scheduler such as "
                    "StepLR(optimizer, 10)"
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"scheduler {i} of {name} is a ReduceLROnPlateau, which needs a metric at "
                    f"each step: use it beside {name}"
                )
            if optimizer is None:
                optimizer = scheduler.optimizer
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"scheduler {i} of {name}, a {type(scheduler).__name__}, is of another "
                    "optimizer: expected schedulers of this optimizer"
                )
        assert optimizer is not None
        ids = [id(part) for scheduler in parts for part in scheduler._parts()]
        if len(ids) > len({*ids}):
            raise ValueError(
                f"a scheduler appears twice in {name}: it would take two steps at once"
            )
        choices = {scheduler.per_batch for scheduler in parts}
        self.optimizer, self._schedulers = optimizer, parts
        self.per_batch = choices.pop() if per_batch is None and len(choices) == 1 else per_batch
        self._check_settings()

    def _to_base(self) -> None:
        """Set all rates to the base rates."""
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])

    def _begin_fit(self, epochs: int, steps: int | None) -> None:
        if self.per_batch is None:
            raise ValueError(
                f"some schedulers of this {type(self).__name__} step per batch, and others per "
                "epoch: construct it with per_batch=True or per_batch=False"
            )
        super()._begin_fit(epochs, steps)


class SequentialLR(_Combined):
    """Several schedulers in sequence: at each milestone, the next one begins.

    With ``start = [0, *milestones]``, scheduler `i` sets the rates of steps ``start[i] <= t <
    start[i + 1]``; the last one has no end. A scheduler counts its own steps from 0 at step
    ``start[i]``, and begins at the base rate, ``group["initial_lr"]``. Only `MultiplicativeLR` and
    custom classes begin at the current rate, unless they come first.

    Parameters
    ----------
    optimizer : optim.Optimizer
    schedulers : sequence of LRScheduler
        Schedulers of this optimizer, except `ReduceLROnPlateau`.
    milestones : sequence of int
        Steps at which the next scheduler begins, increasing; one fewer than schedulers.
    last_epoch : int
        As for `LRScheduler`. If it is not -1, the rates are those of an uninterrupted sequence.
    per_batch : bool or None
        As for `LRScheduler`. None is the setting of the schedulers.

    Raises
    ------
    TypeError, ValueError
        If a scheduler or a setting is of the wrong type or out of bounds, or a scheduler belongs to
        another optimizer, appears twice, or is a `ReduceLROnPlateau`.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.SequentialLR.

    Examples
    --------
    Warm-up, then cosine annealing:

    >>> from cnet import nn, optim
    >>> from cnet.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 6) for rate in rates]
    [0.25, 0.375, 0.5, 0.25, 0.0]
    """

    _settings: ClassVar[Checks] = {**_Combined._settings, "_milestones": ListOf(whole(0))}
    _progress: ClassVar[Checks] = {**_Combined._progress, "last_epoch": whole(0)}

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
        *,
        per_batch: bool | None = None,
    ) -> None:
        check_optimizer(optimizer)
        self._milestones: list[int] = ListOf(whole(0))("milestones", milestones)
        self._hold(optimizer, schedulers, per_batch)
        steps_done = whole(-1)("last_epoch", last_epoch) + 1
        before = settings_of(optimizer.param_groups)
        try:
            self._restart()
            for _ in range(steps_done):
                self.step()
        except BaseException:
            put_back(optimizer.param_groups, before)
            raise
        optimizer._construction.note(before, optimizer.param_groups)

    @classmethod
    def _check_together(cls, values: State) -> None:
        milestones, between = values["_milestones"], len(values["_schedulers"]) - 1
        if len(milestones) != between or milestones != sorted({*milestones}):
            raise ValueError(
                f"milestones is {milestones!r}, expected {between} increasing numbers: one "
                "between two schedulers"
            )

    def _at(self, step: int) -> LRScheduler:
        """Return the scheduler of a step."""
        return self._schedulers[bisect_right(self._milestones, step)]

    def _restart(self) -> None:
        self._to_base()
        self._start()

    def _start(self) -> None:
        self.last_epoch = 0
        self._at(0)._start()
        self._last_lr = self._at(0).get_last_lr()

    def step(self, epoch: None = None) -> None:
        self._reject_epoch(epoch)
        following = self.last_epoch + 1
        scheduler = self._at(following)
        if following in self._milestones:
            scheduler._restart()
        else:
            scheduler.step()
        self.last_epoch = following
        self._last_lr = scheduler.get_last_lr()

    def _move_momentum(self) -> None:
        self._at(self.last_epoch)._move_momentum()

    def _take_length(self, count: int | None) -> None:
        for scheduler in self._schedulers:
            scheduler._take_length(None)  # each part has only some of the steps

    def _length(self) -> float:
        start = 0.0
        for scheduler, end in zip(self._schedulers, [*self._milestones, math.inf], strict=True):
            if start + scheduler._length() < end - 1:
                return start + scheduler._length()
            start = end
        return math.inf


class ChainedScheduler(_Combined):
    """Several schedulers at once: each step is a step of all of them, in order.

    The factors of schedulers that multiply the current rate are multiplied: ``rate = base *
    factor[0](t) * factor[1](t) * ...``. A scheduler that does not depend on the current rate, such
    as `OneCycleLR`, overwrites the rates of those before it.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        Schedulers of one optimizer, except `ReduceLROnPlateau`.
    optimizer : optim.Optimizer or None
        Optimizer of the schedulers; None is that of the first one.
    per_batch : bool or None
        As for `LRScheduler`. None is the setting of the schedulers.

    Raises
    ------
    TypeError, ValueError
        If a scheduler or a setting is of the wrong type, or a scheduler belongs to another
        optimizer, appears twice, or is a `ReduceLROnPlateau`.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.ChainedScheduler.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> from cnet.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> constant = ConstantLR(optimizer, 0.5, total_iters=2)
    >>> scheduler = ChainedScheduler([constant, ExponentialLR(optimizer, 0.5)])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.25, 0.125, 0.125, 0.0625]
    """

    def __init__(
        self,
        schedulers: Sequence[LRScheduler],
        optimizer: Optimizer | None = None,
        *,
        per_batch: bool | None = None,
    ) -> None:
        if optimizer is not None:
            check_optimizer(optimizer)
        self._hold(optimizer, schedulers, per_batch)
        self._note_rates()

    def _note_rates(self) -> None:
        """Record the current rates as those that the last step set."""
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: None = None) -> None:
        self._reject_epoch(epoch)
        for scheduler in self._schedulers:
            scheduler.step()
        self._note_rates()

    def _start(self) -> None:
        for scheduler in self._schedulers:
            scheduler._start()
        self._note_rates()

    def _restart(self) -> None:
        self._to_base()
        self._start()

    def _move_momentum(self) -> None:
        for scheduler in self._schedulers:
            scheduler._move_momentum()

    def _length(self) -> float:
        return min(scheduler._length() for scheduler in self._schedulers)

    def _steps_left(self) -> float:
        return min(scheduler._steps_left() for scheduler in self._schedulers)

    def _take_length(self, count: int | None) -> None:
        for scheduler in self._schedulers:
            scheduler._take_length(count)
