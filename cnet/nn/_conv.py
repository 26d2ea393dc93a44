"""The convolutional layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, real_dtype
from cnet._utils.threads import get_num_threads
from cnet.nn import init
from cnet.nn._images import (
    as_image_grad,
    as_images,
    channels_first,
    check_images,
    check_padded,
    windows,
)
from cnet.nn._module import Module, check_grad, training_state
from cnet.nn._neutral import neutral
from cnet.nn._parameter import Parameter
from cnet.nn._sizes import Pair, one_or_pair, pair, positive


def _padding(padding: Any, kernel_size: Pair, stride: Pair) -> Pair:
    """The zeros on each side of an image."""
    if isinstance(padding, str) and padding == "valid":
        return (0, 0)
    if not (isinstance(padding, str) and padding == "same"):
        return pair("padding", padding, 0)
    if stride != (1, 1):
        raise ValueError(
            f"padding is 'same' for a stride of {stride}, and an image keeps its size with a "
            "stride of 1 alone: give the padding in pixels"
        )
    if not all(size % 2 for size in kernel_size):
        raise ValueError(
            f"padding is 'same' for a kernel_size of {kernel_size}, which needs more on one side, "
            "and cnet pads both alike"
        )
    return kernel_size[0] // 2, kernel_size[1] // 2


class Conv2d(Module):
    """Slides a kernel over images: each output pixel is a weighted sum of the pixels under the
    kernel, plus a bias.

    Strictly a cross-correlation, as in PyTorch: the kernel is not flipped. What it returns has
    PyTorch's axes, with the channels of a pixel side by side in memory.

    Parameters
    ----------
    in_channels, out_channels : int
        At least 1.
    kernel_size : int or pair of int
        Height and width, at least 1.
    stride : int or pair of int
        Pixels from one position of the kernel to the next.
    padding : int, pair of int, "valid" or "same"
        Rows and columns of zeros on each side of the image. "valid" is 0. "same" is half a kernel,
        which leaves the size of the image as it is: for odd kernels and a stride of 1.
    dilation, groups : int
        For code written for PyTorch: 1.
    bias : bool
        Whether there is a bias.
    padding_mode : str
        For code written for PyTorch: "zeros".
    weight_init, bias_init : Initializer, str or None
        See `nn.init`. By default weights suit the activation that follows in a `Sequential`, and
        biases are zero.
    seed : int or None
        Fills the parameters now. None leaves that to the container, or to chance.
    dtype : {"float32", "float64"}
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (kernel width, kernel height, in_channels, out_channels)
        The other way round in `state_dict`, where PyTorch's shape is used.
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If a size is not an integer, or too small, or an initializer or dtype is unknown; or a
        setting is PyTorch's alone.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Conv2d(1, 32, 3, seed=0)(np.zeros((5, 1, 28, 28))).shape
    (5, 32, 26, 26)
    >>> nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2), seed=0)(np.zeros((5, 3, 28, 28))).shape
    (5, 8, 14, 14)
    """

    _kept = ("_x",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        weight_init: init.Initializer | str | None = None,
        bias_init: init.Initializer | str | None = None,
        seed: int | None = None,
        dtype: DTypeLike = np.float32,
        device: Any = None,
    ) -> None:
        neutral(dilation=dilation, groups=groups, padding_mode=padding_mode, device=device)
        self.in_channels = positive("in_channels", in_channels)
        self.out_channels = positive("out_channels", out_channels)
        self.kernel_size = pair("kernel_size", kernel_size, 1)
        self.stride = pair("stride", stride, 1)
        self.padding = _padding(padding, self.kernel_size, self.stride)
        dtype = real_dtype(dtype)
        self.weight = Parameter(
            (*self.kernel_size[::-1], self.in_channels, self.out_channels),
            dtype=dtype,
            initializer=init.get(weight_init),
        )
        self.bias = (
            Parameter((self.out_channels,), dtype=dtype, initializer=init.get(bias_init))
            if bias
            else None
        )
        self._x: Array | None = None
        self._fill(seed)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_images(self, input_shape, self.in_channels)
        check_padded(self, input_shape, self.padding)
        height, width = input_shape[1:]
        size = windows(self, (height, width), self.kernel_size, self.stride, self.padding)
        return self.out_channels, *size

    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "kernel_size": one_or_pair(self.kernel_size),
        }
        if self.stride != (1, 1):
            config["stride"] = one_or_pair(self.stride)
        if self.padding != (0, 0):
            config["padding"] = one_or_pair(self.padding)
        return config if self.bias else {**config, "bias": False}

    @property
    def sizes(self) -> tuple[int, ...]:
        """As the kernels take them."""
        return (*self.kernel_size, *self.stride, *self.padding)

    def _scratch(self, images: Array) -> Array:
        _, height, width, channels = images.shape
        each = loops(images.dtype).conv_scratch_size(
            height, width, channels, self.out_channels, self.sizes
        )
        return np.empty(get_num_threads() * each, np.int8)

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_array(x, "x")
        channels, height, width = self.output_shape(x.shape[1:])
        images = as_images(x, self.weight.dtype)
        out = np.empty((len(x), height, width, channels), images.dtype)
        bias = self.bias.data if self.bias else None
        loops(images.dtype).conv_forward(
            out, images, self.weight.data, bias, self.sizes, self._scratch(images)
        )
        self._x = images if training else None
        return channels_first(out)

    def _check_grad(self, grad: ArrayLike) -> Array:
        grad, images = as_array(grad, "grad"), training_state(self, "_x")
        height, width = windows(
            self, images.shape[1:3], self.kernel_size, self.stride, self.padding
        )
        check_grad(self, grad.shape, (len(images), self.out_channels, height, width))
        return as_image_grad(grad, images.dtype)

    def backward(self, grad: ArrayLike) -> Array:
        dout = self._check_grad(grad)
        self._set_gradients(dout)
        dx = np.empty_like(training_state(self, "_x"))
        loops(dx.dtype).conv_backward_input(
            dx, dout, self.weight.data, self.sizes, self._scratch(dx)
        )
        return channels_first(dx)

    def backward_params(self, grad: ArrayLike) -> None:
        self._set_gradients(self._check_grad(grad))

    def _set_gradients(self, dout: Array) -> None:
        images = training_state(self, "_x")
        weight_grad = np.empty(self.weight.shape, dout.dtype)
        bias_grad = np.empty(self.bias.shape, dout.dtype) if self.bias else None
        loops(dout.dtype).conv_backward_params(
            weight_grad, bias_grad, images, dout, self.sizes, self._scratch(images)
        )
        self.weight.grad = weight_grad
        if self.bias:
            self.bias.grad = bias_grad
