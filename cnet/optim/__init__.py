"""Optimisers: how parameters follow their gradients."""

from cnet.optim import lr_scheduler as lr_scheduler
from cnet.optim._adam import Adam, AdamW
from cnet.optim._lbfgs import LBFGS
from cnet.optim._optimizer import Optimizer
from cnet.optim._rmsprop import RMSprop
from cnet.optim._sgd import SGD

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
