"""Losses of scikit-learn that differ from those of `cnet.nn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet import nn
from cnet._utils.arrays import Array

_BOUNDED = -1.0  # value of the setting of compiled losses that clamps probabilities


class LogLoss(nn.CrossEntropyLoss):
    """Cross-entropy with probabilities clamped to [eps, 1 - eps], as in scikit-learn.

    `eps` is the machine epsilon. The gradient is that without clamping.
    """

    _compiled = True

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        kind, _, weights = super()._program_loss(dtype)
        return kind, _BOUNDED, weights


class BinaryLogLoss(nn.BCEWithLogitsLoss):
    """Binary cross-entropy of logits with probabilities clamped as in `LogLoss`."""

    _compiled = True

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        kind, _, weights = super()._program_loss(dtype)
        return kind, _BOUNDED, weights


class PoissonLoss(nn.Loss):
    """Half the Poisson deviance: the mean of ``y * (log(y) - x) - y + exp(x)`` over all elements.

    The output `x` of the network is the logarithm of the expected count.
    """

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        return np.ascontiguousarray(target, dtype)

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        return self.weighted(output, target, np.ones(len(output), output.dtype))

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        shares = (sample_weight / (output.shape[1] * (sample_weight.sum() or 1)))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # the trainer detects divergence
            expected = np.exp(output)
            loss = target * (np.log(np.where(target > 0, target, 1)) - output) - target + expected
            return float((shares * loss).sum()), (shares * (expected - target)).astype(
                output.dtype, copy=False
            )

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        return self.forward_backward(np.asarray(output), np.asarray(target))[0]
