"""Schedulers whose factors are the results of a function, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler, check_optimizer
from cnet.optim.lr_scheduler._settings import PerGroup

Function = Callable[[int], float]


def _function(name: str, value: Any, groups: int = 1) -> Any:
    """Check for a function."""
    if not callable(value):
        raise TypeError(f"{name} is {value!r}, expected a function of the number of the step")
    return value


class _Lambda(LRScheduler):
    """Base of the schedulers with functions."""

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
    """Multiply the base rate by a function of the step.

    The rate at step `t` is ``base * lr_lambda(t)``. It does not depend on the current rate.

    Parameters
    ----------
    optimizer : optim.Optimizer
    lr_lambda : function, or list of functions
        Function that takes the number of a step, from 0, and returns a factor of at least 0; one
        for each group, or one for all. `state_dict` does not hold functions. Of a callable object
        it holds the attributes.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.LambdaLR.

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
    """Multiply the current rate by a function of the step, at each step.

    Used alone, the rate at step `t` is ``base * lr_lambda(1) * ... * lr_lambda(t)``.

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

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.MultiplicativeLR.

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
