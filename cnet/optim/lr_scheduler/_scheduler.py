"""Base of the schedulers, and the checks of the schedulers that a `fit` steps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from cnet.optim._construction import put_back, settings_of
from cnet.optim._optimizer import Optimizer, check_numbers
from cnet.optim.lr_scheduler._settings import Checks, PerGroup, flag, number, whole
from cnet.optim.lr_scheduler._state import Stateful

_RATE = number()


class LRScheduler(Stateful):
    """Base of the learning rate schedulers.

    To write a scheduler, override `get_lr`.

    The constructor sets the rates of step 0, and each call of `step` sets those of the next step. A
    scheduler that computes rates from the current ones, ``group["lr"]``, can be combined with
    others, and preserves manual changes. The base rate of a group is the rate that it had when its
    first scheduler was constructed. It is stored as ``group["initial_lr"]``, and all schedulers use
    it.

    Parameters
    ----------
    optimizer : optim.Optimizer
        Optimizer whose groups have a setting ``"lr"``.
    last_epoch : int
        Number of the last step that was taken; -1 for a new schedule. With another value, groups
        must have ``"initial_lr"``.
    per_batch : bool
        Whether `Trainer.fit` steps the scheduler after each batch, instead of after each epoch.

    Attributes
    ----------
    last_epoch : int
        Number of the current step, from 0.
    base_lrs : list of float
        Base rate of each group.
    progress : tuple of str
        Names of the attributes that steps change, in a custom class. All other attributes are
        settings. Training cannot be resumed with settings that differ from the checkpoint.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer, or a setting is of the wrong type.
    ValueError
        If a setting is out of bounds, or the optimizer has no learning rate.
    KeyError
        If `last_epoch` is not -1, and a group has no ``"initial_lr"``.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> class Inverse(optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / (1 + self.last_epoch) for base in self.base_lrs]
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = Inverse(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _settings: ClassVar[Checks] = {"per_batch": flag}
    _progress: ClassVar[Checks] = {
        "last_epoch": whole(0),
        "_step_count": whole(1),
        "base_lrs": PerGroup(_RATE),
        "_last_lr": PerGroup(_RATE),
    }
    _begins_at_base: ClassVar[bool] = False
    """Whether step 0 in a `SequentialLR` begins at the base rates instead of the current rates."""
    _for_each_group: ClassVar[str | None] = None
    """Name of an argument that has a value for each group."""
    _is_initial = False
    """Whether step 0 is being taken."""
    _is_stepping = False
    """Whether a step is being taken, so that `get_lr` may be called."""

    per_batch: bool | None
    base_lrs: list[float]
    _last_lr: list[float]

    def __init__(
        self, optimizer: Optimizer, last_epoch: int = -1, *, per_batch: bool = False
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.per_batch = per_batch
        self._check_settings()
        self.last_epoch = whole(-1)("last_epoch", last_epoch)
        before = settings_of(optimizer.param_groups)
        try:
            self._begin()
        except BaseException:
            put_back(optimizer.param_groups, before)
            raise
        optimizer._construction.note(before, optimizer.param_groups)

    def _begin(self) -> None:
        """Determine the base rates, and take step 0."""
        if self.last_epoch == -1:
            self._prepare_groups()
        for i, group in enumerate(self.optimizer.param_groups):
            if self.last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"parameter group {i} has no initial_lr, which last_epoch={self.last_epoch} "
                    "needs: load the state of the optimizer first"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in self.optimizer.param_groups]
        self._initial_step()

    def _check_settings(self) -> None:
        """Check the arguments of the constructor, and store them as plain data."""
        groups = len(self.optimizer.param_groups)
        checked = {
            name: check(name, getattr(self, name), groups) for name, check in self._settings.items()
        }
        self._check_together({**vars(self), **checked})
        self._check_for_this(checked)
        vars(self).update(checked)

    def _prepare_groups(self) -> None:
        """Change groups before step 0, in schedulers that define their own base rates."""

    def get_lr(self) -> list[float]:
        """Return the rate of each group at step `last_epoch`. `step` calls it.

        It is computed from the current rates, ``group["lr"]``, or from `base_lrs`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not define get_lr(), which returns the rate of each "
            "parameter group"
        )

    def _expect_step(self) -> None:
        """Warn if `get_lr` is called outside of a step."""
        if not self._is_stepping:
            warnings.warn(
                "get_lr() computes the rates of a step that is being taken: for the rates that "
                "the last step set, call get_last_lr()",
                stacklevel=3,
            )

    def get_last_lr(self) -> list[float]:
        """Return the rate of each group that the last step set."""
        return list(self._last_lr)

    def step(self, epoch: None = None) -> None:
        """Set the rates of the next step.

        Call it after the step of the optimizer, once per epoch or once per batch. Nothing is
        changed if it raises.

        Parameters
        ----------
        epoch : None
            For code written for PyTorch: None.

        Raises
        ------
        TypeError
            If `epoch` is not None.
        ValueError
            If the schedule has ended, or a rate is out of bounds.
        """
        self._reject_epoch(epoch)
        self._step_count += 1
        try:
            self._update_lr()
        except BaseException:
            self._step_count -= 1
            raise

    def _reject_epoch(self, epoch: Any) -> None:
        if epoch is not None:
            raise TypeError(
                f"{type(self).__name__}.step() takes no epoch, got {epoch!r}: it advances by one "
                "step; call it once for each"
            )

    def _initial_step(self) -> None:
        """Take step 0 from the current rates."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            del self._is_initial

    def _update_lr(self, epoch: int | None = None) -> None:
        """Set the rates of step `epoch`, by default the next step."""
        groups = self.optimizer.param_groups
        for group in groups:
            check_numbers(group, "lr")
        self._take_added_groups()
        before, self.last_epoch = self.last_epoch, self.last_epoch + 1 if epoch is None else epoch
        self._is_stepping = True
        try:
            closed_form = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
            rates = self._checked_rates(self.get_lr() if closed_form is None else closed_form())
        except BaseException:
            self.last_epoch = before
            raise
        finally:
            del self._is_stepping
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = rates
        self._move_momentum()

    def _take_added_groups(self) -> None:
        """Determine the base rates of groups that were added since the last step."""
        added = self.optimizer.param_groups[len(self.base_lrs) :]
        if added and self._for_each_group:
            raise ValueError(
                f"the optimizer has {len(self.base_lrs) + len(added)} parameter groups now, but "
                f"{self._for_each_group} of this {type(self).__name__} is for "
                f"{len(self.base_lrs)}: construct it after add_param_group"
            )
        for group in added:
            self.base_lrs.append(float(group.setdefault("initial_lr", group["lr"])))

    def _checked_rates(self, rates: Any) -> list[float]:
        """Return the rates that `get_lr` gave as a list of floats, one for each group."""
        groups = len(self.optimizer.param_groups)
        if (
            type(rates) is list
            and len(rates) == groups
            and all(type(rate) is float and 0 <= rate < math.inf for rate in rates)
        ):
            return [*rates]  # fast path of most steps
        name = f"{type(self).__name__}.get_lr()"
        if not isinstance(rates, Iterable):
            raise TypeError(
                f"{name} gave {rates!r}, expected a list with the rate of each parameter group"
            )
        rates = list(rates)
        if len(rates) != groups:
            raise ValueError(
                f"{name} gave {len(rates)} rates, expected one for each of {groups} parameter "
                "groups"
            )
        return [_RATE(f"rate {i} of {name}", rate) for i, rate in enumerate(rates)]

    def _move_momentum(self) -> None:
        """Set the momentum of the current step, in schedulers that change it."""

    def _start(self) -> None:
        """Take step 0 again, from the current rates."""
        self.last_epoch = -1
        self._initial_step()

    def _restart(self) -> None:
        """Take step 0 when a `SequentialLR` reaches this scheduler."""
        if not self._begins_at_base:
            self._update_lr(0)
            return
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=False):
            group["lr"] = base
        self._start()

    def _restore_rates(self) -> None:
        construction, moves_momentum = self.optimizer._construction, False
        for i, (group, rate) in enumerate(
            zip(self.optimizer.param_groups, self._last_lr, strict=False)
        ):
            if construction.left(i, group, "lr"):
                group["lr"] = rate
                moves_momentum = True
        if moves_momentum:
            self._move_momentum()
            construction.after = settings_of(self.optimizer.param_groups)

    def _length(self) -> float:
        """Number of the last step of the schedule; infinity without an end."""
        return math.inf

    def _steps_left(self) -> float:
        return self._length() - self.last_epoch

    def _begin_fit(self, epochs: int, steps: int | None) -> None:
        """Prepare for a `fit` that steps this scheduler.

        `steps` is the number of batches of an epoch; None if it is not known.
        """
        count = epochs if not self.per_batch else None if steps is None else epochs * steps
        self._take_length(count)
        if count is not None and count > (left := self._steps_left()):
            raise ValueError(
                f"{type(self).__name__} has {int(left)} steps left, but this fit takes {count} "
                f"({'one a batch' if self.per_batch else 'one an epoch'}): construct a new "
                "scheduler, or one with more steps"
            )

    def _take_length(self, count: int | None) -> None:
        """Set the number of steps of a `fit`, in schedulers that need it; None if not known."""

    def _watch(self, modes: Mapping[str, str]) -> None:
        """Find the monitored metric among the metrics of a `fit`, given with their directions."""

    def _end_epoch(self, logs: Mapping[str, float]) -> None:
        """Step after an epoch of a `fit` that steps this scheduler per epoch."""
        self.step()


def check_optimizer(optimizer: Any) -> None:
    """Raise unless `optimizer` is an optimizer with learning rates."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}, expected one such as optim.SGD(model.parameters(), "
            "lr=0.1)"
        )
    if any("lr" not in group for group in optimizer.param_groups):
        raise ValueError(
            f"{type(optimizer).__name__} has no setting lr that could follow a schedule"
        )
    optimizer._check_groups()


def check_schedulers(schedulers: Iterable[LRScheduler], optimizer: Optimizer) -> None:
    """Raise ValueError unless a `fit` with this optimizer can step the schedulers."""
    seen: set[int] = set()
    for part in (part for scheduler in schedulers for part in scheduler._parts()):
        name = type(part).__name__
        if part.optimizer is not optimizer:
            raise ValueError(
                f"{name} belongs to another optimizer than this trainer's: construct it with "
                "trainer.optimizer"
            )
        if id(part) in seen:
            raise ValueError(
                f"{name} appears twice among the schedulers: it would take two steps at once"
            )
        seen.add(id(part))


def begin_fit(schedulers: Sequence[LRScheduler], epochs: int, steps: int | None) -> None:
    """Prepare schedulers for a `fit` that will step them.

    Raises ValueError if a schedule is shorter than the `fit`. Then nothing is changed.
    """
    before = [(part, {**vars(part)}) for scheduler in schedulers for part in scheduler._parts()]
    try:
        for scheduler in schedulers:
            scheduler._begin_fit(epochs, steps)
    except BaseException:
        for part, values in before:
            part.__dict__.update(values)
        raise
