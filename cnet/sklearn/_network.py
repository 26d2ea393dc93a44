"""An estimator's parameters, turned into a net and an optimiser."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnet import nn, optim

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


def build(estimator: Any, sizes: list[int], widths: Sequence[int], random_state: np.random.RandomState, dtype: np.dtype[Any]) -> nn.Sequential:
    """A net of dense layers between these sizes, with scikit-learn's initial weights for the same random state.

    `widths` are those of the heads at its end; where there is one, it is a layer as any other.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.append(_dense(estimator.activation, fan_in, fan_out, random_state, dtype))
        layers += _after(fan_out, estimator, random_state)
    heads = [_dense(estimator.activation, sizes[-1], width, random_state, dtype) for width in widths]
    return nn.Sequential(*layers, heads[0] if len(heads) == 1 else nn.Heads(*heads), dtype=dtype)


def _dense(activation: str, fan_in: int, fan_out: int, random_state: np.random.RandomState, dtype: np.dtype[Any]) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, dtype=dtype)
    bound = math.sqrt((2 if activation == "logistic" else 6) / (fan_in + fan_out))
    for parameter in layer.parameters():
        parameter.data = random_state.uniform(-bound, bound, parameter.shape)
    return layer


def _after(size: int, estimator: Any, random_state: np.random.RandomState) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.BatchNorm1d(size)] if estimator.batch_norm else []
    layers.append(ACTIVATIONS[estimator.activation]())
    if estimator.dropout:
        layers.append(nn.Dropout(estimator.dropout, seed=draw_seed(random_state)))
    return layers


def draw_seed(random_state: np.random.RandomState) -> int:
    """A seed for what has random numbers of its own."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def dense(model: nn.Sequential) -> list[nn.Linear]:
    """The dense layers of a net, those of its heads last."""
    layers = itertools.chain.from_iterable(layer.heads.values() if isinstance(layer, nn.Heads) else [layer] for layer in model)
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


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
