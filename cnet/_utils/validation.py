"""Checks of settings that are numbers or switches."""

import math
import operator
import sys
from typing import Any

import numpy as np

MOST = 1 << 53
"""Of anything that is counted: more than there can be, and exact as a float."""


def count(name: str, value: Any, least: int) -> int:
    """A setting that is a whole number, or an error. True and False are no numbers."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} is {value!r}, expected an integer of at least {least}")
    if number < least:
        raise ValueError(f"{name} is {number}, expected an integer of at least {least}")
    return number


def flag(name: str, value: Any) -> bool:
    """A setting that is True or False, or an error."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}, expected True or False")
    return bool(value)


def finite(name: str, value: Any, least: float = -math.inf) -> float:
    """A setting that is a finite number, or an error."""
    wanted = "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected {wanted}")
    number: Any = value
    if not (number >= least and abs(number) <= sys.float_info.max):
        raise ValueError(f"{name} is {number!r}, expected {wanted}")
    return float(number)


def is_number(value: Any) -> bool:
    """Whether a value that a file holds is a finite number, which True and False are not."""
    return (
        type(value) in (int, float) and abs(value) <= sys.float_info.max
    )  # also of an integer too large for a float


def is_count(value: Any) -> bool:
    """Whether a value that a file holds can be the number of something."""
    return type(value) is int and 0 <= value < MOST
