"""What users pass, turned into what the kernels take: C-contiguous, aligned float32, float64 or int64 arrays.

An array that already fits is used as it is. Nothing here writes to what it is given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cnet._core import FLOAT32, FLOAT64, loops

Array = NDArray[Any]

_LINE = 64
"""Bytes of a cache line."""
_ELEMENTS = 1 << 22
"""Of an array that is made for a moment, about the most."""


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype of a net's arithmetic: float32 or float64, or an error."""
    try:
        result = None if dtype is None else np.dtype(dtype)  # None is float64 to NumPy
    except TypeError:
        result = None
    if result is None or result not in (FLOAT32, FLOAT64):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64'")
    return result


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An array that begins at a cache line, as NumPy's need not: where rows are whole lines, threads then share none."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def as_array(x: ArrayLike, name: str) -> Array:
    """An array of numbers or truth values, of any dtype and layout, without a copy where there need be none.

    Raises
    ------
    TypeError
        If `x` is sparse or does not hold real numbers.
    """
    if hasattr(x, "toarray"):
        raise TypeError(f"{name} is a sparse matrix, which cnet does not take: convert it with {name}.toarray()")
    try:
        array = np.asarray(x)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # the last: a PyTorch tensor that wants gradients
        raise TypeError(f"{name} cannot be read as an array of real numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array


def as_real(x: ArrayLike, dtype: np.dtype[Any], name: str) -> Array:
    """An array of `dtype` that a kernel takes."""
    if type(x) is np.ndarray and x.dtype == dtype and (flags := x.flags).c_contiguous and flags.aligned:
        return x
    return np.require(as_array(x, name), dtype, ("C", "A"))


def as_input(x: ArrayLike, dtype: np.dtype[Any] | None = None) -> Array:
    """A batch of `dtype`.

    Without a dtype it is that of `x` where arithmetic is done in it, and else float32.
    """
    array = x if type(x) is np.ndarray else as_array(x, "x")
    dtype = float_dtype(array) if dtype is None else dtype
    return as_real(array, dtype, "x")


def float_dtype(x: Array) -> np.dtype[Any]:
    """The dtype of arithmetic on `x` where no parameter tells it."""
    return FLOAT64 if x.dtype.kind == "f" and x.dtype.itemsize == FLOAT64.itemsize else FLOAT32


def rows_at_a_time(shape: tuple[int, ...], most: int) -> int:
    """How many rows of a shape to work on at once: so many, or fewer if they are long, so that memory for them stays bounded."""
    return max(1, min(most, _ELEMENTS // max(1, math.prod(shape))))


def check_finite(x: Array, name: str, dtype: np.dtype[Any]) -> None:
    """Raise ValueError for a float that is not finite once it is of `dtype`; by a kernel, or a block of rows at a time, to spare memory."""
    if x.dtype.kind != "f":
        return
    if x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned and loops(dtype).all_finite(x.reshape(-1)):
        return
    rows = rows_at_a_time(x.shape[1:], 4096)
    narrowed = x.dtype.itemsize > dtype.itemsize
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        finite = np.abs(block) <= np.finfo(dtype).max if narrowed else np.isfinite(block)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            index = (where[0] + start, *where[1:])
            raise ValueError(f"{name} holds {x[index]} at {index}: every value must be finite{f' in {dtype}' if np.isfinite(x[index]) else ''}")


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """The source of random numbers that a seed stands for; None draws one from the operating system."""
    try:
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed is {seed!r}, expected an integer of at least 0, or None") from None


def shape_text(shape: tuple[int, ...]) -> str:
    """The shape of a batch whose rows have `shape`, for people: (n, 784)."""
    return f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
