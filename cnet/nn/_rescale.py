"""Rescaling of inputs, as part of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array
from cnet._utils.validation import LARGEST_FLOAT32, real
from cnet.nn._checks import check_grad, training_state
from cnet.nn._images import as_column, as_elements, in_order_of
from cnet.nn._module import Module


class Rescale(Module):
    """Rescaling of each element: ``y = scale * x + offset``.

    As the first layer, it scales inputs to a range that is suitable for training, and is saved with
    the network. ``nn.Rescale(1 / 255)`` maps 8-bit images from [0, 255] to [0, 1], and
    ``nn.Rescale(1 / 127.5, -1)`` maps them to [-1, 1]. Such images may stay uint8 in memory:
    `Trainer.fit` rescales each mini-batch when it gathers it.

    The output has the shape of the input; float64 inputs stay float64, all others become float32.

    Parameters
    ----------
    scale : float
        Factor, not 0.
    offset : float
        Term that is added after the multiplication.

    Raises
    ------
    ValueError
        If a number is not finite in float32, or `scale` is 0 or a subnormal float32 number.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Rescale(1 / 127.5, -1)(np.array([[0, 255]], np.uint8))
    array([[-1.,  1.]], dtype=float32)
    """

    _saved = ("_out",)

    def __init__(self, scale: float, offset: float = 0.0) -> None:
        self.scale, self.offset = (
            real(name, value, -LARGEST_FLOAT32, LARGEST_FLOAT32, wrong_type=ValueError)
            for name, value in (("scale", scale), ("offset", offset))
        )
        if not abs(self.scale) >= np.finfo(np.float32).tiny:
            raise ValueError(
                f"scale is {scale!r}, which makes all inputs alike: expected another number than 0"
            )
        self._out: Array | None = None

    def config(self) -> dict[str, Any]:
        return (
            {"scale": self.scale, "offset": self.offset} if self.offset else {"scale": self.scale}
        )

    def _apply(self, x: Array, offset: float) -> Array:
        out = np.empty_like(x)
        loops(x.dtype).rescale(as_column(out), as_column(x), self.scale, offset)
        return out

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        out = self._apply(as_elements(x), self.offset)
        self._out = out if training else None
        return out

    def backward(self, grad: ArrayLike) -> Array:
        out = training_state(self, "_out")
        grad = as_array(grad, "grad")
        check_grad(self, grad.shape, out.shape)
        return self._apply(in_order_of(out, grad), 0.0)
