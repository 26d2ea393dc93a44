"""Layers that move no numbers about: Flatten and Identity."""

import math

from numpy.typing import ArrayLike

from cnet._arrays import Array
from cnet.nn._activations import _input
from cnet.nn._module import Module


class Flatten(Module):
    """Rows of any shape become rows of one axis.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Flatten()(np.zeros((2, 1, 28, 28))).shape
    (2, 784)
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (math.prod(input_shape),)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = _input(x)
        self._shape = x.shape[1:]
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, grad: ArrayLike) -> Array:
        grad = _input(grad)
        if self._shape is None:
            raise RuntimeError(f"{self!r}: call forward(x, training=True) before backward")
        return grad.reshape(len(grad), *self._shape)


class Identity(Module):
    """Passes its input on: a placeholder.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Identity()(np.array([[1.5]]))
    array([[1.5]])
    """

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        return _input(x)

    def backward(self, grad: ArrayLike) -> Array:
        return _input(grad)
