"""Layers, nets, losses and initialisers."""

from cnet.nn import init as init
from cnet.nn._activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from cnet.nn._element_losses import BCEWithLogitsLoss, HuberLoss, L1Loss, MSELoss, PoissonNLLLoss, QuantileLoss
from cnet.nn._linear import Linear
from cnet.nn._losses import CrossEntropyLoss, Loss, NLLLoss
from cnet.nn._module import Module
from cnet.nn._parameter import Parameter
from cnet.nn._sequential import Sequential
from cnet.nn._shape import Flatten, Identity

__all__ = [
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Flatten",
    "HuberLoss",
    "Identity",
    "L1Loss",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MSELoss",
    "Module",
    "NLLLoss",
    "Parameter",
    "PoissonNLLLoss",
    "QuantileLoss",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "init",
]
