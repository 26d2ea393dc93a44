"""Checks of the numeric arguments of layers."""

import operator
import sys
from typing import Any

import numpy as np

Pair = tuple[int, int]

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LARGEST_SIZE = 1 << 48
"""Maximum size of a window. Larger sizes would overflow 64-bit sums in the kernels, and images of
such a size do not fit in memory.
"""


def positive(name: str, value: Any) -> int:
    """Return an argument as an integer of at least 1."""
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected an integer of at least 1") from None
    if size < 1:
        raise ValueError(f"{name} is {size}, expected an integer of at least 1")
    return size


def number(name: str, value: Any, least: float, most: float = sys.float_info.max) -> float:
    """Return an argument as a float from `least` to `most`."""
    if not isinstance(value, int | float | np.number) or not least <= value <= most:
        limit = f" and at most {most:g}" if most < LARGEST_FLOAT32 else ""
        raise ValueError(
            f"{name} is {value!r}, expected a finite number of at least {least:g}{limit}"
        )
    return float(value)


def pair(name: str, value: Any, least: int) -> Pair:
    """Return a pair of integers of at least `least` from one for both axes, or one for each."""
    values = tuple(value) if isinstance(value, list | tuple) else (value, value)
    try:
        y, x = map(operator.index, values)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} is {value!r}, expected an integer of at least {least}, or a pair of them "
            "(height, width)"
        ) from None
    if min(y, x) < least or max(y, x) > _LARGEST_SIZE:
        limit = f" and at most {_LARGEST_SIZE}" if max(y, x) > _LARGEST_SIZE else ""
        raise ValueError(
            f"{name} is {value!r}, expected an integer of at least {least}{limit}, or a pair of "
            "them (height, width)"
        )
    return y, x


def one_or_pair(value: Pair) -> int | Pair:
    """Return a pair in its shortest form, for `Module.config`."""
    return value[0] if value[0] == value[1] else value
