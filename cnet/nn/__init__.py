"""Layers, networks, losses and initializers."""

import sys
from typing import TYPE_CHECKING, Any

from cnet._utils.answers import NN
from cnet._utils.hints import no_attribute
from cnet.nn import init as init
from cnet.nn._activations import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from cnet.nn._class_losses import CrossEntropyLoss, NLLLoss
from cnet.nn._conv import Conv2d
from cnet.nn._dropout import Dropout
from cnet.nn._element_losses import (
    BCEWithLogitsLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    QuantileLoss,
    SmoothL1Loss,
)
from cnet.nn._group_norm import GroupNorm
from cnet.nn._heads import Heads, HeadsLoss
from cnet.nn._layer_norm import LayerNorm
from cnet.nn._linear import Linear
from cnet.nn._losses import Loss
from cnet.nn._module import Module
from cnet.nn._norm import BatchNorm1d, BatchNorm2d
from cnet.nn._parameter import Buffer, Parameter
from cnet.nn._pool import AvgPool2d, MaxPool2d
from cnet.nn._rescale import Rescale
from cnet.nn._sequential import Sequential
from cnet.nn._shape import Flatten, Identity

__all__ = [
    "ELU",
    "GELU",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Buffer",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "Heads",
    "HeadsLoss",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "NLLLoss",
    "Parameter",
    "PoissonNLLLoss",
    "QuantileLoss",
    "ReLU",
    "Rescale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Tanh",
    "init",
]

if not TYPE_CHECKING:  # to mypy, every name would be there

    def __getattr__(name: str) -> Any:
        raise no_attribute(sys.modules[__name__], name, NN)
