"""scikit-learn's losses, where they are others than those of `cnet.nn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet import nn
from cnet._utils.arrays import Array

_BOUNDED = -1.0  # a setting of the compiled losses


class LogLoss(nn.CrossEntropyLoss):
    """Cross-entropy, in which a probability counts as at least the machine epsilon and at most 1
    less that; gradients are not bounded.
    """

    _compiled = True

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        kind, _, weights = super()._program_loss(dtype)
        return kind, _BOUNDED, weights


class BinaryLogLoss(nn.BCEWithLogitsLoss):
    """The same for a sigmoid of each output."""

    _compiled = True

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        kind, _, weights = super()._program_loss(dtype)
        return kind, _BOUNDED, weights


class PoissonLoss(nn.Loss):
    """Mean of half the Poisson deviance over all elements; the network's output is the logarithm of
    the expected count.
    """

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        return np.ascontiguousarray(target, dtype)

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        return self.weighted(output, target, np.ones(len(output), output.dtype))

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        shares = (sample_weight / (output.shape[1] * (sample_weight.sum() or 1)))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # the trainer sees what comes of it
            expected = np.exp(output)
            loss = target * (np.log(np.where(target > 0, target, 1)) - output) - target + expected
            return float((shares * loss).sum()), (shares * (expected - target)).astype(
                output.dtype, copy=False
            )

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        return self.forward_backward(np.asarray(output), np.asarray(target))[0]
