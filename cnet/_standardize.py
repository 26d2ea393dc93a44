"""Feature-wise standardisation: what is measured on training inputs, and how it is applied."""

from __future__ import annotations

import numpy as np

from cnet._arrays import Array

_ROWS_PER_BLOCK = 4096


def feature_statistics(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation along the first axis, summed in float64 a block at a time to spare memory."""
    mean = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(x), _ROWS_PER_BLOCK):
        squares += np.square(x[start : start + _ROWS_PER_BLOCK] - mean).sum(axis=0)
    std = np.sqrt(squares / len(x))
    # Rounding in the mean would give a constant feature a tiny deviation, and its inverse would be huge.
    std[x.min(axis=0) == x.max(axis=0)] = 0
    return mean, std


def inverse(std: Array) -> Array:
    """1 / std, and 0 where that is 0: what is the same in every training input says nothing, whatever it is in others."""
    factor: Array = np.divide(1, std, out=np.zeros_like(std), where=std > 0)
    return factor
