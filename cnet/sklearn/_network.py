"""An estimator's parameters, turned into a net and an optimiser."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from cnet import nn, optim

_ACTIVATIONS: dict[str, type[nn.Module]] = {"identity": nn.Identity, "logistic": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


def build(sizes: list[int], activation: str, dropout: float, batch_norm: bool, random_state: np.random.RandomState, dtype: np.dtype[Any]) -> nn.Sequential:
    """A net of dense layers between these sizes, with scikit-learn's initial weights for the same random state."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        if layers:
            layers += _between(fan_in, activation, dropout, batch_norm, random_state)
        layer = nn.Linear(fan_in, fan_out, dtype=dtype)
        bound = math.sqrt((2 if activation == "logistic" else 6) / (fan_in + fan_out))
        for parameter in layer.parameters():
            parameter.data = random_state.uniform(-bound, bound, parameter.shape)
        layers.append(layer)
    return nn.Sequential(*layers, dtype=dtype)


def _between(size: int, activation: str, dropout: float, batch_norm: bool, random_state: np.random.RandomState) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.BatchNorm1d(size)] if batch_norm else []
    layers.append(_ACTIVATIONS[activation]())
    if dropout:
        layers.append(nn.Dropout(dropout, seed=draw_seed(random_state)))
    return layers


def draw_seed(random_state: np.random.RandomState) -> int:
    """A seed for what has random numbers of its own."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def dense(model: nn.Sequential) -> list[nn.Linear]:
    """The dense layers of a net."""
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def square_sum(model: nn.Sequential) -> float:
    """The sum of the squares of the weights: what `alpha` keeps small. Biases are left out."""
    return float(sum(np.vdot(layer.weight.data, layer.weight.data) for layer in dense(model)))


def make_optimizer(estimator: Any, model: nn.Sequential, scale: float) -> optim.Optimizer:
    """The optimiser for a loss whose gradient is `scale` times smaller than scikit-learn's; `set_decay` completes it."""
    weights = [layer.weight for layer in dense(model)]
    groups = [{"params": weights}, {"params": [parameter for parameter in model.parameters() if parameter not in weights]}]
    if estimator.solver == "sgd":
        momentum = float(estimator.momentum)
        return optim.SGD(groups, lr=scale * estimator.learning_rate_init, momentum=momentum, nesterov=bool(estimator.nesterovs_momentum and momentum))
    betas = (float(estimator.beta_1), float(estimator.beta_2))
    return optim.Adam(groups, lr=float(estimator.learning_rate_init), betas=betas, eps=estimator.epsilon / scale, weight_decay=0.0)


def set_decay(optimizer: optim.Optimizer, alpha: float, rows: float, scale: float) -> None:
    """Let the weights decay as scikit-learn's `alpha` has it: divided by the rows (or their weights) of a batch."""
    optimizer.param_groups[0]["weight_decay"] = alpha / rows / scale
