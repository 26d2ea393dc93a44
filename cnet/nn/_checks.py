"""Checks of the calls of a layer: shapes of input and gradient, and the order of the calls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnet._utils.arrays import Array, shape_text

if TYPE_CHECKING:
    from cnet.nn._module import Module


def check_row_shape(layer: Module, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `got`, the shape of a sample, is `expected`."""
    if got == expected:
        return
    hint = ""
    if not got and len(expected) == 1:
        hint = (
            "; for samples of one number pass x[:, None]"
            if expected == (1,)
            else "; for a single sample pass x[None]"
        )
    elif len(expected) == 1 and math.prod(got) == expected[0]:
        hint = "; put nn.Flatten() before it, or reshape x to " + shape_text(expected)
    raise ValueError(
        f"{layer!r} takes input of shape {shape_text(expected)}, got {shape_text(got)}{hint}"
    )


def check_grad(layer: Module, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless `got`, the shape of a gradient, is `expected`."""
    if got != expected:
        raise ValueError(
            f"{layer!r} got a gradient of shape {got}, expected {expected}: the shape of its last "
            "training output"
        )


def training_state(module: Module, name: str) -> Array:
    """Return an attribute that `forward` stored for `backward`.

    Raises RuntimeError if there was no training batch.
    """
    state: Array | None = getattr(module, name)
    if state is None:
        raise RuntimeError(f"{module!r}: call forward(x, training=True) before backward")
    return state
