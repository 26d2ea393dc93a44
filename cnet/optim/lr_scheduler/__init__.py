"""Learning rate schedulers, with PyTorch's names, arguments and rates.

Call `step()` in your own loop, or pass schedulers to ``Trainer.fit(callbacks=[scheduler])``. `fit`
steps them after each epoch, or after each batch with ``per_batch=True``. `OneCycleLR` and
`CyclicLR` step after each batch by default.

Most schedulers compute the next rate from the current one, as PyTorch's do. So several schedulers
can be combined, and manual changes are preserved. A scheduler whose rates do not depend on the
current rate says so.

In the formulas, `t` is the number of the step, from 0, and ``base`` is the base rate of a group,
``group["initial_lr"]``. Rates are nonnegative Python floats.
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
