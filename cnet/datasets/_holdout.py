"""Selection of samples to hold out: how many, and which."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.intp]


def whole_number(name: str, value: Any, minimum: int = 0) -> int:
    """Return an argument as an int, or raise an error that states what is expected."""
    wanted = f"{name} must be an integer of at least {minimum}; got {value!r}"
    if isinstance(value, bool):
        raise TypeError(wanted)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(wanted) from None
    if number < minimum:
        raise ValueError(wanted)
    return number


def count_of(name: str, value: Any, whole: int, rows: str, most: int | None = None) -> int:
    """Return the count that a count or a fraction of `whole` specifies.

    A fraction above 0 is rounded up to at least one sample.

    Parameters
    ----------
    name : str
        Name of the argument, for error messages.
    value : int or float
        A count, or a fraction below 1.
    whole : int
        The total that a fraction refers to.
    rows : str
        Noun for the samples, for error messages.
    most : int or None
        The largest count allowed.
    """
    limits = "from 0" if most is None else f"from 0 to {most}"
    wanted = (
        f"{name} must be an integer {limits}, or a fraction below 1 of the {whole} {rows}; "
        f"got {value!r}"
    )
    if isinstance(value, bool):
        raise TypeError(wanted)
    try:
        count = operator.index(value)
    except TypeError:
        if not isinstance(value, float | np.floating):
            raise TypeError(wanted) from None
        if not 0 <= value < 1:
            raise ValueError(wanted) from None
        count = max(1, round(float(value) * whole)) if value else 0
    if count < 0 or (most is not None and count > most):
        raise ValueError(wanted)
    return count


def last_rows(y: NDArray[Any], count: int, stratify: bool) -> tuple[Rows, Rows]:
    """Return the samples to keep and those to hold out, from the end of the data or of each class.

    Both are in the original order. Classes get counts in proportion to their sizes, rounded by the
    largest remainders. With targets of several numbers, such as one-hot rows, each combination is a
    class.
    """
    n = len(y)
    if not stratify:
        return slice(0, n - count), slice(n - count, n)
    if y.ndim == 1:
        _, classes = np.unique(y, return_inverse=True)
    else:
        _, classes = np.unique(y.reshape(n, -1), axis=0, return_inverse=True)
        classes = classes.ravel()
    sizes = np.bincount(classes)
    if len(sizes) == n > 1:
        raise ValueError(
            f"stratify requires targets that are classes, but all {n} samples have different "
            "targets; pass stratify=False"
        )
    share, remainder = np.divmod(count * sizes, n)
    share[np.argsort(-remainder, kind="stable")[: count - share.sum()]] += 1
    by_class = np.argsort(classes, kind="stable")
    held = np.zeros(n, bool)
    for end, last in zip(np.cumsum(sizes), share, strict=True):
        held[by_class[end - last : end]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
