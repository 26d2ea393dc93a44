"""Layer normalization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, as_input, as_real, real_dtype, shape_text
from cnet._utils.validation import integer
from cnet.nn._checks import check_grad, training_state
from cnet.nn._neutral import neutral
from cnet.nn._norm import Norm


class LayerNorm(Norm):
    """Layer normalization: of each sample by its own mean and variance, over its last axes.

    Input and output have shape (n, ..., `normalized_shape`). Values are transformed by::

        y = (x - mean) / sqrt(var + eps) * weight + bias

    `mean` and the biased variance `var` are those over the axes of `normalized_shape`, in training
    and in inference.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes of a sample, which are normalized together.
    eps : float
        Term that avoids division by 0, at least 0.
    elementwise_affine : bool
        Whether the layer has a weight.
    bias : bool
        Whether the layer also has a bias. Without a weight, it has none.
    dtype : {"float32", "float64"}
        Dtype of the parameters and of the arithmetic.
    device : {None, "cpu"}
        For code written for PyTorch.

    Attributes
    ----------
    weight, bias : Parameter, or None
        Scale and shift, initially 1 and 0. Their shape is `normalized_shape` in `state_dict`, and
        otherwise its reverse.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of its range.

    References
    ----------
    Ba, Kiros and Hinton, Layer normalization, arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.LayerNorm(2, eps=0)(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        device: Any = None,
    ) -> None:
        neutral(device=device)
        sizes = (
            normalized_shape if isinstance(normalized_shape, list | tuple) else (normalized_shape,)
        )
        self.normalized_shape = tuple(integer("normalized_shape", size, 1) for size in sizes)
        if not sizes:
            raise ValueError("normalized_shape is (), expected at least one axis")
        super().__init__(self.normalized_shape, eps, elementwise_affine, bias, real_dtype(dtype))

    def config(self) -> dict[str, Any]:
        shape = self.normalized_shape
        config: dict[str, Any] = {"normalized_shape": shape[0] if len(shape) == 1 else shape}
        if self.eps != 1e-5:
            config["eps"] = self.eps
        if self.weight is None:
            config["elementwise_affine"] = False
        elif self.bias is None:
            config["bias"] = False
        return config

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if input_shape[-len(self.normalized_shape) :] != self.normalized_shape:
            last = ", ".join(map(str, self.normalized_shape))
            raise ValueError(
                f"{self!r} takes input of shape (n, ..., {last}), got {shape_text(input_shape)}"
            )
        return input_shape

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_array(x, "x")
        self.output_shape(x.shape[1:])
        x = as_input(x, self._own_dtype())
        rows = x.reshape(-1, math.prod(self.normalized_shape))
        out = np.empty_like(rows)
        xhat, rstd = (
            (np.empty_like(rows), np.empty(len(rows), rows.dtype)) if training else (None, None)
        )
        loops(rows.dtype).layer_norm_forward(out, xhat, rstd, rows, *self._affine(), self.eps)
        self._xhat, self._rstd, self._out_shape = xhat, rstd, x.shape if training else None
        return out.reshape(x.shape)

    def backward(self, grad: ArrayLike) -> Array:
        xhat, rstd = training_state(self, "_xhat"), training_state(self, "_rstd")
        grad = as_real(grad, xhat.dtype, "grad")
        assert self._out_shape is not None
        check_grad(self, grad.shape, self._out_shape)
        dout, dx = grad.reshape(xhat.shape), np.empty_like(xhat)
        if self.weight is not None:
            self._set_gradients(dout)
        loops(xhat.dtype).layer_norm_backward(dx, dout, xhat, rstd, self._affine()[0])
        return dx.reshape(grad.shape)
