"""Activations: functions of each element, and softmax over the elements of a sample.

The backward pass uses the output of the forward pass, which the next layer stores anyway. That of
GELU and SiLU uses the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import CODES, loops
from cnet._utils.arrays import Array, as_array, as_input, as_real
from cnet._utils.validation import LARGEST_FLOAT32, choice, real
from cnet.nn import init
from cnet.nn._checks import check_grad, check_row_shape, training_state
from cnet.nn._images import as_column, as_elements, in_order_of
from cnet.nn._module import Module
from cnet.nn._neutral import neutral


class ElementwiseActivation(Module):
    _kind: int
    _slope: float = 0.0
    _grad_needs_input = False
    """Whether the derivative is computed from the input, and not from the output."""
    _settings: tuple[str, ...] = ()
    """Names of the arguments of the constructor that change the function."""
    _saved = ("_y",)

    def __init__(self) -> None:
        self._y: Array | None = None

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._settings}

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_elements(x)
        out = np.empty_like(x)
        loops(x.dtype).activation_forward(as_column(out), as_column(x), self._kind, self._slope)
        self._y = (x if self._grad_needs_input else out) if training else None
        return out

    def backward(self, grad: ArrayLike) -> Array:
        y = training_state(self, "_y")
        grad = as_array(grad, "grad")
        check_grad(self, grad.shape, y.shape)
        dx, dout = np.empty_like(y), in_order_of(y, grad)
        loops(y.dtype).activation_backward(
            as_column(dx), as_column(dout), as_column(y), self._kind, self._slope
        )
        return dx


class ReLU(ElementwiseActivation):
    """Rectified linear unit: ``max(x, 0)``. The derivative at 0 is 0.

    Parameters
    ----------
    inplace : bool
        For code written for PyTorch. It has no effect.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.ReLU()(np.array([[-1.0, 2.0]]))
    array([[0., 2.]])
    """

    _kind = CODES["RELU"]
    _default_init = init.He()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        neutral(inplace=inplace)


class LeakyReLU(ElementwiseActivation):
    """Leaky ReLU: ``x`` if it is positive, and ``negative_slope * x`` otherwise.

    Parameters
    ----------
    negative_slope : float
        Slope for negative `x`, at least 0: the derivative is computed from the sign of the output.
    inplace : bool
        For code written for PyTorch. It has no effect.

    Raises
    ------
    ValueError
        If the slope is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.LeakyReLU(0.5)(np.array([[-1.0, 2.0]]))
    array([[-0.5,  2. ]])
    """

    _kind = CODES["LEAKY_RELU"]
    _settings = ("negative_slope",)
    _default_init = init.He()

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        neutral(inplace=inplace)
        self._slope = self.negative_slope = real(
            "negative_slope", negative_slope, 0, LARGEST_FLOAT32, wrong_type=ValueError
        )


class Tanh(ElementwiseActivation):
    """Hyperbolic tangent: ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``, without overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Tanh()(np.array([[0.0, 1000.0]]))
    array([[0., 1.]])
    """

    _kind = CODES["TANH"]
    _default_init = init.Xavier()


class Sigmoid(ElementwiseActivation):
    """Logistic function: ``1 / (1 + exp(-x))``, without overflow.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Sigmoid()(np.array([[0.0, -1000.0]]))
    array([[0.5, 0. ]])
    """

    _kind = CODES["SIGMOID"]
    _default_init = init.Xavier()


class ELU(ElementwiseActivation):
    """Exponential linear unit: ``x`` if it is positive, ``alpha * (exp(x) - 1)`` otherwise.

    Parameters
    ----------
    alpha : float
        Negative of the limit for small `x`, at least 0: the derivative is computed from the output.
    inplace : bool
        For code written for PyTorch. It has no effect.

    Raises
    ------
    ValueError
        If alpha is negative or not finite.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, Fast and accurate deep network learning by exponential
    linear units, ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.ELU()(np.array([[-1000.0, 2.0]]))
    array([[-1.,  2.]])
    """

    _kind = CODES["ELU"]
    _settings = ("alpha",)
    _default_init = init.He()

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        neutral(inplace=inplace)
        self._slope = self.alpha = real("alpha", alpha, 0, LARGEST_FLOAT32, wrong_type=ValueError)


class GELU(ElementwiseActivation):
    """Gaussian error linear unit: ``x * P(X <= x)`` for a standard normal X.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        Formula of the probability: "none" is the exact ``(1 + erf(x / sqrt(2))) / 2``, and "tanh"
        is ``(1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``.

    Raises
    ------
    ValueError
        If `approximate` is something else.

    References
    ----------
    Hendrycks and Gimpel, Gaussian error linear units, arXiv:1606.08415, 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.GELU()(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.1587,  0.    ,  0.8413]])
    """

    _settings = ("approximate",)
    _grad_needs_input = True
    _default_init = init.He()

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = choice("approximate", approximate, ("none", "tanh"))
        self._kind = CODES["GELU"] if approximate == "none" else CODES["GELU_TANH"]


class SiLU(ElementwiseActivation):
    """Sigmoid linear unit, also known as swish: ``x / (1 + exp(-x))``.

    Parameters
    ----------
    inplace : bool
        For code written for PyTorch. It has no effect.

    References
    ----------
    Elfwing, Uchibe and Doya, Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning, Neural Networks 107, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.SiLU()(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.2689,  0.    ,  0.7311]])
    """

    _kind = CODES["SILU"]
    _grad_needs_input = True
    _default_init = init.He()

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        neutral(inplace=inplace)


class Softplus(ElementwiseActivation):
    """Smooth approximation of ReLU: ``log(1 + exp(beta * x)) / beta``.

    Parameters
    ----------
    beta : float
        Sharpness, above 0. The larger it is, the closer the function is to ReLU.
    threshold : float
        For code written for PyTorch: 20. Where ``beta * x`` is above it, the output is `x`.

    Raises
    ------
    ValueError
        If `beta` is not a finite number above 0, or `threshold` is not 20.

    References
    ----------
    Dugas, Bengio, Belisle, Nadeau and Garcia, Incorporating second-order functional knowledge for
    better option pricing, NIPS 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Softplus()(np.array([[-1.0, 0.0, 30.0]])).round(4)
    array([[ 0.3133,  0.6931, 30.    ]])
    """

    _kind = CODES["SOFTPLUS"]
    _settings = ("beta",)
    _default_init = init.He()

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        if threshold != 20:
            raise ValueError(
                f"threshold is {threshold!r}, and cnet has only 20: beyond it the output is x to "
                "within 3e-9"
            )
        self._slope = self.beta = real("beta", beta, 0, LARGEST_FLOAT32, wrong_type=ValueError)
        if self.beta == 0:
            raise ValueError("beta is 0, expected a number above 0")


class Softmax(Module):
    """Softmax: ``exp(x) / sum(exp(x))``, with the sum over the elements of each sample.

    Input and output have shape (n, classes). The outputs are probabilities. A network that ends in
    this layer is trained with `NLLLoss`. `CrossEntropyLoss` takes logits and includes softmax,
    which is more precise.

    Parameters
    ----------
    dim : int or None
        Axis of the sum, for code written for PyTorch: -1, 1 or None, all of which are the axis of
        classes.

    Raises
    ------
    ValueError
        If `dim` is another axis.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.Softmax()(np.array([[0.0, 0.0], [0.0, -np.inf]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """

    _default_init = init.Xavier()
    _saved = ("_out",)

    def __init__(self, dim: int | None = -1) -> None:
        neutral(dim=dim)
        self._out: Array | None = None

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            check_row_shape(self, input_shape, (int(np.prod(input_shape)),))
        return input_shape

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_input(x)
        self.output_shape(x.shape[1:])
        out = np.empty_like(x)
        loops(x.dtype).softmax_forward(out, x)
        self._out = out if training else None
        return out

    def backward(self, grad: ArrayLike) -> Array:
        out = training_state(self, "_out")
        grad = as_real(grad, out.dtype, "grad")
        check_grad(self, grad.shape, out.shape)
        dx = np.empty_like(out)
        loops(out.dtype).softmax_backward(dx, grad, out)
        return dx
