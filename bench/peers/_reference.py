"""The networks in double precision, plainly: the judge of every library."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from _cases import (
    BINARY,
    CROSS_ENTROPY,
    LEAKY_SLOPE,
    Activation,
    BatchNorm,
    Case,
    Conv,
    Dense,
    Pool,
)
from peers._peer import Floats, Targets, Weights

Doubles = NDArray[np.float64]
FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.maximum(z, LEAKY_SLOPE * z),
    "tanh": np.tanh,
}


def outputs(case: Case, weights: Weights, x: Floats) -> Doubles:
    """The network's outputs, without dropout. Batch normalization uses the mean and variance of
    these samples.
    """
    a = x.astype(np.float64)
    pairs = iter(weights)
    for layer in case.layers:
        match layer:
            case Dense():
                w, b = next(pairs)
                a = a.reshape(len(a), -1) @ w + b
            case Conv():
                w, b = next(pairs)
                border = 2 * [(0, 0)] + 2 * [(layer.padding, layer.padding)]
                windows = np.lib.stride_tricks.sliding_window_view(
                    np.pad(a, border), w.shape[1:3], axis=(2, 3)
                )
                a = np.moveaxis(np.tensordot(windows, w, ((1, 4, 5), (0, 1, 2))) + b, 3, 1)
            case Pool(size):
                samples, channels, height, width = a.shape
                rows, columns = height // size, width // size
                a = a[:, :, : rows * size, : columns * size]
                a = a.reshape(samples, channels, rows, size, columns, size).max(axis=(3, 5))
            case BatchNorm():
                w, b = next(pairs)
                a = (a - a.mean(axis=0)) / np.sqrt(a.var(axis=0) + layer.eps) * w + b
            case Activation(function):
                a = FUNCTIONS[function](a)
    return a


def loss(case: Case, z: NDArray[Any], y: Targets) -> float:
    """The mean loss."""
    if case.loss == CROSS_ENTROPY:
        z = z - z.max(axis=1, keepdims=True)
        return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())
    if case.loss == BINARY:
        return float((np.logaddexp(0, z) - z * y).mean())
    return float(((z - y) ** 2).mean())
