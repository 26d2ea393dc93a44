"""Layers that do no arithmetic: Flatten and Identity."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from cnet._utils.arrays import Array, as_array, as_input, as_real, float_dtype
from cnet.nn._images import as_elements, in_order_of_axes
from cnet.nn._module import Module
from cnet.nn._neutral import neutral


def _grad(grad: ArrayLike) -> Array:
    """Return a gradient as an array of float32 or float64."""
    array = as_array(grad, "grad")
    return as_real(array, float_dtype(array), "grad")


class Flatten(Module):
    """Flattening: samples of any shape become samples of one axis.

    The input has shape (n, ...) and the output shape (n, size of a sample), in C order. float64
    inputs stay float64, all others become float32.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to flatten. For code written for PyTorch: 1 and -1, which are all axes
        of a sample.

    Raises
    ------
    ValueError
        If `start_dim` or `end_dim` has another value.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Flatten()(np.zeros((2, 1, 28, 28))).shape
    (2, 784)
    """

    _saved = ("_shape",)

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        neutral(start_dim=start_dim, end_dim=end_dim)
        self._shape: tuple[int, ...] | None = None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(input_shape),)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_elements(x)
        self._shape = x.shape[1:] if training else None
        return in_order_of_axes(x).reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, grad: ArrayLike) -> Array:
        grad = _grad(grad)
        if self._shape is None:
            raise RuntimeError(f"{self!r}: call forward(x, training=True) before backward")
        return grad.reshape(len(grad), *self._shape)


class Identity(Module):
    """Identity, ``y = x``: a placeholder for another layer.

    The input may have any shape. float64 inputs stay float64, all others become float32.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Identity()(np.array([[1.5]]))
    array([[1.5]])
    """

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        return as_input(x)

    def backward(self, grad: ArrayLike) -> Array:
        return _grad(grad)
