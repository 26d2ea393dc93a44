"""Schedules that multiply the current rate, step by step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler
from cnet.optim.lr_scheduler._settings import Checks, ListOf, Number, Whole


class _Factor(LRScheduler):
    """Base of these schedules."""

    _begins_at_base = True

    def _factor(self, step: int) -> float:
        """What the rate is multiplied by at a step."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        self._expect_step()
        factor = self._factor(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class StepLR(_Factor):
    """Multiply the rate by `gamma` every `step_size` steps.

    Alone, the rate at step `t` is ``base * gamma ** (t // step_size)``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    step_size : int
        At least 1.
    gamma : float
        At least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optimizer)
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=3, callbacks=[scheduler], verbose=False)
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _settings: ClassVar[Checks] = {**LRScheduler._settings, "step_size": Whole(), "gamma": Number()}

    def __init__(
        self,
        optimizer: Optimizer,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        return self.gamma if step and step % self.step_size == 0 else 1.0


class MultiStepLR(_Factor):
    """Multiply the rate by `gamma` at each of some steps.

    Alone, the rate at step `t` is ``base * gamma ** n``, where `n` is the number of milestones up
    to `t`.

    Parameters
    ----------
    optimizer : optim.Optimizer
    milestones : iterable of int
        Steps, in any order; the rate is multiplied several times at a step that is given several
        times.
    gamma : float
        At least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "milestones": ListOf(Whole(0)),
        "gamma": Number(),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.gamma = gamma
        self.milestones: list[int] = milestones  # type: ignore[assignment] # a list once it is checked
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _check_settings(self) -> None:
        super()._check_settings()
        self.milestones.sort()

    def _factor(self, step: int) -> float:
        return float(self.gamma ** self.milestones.count(step))


class ExponentialLR(_Factor):
    """Multiply the rate by `gamma` at each step.

    Alone, the rate at step `t` is ``base * gamma ** t``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    gamma : float
        At least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _settings: ClassVar[Checks] = {**LRScheduler._settings, "gamma": Number()}

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1, *, per_batch: bool = False
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        return 1.0 if self._is_initial else self.gamma


class ConstantLR(_Factor):
    """Multiply the rate by `factor` for the first `total_iters` steps.

    Alone, the rate at step `t` is ``base * factor`` while ``t < total_iters``, then ``base``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    factor : float
        Above 0, at most 1.
    total_iters : int
        At least 1.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.25, 0.25, 0.5, 0.5]
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "factor": Number(0, 1, above=True),
        "total_iters": Whole(),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        return self.factor if step == 0 else 1 / self.factor if step == self.total_iters else 1.0


class LinearLR(_Factor):
    """Warm-up: a factor that changes linearly from `start_factor` to `end_factor` in `total_iters`
    steps, and stays there.

    Alone, the rate at step `t` is ``base * (start_factor + (end_factor - start_factor) * min(1, t /
    total_iters))``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    start_factor : float
        Above 0, at most 1.
    end_factor : float
        At least 0, at most 1.
    total_iters : int
        At least 1.
    last_epoch, per_batch : object
        As for `LRScheduler`. A warm-up within the first epoch needs ``per_batch=True``.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.25, 0.375, 0.5, 0.5]
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "start_factor": Number(0, 1, above=True),
        "end_factor": Number(0, 1),
        "total_iters": Whole(),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        if step == 0:
            return self.start_factor
        if self._is_initial or step > self.total_iters:
            return 1.0
        change = self.end_factor - self.start_factor
        return max(
            0.0, 1 + change / (self.total_iters * self.start_factor + (step - 1) * change)
        )  # rounding may leave less than nothing


class PolynomialLR(_Factor):
    """Decay to 0 in `total_iters` steps, along a power.

    Alone, the rate at step `t` is ``base * (1 - min(1, t / total_iters)) ** power``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    total_iters : int
        At least 1.
    power : float
        At least 0; 1 is a straight line.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2, power=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.125, 0.0, 0.0]
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "total_iters": Whole(),
        "power": Number(),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        if self._is_initial or step > self.total_iters:
            return 1.0
        return float(
            ((1 - step / self.total_iters) / (1 - (step - 1) / self.total_iters)) ** self.power
        )
