"""A cycle of the learning rate, up and down, and of momentum the other way round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._cycle import Cycle
from cnet.optim.lr_scheduler._settings import Checks, Choice, Number, Optional, Whole, flag
from cnet.optim.lr_scheduler._state import State


class OneCycleLR(Cycle):
    """Up from a small rate to `max_lr` and down to almost nothing, with momentum the other way
    round.

    The rate goes from ``first = max_lr / div_factor`` at step 0 to `max_lr` at step ``pct_start *
    total_steps - 1``, and from there to ``first / final_div_factor`` at step ``total_steps - 1``.
    With `three_phase` it is back at `first` at step ``2 * pct_start * total_steps - 2``. Between
    two such steps it is, after a share `s` of the way from `a` to `b`, ``b + (a - b) * (1 + cos(pi
    * s)) / 2``, or ``a + (b - a) * s`` if linear. Momentum goes from `max_momentum` to
    `base_momentum` and back. Rates do not depend on the current ones.

    As a callback it is stepped after each batch.

    Parameters
    ----------
    optimizer : optim.Optimizer
    max_lr : float, or list of float
        At least 0, for each group, or for all.
    total_steps : int or None
        Steps of the cycle, at least 2; there are no more. None: the product of the next two or, as
        a callback, the steps of the call of `fit`.
    epochs, steps_per_epoch : int or None
        At least 1, both or none.
    pct_start : float
        Share of the steps that lead up, from 0.0 to 1.0; at most about 0.5 with `three_phase`.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Also move ``momentum``, or the first of ``betas``: with SGD that has none, too.
    base_momentum, max_momentum : float, or list of float
        For each group, or for all.
    div_factor : float
        Above 0.
    final_div_factor : float
        Above 0.
    three_phase : bool
    last_epoch, per_batch : object
        As for `LRScheduler`.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds, or the optimizer has no momentum to
        cycle.

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning
    rates, arXiv:1708.07120.

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
        "total_steps": Optional(Whole(2)),
        "pct_start": Number(0, 1),
        "anneal_strategy": Choice(("cos", "linear")),
        "div_factor": Number(above=True),
        "final_div_factor": Number(above=True),
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
            total_steps = Whole()("epochs", epochs) * Whole()("steps_per_epoch", steps_per_epoch)
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
        """A value at step `last_epoch`, on the way from `first` to `top` and to `last`."""
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
        share = (
            (self.last_epoch - begin) / (stop - begin)
            if stop > begin
            else float(self.last_epoch > begin)
        )
        if self.anneal_strategy == "cos":
            return next_value + (value - next_value) / 2 * (1 + math.cos(math.pi * share))
        return value + (next_value - value) * min(
            share, 1.0
        )  # a line would continue below zero after the last step

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
