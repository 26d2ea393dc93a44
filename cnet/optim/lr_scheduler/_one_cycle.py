"""A cycle of the learning rate, up and down, and of momentum the other way round."""

from typing import Any

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler, cosine, count


class OneCycleLR(LRScheduler):
    """Up from a small rate to `max_lr` and down to almost nothing, along cosines, with momentum the other way round.

    Parameters
    ----------
    optimizer : optim.Optimizer
    max_lr : float
    total_steps : int or None
        Steps of the cycle, at least 2; beyond them the rate stays. None, as a callback: the batches of the call of `fit`.
    pct_start : float
        Share of the steps that lead up, above 0 and below 1.
    cycle_momentum : bool
        Also move `momentum` or the first of `betas`, where the optimiser has them, between the next two.
    base_momentum, max_momentum : float
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first one divided by this.

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, arXiv:1708.07120.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> optimizer = optim.SGD(model.parameters(), momentum=0.9)
    >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optimizer)
    >>> history = trainer.fit([[1.0, 2.0]] * 40, [3.0] * 40, batch_size=4, callbacks=[scheduler], verbose=False)
    >>> scheduler.get_last_lr()[0] < 1e-6
    True
    """

    _remembered = (*LRScheduler._remembered, "total_steps")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        pct_start: float = 0.3,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if not 0 < pct_start < 1:
            raise ValueError(f"pct_start is {pct_start!r}, expected a number above 0 and below 1")
        self.max_lr, self.pct_start, self.cycle_momentum = max_lr, pct_start, cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.total_steps = None if total_steps is None else count("total_steps", total_steps, 2)
        super().__init__(optimizer, per_batch=True)

    def _along(self, step: int, first: float, top: float, last: float) -> float:
        if step == 0:
            return first
        if self.total_steps is None:
            raise RuntimeError("OneCycleLR does not know how many steps there will be: construct it with total_steps")
        summit, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= summit:
            return cosine(first, top, step / summit)
        return cosine(top, last, (min(step, end) - summit) / (end - summit))

    def rate(self, base: float, step: int) -> float:
        first = self.max_lr / self.div_factor
        return self._along(step, first, self.max_lr, first / self.final_div_factor)

    def _go_to(self, step: int) -> None:
        super()._go_to(step)
        if self.cycle_momentum:
            momentum = self._along(step, self.max_momentum, self.base_momentum, self.max_momentum)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                elif group.get("momentum"):
                    group["momentum"] = momentum

    def _restore(self, state: dict[str, Any]) -> None:
        if state["total_steps"] is not None:
            count("total_steps", state["total_steps"], 2)
        super()._restore(state)

    def on_train_begin(self, steps: int | None) -> None:
        if self.total_steps is None and steps is not None:
            self.total_steps = max(2, steps)
