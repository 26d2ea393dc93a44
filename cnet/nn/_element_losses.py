"""Losses that are means over elements: for regression, counts, and several labels per sample.

In the formulas, `x` is an element of the output, and `y` its target of the same shape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import CODES, loops
from cnet._utils.arrays import Array, as_array, as_real, check_finite, shape_text
from cnet._utils.validation import real
from cnet.nn._losses import KernelLoss
from cnet.nn._neutral import neutral


def _rows(output: Array) -> tuple[int, int]:
    """Return the shape of outputs as a matrix, with one row per sample."""
    return len(output), math.prod(output.shape[1:])


class _ElementLoss(KernelLoss):
    _bounds: tuple[float, float] = (-math.inf, math.inf)
    """Minimum and maximum of the targets."""

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
    """Mean squared error: the mean of ``(x - y)**2`` over all elements.

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
    """Mean absolute error: the mean of ``abs(x - y)`` over all elements.

    Outliers have less influence than on `MSELoss`. Where the difference is 0, the gradient is 0.

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
    """Huber loss: quadratic for small differences, and linear for large ones.

    With ``d = x - y``, it is the mean over all elements of::

        d**2 / 2                        if abs(d) <= delta
        delta * (abs(d) - delta / 2)    otherwise

    Parameters
    ----------
    reduction : str or float
        For code written for PyTorch, which has it first: "mean". A number in its place is `delta`.
    delta : float
        Difference at which the loss changes from quadratic to linear, above 0.

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
        return CODES["HUBER"], self.delta, None


class SmoothL1Loss(_ElementLoss):
    """Smooth L1 loss: `HuberLoss` with ``delta=beta``, divided by `beta`.

    With ``d = x - y``, it is the mean over all elements of::

        d**2 / (2 * beta)    if abs(d) < beta
        abs(d) - beta / 2    otherwise

    Parameters
    ----------
    beta : float
        Difference at which the loss changes from quadratic to linear, at least 0. With 0, the loss
        is `L1Loss`.
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
        return CODES[self._kind], self.beta, None


class QuantileLoss(_ElementLoss):
    """Pinball loss, which a quantile of the targets minimizes.

    With ``d = y - x`` and the quantile `q`, it is the mean of ``max(q * d, (q - 1) * d)`` over all
    elements.

    Parameters
    ----------
    quantile : float
        Quantile to predict, above 0 and below 1. With 0.5, it is the median, and the loss is half
        of `L1Loss`.
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
        return CODES["QUANTILE"], self.quantile, None


class PoissonNLLLoss(_ElementLoss):
    """Negative log-likelihood of counts with a Poisson distribution, without a constant.

    It is the mean over all elements of ``exp(x) - y * x``. With ``log_input=False``, it is the mean
    of ``x - y * log(x + eps)``. The counts `y` are at least 0.

    Parameters
    ----------
    log_input : bool
        Whether outputs are logarithms of the expected counts. Otherwise they are the expected
        counts, at least 0.
    eps : float
        Term that avoids the logarithm of 0, above 0.
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
        return CODES["POISSON_LOG"] if self.log_input else CODES["POISSON"], self.eps, None


class BCEWithLogitsLoss(_ElementLoss):
    """Binary cross-entropy of logits, for labels that are each true or false.

    It is the mean of ``log(1 + exp(x)) - y * x`` over all elements, computed without overflow.
    Targets are bools, or probabilities from 0 to 1. For the accuracy, a label is predicted as true
    if its logit is above 0, and is true if its target is above 0.5. A sample is classified
    correctly if all its labels are.

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
