"""Cosine annealing, without and with warm restarts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler
from cnet.optim.lr_scheduler._settings import Checks, number, whole
from cnet.optim.lr_scheduler._state import State


class CosineAnnealingLR(LRScheduler):
    """Cosine annealing of the rate down to `eta_min` in `T_max` steps.

    Used alone, the rate at step `t` is ``eta_min + (base - eta_min) * (1 + cos(pi * t / T_max)) /
    2``. After `T_max` steps it rises again, with a period of ``2 * T_max`` steps.

    Parameters
    ----------
    optimizer : optim.Optimizer
    T_max : int
        Number of steps until the rate is `eta_min`, at least 1.
    eta_min : float
        Minimum of the rate, at least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017. (This
    class has no restarts.)

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6)
    0.25
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "T_max": whole(),
        "eta_min": number(wrong_type=ValueError),
    }
    _begins_at_base = True

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def get_lr(self) -> list[float]:
        self._expect_step()
        groups = self.optimizer.param_groups
        if self._is_initial:
            return [group["lr"] for group in groups]
        before, now = (
            1 + math.cos(math.pi * step / self.T_max)
            for step in (self.last_epoch - 1, self.last_epoch)
        )
        if (self.last_epoch - 1 - self.T_max) % (
            2 * self.T_max
        ) == 0:  # at the minimum `before` is 0, and no factor leads away from it
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                group["lr"] + (base - self.eta_min) * rise
                for base, group in zip(self.base_lrs, groups, strict=True)
            ]
        return [now / before * (group["lr"] - self.eta_min) + self.eta_min for group in groups]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine annealing from the base rate down to `eta_min`, with warm restarts.

    The rate is ``eta_min + (base - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2``. Here `T_cur` is
    the number of steps since the last restart, and `T_i` the number of steps from that restart to
    the next. Each restart multiplies `T_i` by `T_mult`. The rate does not depend on the current
    rate.

    Parameters
    ----------
    optimizer : optim.Optimizer
    T_0 : int
        Number of steps until the first restart, at least 1.
    T_mult : int
        Factor of the number of steps between restarts, at least 1.
    eta_min : float
        Minimum of the rate, at least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 6) for rate in rates]
    [0.5, 0.25, 0.5, 0.25]
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "T_0": whole(),
        "T_mult": whole(),
        "eta_min": number(wrong_type=ValueError),
    }
    _progress: ClassVar[Checks] = {**LRScheduler._progress, "T_cur": number(), "T_i": whole()}

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    @classmethod
    def _check_together(cls, values: State) -> None:
        if values.get("T_cur", 0) >= values.get("T_i", 1):
            raise ValueError(
                f"T_cur is {values['T_cur']!r}, expected a number below T_i, {values['T_i']!r}"
            )

    def get_lr(self) -> list[float]:
        self._expect_step()
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: Any = None) -> None:
        """Set the rates of the next step, or of any point of the schedule.

        Parameters
        ----------
        epoch : float or None
            Number of steps since the beginning, at least 0. It may have a fraction, as in
            ``step(epoch + batch / batches)``. None is the next step.

        Raises
        ------
        TypeError, ValueError
            If `epoch` is not a number, or is negative or not finite.
        """
        if epoch is not None or self._is_initial:
            self._go_to(self.last_epoch + 1 if epoch is None else number()("epoch", epoch))
        elif self.T_cur + 1 < self.T_i:
            self._set(self.T_cur + 1, self.T_i, self.last_epoch + 1)
        else:
            self._set(self.T_cur + 1 - self.T_i, self.T_i * self.T_mult, self.last_epoch + 1)

    def _go_to(self, epoch: float) -> None:
        """Set the rates at `epoch` steps since the beginning."""
        start, length = 0, self.T_0
        if self.T_mult == 1:
            start = int(epoch // length) * length
        else:
            while epoch >= start + length:
                start, length = start + length, length * self.T_mult
        self._set(epoch - start, length, math.floor(epoch))

    def _set(self, T_cur: float, T_i: int, last_epoch: int) -> None:
        """Set the rates `T_cur` steps after a restart; nothing is changed if it raises."""
        before = {**vars(self)}
        self.T_cur, self.T_i = T_cur, T_i
        self._step_count += 1
        try:
            self._update_lr(last_epoch)
        except BaseException:
            vars(self).update(before)
            raise

    def _restart(self) -> None:
        self._go_to(0)
