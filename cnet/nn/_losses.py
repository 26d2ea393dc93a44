"""Losses: the mean over a batch, and its gradient with respect to the net's output.

`forward` returns the loss and remembers what `backward` needs; `forward_backward` does both at once, for less. Targets
of the classifying losses are labels (n,) or one row of weights per example (n, classes): one-hot, or soft.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._arrays import Array, as_array, as_real, check_finite, float_dtype, shape_text
from cnet._core import FLOAT64, loops


class Loss:
    """Base of the losses.

    To write one, override `forward` and `backward`; `forward` gets the output and the target of a batch, as arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> class AbsoluteError(nn.Loss):
    ...     def forward(self, output, target):
    ...         self.difference = output - target
    ...         return float(abs(self.difference).mean())
    ...     def backward(self):
    ...         return np.sign(self.difference) / self.difference.size
    >>> loss = AbsoluteError()
    >>> loss.forward(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))
    2.0
    >>> loss.backward()
    array([[-0.5],
           [ 0.5]])
    """

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        """The mean loss of a batch.

        Parameters
        ----------
        output : array-like, shape (n, ...)
            What the net made of the batch.
        target : array-like
            n rows.

        Returns
        -------
        float
        """
        raise TypeError(f"{type(self).__name__} does not define forward(output, target)")

    def backward(self) -> Array:
        """The gradient of the last `forward` with respect to its output; same shape."""
        raise TypeError(f"{type(self).__name__} does not define backward()")

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        """The mean loss and its gradient."""
        return self.forward(output, target), self.backward()

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        """The weighted mean over rows of the loss, and its gradient: what `Trainer.fit` minimises where rows have weights.

        The weights are divided by their sum, so that a row of weight 2 counts as two such rows, and one of weight 0 not at all.
        A loss that does not override this is asked row by row, which is right for a mean over rows, and slow.

        Parameters
        ----------
        output : ndarray, shape (n, ...)
        target : ndarray
            n rows, as `prepare_target` gives them.
        sample_weight : ndarray, shape (n,)
            At least 0.

        Returns
        -------
        float
        ndarray
            Of the shape of `output`.
        """
        grad, total = np.zeros_like(output), 0.0
        shares = sample_weight / (sample_weight.sum(dtype=np.float64) or 1.0)
        for i in np.flatnonzero(sample_weight):
            loss, row_grad = self.forward_backward(output[i : i + 1], target[i : i + 1])
            total += float(shares[i]) * loss
            grad[i] = shares[i] * row_grad[0]
        return total, grad

    def prepare_target(self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Check the targets of a whole data set and put them into the form that `forward` reads fastest.

        Parameters
        ----------
        target : array-like
        output_shape : tuple of int
            Shape of an output row.
        dtype : numpy.dtype
            Dtype of the outputs.

        Raises
        ------
        TypeError, ValueError
            If the targets do not fit the outputs.
        """
        return as_array(target, "y")

    def count_correct(self, output: Array, target: Array) -> int | None:
        """How many rows are classified rightly; None if this loss does not classify."""
        return None

    def accuracy_names(self) -> list[str]:
        """Names of the accuracies that a history has with this loss; none if it does not classify."""
        return [] if type(self).count_correct is Loss.count_correct else ["accuracy"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class KernelLoss(Loss):
    """Base of the losses that the compiled core knows."""

    _kind: str
    _shown: tuple[str, ...] = ()
    """Settings that `repr` shows."""

    def __init__(self) -> None:
        self._batch: tuple[Array, Array] | None = None

    def program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        """The loss as the compiled core takes it: kind, setting and weights of classes."""
        return getattr(loops(dtype), self._kind), 0.0, None

    def program_labels(self, target: Array) -> Array | None:
        """The class of each row, by which it is counted as right; None if the loss is not one of classes."""
        return None

    def _run(self, output: Array, target: Array, grad: Array | None, row_loss: Array | None, row_weights: Array | None = None) -> float:
        kind, setting, weights = self.program_loss(output.dtype)
        labels, rows = (target, None) if target.ndim == 1 else (None, target)
        loss: float = loops(output.dtype).loss(kind, setting, row_loss, grad, output, labels, rows, weights, row_weights)
        return loss

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._shown)})"

    def _checked(self, output: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
        output = as_array(output, "output")
        output = as_real(output, float_dtype(output), "output")
        target = self.prepare_target(target, output.shape[1:], output.dtype)
        if len(target) != len(output):
            raise ValueError(f"target has {len(target)} rows, output {len(output)}")
        return output, target

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        self._batch = output, target = self._checked(output, target)
        return self._run(output, target, None, np.empty(len(output), output.dtype))

    def backward(self) -> Array:
        if self._batch is None:
            raise RuntimeError(f"{self!r}: call forward(output, target) before backward()")
        output, target = self._batch
        grad = np.empty_like(output)
        self._run(output, target, grad, None)
        return grad

    def _overrides(self, *methods: str) -> bool:
        """Whether a subclass has its own way of any of these."""
        return any(getattr(type(self), name) is not getattr(KernelLoss, name) for name in methods)

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        if self._overrides("forward", "backward"):
            return super().forward_backward(output, target)
        grad = np.empty_like(output)
        return self._run(output, target, grad, np.empty(len(output), output.dtype)), grad

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        if self._overrides("forward", "backward", "forward_backward"):
            return super().weighted(output, target, sample_weight)
        grad = np.empty_like(output)
        return self._run(output, target, grad, np.empty(len(output), output.dtype), as_real(sample_weight, output.dtype, "sample_weight")), grad


class _ClassificationLoss(KernelLoss):
    def prepare_target(self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if type(target) is np.ndarray and target.ndim == 1 and target.dtype == np.int64 and target.flags.c_contiguous:
            y: Array = target
        else:
            y = as_array(target, "y")
        if len(output_shape) != 1:
            raise ValueError(f"{type(self).__name__} takes outputs of shape (n, classes), the model's are {shape_text(output_shape)}")
        classes = output_shape[0]
        if y.ndim == 2 and y.shape[1] == 1 != classes:
            y = y[:, 0]
        if y.ndim == 1:
            return _as_labels(y, classes)
        if y.shape[1:] != output_shape:
            raise ValueError(f"y has shape {y.shape}, expected labels (n,) or rows of weights (n, {classes}): the model has {classes} outputs")
        check_finite(y, "y", dtype)
        y = as_real(y, dtype, "y")
        if y.size and y.min() < 0:
            raise ValueError(f"y holds {y.min()}: weights of classes must not be negative")
        return y

    def program_labels(self, target: Array) -> Array:
        labels = target if target.ndim == 1 else target.argmax(axis=1)
        return labels.astype(np.int64, copy=False)

    def count_correct(self, output: Array, target: Array) -> int | None:
        correct: int = loops(output.dtype).count_correct(output, self.program_labels(target))
        return correct


def _as_labels(y: Array, classes: int) -> Array:
    check_finite(y, "y", FLOAT64)
    if y.dtype.kind == "f" and not np.array_equal(np.floor(y), y):
        raise ValueError("y holds fractions, expected labels: whole numbers from 0")
    if y.size and not 0 <= (low := y.min()) <= (high := y.max()) < classes:
        raise ValueError(f"y holds label {low if low < 0 else high}, but the model has {classes} outputs, so labels are 0 to {classes - 1}")
    return np.require(y, np.int64, ("C", "A"))


class CrossEntropyLoss(_ClassificationLoss):
    """Softmax cross-entropy of logits, stable at any magnitude.

    For a row of logits `x` and weights `t` (1 at the label, or soft):
    ``sum_j t_j * (log(sum_k exp(x_k)) - x_j)``, with `t` smoothed and weighted first where that is asked for:
    ``t_j = weight_j * ((1 - label_smoothing) * t_j + label_smoothing / classes)``. The mean over labels is a weighted one,
    in which a row counts as much as the weight of its label; the mean over rows of weights is a plain one.

    Parameters
    ----------
    weight : array-like, shape (classes,), or None
        How much each class counts, at least 0: more for rare ones.
    label_smoothing : float
        From 0 to 1: how much of the weight of a row is shared out among all classes.

    Raises
    ------
    ValueError
        If a setting is out of bounds.

    References
    ----------
    Szegedy and others, Rethinking the Inception architecture for computer vision, CVPR 2016 (smoothing).

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> round(nn.CrossEntropyLoss().forward(np.array([[0.0, 0.0]]), [1]), 4)
    0.6931
    """

    _kind = "CROSS_ENTROPY"
    _shown = ("weight", "label_smoothing")

    def __init__(self, weight: ArrayLike | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is {label_smoothing!r}, expected a number from 0 to 1")
        self.weight = None if weight is None else as_array(weight, "weight").astype(np.float64)
        if self.weight is not None and (self.weight.ndim != 1 or not np.isfinite(self.weight).all() or (self.weight < 0).any()):
            raise ValueError(f"weight is {weight!r}, expected a finite number of at least 0 for each class")
        self.label_smoothing = label_smoothing

    def program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        return loops(dtype).CROSS_ENTROPY, self.label_smoothing, None if self.weight is None else self.weight.astype(dtype)

    def prepare_target(self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        y = super().prepare_target(target, output_shape, dtype)
        if self.weight is not None and output_shape != self.weight.shape:
            raise ValueError(f"weight has {len(self.weight)} numbers, but the model has {output_shape[0]} outputs: expected one for each class")
        return y

    def __repr__(self) -> str:
        return super().__repr__() if self.weight is not None or self.label_smoothing else "CrossEntropyLoss()"


class NLLLoss(_ClassificationLoss):
    """Negative log-likelihood of probabilities, such as `Softmax` gives: ``-sum_j t_j * log(p_j)``.

    (PyTorch's loss of this name takes logarithms of probabilities.) Probabilities are taken as at least the smallest
    normal number, so that no loss is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> round(nn.NLLLoss().forward(np.array([[0.5, 0.5]]), [1]), 4)
    0.6931
    """

    _kind = "NLL"
