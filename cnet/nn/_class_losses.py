"""Losses for classification.

Targets are labels of shape (n,) or (n, 1), or soft targets of shape (n, classes), such as one-hot
arrays or probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import CODES, FLOAT64, loops
from cnet._utils.answers import LOSS_ARGUMENTS
from cnet._utils.arrays import Array, as_array, as_real, check_finite, shape_text
from cnet._utils.hints import answers_keywords
from cnet._utils.validation import real
from cnet.nn._losses import KernelLoss
from cnet.nn._neutral import neutral

NOT_PROBABILITIES = (
    "NLLLoss takes probabilities, as nn.Softmax gives them, not logits and not logarithms (which "
    "PyTorch's takes): for logits, use nn.CrossEntropyLoss"
)
_LARGEST_PROBABILITY = 1.001
"""Bound of probabilities, above 1 by the possible rounding error."""


def _as_labels(y: Array, classes: int) -> Array:
    """Return labels as a contiguous int64 array, after a check of their values."""
    check_finite(y, "y", FLOAT64)
    if y.dtype.kind == "f" and not np.array_equal(np.floor(y), y):
        raise ValueError("y holds fractions, expected labels: whole numbers from 0")
    if y.size and not 0 <= (low := y.min()) <= (high := y.max()) < classes:
        hint = (
            (
                "; there is no ignore_index: leave these samples out, or give them a sample_weight "
                "of 0 and another label"
            )
            if low == -100
            else ""
        )
        raise ValueError(
            f"y holds label {low if low < 0 else high}, but the model has {classes} outputs, so "
            f"labels are 0 to {classes - 1}{hint}"
        )
    if y.dtype == np.int64 and y.flags.c_contiguous and y.flags.aligned:
        return y
    return np.require(y, np.int64, ("C", "A"))


class _ClassificationLoss(KernelLoss):
    """Base of the losses for classification."""

    _takes_labels = True

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        if (
            type(target) is np.ndarray
            and target.ndim == 1
            and target.dtype == np.int64
            and target.flags.c_contiguous
        ):
            y: Array = target
        else:
            y = as_array(target, "y")
        if len(output_shape) != 1:
            raise ValueError(
                f"{type(self).__name__} takes outputs of shape (n, classes), the model's are "
                f"{shape_text(output_shape)}"
            )
        classes = output_shape[0]
        self._check_classes(classes)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.ndim == 1:
            return _as_labels(y, classes)
        if y.shape[1:] != output_shape:
            raise ValueError(
                f"y has shape {y.shape}, expected labels (n,) or soft targets (n, {classes}): "
                f"the model has {classes} outputs"
            )
        check_finite(y, "y", dtype)
        y = as_real(y, dtype, "y")
        if y.size and y.min() < 0:
            raise ValueError(f"y holds {y.min()}: soft targets must not be negative")
        return y

    def _check_classes(self, classes: int) -> None:
        """Raise ValueError if there is only one class."""
        if classes == 1:
            raise ValueError(
                f"{type(self).__name__} got one output, and there is nothing to choose from: use "
                "nn.BCEWithLogitsLoss, whose one output says yes or no, or give the model two "
                "outputs"
            )

    def _check_output(self, output: Array) -> None:
        if output.ndim == 2:
            self._check_classes(output.shape[1])

    def _ready(self, output: Array, target: Array) -> tuple[Array, Array]:
        output, target = super()._ready(output, target)
        self._check_output(output)
        return output, target

    def _program_labels(self, target: Array) -> Array:
        labels = target if target.ndim == 1 else target.argmax(axis=1)
        return labels.astype(np.int64, copy=False)

    def count_correct(self, output: Array, target: Array) -> int | None:
        correct: int = loops(output.dtype).count_correct(output, self._program_labels(target))
        return correct


class CrossEntropyLoss(_ClassificationLoss):
    """Softmax cross-entropy of logits, stable for logits of any magnitude.

    The loss of a sample with logits `x` and targets `t` is::

        t_j = weight_j * ((1 - label_smoothing) * t_j + label_smoothing / classes)
        loss = sum_j t_j * (log(sum_k exp(x_k)) - x_j)

    For a label, `t` is at first 1 at the label and 0 elsewhere. The loss of a batch is the mean
    over the samples. With class weights and labels, it is the sum over the samples, divided by the
    sum of the weights of their labels.

    Outputs are float32 or float64 of shape (n, classes). Targets are integer labels from 0, of
    shape (n,) or (n, 1), or soft targets of shape (n, classes), at least 0.

    Parameters
    ----------
    weight : array-like, shape (classes,), or None
        Class weights, at least 0; None is 1 for all classes. Rare classes may get larger weights.
    label_smoothing : float
        Fraction of the target of a sample that is distributed evenly over all classes, from 0 to 1.
    ignore_index, reduction : object
        For code written for PyTorch: -100, which is not a valid label, and "mean".

    Attributes
    ----------
    weight : ndarray of float64, shape (classes,), or None
        Class weights.
    label_smoothing : float
        Fraction of the target that is distributed over all classes.

    Raises
    ------
    TypeError
        If `weight` does not hold real numbers.
    ValueError
        If a setting is out of bounds, or a setting for code written for PyTorch has another value.

    References
    ----------
    Bridle, Training stochastic model recognition algorithms as networks can lead to maximum mutual
    information estimation of parameters, NIPS 1989.

    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception architecture for computer
    vision, CVPR 2016 (label smoothing).

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> round(nn.CrossEntropyLoss().forward(np.array([[0.0, 0.0]]), [1]), 4)
    0.6931
    """

    _kind = "CROSS_ENTROPY"
    _shown = ("weight", "label_smoothing")

    @answers_keywords(LOSS_ARGUMENTS)
    def __init__(
        self,
        weight: ArrayLike | None = None,
        *,
        label_smoothing: float = 0.0,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        neutral(ignore_index=ignore_index)
        real("label_smoothing", label_smoothing, 0, 1, wrong_type=ValueError)
        self.weight = None if weight is None else as_array(weight, "weight").astype(np.float64)
        if self.weight is not None and (
            self.weight.ndim != 1 or not np.isfinite(self.weight).all() or (self.weight < 0).any()
        ):
            raise ValueError(
                f"weight is {weight!r}, expected a finite number of at least 0 for each class"
            )
        if self.weight is not None and not self.weight.any():
            raise ValueError(
                f"weight is {weight!r}: 0 for every class, so that nothing would be learned"
            )
        self.label_smoothing = label_smoothing

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return (
            CODES["CROSS_ENTROPY"],
            self.label_smoothing,
            None if self.weight is None else self.weight.astype(dtype),
        )

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        y = super().prepare_target(target, output_shape, dtype)
        if self.weight is not None and output_shape != self.weight.shape:
            raise ValueError(
                f"weight has {len(self.weight)} numbers, but the model has {output_shape[0]} "
                "outputs: expected one for each class"
            )
        return y

    def _check_whole(self, target: Array, sample_weight: Array | None) -> None:
        if self.weight is None or not len(target):
            return
        counts = (self.weight > 0)[target] if target.ndim == 1 else target @ self.weight > 0
        if not (counts if sample_weight is None else counts & (sample_weight > 0)).any():
            present = (
                f", which holds {', '.join(map(str, np.unique(target)[:10]))}"
                if target.ndim == 1
                else ""
            )
            raise ValueError(
                f"the loss has weight 0 for every class in y{present}, so that nothing would be "
                "learned"
            )

    def __repr__(self) -> str:
        return (
            super().__repr__()
            if self.weight is not None or self.label_smoothing
            else "CrossEntropyLoss()"
        )


class NLLLoss(_ClassificationLoss):
    """Negative log-likelihood of probabilities, such as the output of `Softmax`.

    The loss of a sample with probabilities `p` and targets `t` is ``-sum_j t_j * log(p_j)``. For a
    label, `t` is 1 at the label and 0 elsewhere. The loss of a batch is the mean over the samples.
    Probabilities below the smallest normal number of their dtype are replaced by it, so that no
    loss is infinite.

    Outputs are float32 or float64 of shape (n, classes). Targets are integer labels from 0, of
    shape (n,) or (n, 1), or soft targets of shape (n, classes), at least 0.

    PyTorch's loss of this name takes logarithms of probabilities. This one rejects outputs below 0
    or above 1, and `Trainer` rejects a network that does not end in probabilities.

    Parameters
    ----------
    ignore_index, reduction : object
        For code written for PyTorch: -100, which is not a valid label, and "mean".

    Raises
    ------
    ValueError
        If a setting has another value.

    References
    ----------
    Bishop, Pattern recognition and machine learning, Springer, 2006, section 4.3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> round(nn.NLLLoss().forward(np.array([[0.5, 0.5]]), [1]), 4)
    0.6931
    """

    _kind = "NLL"

    @answers_keywords(LOSS_ARGUMENTS)
    def __init__(self, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        neutral(ignore_index=ignore_index)

    def _check_output(self, output: Array) -> None:
        super()._check_output(output)
        if output.size and ((low := output.min()) < 0 or output.max() > _LARGEST_PROBABILITY):
            raise ValueError(
                f"output holds {low if low < 0 else output.max()}, and {NOT_PROBABILITIES}"
            )
