"""Samples of a fit, and their split for early stopping."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from cnet._utils.arrays import Array


class Samples(NamedTuple):
    """Samples for training or validation."""

    x: Array
    y: Array
    """Labels or targets as the caller passed them."""
    encoded: Array
    """Targets in the form for the network."""
    weights: Array | None

    def take(self, indices: Array) -> Samples:
        """Return the samples with these indices."""
        return Samples(
            self.x[indices],
            self.y[indices],
            self.encoded[indices],
            None if self.weights is None else self.weights[indices],
        )


def split(
    encoded: Array,
    strata: Array | None,
    fraction: float,
    random_state: np.random.RandomState,
    classes: Array | None,
) -> tuple[Array, Array]:
    """Return random indices of the samples to train on and to hold out.

    Parameters
    ----------
    encoded : ndarray, shape (n_samples, ...)
        Targets in the form for the network.
    strata : ndarray of int, shape (n_samples,), or None
        Stratum of each sample: both parts have the same fraction of each. None draws from all
        samples alike.
    fraction : float
        Fraction of the samples to hold out. Their number is rounded up.
    random_state : RandomState
        Source of random numbers.
    classes : ndarray, shape (2,), or None
        Labels of the two classes, if there are two: then the parts are scikit-learn's.

    Raises
    ------
    ValueError
        If there are too few samples.
    """
    indices = np.arange(len(encoded))
    if classes is not None:
        train, test = _of_two_classes(
            indices, encoded.astype(bool), fraction, random_state, classes
        )
    elif strata is None:
        train, test = train_test_split(indices, random_state=random_state, test_size=fraction)
    else:
        train, test = _stratified(strata, fraction, random_state)
    if len(test) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    return train, test


def _of_two_classes(
    indices: Array,
    second: Array,
    fraction: float,
    random_state: np.random.RandomState,
    classes: Array,
) -> tuple[Array, Array]:
    try:
        train, test = train_test_split(
            indices, random_state=random_state, test_size=fraction, stratify=second
        )
    except ValueError as error:
        names = (
            f"False is class {classes[0]!r} and True class {classes[1]!r}"
            if len(classes) == 2
            else f"the only class is {classes[0]!r}"
        )
        raise ValueError(
            f"{error}. early_stopping=True holds out {fraction:g} of the {len(indices)} samples, "
            f"with samples of each class in both parts ({names}): raise validation_fraction, pass "
            "validation data as X_val and y_val, add samples, or use early_stopping=False"
        ) from None
    return train, test


def _stratified(
    strata: Array, fraction: float, random_state: np.random.RandomState
) -> tuple[Array, Array]:
    """Return the indices of a stratified split, by systematic sampling.

    The samples are sorted by stratum, in random order within each, and those at even distances are
    held out. The number from a stratum differs from its exact fraction by less than one sample. The
    only sample of a stratum is held out only if there are too few others.
    """
    n = len(strata)
    held_out = math.ceil(fraction * n)
    order = random_state.permutation(n)
    order = order[np.argsort(strata[order], kind="stable")]
    candidates = order[np.bincount(strata)[strata[order]] > 1]
    if len(candidates) < held_out:
        candidates = order
    if not 0 < held_out < n:
        raise ValueError(
            f"validation_fraction is {fraction:g}, which leaves no samples in one of the two "
            f"parts of {n} samples"
        )
    places = (np.arange(held_out) + random_state.uniform()) * len(candidates) / held_out
    test = candidates[places.astype(np.intp)]
    return random_state.permutation(np.setdiff1d(order, test)), test
