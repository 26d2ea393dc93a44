"""Number and selection of samples to hold out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnet._utils.validation import integer

Indices = slice | NDArray[np.intp]


def count_of(name: str, value: Any, total: int, noun: str, maximum: int | None = None) -> int:
    """Return the count that a count or a fraction of `total` specifies.

    A fraction above 0 is rounded up to at least one sample.

    Parameters
    ----------
    name : str
        Name of the argument, for error messages.
    value : int or float
        A count, or a fraction below 1.
    total : int
        Number of samples that a fraction refers to.
    noun : str
        Noun for the samples, for error messages.
    maximum : int or None
        The largest count allowed.
    """
    is_float = isinstance(value, float | np.floating)
    if is_float and 0 <= value < 1:
        count = max(1, round(float(value) * total)) if value else 0
        if maximum is None or count <= maximum:
            return count
    return integer(
        name,
        value,
        0,
        maximum,
        wrong_type=ValueError if is_float else TypeError,
        alternative=f"a fraction below 1 of the {total} {noun}",
    )


def last_samples(y: NDArray[Any], count: int, stratify: bool) -> tuple[Indices, Indices]:
    """Return the samples to keep and those to hold out, from the end of the data or of each class.

    Both are in the original order. Classes get counts in proportion to their sizes, rounded by the
    largest remainders. With targets of several numbers, such as one-hot vectors, each combination
    is a class.
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
    counts, remainder = np.divmod(count * sizes, n)
    counts[np.argsort(-remainder, kind="stable")[: count - counts.sum()]] += 1
    by_class = np.argsort(classes, kind="stable")
    held = np.zeros(n, bool)
    for end, last in zip(np.cumsum(sizes), counts, strict=True):
        held[by_class[end - last : end]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
