"""Losses with weights of rows, which those of `cnet.nn` have not: for a yes or no per output, for counts, and squared.

Targets of a regression have a column more than the output: the weights of the rows, whose mean is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet import nn
from cnet._arrays import Array


class BinaryCrossEntropy(nn.Loss):
    """Cross-entropy of one logit per output, summed over outputs; targets (n, outputs, 2) are the weights of no and yes.

    A logit `z` is the softmax of the pair (0, z), so that `nn.CrossEntropyLoss` does the arithmetic.
    """

    def __init__(self) -> None:
        self._pairs = nn.CrossEntropyLoss()

    def prepare_target(self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.ascontiguousarray(target, dtype)

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        outputs = output.shape[1]
        pairs = np.zeros((output.size, 2), output.dtype)
        pairs[:, 1] = output.reshape(-1)
        loss, grad = self._pairs.forward_backward(pairs, target.reshape(-1, 2))
        return outputs * loss, outputs * grad[:, 1].reshape(output.shape)

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        return self.forward_backward(np.asarray(output), np.asarray(target))[0]

    def count_correct(self, output: Array, target: Array) -> int | None:
        return int(((output > 0) == (target[:, :, 1] > target[:, :, 0])).all(axis=1).sum())


class _WeightedRegression(nn.Loss):
    def prepare_target(self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.ascontiguousarray(target, dtype)

    def _of_elements(self, output: Array, y: Array) -> tuple[Array, Array]:
        """The loss of each element, and its derivative."""
        raise NotImplementedError

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        weights = target[:, -1:]
        with np.errstate(over="ignore", invalid="ignore"):  # the trainer sees what comes of it
            loss, grad = self._of_elements(output, target[:, :-1])
            return float((weights * loss).mean()), weights * grad / output.size

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        return self.forward_backward(np.asarray(output), np.asarray(target))[0]


class WeightedMSELoss(_WeightedRegression):
    """Mean of the weighted squared differences over all elements."""

    def _of_elements(self, output: Array, y: Array) -> tuple[Array, Array]:
        difference = output - y
        return difference * difference, 2 * difference


class PoissonLoss(_WeightedRegression):
    """Mean of half the Poisson deviance over all elements; the net's output is the logarithm of the expected count."""

    def _of_elements(self, output: Array, y: Array) -> tuple[Array, Array]:
        expected = np.exp(output)
        return y * (np.log(np.where(y > 0, y, 1)) - output) - y + expected, expected - y
