"""Construction of the network of an estimator from its parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnet import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


def build(
    estimator: Any,
    sizes: list[int],
    widths: Sequence[int],
    random_state: np.random.RandomState,
    dtype: np.dtype[Any],
) -> nn.Sequential:
    """Return a network with scikit-learn's initial weights for the same random state.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Estimator whose parameters determine activation, dropout and batch normalization.
    sizes : list of int
        Number of features, and widths of the hidden layers.
    widths : sequence of int
        Widths of the heads. A single head is an ordinary last layer.
    random_state : RandomState
        Source of the initial weights and of the seeds of dropout.
    dtype : numpy.dtype
        Dtype of the parameters.
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.append(_dense(estimator.activation, fan_in, fan_out, random_state, dtype))
        layers += [nn.BatchNorm1d(fan_out)] if estimator.batch_norm else []
        layers += _after(estimator, random_state)
    heads = [
        _dense(estimator.activation, sizes[-1], width, random_state, dtype) for width in widths
    ]
    return nn.Sequential(*layers, heads[0] if len(heads) == 1 else nn.Heads(*heads), dtype=dtype)


def rebuild(
    estimator: Any, hidden: list[int], widths: Sequence[int], random_state: np.random.RandomState
) -> nn.Sequential:
    """Return the network of an estimator, with the present activation and dropout.

    It is the same object if they have not changed.

    Raises
    ------
    ValueError
        If the parameters or the number of outputs require layers of other sizes.
    """
    model: nn.Sequential = estimator.model_
    layers = dense(model)
    heads = len(model[-1].heads) if isinstance(model[-1], nn.Heads) else 1
    norms = [layer for layer in model if isinstance(layer, nn.BatchNorm1d)]
    sizes = [layer.out_features for layer in layers]
    _check_same("hidden_layer_sizes", sizes[:-heads], hidden)
    _check_same("batch_norm", bool(norms), bool(estimator.batch_norm and hidden))
    _check_same("the number of outputs for y", sizes[-heads:], list(widths))
    activations = {type(layer) for layer in model if type(layer) in ACTIVATIONS.values()}
    rates = {layer.p for layer in model if isinstance(layer, nn.Dropout)}
    if not hidden or (
        activations == {ACTIVATIONS[estimator.activation]}
        and rates == ({float(estimator.dropout)} if estimator.dropout else set())
    ):
        return model
    parts: list[nn.Module] = []
    for i, layer in enumerate(layers[:-heads]):
        parts += [layer, *norms[i : i + 1], *_after(estimator, random_state)]
    return nn.Sequential(*parts, model[-1])


def _check_same(name: str, was: Any, now: Any) -> None:
    if was != now:
        raise ValueError(
            f"{name} is {now}, but training continues with a network for which it is {was}: "
            "construct a new estimator, or use fit with warm_start=False to begin again"
        )


def _dense(
    activation: str,
    fan_in: int,
    fan_out: int,
    random_state: np.random.RandomState,
    dtype: np.dtype[Any],
) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out, dtype=dtype)
    bound = math.sqrt((2 if activation == "logistic" else 6) / (fan_in + fan_out))
    for parameter in layer.parameters():
        parameter.data = random_state.uniform(-bound, bound, parameter.shape)
    return layer


def _after(estimator: Any, random_state: np.random.RandomState) -> list[nn.Module]:
    layers: list[nn.Module] = [ACTIVATIONS[estimator.activation]()]
    if estimator.dropout:
        layers.append(nn.Dropout(estimator.dropout, seed=draw_seed(random_state)))
    return layers


def draw_seed(random_state: np.random.RandomState) -> int:
    """Draw a seed for a layer that has its own random numbers."""
    return int(random_state.randint(np.iinfo(np.int32).max))


def dense(model: nn.Sequential) -> list[nn.Linear]:
    """Return the dense layers of a network, those of its heads last."""
    layers = itertools.chain.from_iterable(
        layer.heads.values() if isinstance(layer, nn.Heads) else [layer] for layer in model
    )
    return [layer for layer in layers if isinstance(layer, nn.Linear)]
