"""What users pass, turned into what the kernels take: C-contiguous float32, float64 or int64 arrays.

An array that already fits is used as it is. Nothing here writes to what it is given.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cnet._core import FLOAT32, FLOAT64

Array = NDArray[Any]


def real_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype of a net's arithmetic: float32 or float64, or an error."""
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result not in (FLOAT32, FLOAT64):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float64'")
    return result


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
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} cannot be read as an array of real numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array


def as_real(x: ArrayLike, dtype: np.dtype[Any], name: str = "x") -> Array:
    """A C-contiguous array of `dtype`. uint8 is taken as grey levels and divided by 255."""
    if type(x) is np.ndarray and x.dtype == dtype and x.flags.c_contiguous:
        return x
    array = as_array(x, name)
    if array.dtype == np.uint8:
        return np.divide(array, 255, dtype=dtype, order="C")
    return np.ascontiguousarray(array, dtype) if array.ndim else array.astype(dtype)


def check_finite(x: Array, name: str, rows: int = 4096) -> None:
    """Raise ValueError for a NaN or an infinity in a float array; a block of rows at a time, to spare memory."""
    if x.dtype.kind != "f":
        return
    for start in range(0, len(x), rows):
        finite = np.isfinite(x[start : start + rows])
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            index = (where[0] + start, *where[1:])
            raise ValueError(f"{name} holds {x[index]} at {index}: every value must be finite")


def shape_text(shape: tuple[int, ...]) -> str:
    """The shape of a batch whose rows have `shape`, for people: (n, 784)."""
    return f"({', '.join(['n', *map(str, shape)])}{'' if shape else ','})"
