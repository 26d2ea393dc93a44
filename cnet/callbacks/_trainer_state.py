"""The part of a trainer that callbacks and checkpoints see.

`cnet.Trainer` itself is above this package.
"""

import os
from typing import Any

from cnet.nn import Loss, Module
from cnet.optim import Optimizer
from cnet.optim.lr_scheduler import LRScheduler

Trainer = Any
"""The type `cnet.Trainer` in signatures that users override."""


class TrainerState:
    """Base of `Trainer`: its attributes."""

    model: Module
    loss: Loss
    optimizer: Optimizer
    compile: bool
    epoch: int
    global_step: int
    seed: Any
    stop: bool
    history: Any
    metric_modes: dict[str, str]
    _resumed_seed: Any
    _schedulers: list[LRScheduler]
    _resumed_schedules: list[Any] | None
    _listeners: Any
    _resumed_callbacks: dict[str, Any] | None

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """See `cnet.Trainer.save_checkpoint`."""
        raise NotImplementedError
