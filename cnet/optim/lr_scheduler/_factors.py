"""Schedulers that multiply the current rate by a factor at each step.

The rules are PyTorch's. The docstrings give the closed form, which holds for a scheduler that is
used alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler
from cnet.optim.lr_scheduler._settings import Checks, ListOf, number, whole


class _Factor(LRScheduler):
    """Base of the schedulers that multiply the current rate."""

    _begins_at_base = True

    def _factor(self, step: int) -> float:
        """Return the factor of the rate at a step."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        self._expect_step()
        factor = self._factor(self.last_epoch)
        return [group["lr"] * factor for group in self.optimizer.param_groups]


class StepLR(_Factor):
    """Step decay: multiply the rate by `gamma` every `step_size` steps.

    Used alone, the rate at step `t` is ``base * gamma ** (t // step_size)``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    step_size : int
        Number of steps from one decay to the next, at least 1.
    gamma : float
        Factor of a decay, at least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.StepLR.

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

    _settings: ClassVar[Checks] = {**LRScheduler._settings, "step_size": whole(), "gamma": number()}

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
    """Step decay at given steps: multiply the rate by `gamma` at each milestone.

    Used alone, the rate at step `t` is ``base * gamma ** n``, where `n` is the number of milestones
    that are at most `t`.

    Parameters
    ----------
    optimizer : optim.Optimizer
    milestones : iterable of int
        Steps of the decays, at least 0, in any order. A step that appears `k` times multiplies the
        rate by ``gamma ** k``.
    gamma : float
        Factor of a decay, at least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    He, Zhang, Ren and Sun, Deep residual learning for image recognition, CVPR 2016, divide the
    rate by 10 at two milestones. The rule is that of PyTorch, torch.optim.lr_scheduler.MultiStepLR.

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
        "milestones": ListOf(whole(0)),
        "gamma": number(),
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
    """Exponential decay: multiply the rate by `gamma` at each step.

    Used alone, the rate at step `t` is ``base * gamma ** t``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    gamma : float
        Factor of a step, at least 0.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.ExponentialLR.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _settings: ClassVar[Checks] = {**LRScheduler._settings, "gamma": number()}

    def __init__(
        self, optimizer: Optimizer, gamma: float, last_epoch: int = -1, *, per_batch: bool = False
    ) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    def _factor(self, step: int) -> float:
        return 1.0 if self._is_initial else self.gamma


class ConstantLR(_Factor):
    """Multiply the rate by a constant factor for the first `total_iters` steps.

    Used alone, the rate at step `t` is ``base * factor`` if ``t < total_iters``, and ``base``
    otherwise.

    Parameters
    ----------
    optimizer : optim.Optimizer
    factor : float
        Factor of the rate, above 0 and at most 1.
    total_iters : int
        Number of steps with the factor, at least 1.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Goyal and others, Accurate, large minibatch SGD: training ImageNet in 1 hour, arXiv:1706.02677,
    2017 (constant warm-up).

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
        "factor": number(maximum=1, above=0),
        "total_iters": whole(),
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
    """Linear warm-up or decay: a factor that changes linearly in `total_iters` steps.

    Used alone, the rate at step `t` is::

        base * (start_factor + (end_factor - start_factor) * min(1, t / total_iters))

    Parameters
    ----------
    optimizer : optim.Optimizer
    start_factor : float
        Factor at step 0, above 0 and at most 1.
    end_factor : float
        Factor from step `total_iters`, at least 0 and at most 1.
    total_iters : int
        Number of steps until the factor is `end_factor`, at least 1.
    last_epoch, per_batch : object
        As for `LRScheduler`. A warm-up within the first epoch needs ``per_batch=True``.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Goyal and others, Accurate, large minibatch SGD: training ImageNet in 1 hour, arXiv:1706.02677,
    2017 (gradual warm-up).

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
        "start_factor": number(maximum=1, above=0),
        "end_factor": number(0, 1),
        "total_iters": whole(),
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
        )  # rounding may leave a small negative factor


class PolynomialLR(_Factor):
    """Polynomial decay to 0 in `total_iters` steps.

    Used alone, the rate at step `t` is ``base * (1 - min(1, t / total_iters)) ** power``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    total_iters : int
        Number of steps until the rate is 0, at least 1.
    power : float
        Exponent, at least 0. With 1 the decay is linear.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Liu, Rabinovich and Berg, ParseNet: looking wider to see better, arXiv:1506.04579, 2015.

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
        "total_iters": whole(),
        "power": number(),
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
