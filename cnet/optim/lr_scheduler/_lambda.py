"""Schedules whose factors a function gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler, check_optimizer
from cnet.optim.lr_scheduler._settings import PerGroup

Function = Callable[[int], float]


def _function(name: str, value: Any, groups: int = 1) -> Any:
    if not callable(value):
        raise TypeError(f"{name} is {value!r}, expected a function of the number of the step")
    return value


class _Lambda(LRScheduler):
    """Base of these schedules."""

    _other = ("lr_lambdas",)
    _for_each_group = "lr_lambda"

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Function | Sequence[Function],
        last_epoch: int = -1,
        *,
        per_batch: bool = False,
    ) -> None:
        check_optimizer(optimizer)
        self.lr_lambdas: list[Function] = PerGroup(_function)(
            "lr_lambda", lr_lambda, len(optimizer.param_groups)
        )
        super().__init__(optimizer, last_epoch, per_batch=per_batch)


class LambdaLR(_Lambda):
    """The base rate times what a function says.

    The rate at step `t` is ``base * lr_lambda(t)``. It does not depend on the current rate.

    Parameters
    ----------
    optimizer : optim.Optimizer
    lr_lambda : function, or list of functions
        Takes the number of the step, from 0, and returns a factor of at least 0; one for each
        group, or one for all. A state holds no functions, but the attributes of objects that are
        called.
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
    >>> scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        self._expect_step()
        return [
            base * function(self.last_epoch)
            for function, base in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_Lambda):
    """Multiply the rate by what a function says, at each step.

    Alone, the rate at step `t` is ``base * lr_lambda(1) * ... * lr_lambda(t)``.

    Parameters
    ----------
    optimizer : optim.Optimizer
    lr_lambda : function, or list of functions
        As for `LambdaLR`.
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
    >>> scheduler = optim.lr_scheduler.MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        self._expect_step()
        groups = self.optimizer.param_groups
        if self._is_initial:
            return [group["lr"] for group in groups]
        return [
            group["lr"] * function(self.last_epoch)
            for function, group in zip(self.lr_lambdas, groups, strict=True)
        ]
