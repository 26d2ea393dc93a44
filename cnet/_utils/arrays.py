"""Conversion of users' arrays to arrays for the kernels: C-contiguous, aligned, and of float32,
float64 or int64.

An array that already fits is used as it is. Arguments are never changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cnet._core import FLOAT32, FLOAT64, loops

Array = NDArray[Any]

_LINE = 64
"""Bytes of a cache line."""
_ELEMENTS = 1 << 22
"""Approximate maximum number of elements of a temporary array."""
_REAL_KINDS = "biuf"
"""Kinds of dtypes of real numbers: truth values, integers, and floats."""
_IN_MEMORY = ("__array_interface__", "__dlpack__", "__dask_graph__", "to_numpy")
"""Attributes of arrays that are in memory, or that their own library should load."""
_MISSING = ("NAType", "NaTType", "NoneType")
"""Types of missing values in Python and pandas."""
_UNREADABLE = (TypeError, ValueError, OverflowError, RuntimeError)
"""Errors of NumPy for objects that are no arrays; the last is for PyTorch tensors that require
gradients.
"""
_TEXT_ADVICE = (
    ": numbers in text become numbers by {name}.astype(float), and labels by np.unique({name}, "
    "return_inverse=True)[1]"
)


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return the dtype of a network: float32 or float64. Others raise ValueError."""
    try:
        name = str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype
        result = None if dtype is None else np.dtype(name)  # None is float64 to NumPy
    except TypeError:
        result = None
    if result is None or result not in (FLOAT32, FLOAT64):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64'")
    return result


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialized array that begins at a cache line, unlike NumPy's.

    If rows are whole cache lines, threads then share none.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def as_array(x: ArrayLike, name: str) -> Array:
    """Return an array of real numbers or truth values, of any dtype and layout.

    It is a copy only if that is necessary.

    Raises
    ------
    TypeError
        If `x` is sparse or does not hold real numbers.
    ValueError
        If values are masked or missing.
    """
    if type(x) is np.ndarray and x.dtype.kind in _REAL_KINDS:
        return x
    array = _converted(x, name)
    if array.dtype.kind not in _REAL_KINDS:
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers{_advice(array, name)}"
        )
    return array


def is_stored(x: Any) -> bool:
    """Return whether `x` is an array outside of memory, such as an ``h5py.Dataset``.

    Such an array has a shape, a dtype and slices, and no attribute for direct access.
    """
    if isinstance(x, np.ndarray | np.generic | list | tuple):
        return False
    try:
        shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    except Exception:  # a file that is closed
        return False
    return (
        isinstance(shape, tuple)
        and bool(shape)
        and all(isinstance(size, int | np.integer) for size in shape)
        and (
            isinstance(dtype, np.dtype | str)
            or (isinstance(dtype, type) and issubclass(dtype, np.generic | int | float))
        )
        and hasattr(x, "__getitem__")
        and not any(hasattr(x, attribute) for attribute in _IN_MEMORY)
    )


def _converted(x: Any, name: str) -> Array:
    """Convert an object that is no ndarray, or an array of objects, to an array of numbers."""
    if hasattr(x, "toarray"):
        raise TypeError(
            f"{name} is a sparse matrix, which cnet does not take: convert it with {name}.toarray()"
        )
    if is_stored(x):
        x = x[0 : x.shape[0]]
    if hasattr(x, "__dask_graph__"):
        x = x.compute()  # what Dask makes of it by itself has no mask
    reject_masked(x, name)
    try:
        array = np.asanyarray(x)
    except _UNREADABLE as error:
        raise _unreadable(x, name, error) from None
    reject_masked(array, name)
    array = np.asarray(array)
    if array.dtype.kind == "O":
        _reject_objects(array, x, name)
        try:
            array = array.astype(np.float64)
        except _UNREADABLE as error:
            raise _unreadable(x, name, error) from None
    return array


def _unreadable(x: Any, name: str, why: object) -> TypeError:
    return TypeError(f"{name} cannot be read as an array of real numbers: {why}{_advice(x, name)}")


def reject_masked(x: Any, name: str) -> None:
    """Raise ValueError if a value of an array, or of a list of arrays, is masked.

    NumPy's functions would drop the mask, and use the values under it.
    """
    for i, part in enumerate(x if isinstance(x, list | tuple) else (x,)):
        if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
            inner = (int(j) for j in np.argwhere(np.ma.getmaskarray(part))[0])
            place = tuple(inner) if part is x else (i, *inner)
            raise ValueError(
                f"{name} is masked at {place}: fill in a value with {name}.filled(value), or "
                "leave out such rows"
            )


def _reject_objects(array: Array, x: Any, name: str) -> None:
    """Raise an error for objects that are no numbers, although NumPy may convert them."""
    if not array.ndim:
        raise _unreadable(x, name, f"it is of type {type(x).__name__}")
    columns = getattr(x, "columns", ())
    for kind in {*map(type, array.ravel().tolist())}:
        is_text = issubclass(kind, str | bytes)
        if is_text or kind.__name__ in _MISSING:
            place, value = _first(array, kind)
            where = (
                f"row {place[0]}, column {columns[place[1]]!r}"
                if len(place) == 2 and len(columns) == array.shape[1]
                else place
            )
            if is_text:
                raise TypeError(
                    f"{name} holds the text {value!r:.40} at {where}, expected real "
                    f"numbers{_TEXT_ADVICE.format(name=name)}"
                )
            raise ValueError(
                f"{name} holds a missing value ({value}) at {where}: fill it in, or leave out "
                "such rows"
            )


def _first(array: Array, kind: type) -> tuple[tuple[int, ...], Any]:
    """Return the index and the value of the first element of a type."""
    index = next(i for i, value in enumerate(array.ravel().tolist()) if type(value) is kind)
    place = tuple(int(i) for i in np.unravel_index(index, array.shape))
    return place, array[place]


def _advice(x: Any, name: str) -> str:
    """Return advice for an object without real numbers of NumPy. It begins with a colon, or is
    empty.
    """
    kind = str(getattr(x, "dtype", ""))
    if isinstance(x, np.ndarray) and x.dtype.kind in "UST":
        return _TEXT_ADVICE.format(name=name)
    if "bfloat16" in kind or "float8" in kind:
        return (
            f": convert it with {name}.{'float()' if hasattr(x, 'float') else 'astype(np.float32)'}"
        )
    if hasattr(x, "collect"):
        return f": read it with {name}.collect()"
    if isinstance(x, dict):
        return f": for columns pass np.column_stack(list({name}.values()))"
    if isinstance(x, Iterator):
        return f": pass list({name})"
    return ""


def as_real(x: ArrayLike, dtype: np.dtype[Any], name: str) -> Array:
    """Return an array of `dtype` that is C-contiguous and aligned, for kernels."""
    if (
        type(x) is np.ndarray
        and x.dtype == dtype
        and (flags := x.flags).c_contiguous
        and flags.aligned
    ):
        return x
    return np.require(as_array(x, name), dtype, ("C", "A"))


def as_input(x: ArrayLike, dtype: np.dtype[Any] | None = None) -> Array:
    """Return a batch of `dtype`; None is float64 for float64 input, else float32."""
    array = x if type(x) is np.ndarray else as_array(x, "x")
    dtype = float_dtype(array) if dtype is None else dtype
    return as_real(array, dtype, "x")


def float_dtype(x: Array) -> np.dtype[Any]:
    """Return the dtype of arithmetic on `x` if no parameter determines it."""
    return FLOAT64 if x.dtype.kind == "f" and x.dtype.itemsize == FLOAT64.itemsize else FLOAT32


def rows_at_a_time(shape: tuple[int, ...], most: int) -> int:
    """Return the number of samples of a shape to process at once: at most `most`, and fewer if they
    are large, so that memory for them is bounded.
    """
    return max(1, min(most, _ELEMENTS // max(1, math.prod(shape))))


def check_finite(x: Array, name: str, dtype: np.dtype[Any]) -> None:
    """Raise ValueError for a number that is not finite after conversion to `dtype`.

    A kernel checks the whole array; an array that it does not take is checked in blocks.
    """
    if x.dtype.kind != "f":
        return
    if (
        isinstance(x, np.ndarray)
        and x.dtype == dtype
        and x.flags.c_contiguous
        and x.flags.aligned
        and loops(dtype).all_finite(x.reshape(-1))
    ):
        return
    rows = rows_at_a_time(x.shape[1:], 4096)
    narrowed = x.dtype.itemsize > dtype.itemsize
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        finite = np.abs(block) <= np.finfo(dtype).max if narrowed else np.isfinite(block)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            index = (where[0] + start, *where[1:])
            raise ValueError(
                f"{name} holds {block[where]} at {index}: every value must be "
                f"finite{f' in {dtype}' if np.isfinite(block[where]) else ''}"
            )


def seed_sequence(seed: Any) -> np.random.SeedSequence:
    """The source of random numbers that a seed stands for; None draws one from the operating
    system.
    """
    try:
        return np.random.SeedSequence(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed is {seed!r}, expected an integer of at least 0, or None") from None


def shape_text(shape: tuple[int, ...]) -> str:
    """Return the shape of a batch of samples of `shape` as text, such as (n, 784)."""
    return f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
