"""Optimisers: how parameters follow their gradients."""

from cnet.optim._optimizer import Optimizer
from cnet.optim._sgd import SGD

__all__ = ["SGD", "Optimizer"]
