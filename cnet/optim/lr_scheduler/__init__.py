"""Learning rates that change on a schedule, with PyTorch's names, arguments and rates.

Call `step()` manually, or give schedulers to ``Trainer.fit(callbacks=[scheduler])``, which steps
them after each epoch, or after each batch with ``per_batch=True``; `OneCycleLR` and `CyclicLR` step
after each batch by default.

Most schedulers compute the next rate from the current one, as PyTorch's do. So several can be used
together, and manual changes stay. The others say that they do not depend on the current rate.
"""

from cnet.optim.lr_scheduler._combined import ChainedScheduler, SequentialLR
from cnet.optim.lr_scheduler._cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from cnet.optim.lr_scheduler._cyclic import CyclicLR
from cnet.optim.lr_scheduler._factors import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from cnet.optim.lr_scheduler._lambda import LambdaLR, MultiplicativeLR
from cnet.optim.lr_scheduler._one_cycle import OneCycleLR
from cnet.optim.lr_scheduler._plateau import ReduceLROnPlateau
from cnet.optim.lr_scheduler._scheduler import LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
