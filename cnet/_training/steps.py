"""Results of training steps, as both engines yield them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnet._utils.arrays import Array


class StepResults(NamedTuple):
    """Results of one or several steps."""

    losses: list[float]
    """The mean loss of each step."""
    weights: Sequence[float]
    """The total sample weight of each step."""
    sizes: list[int]
    """The number of samples of each step."""
    correct: Any
    """The number of samples that were classified correctly, or a dict with that of each head; None
    if the loss does not classify.
    """
    squares: list[float] | None = None
    """The sum of squares of the weights under a summed penalty, before each step; None without such
    a penalty.
    """

    @property
    def samples(self) -> int:
        """The number of samples of all steps."""
        return sum(self.sizes)


def batch_sizes(samples: int, batch: int) -> list[int]:
    """The sizes of the batches of so many samples; the last one may be smaller."""
    full, rest = divmod(samples, batch)
    return [batch] * full + [rest] * (rest > 0)


def batch_weights(weights: Array | None, sizes: list[int], batch: int) -> Sequence[float]:
    """The total sample weight of each batch."""
    if weights is None:
        return sizes
    starts = range(0, sum(sizes), batch)
    sums: list[float] = np.add.reduceat(weights, starts, dtype=np.float64).tolist()
    return sums
