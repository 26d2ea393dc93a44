"""Losses that compare each element of the output with its target: for regression, counts, and
several labels at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import code, loops
from cnet._utils.arrays import Array, as_array, as_real, check_finite, shape_text
from cnet._utils.validation import real
from cnet.nn._losses import KernelLoss
from cnet.nn._neutral import neutral


def _rows(output: Array) -> tuple[int, int]:
    """The shape of outputs, seen as a matrix."""
    return len(output), math.prod(output.shape[1:])


class _ElementLoss(KernelLoss):
    _bounds: tuple[float, float] = (-math.inf, math.inf)
    """Of the targets."""

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        y = as_array(target, "y")
        if y.ndim == 1 and output_shape == (1,):
            y = y[:, None]
        elif y.ndim == 2 and y.shape[1] == 1 and output_shape == ():
            y = y[:, 0]
        if y.ndim == 0 or y.shape[1:] != output_shape:
            hint = (
                "; labels of classes are for nn.CrossEntropyLoss"
                if y.shape[1:] in ((), (1,)) and len(output_shape) == 1
                else ""
            )
            raise ValueError(
                f"y has shape {y.shape}, expected {shape_text(output_shape)}: the shape of the "
                f"outputs{hint}"
            )
        check_finite(y, "y", dtype)
        y = as_real(y, dtype, "y")
        low, high = self._bounds
        if y.size and (y.min() < low or y.max() > high):
            bounds = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise ValueError(
                f"y holds {y.min() if y.min() < low else y.max()}: targets of "
                f"{type(self).__name__} are {bounds}"
            )
        return y

    def _run(
        self,
        output: Array,
        target: Array,
        grad: Array | None,
        row_loss: Array | None,
        row_weights: Array | None = None,
    ) -> float:
        rows = _rows(output)
        return super()._run(
            output.reshape(rows),
            target.reshape(rows),
            None if grad is None else grad.reshape(rows),
            row_loss,
            row_weights,
        )


class MSELoss(_ElementLoss):
    """Mean of the squared differences over all elements.

    Parameters
    ----------
    reduction : str
        For code written for PyTorch: "mean".

    Examples
    --------
    >>> from cnet import nn
    >>> nn.MSELoss().forward([[1.0], [3.0]], [1.0, 1.0])
    2.0
    """

    _kind = "MSE"


class L1Loss(_ElementLoss):
    """Mean of the absolute differences over all elements: less moved by outliers than squares are.

    Where the difference is 0, so is the gradient.

    Parameters
    ----------
    reduction : str
        For code written for PyTorch: "mean".

    Examples
    --------
    >>> from cnet import nn
    >>> nn.L1Loss().forward([[1.0], [3.0]], [1.0, 1.0])
    1.0
    """

    _kind = "L1"


class HuberLoss(_ElementLoss):
    """Mean over all elements of half the squared difference `d`, up to `delta`, and ``delta *
    (abs(d) - delta / 2)`` beyond.

    Parameters
    ----------
    reduction : str or float
        For code written for PyTorch, which has it first: "mean". A number in its place is `delta`.
    delta : float
        Above 0.

    Raises
    ------
    ValueError
        If `delta` is out of bounds.

    References
    ----------
    Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.HuberLoss().forward([[1.5], [4.0]], [1.0, 1.0])
    1.3125
    """

    _kind = "HUBER"
    _shown = ("delta",)

    def __init__(self, reduction: str | float = "mean", delta: float = 1.0) -> None:
        if isinstance(reduction, str):
            super().__init__(reduction=reduction)
        else:
            super().__init__()
            delta = reduction
        real("delta", delta, above=0, wrong_type=ValueError)
        self.delta = delta

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return code("HUBER"), self.delta, None


class SmoothL1Loss(_ElementLoss):
    """Mean over all elements of ``d**2 / (2 * beta)`` for a difference `d` below `beta`, and
    ``abs(d) - beta / 2`` beyond: `HuberLoss` divided by its delta.

    Parameters
    ----------
    beta : float
        At least 0; with 0 it is `L1Loss`.
    reduction : str
        For code written for PyTorch: "mean".

    Raises
    ------
    ValueError
        If `beta` is out of bounds.

    References
    ----------
    Girshick, Fast R-CNN, ICCV 2015.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.SmoothL1Loss(beta=2.0).forward([[2.0], [4.0]], [1.0, 1.0])
    1.125
    """

    _kind = "SMOOTH_L1"
    _shown = ("beta",)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        real("beta", beta, 0, wrong_type=ValueError)
        self.beta = beta

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return code(self._kind), self.beta, None


class QuantileLoss(_ElementLoss):
    """Pinball loss, whose best constant output is a quantile of the targets: the mean of ``max(q *
    d, (q - 1) * d)``, ``d = y - x``.

    Parameters
    ----------
    quantile : float
        Above 0 and below 1; 0.5 gives half the absolute difference.
    reduction : str
        For code written for PyTorch: "mean".

    Raises
    ------
    ValueError
        If `quantile` is out of bounds.

    References
    ----------
    Koenker and Bassett, Regression quantiles, Econometrica 46, 1978.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.QuantileLoss(0.75).forward([[1.0], [3.0]], [2.0, 2.0])
    0.5
    """

    _kind = "QUANTILE"
    _shown = ("quantile",)

    def __init__(self, quantile: float = 0.5, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        real("quantile", quantile, above=0, below=1)
        self.quantile = quantile

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return code("QUANTILE"), self.quantile, None


class PoissonNLLLoss(_ElementLoss):
    """Negative log-likelihood of counts `y`, up to a constant: the mean of ``exp(x) - y * x``, or
    of ``x - y * log(x + eps)``.

    Parameters
    ----------
    log_input : bool
        Outputs are logarithms of means; else means.
    eps : float
        Above 0; keeps the logarithm of a mean of 0 finite.
    full, reduction : object
        For code written for PyTorch: False and "mean".

    Raises
    ------
    ValueError
        If `eps` is out of bounds.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.PoissonNLLLoss().forward([[0.0], [0.0]], [3.0, 1.0])
    1.0
    """

    _shown = ("log_input",)
    _bounds = (0.0, math.inf)

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        neutral(full=full)
        real("eps", eps, above=0)
        self.log_input, self.eps = log_input, eps

    def _check_output(self, output: Array) -> None:
        if not self.log_input and output.size and (low := output.min()) < 0:
            raise ValueError(
                f"output holds {low}: with log_input=False outputs are means, at least 0"
            )

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return code("POISSON_LOG") if self.log_input else code("POISSON"), self.eps, None


class BCEWithLogitsLoss(_ElementLoss):
    """Binary cross-entropy of logits, for outputs that are each true or false: the mean of ``log(1
    + exp(x)) - y * x``.

    Stable at any magnitude. Targets are truth values, or probabilities from 0 to 1. For the
    accuracy, an output says true if it is above 0, and should if its target is above 0.5; a row is
    classified correctly if all its outputs are.

    Parameters
    ----------
    reduction : str
        For code written for PyTorch: "mean".

    Examples
    --------
    >>> from cnet import nn
    >>> round(nn.BCEWithLogitsLoss().forward([[0.0, 0.0]], [[True, False]]), 4)
    0.6931
    """

    _kind = "BCE"
    _bounds = (0.0, 1.0)

    def count_correct(self, output: Array, target: Array) -> int | None:
        rows = _rows(output)
        correct: int = loops(output.dtype).count_signs(output.reshape(rows), target.reshape(rows))
        return correct
