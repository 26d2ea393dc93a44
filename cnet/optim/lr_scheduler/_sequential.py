"""Schedulers that take turns."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._plateau import ReduceLROnPlateau
from cnet.optim.lr_scheduler._scheduler import LRScheduler


class SequentialLR(LRScheduler):
    """One scheduler after another: the next one begins at each milestone.

    Parameters
    ----------
    optimizer : optim.Optimizer
    schedulers : sequence of LRScheduler
        Of this optimiser; `ReduceLROnPlateau` cannot be one of them.
    milestones : sequence of int
        One less than there are schedulers, increasing.
    per_batch : bool
        See `LRScheduler`.

    Examples
    --------
    Warm-up, then a cosine:

    >>> from cnet import nn, optim
    >>> from cnet.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 6) for rate in rates]
    [0.25, 0.375, 0.5, 0.25, 0.0]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], *, per_batch: bool = False) -> None:
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        if any(not isinstance(s, LRScheduler) or isinstance(s, ReduceLROnPlateau) or s.optimizer is not optimizer for s in self.schedulers):
            raise ValueError("schedulers must be schedulers of this optimizer that need no figure")
        if len(self.milestones) != len(self.schedulers) - 1 or self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"milestones is {milestones!r}, expected {len(self.schedulers) - 1} increasing numbers: one between two schedulers")
        super().__init__(optimizer, per_batch=per_batch)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]}

    def _restore(self, state: dict[str, Any]) -> None:
        super()._restore(state)
        for scheduler, part in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(part)

    def _go_to(self, step: int) -> None:
        self.last_epoch = step
        i = bisect_right(self.milestones, step)
        self.schedulers[i]._go_to(step - (self.milestones[i - 1] if i else 0))
