"""Pooling layers, which reduce each window of an image to one pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array
from cnet._utils.validation import Pair, pair
from cnet.nn._checks import check_grad, training_state
from cnet.nn._images import (
    as_image_grad,
    as_images,
    channels_first,
    check_images,
    one_or_pair,
    windows,
)
from cnet.nn._module import Module
from cnet.nn._neutral import neutral


class _Pool(Module):
    """Base of the pooling layers."""

    maximum: bool
    """Whether a window is reduced to its maximum, instead of its mean."""
    _saved = ("_x", "_out")

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None,
        padding: int | Pair,
        **settings: Any,
    ) -> None:
        neutral(**settings)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair("stride", stride, 1)
        self.padding = pair("padding", padding, 0)
        if any(2 * pad > size for pad, size in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding is {padding!r}, expected at most half of kernel_size, which is "
                f"{kernel_size!r}"
            )
        self._x: Array | None = None
        self._out: Array | None = None

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"kernel_size": one_or_pair(self.kernel_size)}
        if self.stride != self.kernel_size:
            config["stride"] = one_or_pair(self.stride)
        if self.padding != (0, 0):
            config["padding"] = one_or_pair(self.padding)
        return config

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(self, input_shape, None)
        height, width = input_shape[1:]
        size = windows(self, (height, width), self.kernel_size, self.stride, self.padding)
        return input_shape[0], *size

    @property
    def sizes(self) -> tuple[int, ...]:
        """Kernel size, stride and padding, in the form of the compiled kernels."""
        return (*self.kernel_size, *self.stride, *self.padding)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_array(x, "x")
        channels, height, width = self.output_shape(x.shape[1:])
        images = as_images(x)
        out = np.empty((len(x), height, width, channels), images.dtype)
        loops(out.dtype).pool_forward(out, images, self.sizes, self.maximum)
        self._x, self._out = (images, out) if training else (None, None)
        return channels_first(out)

    def backward(self, grad: ArrayLike) -> Array:
        images, out = training_state(self, "_x"), training_state(self, "_out")
        grad = as_array(grad, "grad")
        check_grad(self, grad.shape, channels_first(out).shape)
        dx = np.empty_like(images)
        dout = as_image_grad(grad, out.dtype)
        loops(dx.dtype).pool_backward(dx, dout, out, images, self.sizes, self.maximum)
        return channels_first(dx)


class MaxPool2d(_Pool):
    """Max pooling: the maximum of each window of an image.

    The input has shape (n, channels, height, width) and the output shape (n, channels, rows,
    columns), where ``rows = (height + 2 * padding - kernel height) // stride + 1``, and columns
    likewise. float64 inputs stay float64, all others become float32. Of equal maxima, the first one
    in row order gets the gradient, as in PyTorch.

    Parameters
    ----------
    kernel_size : int or pair of int
        Height and width of a window, at least 1.
    stride : int, pair of int or None
        Number of pixels from one window to the next, at least 1. None is the size of a window.
    padding : int or pair of int
        Numbers of rows and columns on each side that windows may cover and that are ignored; at
        most half a window.
    dilation, return_indices, ceil_mode : object
        For code written for PyTorch: 1, False and False.

    Raises
    ------
    TypeError
        If a size is not an integer.
    ValueError
        If a size is too small, the padding is too large, or a setting for code written for PyTorch
        has another value.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    maximum = True

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size,
            stride,
            padding,
            dilation=dilation,
            return_indices=return_indices,
            ceil_mode=ceil_mode,
        )


class AvgPool2d(_Pool):
    """Average pooling: the mean of each window of an image.

    The input has shape (n, channels, height, width) and the output shape (n, channels, rows,
    columns), where ``rows = (height + 2 * padding - kernel height) // stride + 1``, and columns
    likewise. float64 inputs stay float64, all others become float32.

    Parameters
    ----------
    kernel_size : int or pair of int
        Height and width of a window, at least 1.
    stride : int, pair of int or None
        Number of pixels from one window to the next, at least 1. None is the size of a window.
    padding : int or pair of int
        Numbers of rows and columns of zeros on each side, which are part of the mean; at most half
        a window.
    ceil_mode, count_include_pad, divisor_override : object
        For code written for PyTorch: False, True and None.

    Raises
    ------
    TypeError
        If a size is not an integer.
    ValueError
        If a size is too small, the padding is too large, or a setting for code written for PyTorch
        has another value.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    maximum = False

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        padding: int | Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size,
            stride,
            padding,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )
