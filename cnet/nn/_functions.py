"""Plain functions as layers and losses, which `Sequential` and `Trainer` wrap.

A function for a layer returns its output, and a function that maps the gradient of the output to
that of the input. A function for a loss returns the loss and its gradient. Networks with such
functions run in the eager engine, as those with custom classes do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import Array, as_array, as_input
from cnet.nn._losses import Loss, check_loss_grad
from cnet.nn._module import Module


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type | Module | Loss)


def as_layer(value: Any) -> Any:
    """Return a layer for a plain function, and any other value unchanged."""
    return FunctionLayer(value) if _is_function(value) else value


def as_loss(value: Any) -> Any:
    """Return a loss for a plain function, and any other value unchanged."""
    return FunctionLoss(value) if _is_function(value) else value


LossFunction = Callable[[Array, Array], tuple[float, ArrayLike]]
"""A function of output and target that returns the mean loss of a mini-batch, and its gradient."""


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))


class FunctionLayer(Module):
    """A layer without parameters, from a function of a batch.

    ``function(x)`` returns ``(output, backward)``, where ``backward(grad)`` is the gradient with
    respect to `x`. It may return only the output if no gradient has to pass.
    """

    _compiled = False
    _saved = ("_backward",)

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function
        self._backward: Callable[[Array], ArrayLike] | None = None

    def _call(self, x: Array) -> tuple[Array, Any]:
        """Return the output, in the dtype of `x`, and the backward function or None."""
        result = self.function(x)
        output, backward = (
            result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        )
        output = np.asarray(output, x.dtype)
        if output.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"{self!r} returned an output of shape {output.shape} for {len(x)} samples, "
                "expected one output for each"
            )
        return output, backward

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        with np.errstate(all="ignore"):
            return self._call(np.zeros((1, *input_shape), np.float32))[0].shape[1:]

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        output, backward = self._call(as_input(x))
        self._backward = backward if training else None
        return output

    def backward(self, grad: ArrayLike) -> Array:
        grad = as_array(grad, "grad")
        if self._backward is None:
            raise RuntimeError(
                f"{self!r} has no way back: call forward(x, training=True) before, and let the "
                "function return (output, backward), where backward(grad) is the gradient with "
                "respect to x"
            )
        return np.asarray(self._backward(grad), grad.dtype)

    def backward_params(self, grad: ArrayLike) -> None:
        """Do nothing, since there are no parameters."""

    def __repr__(self) -> str:
        return f"FunctionLayer({_name(self.function)})"


class FunctionLoss(Loss):
    """A loss from a function.

    ``function(output, target)`` returns the mean loss of a batch, and its gradient with respect to
    the output.
    """

    _compiled = False

    def __init__(self, function: Callable[[Array, Array], Any]) -> None:
        self.function = function
        self._grad: Array | None = None

    def forward(self, output: ArrayLike, target: ArrayLike) -> float:
        output = as_array(output, "output")
        result = self.function(output, as_array(target, "target"))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"{self!r} returned {type(result).__name__}, expected (loss, gradient with "
                "respect to the output)"
            )
        loss, grad = result
        self._grad = np.asarray(grad, output.dtype)
        check_loss_grad(self, self._grad, output, target)
        return float(loss)

    def backward(self) -> Array:
        if self._grad is None:
            raise RuntimeError(f"{self!r}: call forward before backward")
        return self._grad

    def __repr__(self) -> str:
        return f"FunctionLoss({_name(self.function)})"
