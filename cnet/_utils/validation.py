"""Checks of arguments: integers, real numbers, flags, pairs and choices.

Every message has the form "name is VALUE, expected ...".
"""

import math
import operator
import sys
from numbers import Real
from typing import Any

import numpy as np

COUNT_LIMIT = 1 << 53
"""Bound of counts: integers below it are exact in float64."""
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_LARGEST_SIZE = 1 << 48
"""Maximum of each integer of a pair. Larger sizes of windows would overflow 64-bit sums in the
kernels, and images of such a size do not fit in memory.
"""

_LONG = 1 << 31
"""Messages write this and larger bounds as powers of two."""

Pair = tuple[int, int]


def integer(
    name: str,
    value: Any,
    minimum: int,
    maximum: int | None = None,
    *,
    wrong_type: type[Exception] = TypeError,
    alternative: str = "",
) -> int:
    """Return an argument as an integer within bounds.

    Parameters
    ----------
    name : str
        Name of the argument, for error messages.
    value : object
        The argument. True and False are not integers.
    minimum, maximum : int
        Bounds, which are allowed values.
    wrong_type : type
        Exception for a value that is not an integer.
    alternative : str
        Another value that the caller accepts, for error messages.

    Raises
    ------
    TypeError, ValueError
        If the value is not an integer, or is out of bounds.
    """
    number = _as_integer(value)
    if number is not None and minimum <= number and (maximum is None or number <= maximum):
        return number
    raise _error(
        wrong_type if number is None else ValueError,
        name,
        value if number is None else number,
        integer_text(minimum, maximum),
        alternative,
    )


def real(
    name: str,
    value: Any,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    wrong_type: type[Exception] = TypeError,
    alternative: str = "",
) -> float:
    """Return an argument as a finite float within bounds.

    Parameters
    ----------
    name : str
        Name of the argument, for error messages.
    value : object
        The argument: any real number of Python or NumPy. True and False are not numbers.
    minimum, maximum : float
        Closed bounds: the bound itself is allowed.
    above, below : float
        Open bounds: the bound itself is not allowed.
    wrong_type : type
        Exception for a value that is not a real number.
    alternative : str
        Another value that the caller accepts, for error messages.

    Raises
    ------
    TypeError, ValueError
        If the value is not a real number, or is not finite or out of bounds.
    """
    number = _as_float(value)
    if number is not None and minimum <= number <= maximum and above < number < below:
        return number
    raise _error(
        wrong_type if number is None else ValueError,
        name,
        value,
        real_text(minimum, maximum, above, below),
        alternative,
    )


def as_float(name: str, value: Any) -> float:
    """Return a metric as a float, which need not be finite.

    Raises
    ------
    TypeError
        If it is a string, or does not convert to a float.
    """
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise _error(TypeError, name, value, "a number")


def flag(name: str, value: Any) -> bool:
    """Return an argument that is True or False.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise _error(TypeError, name, value, "True or False")
    return bool(value)


def pair(name: str, value: Any, minimum: int) -> Pair:
    """Return a pair of integers from one for both axes, or one for each.

    Parameters
    ----------
    name : str
        Name of the argument, for error messages.
    value : int, or list or tuple of two of them
        The argument.
    minimum : int
        Minimum of each integer.

    Raises
    ------
    TypeError, ValueError
        If the value is neither an integer nor a pair, or is out of bounds.
    """
    values = value if isinstance(value, list | tuple) else (value, value)
    sizes = [size for size in map(_as_integer, values) if size is not None]
    error: type[Exception] | None = None
    if not len(values) == len(sizes) == 2:
        error = TypeError
    elif min(sizes) < minimum or max(sizes) > _LARGEST_SIZE:
        error = ValueError
    if error is not None:
        limit = f" and at most {_LARGEST_SIZE}" if max(sizes, default=0) > _LARGEST_SIZE else ""
        expected = f"an integer of at least {minimum}{limit}, or a pair of them (height, width)"
        raise _error(error, name, value, expected)
    return sizes[0], sizes[1]


def two(name: str, value: Any, expected: str) -> tuple[Any, Any]:
    """Return both values of an argument that is a pair of any kind.

    Raises
    ------
    TypeError
        If it does not have two values.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise _error(TypeError, name, value, expected) from None
    return first, second


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return an argument that is one of two or more strings.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        raise _error(ValueError, name, value, f"{', '.join(others)} or {last}")
    return value


def is_number(value: Any) -> bool:
    """Whether a value from a file is a finite number. True and False are not."""
    return (
        type(value) in (int, float) and abs(value) <= sys.float_info.max
    )  # also of an integer too large for a float


def is_count(value: Any) -> bool:
    """Whether a value from a file is a valid count."""
    return type(value) is int and 0 <= value < COUNT_LIMIT


def _as_integer(value: Any) -> int | None:
    """Return an integer as an int, and None for anything else."""
    try:
        return None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        return None


def _as_float(value: Any) -> float | None:
    """Return a real number as a float, and None for anything else.

    A number that is too large for a float becomes infinity.
    """
    if type(value) is float:  # for speed: optimizers check their settings in each step
        return value
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def integer_text(minimum: int, maximum: int | None = None) -> str:
    """Return a description of the integers within bounds.

    The maximum is one less than a power of two if it is large.
    """
    if maximum is None:
        return f"an integer of at least {minimum}"
    if maximum < _LONG:
        return f"an integer from {minimum} to {maximum}"
    return f"an integer of at least {minimum} and below 2**{maximum.bit_length()}"


def real_text(
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> str:
    """Return a description of the real numbers within bounds.

    The limits of float32 count as the bounds of finite numbers.
    """
    closed_low, closed_high = minimum > above, maximum < below
    low, high = max(minimum, above), min(maximum, below)
    bounds = []
    if low > -LARGEST_FLOAT32:
        bounds.append(f" {'of at least' if closed_low else 'above'} {low:g}")
    if high < LARGEST_FLOAT32:
        bounds.append(f" {'at most' if closed_high else 'below'} {high:g}")
    if len(bounds) < 2:
        return f"a finite number{''.join(bounds)}"
    if closed_low and closed_high:
        return f"a number from {low:g} to {high:g}"
    return f"a number{' and'.join(bounds)}"


def _error(
    error: type[Exception], name: str, value: Any, expected: str, alternative: str = ""
) -> Exception:
    """Return an exception with the message that all checks share."""
    return error(f"{name} is {value!r}, expected {expected}{alternative and ', or '}{alternative}")
