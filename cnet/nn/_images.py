"""Batches of images of shape (n, channels, height, width), with channels last in memory.

Convolution, pooling and other layers for images return such arrays: the axes are in PyTorch's
order, but the channels of a pixel are contiguous, as the kernels read them. Elementwise layers
preserve the memory order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_input, as_real, float_dtype, shape_text

if TYPE_CHECKING:
    from cnet._utils.validation import Pair
    from cnet.nn._module import Module

_MAX_ELEMENTS = 1 << 40
"""Maximum number of elements of an image with its padding."""


def channels_last(x: Array) -> Array:
    """Return a view of shape (n, height, width, channels)."""
    return x.transpose(0, 2, 3, 1)


def channels_first(x: Array) -> Array:
    """Return a view of shape (n, channels, height, width), the inverse of `channels_last`."""
    return x.transpose(0, 3, 1, 2)


def as_column(x: Array) -> Array:
    """Return a view (elements, 1) of an array that is contiguous, as it is or with channels last.

    Threads may cut it anywhere.
    """
    return (x if x.flags.c_contiguous else channels_last(x)).reshape(-1, 1)


def _turned(x: Array) -> Array:
    """Return a C-contiguous copy of ``channels_last(x)`` for C-contiguous `x`."""
    batch, channels, height, width = x.shape
    if channels == 1:
        return channels_last(x)
    out = np.empty((batch, height, width, channels), x.dtype)
    loops(x.dtype).transpose(
        out.reshape(batch, height * width, channels), x.reshape(batch, channels, height * width)
    )
    return out


def _is_plain(x: Array, dtype: np.dtype[Any]) -> bool:
    """Whether the transposition kernel can read an array."""
    return type(x) is np.ndarray and x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned


def as_images(x: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Convert a batch like `as_input`, to the shape (n, height, width, channels)."""
    dtype = float_dtype(x) if dtype is None else dtype
    return _turned(x) if _is_plain(x, dtype) else as_input(channels_last(x), dtype)


def as_image_grad(grad: Array, dtype: np.dtype[Any]) -> Array:
    """Convert a gradient of images to `dtype` and the shape (n, height, width, channels)."""
    return _turned(grad) if _is_plain(grad, dtype) else as_real(channels_last(grad), dtype, "grad")


def as_elements(x: ArrayLike) -> Array:
    """Convert a batch like `as_input`, but preserve the memory order of images."""
    if type(x) is np.ndarray and x.ndim == 4 and not x.flags.c_contiguous:
        turned = channels_last(x)
        if turned.flags.c_contiguous:
            return channels_first(as_input(turned))
    return as_input(x)


def in_order_of_axes(x: Array) -> Array:
    """Return a result of `as_elements` as a C-contiguous array."""
    if x.flags.c_contiguous:
        return x
    batch, channels, height, width = x.shape
    out = np.empty(x.shape, x.dtype)
    loops(x.dtype).transpose(
        out.reshape(batch, channels, height * width),
        channels_last(x).reshape(batch, height * width, channels),
    )
    return out


def in_order_of(other: Array, grad: Array) -> Array:
    """Convert a gradient to the dtype and the memory order of `other`, which has its shape."""
    if other.flags.c_contiguous:
        return as_real(grad, other.dtype, "grad")
    return channels_first(as_image_grad(grad, other.dtype))


def one_or_pair(value: Pair) -> int | Pair:
    """Return a pair in its shortest form, for `Module.config`."""
    return value[0] if value[0] == value[1] else value


def check_images(layer: Module, shape: tuple[int, ...], channels: int | None) -> None:
    """Raise ValueError unless samples of `shape` are images with this number of channels.

    None accepts any number of channels.
    """
    if len(shape) == 3 and channels in (None, shape[0]):
        return
    hint = ""
    if len(shape) == 2 and channels in (None, 1):
        hint = "; for images of one channel pass x[:, None]"
    elif len(shape) == 3 and shape[2] == channels:
        hint = "; channels come first: pass x.transpose(0, 3, 1, 2)"
    elif len(shape) == 1:
        hint = "; reshape x to images"
    wanted = "channels" if channels is None else channels
    raise ValueError(
        f"{layer!r} takes images of shape (n, {wanted}, height, width), got "
        f"{shape_text(shape)}{hint}"
    )


def check_padded(layer: Module, shape: tuple[int, ...], padding: Pair) -> None:
    """Raise ValueError if an image of `shape` is too large with its padding.

    The kernels copy the padded image, and count its elements in 64 bits.
    """
    channels, *size = shape
    padded = [length + 2 * pad for length, pad in zip(size, padding, strict=True)]
    if channels * math.prod(padded) > _MAX_ELEMENTS:
        raise ValueError(
            f"{layer!r} pads an image of {size[0]} x {size[1]} pixels to {padded[0]} x "
            f"{padded[1]}, which no memory holds"
        )


def windows(layer: Module, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
    """Return the numbers of windows along the height and the width of images of `size`.

    Each is ``(length + 2 * padding - kernel) // stride + 1``. Raises ValueError if the image is
    smaller than a window.
    """
    least = tuple(max(1, k - 2 * pad) for k, pad in zip(kernel, padding, strict=True))
    if size[0] < least[0] or size[1] < least[1]:
        raise ValueError(
            f"{layer!r} takes images of at least {least[0]} x {least[1]} pixels, got {size[0]} x "
            f"{size[1]}"
        )
    rows, columns = (
        (length + 2 * pad - k) // step + 1
        for length, k, step, pad in zip(size, kernel, stride, padding, strict=True)
    )
    return rows, columns
