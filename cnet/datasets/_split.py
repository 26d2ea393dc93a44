"""Arrays of one's own, divided as the loaders' are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import as_array

from ._dataset import Dataset, Split
from ._holdout import count_of, last_rows, whole_number


def split(
    x: ArrayLike,
    y: ArrayLike,
    *,
    validation: float = 0.1,
    test: float = 0,
    stratify: bool = False,
    shuffle: bool = True,
    seed: int = 0,
) -> Dataset:
    """Divide inputs and targets into training, validation and test data.

    Parameters
    ----------
    x : array-like, shape (n, ...)
        Inputs: real numbers of any dtype.
    y : array-like
        Targets, n rows.
    validation, test : int or float
        How many rows to hold out for each: a count, or a fraction of all n; none with 0. At least
        one row is left to train on.
    stratify : bool
        Hold out the same share of each class.
    shuffle : bool
        Take rows at random; otherwise those for testing from the end, and those for validation from
        before them.
    seed : int
        Of the random order. The same seed gives the same splits.

    Returns
    -------
    Dataset
        Of copies; `x` and `y` stay as they are.

    Raises
    ------
    TypeError
        If `x` or `y` holds no real numbers, or a count is none.
    ValueError
        If `x` and `y` differ in length, if nothing is left to train on, or if `stratify` finds no
        two rows of one class.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import datasets
    >>> datasets.split(np.zeros((50, 3)), np.arange(50) % 5, validation=0.1, test=10, stratify=True)
    Dataset(
        train=Split(x: float64 (35, 3), y: int64 (35,)),
        validation=Split(x: float64 (5, 3), y: int64 (5,)),
        test=Split(x: float64 (10, 3), y: int64 (10,)),
    )
    """
    inputs, targets = as_array(x, "x"), as_array(y, "y")
    for name, array in (("x", inputs), ("y", targets)):
        if not array.ndim:
            raise ValueError(
                f"{name} is a single number, expected an array with one row per example"
            )
    n = len(inputs)
    if len(targets) != n:
        raise ValueError(f"x has {n} rows, y {len(targets)}: expected one target per row")
    if not n:
        raise ValueError("x has no rows: there is nothing to train on")
    for_test = count_of("test", test, n, "rows", n - 1)
    for_validation = count_of("validation", validation, n, "rows", n - 1 - for_test)
    seed = whole_number("seed", seed)

    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    kept, tested = last_rows(targets[order], for_test, stratify)
    order, tested = order[kept], order[tested]
    kept, validated = last_rows(targets[order], for_validation, stratify)

    def part(rows: np.ndarray) -> Split | None:
        return Split(inputs[rows], targets[rows]) if len(rows) else None

    train = order[kept]
    return Dataset(Split(inputs[train], targets[train]), part(order[validated]), part(tested))
