"""Layers, losses, and optimizers by PyTorch's names, which are also cnet's."""

from collections.abc import Iterable
from math import prod
from typing import Any

from _cases import (
    BINARY,
    CROSS_ENTROPY,
    LEAKY_SLOPE,
    SQUARES,
    Activation,
    Adam,
    BatchNorm,
    Case,
    Conv,
    Dense,
    Dropout,
    Pool,
)


def network(nn: Any, case: Case) -> Any:
    """The network of a case, from the layers of a library's `nn`."""
    functions = {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
        "tanh": nn.Tanh,
    }
    layers = []
    for layer, shape in case.shapes():
        match layer:
            case Dense(units):
                layers += [nn.Flatten()] * (len(shape) == 3)
                layers.append(nn.Linear(prod(shape), units))
            case Conv(filters, kernel, padding):
                layers.append(nn.Conv2d(shape[0], filters, kernel, padding=padding))
            case Pool(size):
                layers.append(nn.MaxPool2d(size))
            case BatchNorm(eps, momentum):
                layers.append(nn.BatchNorm1d(shape[0], eps, momentum))
            case Dropout(probability):
                layers.append(nn.Dropout(probability))
            case Activation(function):
                layers.append(functions[function]())
    return nn.Sequential(*layers)


def criterion(nn: Any, case: Case) -> Any:
    """The loss."""
    return {
        CROSS_ENTROPY: nn.CrossEntropyLoss,
        BINARY: nn.BCEWithLogitsLoss,
        SQUARES: nn.MSELoss,
    }[case.loss]()


def optimizer(optim: Any, case: Case, parameters: Iterable[Any], **adam_options: Any) -> Any:
    """A new optimizer."""
    settings = case.optimizer
    if isinstance(settings, Adam):
        return optim.Adam(parameters, *settings, **adam_options)
    return optim.SGD(
        parameters,
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov,
    )
