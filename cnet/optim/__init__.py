"""Optimizers, which update parameters from their gradients, and learning rate schedulers."""

import sys
from typing import TYPE_CHECKING, Any

from cnet._utils.answers import OPTIM
from cnet._utils.hints import no_attribute
from cnet.optim import lr_scheduler as lr_scheduler
from cnet.optim._adam import Adam, AdamW
from cnet.optim._lbfgs import LBFGS
from cnet.optim._nadam import NAdam
from cnet.optim._optimizer import Optimizer
from cnet.optim._rmsprop import RMSprop
from cnet.optim._sgd import SGD

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "NAdam", "Optimizer", "RMSprop", "lr_scheduler"]

if not TYPE_CHECKING:  # to mypy, every name would be there

    def __getattr__(name: str) -> Any:
        raise no_attribute(sys.modules[__name__], name, OPTIM)
