"""Losses of `Trainer.step` with a given gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import Array, as_array, as_real, check_finite
from cnet.nn._losses import Loss, check_loss_grad


class GivenGradient(Loss):
    """A loss of 0. The target is its gradient with respect to the output."""

    _compiled = True

    def prepare_target(
        self, target: ArrayLike, output_shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        grad = as_array(target, "grad")
        if grad.shape[1:] != output_shape:
            shape = ", ".join(map(str, ("n", *output_shape)))
            raise ValueError(
                f"grad has shape {grad.shape}, expected that of the outputs, ({shape})"
            )
        check_finite(grad, "grad", dtype)
        return as_real(grad, dtype, "grad")

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        return 0.0, target

    def _program_labels(self, target: Array) -> None:
        return None


class GradientFunction(Loss):
    """A loss from a function of the output that returns the gradient, or the loss and the gradient.

    Targets are not used.
    """

    _compiled = False

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function

    def forward_backward(self, output: Array, target: Array) -> tuple[float, Array]:
        result = self.function(output)
        loss, grad = result if isinstance(result, tuple) and len(result) == 2 else (0.0, result)
        grad = as_real(as_array(grad, "grad"), output.dtype, "grad")
        check_loss_grad(self, grad, output, target)
        check_finite(grad, "grad", output.dtype)
        return float(loss), grad

    def __repr__(self) -> str:
        return "grad"
