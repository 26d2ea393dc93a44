"""The convolutional layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, real_dtype
from cnet._utils.threads import get_num_threads
from cnet._utils.validation import Pair, integer, pair
from cnet.nn import init
from cnet.nn._checks import check_grad, training_state
from cnet.nn._images import (
    as_image_grad,
    as_images,
    channels_first,
    check_images,
    check_padded,
    one_or_pair,
    windows,
)
from cnet.nn._module import Module
from cnet.nn._neutral import neutral
from cnet.nn._parameter import Parameter


def _padding(padding: Any, kernel_size: Pair, stride: Pair) -> Pair:
    """Return the numbers of rows and columns of zeros on each side of an image."""
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
    """Convolution of images: each output pixel is a weighted sum of the pixels under the kernel.

    With stride ``(sy, sx)`` and the padded input `x`, output channel `o` at row `i` and column `j`
    is::

        y[o, i, j] = bias[o] + sum over u, v, c of
                     x[c, i * sy + u, j * sx + v] * weight[v, u, c, o]

    This is a cross-correlation, as in PyTorch: the kernel is not flipped. The input has shape (n,
    in_channels, height, width) and the output shape (n, out_channels, rows, columns), where ``rows
    = (height + 2 * padding - kernel height) // sy + 1``, and columns likewise. The output has the
    dtype of the parameters, and its channels are contiguous in memory.

    In float32, kernels of 3 x 3 with a stride of 1 use Winograd's algorithm, which multiplies less,
    where the images and the layer are large enough for it to be faster. The shapes alone decide.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of channels of the input and of the output, at least 1.
    kernel_size : int or pair of int
        Height and width of the kernel, at least 1.
    stride : int or pair of int
        Number of pixels from one position of the kernel to the next, at least 1.
    padding : int, pair of int, "valid" or "same"
        Numbers of rows and columns of zeros on each side of the image. "valid" is 0. "same" is half
        a kernel, which preserves the size of the image; it requires an odd kernel and a stride of
        1.
    dilation, groups : int
        For code written for PyTorch: 1.
    bias : bool
        Whether the layer has a bias.
    padding_mode : str
        For code written for PyTorch: "zeros".
    weight_init, bias_init : Initializer, str or None
        Initializers, see `nn.init`. By default, the activation that follows in a `Sequential`
        determines that of the weights, and biases are zero.
    seed : int or None
        Seed of the initial values. With None, the container draws them from its seed; without a
        seed there, they are random.
    dtype : {"float32", "float64"}
        Dtype of the parameters and of the arithmetic.
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight : Parameter, shape (kernel width, kernel height, in_channels, out_channels)
        Weights of the kernels. `state_dict` reverses the axes, to PyTorch's shape.
    bias : Parameter, shape (out_channels,), or None
        Biases of the output channels.

    Raises
    ------
    TypeError
        If a size or the seed is not an integer.
    ValueError
        If a size is too small, the seed is negative, an initializer or the dtype is unknown, or a
        setting for code written for PyTorch has another value.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86, 1998.

    Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Conv2d(1, 32, 3, seed=0)(np.zeros((5, 1, 28, 28))).shape
    (5, 32, 26, 26)
    >>> nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2), seed=0)(np.zeros((5, 3, 28, 28))).shape
    (5, 8, 14, 14)
    """

    _saved = ("_x",)

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
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
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
        """Kernel size, stride and padding, in the form of the compiled kernels."""
        return (*self.kernel_size, *self.stride, *self.padding)

    def _scratch(self, images: Array) -> Array:
        """Return a workspace for all threads."""
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
        """Return a gradient of the output with channels last, after a check of its shape."""
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
        """Set the gradients of the parameters."""
        images = training_state(self, "_x")
        weight_grad = np.empty(self.weight.shape, dout.dtype)
        bias_grad = np.empty(self.bias.shape, dout.dtype) if self.bias else None
        loops(dout.dtype).conv_backward_params(
            weight_grad, bias_grad, images, dout, self.sizes, self._scratch(images)
        )
        self.weight.grad = weight_grad
        if self.bias:
            self.bias.grad = bias_grad
