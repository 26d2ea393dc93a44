"""Losses: the mean over a batch, and its gradient with respect to the network's output.

`forward` returns the loss and remembers what `backward` needs; `forward_backward` does both at
once, for less.
"""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import FLOAT32, FLOAT64, code, loops
from cnet._utils.answers import LOSS_ARGUMENTS, LOSS_VALUE
from cnet._utils.arrays import Array, as_array, as_real, float_dtype
from cnet._utils.hints import answers_keywords, no_attribute
from cnet.nn._neutral import neutral


class LossValue(float):
    """What ``criterion(output, target)`` returns: a float, which says what to type where PyTorch's
    tensor would be used.
    """

    __slots__ = ()

    def item(self) -> float:
        """The loss as a plain float."""
        return float(self)

    if not TYPE_CHECKING:  # to mypy, every name would be there

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, LOSS_VALUE)


class Loss:
    """Base of the losses.

    To write one, override `forward` and `backward`; `forward` gets the output and the target of a
    batch, as arrays. ``criterion(output, target)`` is short for ``criterion.forward(output,
    target)``.

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
        """The mean loss of a batch, as `forward` returns it."""
        return LossValue(_number(self, self.forward(output, target)))

    def to(self, device: Any) -> Self:
        """Return the loss, where `device` is the CPU; for code written for PyTorch."""
        neutral(device=device)
        return self

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        """The mean loss of a batch.

        Parameters
        ----------
        output : array-like, shape (n, ...)
            What the network made of the batch.
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
        loss, grad = _number(self, self.forward(output, target)), np.asarray(self.backward())
        check_loss_grad(self, grad, output, target)
        return loss, grad

    def weighted(self, output: Array, target: Array, sample_weight: Array) -> tuple[float, Array]:
        """The weighted mean over rows of the loss, and its gradient: what `Trainer.fit` minimizes
        where rows have weights.

        The weights are divided by their sum, so that a row of weight 2 counts as two such rows, and
        one of weight 0 not at all. A loss that does not override this is asked row by row, which is
        right for a mean over rows, and slow.

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

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        """Check the targets of a whole data set and put them into the form that `forward` reads
        fastest.

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

    def _check_whole(self, target: Array, sample_weight: Array | None) -> None:
        """Raise ValueError for targets of a whole data set, prepared, from which nothing can be
        learned; a batch of it may hold such.
        """

    def count_correct(self, output: Array, target: Array) -> int | None:
        """How many rows are classified correctly; None if this loss does not classify."""
        return None

    def accuracy_names(self) -> list[str]:
        """Names of the accuracies that a history has with this loss; none if it does not
        classify.
        """
        return [] if type(self).count_correct is Loss.count_correct else ["accuracy"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _number(loss: Loss, value: Any) -> float:
    """What `forward` of a loss returned, as a float."""
    if isinstance(value, str | None) or np.ndim(value):
        got = f"an array of shape {np.shape(value)}" if np.ndim(value) else repr(value)
        raise TypeError(
            f"{loss!r} returned {got}, expected the mean over the batch, a single number"
        )
    return float(value)


def check_loss_grad(loss: Loss, grad: Array, output: Array, target: Any) -> None:
    """Raise ValueError unless the gradient that a loss gave is of the shape of the output."""
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
    """Base of the losses that the compiled core knows."""

    _kind: str
    _shown: tuple[str, ...] = ()
    """Settings that `repr` shows."""
    _takes_labels = False
    """Whether targets may be labels, int64."""

    @answers_keywords(LOSS_ARGUMENTS)
    def __init__(self, *, reduction: str = "mean") -> None:
        neutral(reduction=reduction)
        self._batch: tuple[Array, Array] | None = None

    def program_loss(self, dtype: np.dtype[Any]) -> tuple[int, float, Array | None]:
        """The loss as the compiled core takes it: kind, setting and class weights."""
        return code(self._kind), 0.0, None

    def program_labels(self, target: Array) -> Array | None:
        """The class of each row, by which it is counted as right; None if the loss is not one of
        classes.
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
        kind, setting, weights = self.program_loss(output.dtype)
        labels, rows = (target, None) if target.ndim == 1 else (None, target)
        loss: float = loops(output.dtype).loss(
            kind, setting, row_loss, grad, output, labels, rows, weights, row_weights
        )
        return loss

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _checked(self, output: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
        output = as_array(output, "output")
        output = as_real(output, float_dtype(output), "output")
        target = self.prepare_target(target, output.shape[1:], output.dtype)
        if len(target) != len(output):
            raise ValueError(f"target has {len(target)} rows, output {len(output)}")
        self._check_output(output)
        return output, target

    def _check_output(self, output: Array) -> None:
        """Raise ValueError for outputs that the loss cannot be of."""

    def _ready(self, output: Array, target: Array) -> tuple[Array, Array]:
        """Outputs and targets as the kernels take them. What `prepare_target` gave passes as
        it is.
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
        """Whether a subclass has its own way of any of these."""
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
