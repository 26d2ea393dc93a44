"""The cyclical learning rate of Smith (2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._cycle import Cycle, check_order
from cnet.optim.lr_scheduler._scheduler import check_optimizer
from cnet.optim.lr_scheduler._settings import Checks, Optional, PerGroup, choice, number
from cnet.optim.lr_scheduler._state import State

_MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(Cycle):
    """Cyclical learning rate: linearly from `base_lr` to `max_lr` and back, in each cycle.

    At step `t` in cycle `n`, counted from 1, the rate and the momentum are::

        lr = base_lr + (max_lr - base_lr) * x * scale
        momentum = max_momentum - (max_momentum - base_momentum) * x * scale

    `x` rises linearly from 0 to 1 in `step_size_up` steps, and falls to 0 in `step_size_down`
    steps. The scale is 1 in mode "triangular", ``2 ** (1 - n)`` in mode "triangular2", and ``gamma
    ** t`` in mode "exp_range". Rates do not depend on the current rates.

    By default, `Trainer.fit` steps it after each batch.

    Parameters
    ----------
    optimizer : optim.Optimizer
    base_lr, max_lr : float, or list of float
        Minimum and maximum of the rate, at least 0; one for each group, or one for all.
    step_size_up : float
        Number of steps from `base_lr` to `max_lr`, above 0.
    step_size_down : float or None
        Number of steps from `max_lr` to `base_lr`, at least 0. None is `step_size_up`.
    mode : {"triangular", "triangular2", "exp_range"}
        Scale of a cycle. It is ignored if `scale_fn` is given.
    gamma : float
        Base of the scale in mode "exp_range", at least 0.
    scale_fn : function or None
        Function that returns the scale, and takes the number of the cycle or of the step.
        `state_dict` does not hold it.
    scale_mode : {"cycle", "iterations"}
        Whether `scale_fn` takes `n` or `t`.
    cycle_momentum : bool
        Whether to set the momentum too: ``momentum``, or the first of ``betas``.
    base_momentum, max_momentum : float, or list of float
        Minimum and maximum of the momentum; one for each group, or one for all.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds, a minimum is above its maximum, or the
        optimizer has no momentum and `cycle_momentum` is true.

    References
    ----------
    Smith, Cyclical learning rates for training neural networks, WACV 2017.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), momentum=0.9)
    >>> scheduler = optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.25, max_lr=0.5, step_size_up=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.25, 0.375, 0.5, 0.375, 0.25]
    """

    _settings: ClassVar[Checks] = {
        **Cycle._settings,
        "step_size_up": number(above=0),
        "step_size_down": number(),
        "gamma": number(),
        "scale_mode": choice("cycle", "iterations"),
        "mode": Optional(choice(*_MODES)),
    }
    _other = ("_scale_fn_custom",)
    _also_compared = ("base_lrs",)

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
        *,
        per_batch: bool = True,
    ) -> None:
        check_optimizer(optimizer)
        if scale_fn is not None and not callable(scale_fn):
            raise TypeError(f"scale_fn is {scale_fn!r}, expected a function or None")
        if scale_fn is None:
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.max_lrs, self.base_momentums, self.max_momentums = max_lr, base_momentum, max_momentum  # type: ignore[assignment] # lists once checked
        self.step_size_up, self.step_size_down = (
            step_size_up,
            step_size_up if step_size_down is None else step_size_down,
        )
        self.mode, self.gamma, self.scale_mode, self.cycle_momentum = (
            mode if scale_fn is None else None,
            gamma,
            scale_mode,
            cycle_momentum,
        )
        self._scale_fn_custom = scale_fn
        self.base_lrs = base = PerGroup(number(), "base_lr")(
            "base_lrs", base_lr, len(optimizer.param_groups)
        )
        super().__init__(optimizer, last_epoch, per_batch=per_batch)
        self.base_lrs = base  # the base class set the base rates of the optimizer

    @classmethod
    def _check_together(cls, values: State) -> None:
        super()._check_together(values)
        check_order("base_lr", values["base_lrs"], "max_lr", values["max_lrs"])

    def _check_for_this(self, values: State) -> None:
        super()._check_for_this(values)
        if (values["mode"] is None) != (self._scale_fn_custom is not None):
            raise ValueError(
                f"mode is {values['mode']!r}, expected "
                f"{'None with a scale_fn' if values['mode'] else 'one of ' + ', '.join(_MODES)}"
            )

    def _prepare_groups(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = rate

    def scale_fn(self, x: float) -> float:
        """Return the scale of cycle `x`, or of step `x` if `scale_mode` is "iterations"."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return (
            1.0
            if self.mode == "triangular"
            else 2.0 ** (1 - x)
            if self.mode == "triangular2"
            else self.gamma**x
        )

    def _height(self) -> float:
        """Return ``x * scale`` at step `last_epoch`, with `x` from 0 to 1."""
        total = self.step_size_up + self.step_size_down
        cycle = math.floor(1 + self.last_epoch / total)
        x, top = 1 + self.last_epoch / total - cycle, self.step_size_up / total
        return (x / top if x <= top else (x - 1) / (top - 1)) * self.scale_fn(
            cycle if self.scale_mode == "cycle" else self.last_epoch
        )

    def get_lr(self) -> list[float]:
        self._expect_step()
        height = self._height()
        return [
            base + (top - base) * height
            for base, top in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def _momenta(self) -> list[float]:
        height = self._height()
        return [
            top - (top - base) * height
            for base, top in zip(self.base_momentums, self.max_momentums, strict=True)
        ]
