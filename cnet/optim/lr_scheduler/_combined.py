"""Schedulers made of others."""

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
    Number,
    Optional,
    PerGroup,
    Whole,
    flag,
)
from cnet.optim.lr_scheduler._state import State


class _Combined(LRScheduler):
    """Base of these schedulers. Whether their parts step per batch says so for all; parts that
    disagree leave it open.
    """

    _settings: ClassVar[Checks] = {"per_batch": Optional(flag)}
    _progress: ClassVar[Checks] = {"_last_lr": PerGroup(Number())}
    _other = ("_schedulers",)

    def _hold(
        self, optimizer: Optimizer | None, schedulers: Iterable[LRScheduler], per_batch: bool | None
    ) -> None:
        """Take the parts."""
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
        """Begin at the base rates."""
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
    """One scheduler after another: the next one begins at each milestone.

    The first one begins at the base rate, ``group["initial_lr"]``; so does each other, but for
    `MultiplicativeLR` and custom classes, which begin at the current rate.

    Parameters
    ----------
    optimizer : optim.Optimizer
    schedulers : sequence of LRScheduler
        Of this optimizer; `ReduceLROnPlateau` cannot be one of them.
    milestones : sequence of int
        Steps at which the next scheduler begins: one less than there are schedulers, increasing.
    last_epoch : int
        As for `LRScheduler`. If it is not -1, rates are those of an uninterrupted sequence.
    per_batch : bool or None
        As for `LRScheduler`; None: as the schedulers have it.

    Raises
    ------
    TypeError, ValueError
        If a scheduler or a setting is of the wrong type or out of bounds, or belongs to another
        optimizer.

    Examples
    --------
    Warm-up, then a cosine:

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

    _settings: ClassVar[Checks] = {**_Combined._settings, "_milestones": ListOf(Whole(0))}
    _progress: ClassVar[Checks] = {**_Combined._progress, "last_epoch": Whole(0)}

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
        self._milestones: list[int] = ListOf(Whole(0))("milestones", milestones)
        self._hold(optimizer, schedulers, per_batch)
        steps_done = Whole(-1)("last_epoch", last_epoch) + 1
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
        return self._schedulers[bisect_right(self._milestones, step)]

    def _restart(self) -> None:
        self._to_base()
        self._start()

    def _start(self) -> None:
        self.last_epoch = 0
        self._at(0)._start()
        self._last_lr = self._at(0).get_last_lr()

    def step(self, epoch: None = None) -> None:
        self._refuse_epoch(epoch)
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
            scheduler._take_length(None)  # no part takes all steps

    def _length(self) -> float:
        start = 0.0
        for scheduler, end in zip(self._schedulers, [*self._milestones, math.inf], strict=True):
            if start + scheduler._length() < end - 1:
                return start + scheduler._length()
            start = end
        return math.inf


class ChainedScheduler(_Combined):
    """Several schedulers at once: each step is a step of all, in order.

    Schedulers that multiply the current rate compose so. One that does not depend on it, such as
    `OneCycleLR`, undoes those before it.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        Of one optimizer; `ReduceLROnPlateau` cannot be one of them.
    optimizer : optim.Optimizer or None
        None: that of the first scheduler.
    per_batch : bool or None
        As for `LRScheduler`; None: as the schedulers have it.

    Raises
    ------
    TypeError, ValueError
        If a scheduler or a setting is of the wrong type, or belongs to another optimizer.

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
        self._last_lr = [float(group["lr"]) for group in self.optimizer.param_groups]

    def step(self, epoch: None = None) -> None:
        self._refuse_epoch(epoch)
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
