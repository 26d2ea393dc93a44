"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_input, as_real, real_dtype
from cnet._utils.validation import integer
from cnet.nn import init
from cnet.nn._checks import check_grad, check_row_shape, training_state
from cnet.nn._module import Module
from cnet.nn._neutral import neutral
from cnet.nn._parameter import Parameter


class Linear(Module):
    """Fully connected layer: ``y = x @ weight + bias``.

    The input `x` has shape (n, in_features) and the output `y` shape (n, out_features), with the
    dtype of the parameters.

    Parameters
    ----------
    in_features, out_features : int
        Numbers of features of an input and of an output, at least 1.
    bias : bool
        Whether the layer has a bias.
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
    weight : Parameter, shape (in_features, out_features)
        Weights. `state_dict` transposes them to PyTorch's shape.
    bias : Parameter, shape (out_features,), or None
        Biases.

    Raises
    ------
    TypeError
        If a size or the seed is not an integer.
    ValueError
        If a size is below 1, the seed is negative, or an initializer or the dtype is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Linear(3, 2, weight_init="zeros")(np.ones((4, 3))).shape
    (4, 2)
    """

    _saved = ("_x",)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_init: init.Initializer | str | None = None,
        bias_init: init.Initializer | str | None = None,
        seed: int | None = None,
        dtype: DTypeLike = np.float32,
        device: Any = None,
    ) -> None:
        neutral(device=device)
        self.in_features = integer("in_features", in_features, 1)
        self.out_features = integer("out_features", out_features, 1)
        dtype = real_dtype(dtype)
        self.weight = Parameter(
            (self.in_features, self.out_features), dtype=dtype, initializer=init.get(weight_init)
        )
        self.bias = (
            Parameter((self.out_features,), dtype=dtype, initializer=init.get(bias_init))
            if bias
            else None
        )
        self._x: Array | None = None
        self._fill(seed)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.in_features,)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_row_shape(self, input_shape, (self.in_features,))
        return (self.out_features,)

    def config(self) -> dict[str, Any]:
        shape = {"in_features": self.in_features, "out_features": self.out_features}
        return shape if self.bias else {**shape, "bias": False}

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_input(x, self.weight.dtype)
        check_row_shape(self, x.shape[1:], (self.in_features,))
        out = np.empty((len(x), self.out_features), x.dtype)
        loops(x.dtype).linear_forward(
            out, x, self.weight.data, self.bias.data if self.bias else None
        )
        self._x = x if training else None
        return out

    def backward(self, grad: ArrayLike) -> Array:
        grad = as_real(grad, self.weight.dtype, "grad")
        self.backward_params(grad)
        dx = np.empty((len(grad), self.in_features), grad.dtype)
        loops(grad.dtype).linear_backward_input(dx, grad, self.weight.data)
        return dx

    def backward_params(self, grad: ArrayLike) -> None:
        grad = as_real(grad, self.weight.dtype, "grad")
        x = training_state(self, "_x")
        check_grad(self, grad.shape, (len(x), self.out_features))
        weight_grad = np.empty(self.weight.shape, grad.dtype)
        loops(grad.dtype).linear_backward_weight(weight_grad, x, grad)
        self.weight.grad = weight_grad
        if self.bias:
            bias_grad = np.empty(self.bias.shape, grad.dtype)
            loops(grad.dtype).linear_backward_bias(bias_grad, grad)
            self.bias.grad = bias_grad
