"""Splitting of custom arrays into a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import as_array
from cnet._utils.validation import integer

from ._dataset import Dataset, Split
from ._holdout import count_of, last_samples


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
    """Split inputs and targets into training, validation and test data.

    Parameters
    ----------
    x : array-like, shape (n, ...)
        Inputs: real numbers of any dtype.
    y : array-like, shape (n, ...)
        Targets, one per sample.
    validation, test : int or float
        Number of samples to hold out for each split, or a fraction of all n. With 0, there is no
        such split. At least one sample is left for training.
    stratify : bool
        Hold out the same fraction of each class.
    shuffle : bool
        Hold out samples at random. Otherwise the test samples are the last ones, and the validation
        samples precede them.
    seed : int
        Non-negative seed of the random order. The same seed gives the same splits.

    Returns
    -------
    Dataset
        Copies of the samples. `x` and `y` are not modified.

    Raises
    ------
    TypeError
        If `x` or `y` does not contain real numbers, if `validation` or `test` is not a number, or
        if `seed` is not an integer.
    ValueError
        If `x` and `y` differ in length or are empty, if `validation` or `test` is negative or no
        sample is left for training, if `stratify` is True but no two samples have the same target,
        or if `seed` is negative.

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
                f"{name} is a single number, expected an array with one entry per sample"
            )
    n = len(inputs)
    if len(targets) != n:
        raise ValueError(f"x has {n} samples, y {len(targets)}: expected one target per sample")
    if not n:
        raise ValueError("x has no samples: there is nothing to train on")
    for_test = count_of("test", test, n, "samples", n - 1)
    for_validation = count_of("validation", validation, n, "samples", n - 1 - for_test)
    seed = integer("seed", seed, 0)

    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    kept, tested = last_samples(targets[order], for_test, stratify)
    order, tested = order[kept], order[tested]
    kept, validated = last_samples(targets[order], for_validation, stratify)

    def part(indices: np.ndarray) -> Split | None:
        return Split(inputs[indices], targets[indices]) if len(indices) else None

    train = order[kept]
    return Dataset(Split(inputs[train], targets[train]), part(order[validated]), part(tested))
