"""Feature-wise standardization: what is measured on training inputs, and how it is applied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnet._utils.arrays import Array, rows_at_a_time
from cnet._utils.stored import Stored

_ROWS_PER_BLOCK = 4096


def feature_statistics(x: Array | Stored) -> tuple[Array, Array]:
    """Mean and standard deviation along the first axis, summed in float64 a block at a time to
    spare memory.
    """
    mean: Array = (
        x.mean(axis=0, dtype=np.float64)
        if isinstance(x, np.ndarray)
        else sum(b.sum(axis=0, dtype=np.float64) for b in _blocks(x)) / len(x)
    )
    squares = np.zeros_like(mean)
    lowest, highest = x[:1][0], x[:1][0]
    for block in _blocks(x):
        squares += np.square(block - mean).sum(axis=0)
        lowest, highest = (
            np.minimum(lowest, block.min(axis=0)),
            np.maximum(highest, block.max(axis=0)),
        )
    std = np.sqrt(squares / len(x))
    # Rounding in the mean would give a constant feature a tiny deviation, and its inverse would be
    # huge.
    std[lowest == highest] = 0
    return mean, std


def _blocks(x: Array | Stored) -> Iterator[Array]:
    rows = (
        _ROWS_PER_BLOCK
        if isinstance(x, np.ndarray)
        else rows_at_a_time(x.shape[1:], _ROWS_PER_BLOCK)
    )
    return (x[start : start + rows] for start in range(0, len(x), rows))


def inverse(std: Array) -> Array:
    """1 / std, and 0 where that is 0: what is the same in every training input says nothing,
    whatever it is in others.
    """
    factor: Array = np.divide(1, std, out=np.zeros_like(std), where=std > 0)
    return factor
