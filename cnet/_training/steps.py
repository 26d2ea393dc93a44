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
    correct: dict[str, int]
    """The number of samples that were classified correctly, by the name of the accuracy."""
    squares: list[float] | None = None
    """The sum of squares of the weights under a summed penalty, before each step; None without such
    a penalty.
    """

    @property
    def samples(self) -> int:
        """The number of samples of all steps."""
        return sum(self.sizes)


class EpochResults(NamedTuple):
    """Results of several whole epochs, which ran in one call."""

    losses: Array
    """The mean loss of each step, of shape (epochs, steps)."""
    weights: Array
    """The total sample weight of each step, of the same shape."""
    samples: int
    """The number of samples of an epoch."""
    correct: dict[str, list[int]]
    """The number of samples that were classified correctly in each epoch, by the name of the
    accuracy.
    """

    def metrics(self) -> dict[str, list[float]]:
        """The mean loss of each epoch, summed step by step as `Mean` does, and its accuracies."""
        total = (self.losses * self.weights).cumsum(axis=1)[:, -1]
        weight = self.weights.cumsum(axis=1)[:, -1]
        return {"loss": (total / weight).tolist()} | {
            name: [count / self.samples for count in counts]
            for name, counts in self.correct.items()
        }


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


def named_counts(correct: Any) -> dict[str, int]:
    """The result of `Loss.count_correct`, by the name of the accuracy."""
    if correct is None:
        return {}
    if isinstance(correct, dict):
        return {f"accuracy_{name}": count for name, count in correct.items()}
    return {"accuracy": correct}
