"""Base of the losses: the mean over a batch, and its gradient with respect to the output.

`forward` returns the loss, and stores the batch for `backward`. `forward_backward` computes both in
one pass, which is faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import CODES, FLOAT32, FLOAT64, loops
from cnet._utils.answers import LOSS_ARGUMENTS, LOSS_VALUE
from cnet._utils.arrays import Array, as_array, as_real, float_dtype
from cnet._utils.hints import answers_keywords, no_attribute
from cnet.nn._neutral import neutral


class LossValue(float):
    """Result of ``criterion(output, target)``: a float with hints for users of PyTorch.

    The error for an attribute of a tensor, such as ``backward``, gives the equivalent in cnet.
    """

    __slots__ = ()

    def item(self) -> float:
        """Return the loss as a plain float."""
        return float(self)

    if not TYPE_CHECKING:  # to mypy, every name would be there

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, LOSS_VALUE)


class Loss:
    """Base of the losses.

    To write a loss, override `forward` and `backward`. `forward` takes the output and the target of
    a batch as arrays, and returns the mean loss. `backward` returns the gradient of that mean, with
    the shape and the dtype of the output. ``criterion(output, target)`` is short for
    ``criterion.forward(output, target)``.

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

    def __call__(self, output: ArrayLike, target: ArrayLike) -> float:
        """Return the mean loss of a batch, as `forward` does."""
        return LossValue(_number(self, self.forward(output, target)))

    def to(self, device: Any) -> Self:
        """Return this loss; for code written for PyTorch.

        Raises
        ------
        ValueError
            If `device` is not the CPU.
        """
        neutral(device=device)
        return self

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        """Return the mean loss of a batch.

        Parameters
        ----------
        output : array-like, shape (n, ...)
            Output of the network for n samples.
        target : array-like, shape (n, ...)
            Targets of the samples.

        Returns
        -------
        float
            Mean loss of the batch.

        Raises
        ------
        TypeError, ValueError
            If the target does not fit the output.
        """
        raise TypeError(f"{type(self).__name__} does not define forward(output, target)")

    def backward(self) -> Array:
        """Return the gradient of the last `forward` with respect to `output`, of its shape."""
        raise TypeError(f"{type(self).__name__} does not define backward()")

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        """Return the mean loss of a batch, and its gradient with respect to `output`."""
        loss, grad = _number(self, self.forward(output, target)), np.asarray(self.backward())
        check_loss_grad(self, grad, output, target)
        return loss, grad

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        """Return the weighted mean of the loss over the samples, and its gradient.

        The mean is ``sum_i sample_weight[i] * loss_i / sum_i sample_weight[i]``. So a sample of
        weight 2 counts as two samples, and one of weight 0 is ignored. `Trainer.fit` minimizes it
        if there are sample weights. This implementation evaluates the loss of one sample at a time.
        It is correct for a mean over samples, but slow.

        Parameters
        ----------
        output : ndarray, shape (n, ...)
            Output of the network for n samples.
        target : ndarray, shape (n, ...)
            Targets in the form of `prepare_target`.
        sample_weight : ndarray, shape (n,)
            Sample weights, at least 0.

        Returns
        -------
        loss : float
            Weighted mean of the loss.
        grad : ndarray
            Gradient with respect to `output`, of its shape.
        """
        grad, total = np.zeros_like(output), 0.0
        shares = sample_weight / (sample_weight.sum(dtype=np.float64) or 1.0)
        for i in np.flatnonzero(sample_weight):
            loss, row_grad = self.forward_backward(output[i : i + 1], target[i : i + 1])
            total += float(shares[i]) * loss
            grad[i] = shares[i] * row_grad[0]
        return total, grad

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        """Check the targets of a whole data set, and convert them to the form of `forward`.

        Parameters
        ----------
        target : array-like, shape (n, ...)
            Targets of all samples.
        output_shape : tuple of int
            Shape of the output of a sample.
        dtype : numpy.dtype
            Dtype of the outputs.

        Returns
        -------
        ndarray, shape (n, ...)
            Targets in a form that `forward` takes without conversion.

        Raises
        ------
        TypeError, ValueError
            If the targets do not fit the outputs.
        """
        return as_array(target, "y")

    def _check_whole(self, target: Array, sample_weight: Array | None) -> None:
        """Raise ValueError if the loss is 0 for all samples of a data set.

        `target` is in the form of `prepare_target`. A single batch may have such targets.
        """

    def count_correct(self, output: Array, target: Array) -> int | None:
        """Return the number of samples that are classified correctly.

        It is None for a loss that does not classify.
        """
        return None

    def _accuracy_names(self) -> list[str]:
        """Return the names of the accuracies in a history with this loss.

        The list is empty for a loss that does not classify.
        """
        return [] if type(self).count_correct is Loss.count_correct else ["accuracy"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _number(loss: Loss, value: Any) -> float:
    """Return the result of `forward` as a float. Raises TypeError if it is not a number."""
    if isinstance(value, str | None) or np.ndim(value):
        got = f"an array of shape {np.shape(value)}" if np.ndim(value) else repr(value)
        raise TypeError(
            f"{loss!r} returned {got}, expected the mean over the batch, a single number"
        )
    return float(value)


def check_loss_grad(loss: Loss, grad: Array, output: Array, target: Any) -> None:
    """Raise ValueError unless the gradient from a loss has the shape of the output."""
    if grad.shape == output.shape:
        return
    hint = ""
    if output.shape[1:] == (1,) and np.shape(target) == output.shape[:1]:
        hint = (
            f": the target is of shape {np.shape(target)}, so output - target is a square; take "
            "target.reshape(output.shape)"
        )
    raise ValueError(
        f"{loss!r} returned a gradient of shape {grad.shape}, expected that of the output, "
        f"{output.shape}{hint}"
    )


class KernelLoss(Loss):
    """Base of the losses that the compiled core computes."""

    _kind: str
    """Name of the loss in the compiled core."""
    _shown: tuple[str, ...] = ()
    """Names of the settings that `repr` shows."""
    _takes_labels = False
    """Whether targets may be int64 labels."""

    @answers_keywords(LOSS_ARGUMENTS)
    def __init__(self, *, reduction: str = "mean") -> None:
        neutral(reduction=reduction)
        self._batch: tuple[Array, Array] | None = None

    def _program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        """Return the kind, the setting and the class weights for the compiled core."""
        return CODES[self._kind], 0.0, None

    def _program_labels(self, target: Array) -> Array | None:
        """Return the correct class of each sample, from which the accuracy is computed.

        It is None for a loss that does not classify.
        """
        return None

    def _run(
        self,
        output: Array,
        target: Array,
        grad: Array | None,
        row_loss: Array | None,
        row_weights: Array | None = None,
    ) -> float:
        """Return the mean loss of a batch.

        It writes the gradient to `grad` and the losses of the samples to `row_loss`, unless they
        are None. `row_weights` are the sample weights.
        """
        kind, setting, weights = self._program_loss(output.dtype)
        labels, rows = (target, None) if target.ndim == 1 else (None, target)
        loss: float = loops(output.dtype).loss(
            kind, setting, row_loss, grad, output, labels, rows, weights, row_weights
        )
        return loss

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _checked(self, output: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
        """Return outputs and targets in the form of the compiled kernels, after all checks."""
        output = as_array(output, "output")
        output = as_real(output, float_dtype(output), "output")
        target = self.prepare_target(target, output.shape[1:], output.dtype)
        if len(target) != len(output):
            raise ValueError(f"target has {len(target)} samples, output {len(output)}")
        self._check_output(output)
        return output, target

    def _check_output(self, output: Array) -> None:
        """Raise ValueError for outputs for which the loss is not defined."""

    def _ready(self, output: Array, target: Array) -> tuple[Array, Array]:
        """Return outputs and targets in the form of the compiled kernels.

        Targets in the form of `prepare_target` are not checked again.
        """
        if (
            type(output) is type(target) is np.ndarray
            and output.dtype in (FLOAT32, FLOAT64)
            and output.flags.c_contiguous
            and target.flags.c_contiguous
        ):
            if target.shape == output.shape and target.dtype == output.dtype:
                return output, target
            if self._takes_labels and target.ndim == 1 and target.dtype == np.int64:
                return output, target
        return self._checked(output, target)

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
        """Whether a subclass overrides any of these methods."""
        return any(getattr(type(self), name) is not getattr(KernelLoss, name) for name in methods)

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        if self._overrides("forward", "backward"):
            return super().forward_backward(output, target)
        output, target = self._ready(output, target)
        grad = np.empty_like(output)
        return self._run(output, target, grad, np.empty(len(output), output.dtype)), grad

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        if self._overrides("forward", "backward", "forward_backward"):
            return super().weighted(output, target, sample_weight)
        output, target = self._ready(output, target)
        grad = np.empty_like(output)
        return self._run(
            output,
            target,
            grad,
            np.empty(len(output), output.dtype),
            as_real(sample_weight, output.dtype, "sample_weight"),
        ), grad
