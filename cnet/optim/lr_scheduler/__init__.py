"""Learning rates that change on a schedule, with PyTorch's names and meaning.

Call `step()` by hand, or give the scheduler to ``Trainer.fit(callbacks=[scheduler])``, which steps it after each epoch;
`OneCycleLR` and `LinearLR` after each batch, as do others on request. A rate follows from the rate that the optimiser was
constructed with and the number of steps alone: one that is set by hand lasts until the next step.
"""

from cnet.optim.lr_scheduler._one_cycle import OneCycleLR
from cnet.optim.lr_scheduler._plateau import ReduceLROnPlateau
from cnet.optim.lr_scheduler._rates import CosineAnnealingLR, ExponentialLR, LinearLR, StepLR
from cnet.optim.lr_scheduler._scheduler import LRScheduler
from cnet.optim.lr_scheduler._sequential import SequentialLR

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LinearLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR"]
