"""The one-cycle learning rate policy of Smith and Topin (2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._cycle import Cycle
from cnet.optim.lr_scheduler._settings import Checks, Optional, choice, flag, number, whole
from cnet.optim.lr_scheduler._state import State


class OneCycleLR(Cycle):
    """One-cycle policy: from a small rate up to `max_lr`, and down to a much smaller one.

    The rate is ``first = max_lr / div_factor`` at step 0, `max_lr` at step ``pct_start *
    total_steps - 1``, and ``first / final_div_factor`` at step ``total_steps - 1``. With
    `three_phase` it is `first` again at step ``2 * pct_start * total_steps - 2``. The momentum is
    `max_momentum` at the first and the last of these steps, and `base_momentum` where the rate is
    `max_lr`.

    Between two of these steps, with rates `a` and `b`, the rate after a fraction `s` of the steps
    is::

        b + (a - b) * (1 + cos(pi * s)) / 2    # anneal_strategy="cos"
        a + (b - a) * s                        # anneal_strategy="linear"

    Rates do not depend on the current rates. By default, `Trainer.fit` steps it after each batch.

    Parameters
    ----------
    optimizer : optim.Optimizer
    max_lr : float, or list of float
        Maximum of the rate, at least 0; one for each group, or one for all.
    total_steps : int or None
        Number of steps of the cycle, at least 2. The schedule ends after it. None is ``epochs *
        steps_per_epoch`` or, without these, the number of steps of the call of `fit`.
    epochs, steps_per_epoch : int or None
        Numbers of epochs, and of steps of an epoch, at least 1; both or neither.
    pct_start : float
        Fraction of the steps in which the rate rises, from 0.0 to 1.0; at most about 0.5 with
        `three_phase`.
    anneal_strategy : {"cos", "linear"}
        Formula of the rates between the steps above.
    cycle_momentum : bool
        Whether to set the momentum too: ``momentum``, or the first of ``betas``. SGD gets a
        momentum even if it was constructed without.
    base_momentum, max_momentum : float, or list of float
        Minimum and maximum of the momentum; one for each group, or one for all.
    div_factor : float
        Quotient of `max_lr` and the first rate, above 0.
    final_div_factor : float
        Quotient of the first rate and the last rate, above 0.
    three_phase : bool
        Whether the rate falls to `first` in as many steps as it rises, before it falls further.
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds, a minimum is above its maximum, or the
        optimizer has no momentum and `cycle_momentum` is true.
    RuntimeError
        If a step is taken, and the number of steps is not known.

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning
    rates, arXiv:1708.07120, 2017.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> optimizer = optim.SGD(model.parameters(), momentum=0.9)
    >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optimizer)
    >>> x, y = [[1.0, 2.0]] * 40, [3.0] * 40
    >>> history = trainer.fit(x, y, batch_size=4, callbacks=[scheduler], verbose=False)
    >>> scheduler.total_steps
    10
    """

    _settings: ClassVar[Checks] = {
        **Cycle._settings,
        "total_steps": Optional(whole(2)),
        "pct_start": number(0, 1),
        "anneal_strategy": choice("cos", "linear"),
        "div_factor": number(above=0),
        "final_div_factor": number(above=0),
        "three_phase": flag,
    }

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
        *,
        per_batch: bool = True,
    ) -> None:
        if isinstance(pct_start, Integral):
            raise ValueError(
                f"pct_start is {pct_start!r}, expected a float from 0.0 to 1.0: a fraction of the "
                "steps, not a number of them"
            )
        if (epochs is None) != (steps_per_epoch is None) and total_steps is None:
            raise ValueError(
                f"epochs is {epochs!r} and steps_per_epoch is {steps_per_epoch!r}, expected both, "
                "or total_steps"
            )
        if epochs is not None and steps_per_epoch is not None and total_steps is None:
            total_steps = whole()("epochs", epochs) * whole()("steps_per_epoch", steps_per_epoch)
        self.max_lrs, self.base_momentums, self.max_momentums = max_lr, base_momentum, max_momentum  # type: ignore[assignment] # lists once checked
        self.total_steps, self.pct_start, self.anneal_strategy, self.cycle_momentum = (
            total_steps,
            pct_start,
            anneal_strategy,
            cycle_momentum,
        )
        self.div_factor, self.final_div_factor, self.three_phase = (
            div_factor,
            final_div_factor,
            three_phase,
        )
        super().__init__(optimizer, last_epoch, per_batch=per_batch)

    @classmethod
    def _check_together(cls, values: State) -> None:
        super()._check_together(values)
        pct_start, total_steps = values["pct_start"], values["total_steps"]
        if values["three_phase"] and (
            2 * pct_start > 1
            if total_steps is None
            else 2 * (pct_start * total_steps - 1) >= total_steps - 1
        ):
            raise ValueError(
                f"pct_start is {pct_start!r}, which leaves no steps for the third phase: expected "
                "at most 0.5"
            )

    def _prepare_groups(self) -> None:
        for group, top in zip(self.optimizer.param_groups, self.max_lrs, strict=True):
            group["initial_lr"] = top / self.div_factor

    def _along(self, first: float, top: float, last: float) -> float:
        """Return the value at step `last_epoch` of a cycle from `first` to `top` to `last`."""
        if self.total_steps is None:
            return first
        summit, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        corners = (
            [(summit, first, top), (2 * summit, top, first), (end, first, last)]
            if self.three_phase
            else [(summit, first, top), (end, top, last)]
        )
        begin = 0.0
        for stop, value, next_value in corners[:-1]:
            if self.last_epoch <= stop:
                return self._between(begin, stop, value, next_value)
            begin = stop
        return self._between(begin, *corners[-1])

    def _between(self, begin: float, stop: float, value: float, next_value: float) -> float:
        """Interpolate between the values at steps `begin` and `stop`."""
        share = (
            (self.last_epoch - begin) / (stop - begin)
            if stop > begin
            else float(self.last_epoch > begin)
        )
        if self.anneal_strategy == "cos":
            return next_value + (value - next_value) / 2 * (1 + math.cos(math.pi * share))
        return value + (next_value - value) * min(
            share, 1.0
        )  # the line would fall below 0 after the last step

    def get_lr(self) -> list[float]:
        self._expect_step()
        step, total = self.last_epoch, self.total_steps
        if total is None and step:
            raise RuntimeError(
                "OneCycleLR does not know how many steps there will be: construct it with "
                "total_steps"
            )
        if total is not None and step > total:
            raise ValueError(
                f"OneCycleLR has {total} steps, and step {step} is beyond its end: construct a "
                "new scheduler"
            )
        return [
            self._along(first, top, first / self.final_div_factor)
            for first, top in zip(self.base_lrs, self.max_lrs, strict=True)
        ]

    def _momenta(self) -> list[float]:
        return [
            self._along(top, base, top)
            for base, top in zip(self.base_momentums, self.max_momentums, strict=True)
        ]

    def _length(self) -> float:
        return math.inf if self.total_steps is None else self.total_steps

    def _take_length(self, count: int | None) -> None:
        if self.total_steps is not None or count == 0:
            return
        if count is None:
            raise RuntimeError(
                "OneCycleLR does not know how many batches an epoch has: construct it with "
                "total_steps"
            )
        self.total_steps = max(2, count)
