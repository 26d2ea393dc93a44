"""What every loader returns: splits of inputs and targets, and the options that shape them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnet._utils.arrays import as_array
from cnet._utils.standardize import feature_statistics, inverse

from ._holdout import Rows, count_of, last_rows

CLASSES = 10
_NOT_BY_CHANCE = 20


class Split(NamedTuple):
    """Inputs and their targets, one row each: ``trainer.fit(*split)`` takes it as it is.

    Attributes
    ----------
    x : ndarray
        Inputs, shape (n, ...).
    y : ndarray
        Targets, n rows: int64 class numbers (`multi_digit`: two of them), or float32 one-hot rows.

    Examples
    --------
    >>> import numpy as np
    >>> Split(np.zeros((2, 784), np.float32), np.array([3, 1]))
    Split(x: float32 (2, 784), y: int64 (2,))
    """

    x: NDArray[Any]
    y: NDArray[Any]

    def __repr__(self) -> str:
        return f"Split(x: {self.x.dtype} {self.x.shape}, y: {self.y.dtype} {self.y.shape})"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training, validation and test data.

    Attributes
    ----------
    train : Split
        What the network learns from.
    validation : Split or None
        Held out from the training set; None if nothing was held out, as ``Trainer.fit`` expects it.
    test : Split or None
        None if the source has no labeled test set.
    mean, std : ndarray of float32 or None
        With ``standardize=True``, the training split's mean and standard deviation of each feature,
        in the shape of one input (``std`` is 0 where a feature never changes). Otherwise None.
    """

    train: Split
    validation: Split | None
    test: Split | None
    mean: NDArray[np.float32] | None = None
    std: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return (
            "Dataset(\n" + "".join(f"    {name}={split},\n" for name, split in parts.items()) + ")"
        )

    def standardize(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Treat new inputs as this data's own inputs were treated.

        Parameters
        ----------
        x : ndarray
            Inputs in the units that `mean` has, shape (n, ...) with the features of this data.

        Returns
        -------
        ndarray of float32
            ``(x - mean) / std``, and 0 where `std` is 0; same shape as `x`.

        Raises
        ------
        ValueError
            If this data was loaded without ``standardize=True``, or if `x` has other features.
        """
        if self.mean is None or self.std is None:
            raise ValueError(
                "this data has no mean and std: it was loaded without standardize=True"
            )
        x = as_array(x, "x")
        if x.shape[1:] != self.mean.shape:
            raise ValueError(
                f"x must have the shape (n, {str(self.mean.shape)[1:].rstrip(',)')}), got {x.shape}"
            )
        result: NDArray[np.float32] = np.subtract(x, self.mean, dtype=np.float32)
        result *= inverse(self.std)
        return result


def build(
    train_images: NDArray[Any],
    train_labels: NDArray[Any],
    test_images: NDArray[Any] | None = None,
    test_labels: NDArray[Any] | None = None,
    *,
    validation: float,
    stratify: bool = False,
    normalize: bool,
    flatten: bool,
    one_hot: bool,
    standardize: bool,
) -> Dataset:
    """Split images and labels, and give them the form that was asked for.

    Parameters
    ----------
    train_images, test_images : ndarray
        Shape (n, height, width): uint8, or float32 in [0, 1]. Both of one dtype.
    train_labels, test_labels : ndarray
        Class numbers 0 to 9, shape (n,) or, where they are not to become one-hot rows, (n, labels).
    validation : int or float
        How many images to take from the end of the training set, a count or a fraction; at least
        one stays in it.
    stratify : bool
        Take them from the end of each class, the same share of each.
    normalize : bool
        float32 in [0, 1]; otherwise uint8.
    flatten : bool
        Inputs of shape (n, height * width) instead of (n, 1, height, width).
    one_hot : bool
        float32 targets of shape (n, 10) instead of int64 of shape (n,).
    standardize : bool
        float32 with mean 0 and standard deviation 1 for each feature of the training split.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError
        If `validation` is not a number.
    ValueError
        If `validation` is negative or leaves no training image, if the images are sorted by label
        and `stratify` is False, if `stratify` finds no two images of one class, or if uint8 is
        asked for and images are not whole pixels.
    """
    if not normalize and train_images.dtype != np.uint8:
        raise ValueError(
            f"normalize=False gives uint8 images, but these are {train_images.dtype}, and not "
            "whole pixels divided by 255: leave normalize=True"
        )
    count = len(train_images)
    held_out = count_of("validation", validation, count, "training images", count - 1)
    if held_out and not stratify and _is_sorted(train_labels):
        raise ValueError(
            f"the training images are sorted by label, so that the last {held_out} are not of all "
            "classes: pass stratify=True, or validation=0"
        )
    kept, held = last_rows(train_labels, held_out, stratify)

    def split(images: NDArray[Any], labels: NDArray[Any]) -> Split:
        n, height, width = images.shape
        x = images.reshape((n, height * width) if flatten else (n, 1, height, width))
        if normalize and x.dtype == np.uint8:
            x = np.divide(x, np.float32(255), dtype=np.float32)
        y = labels.astype(np.int64, copy=False)
        return Split(x, np.eye(CLASSES, dtype=np.float32)[y] if one_hot else y)

    whole = split(train_images, train_labels)
    train = _part(whole, kept)
    rest = _part(whole, held) if held_out else None
    test = None if test_images is None or test_labels is None else split(test_images, test_labels)
    if not standardize:
        return Dataset(train, rest, test)

    mean, std = (statistic.astype(np.float32) for statistic in feature_statistics(train.x))
    raw = Dataset(train, rest, test, mean, std)

    def standardized(part: Split | None) -> Split | None:
        return None if part is None else Split(raw.standardize(part.x), part.y)

    return Dataset(
        Split(raw.standardize(train.x), train.y), standardized(rest), standardized(test), mean, std
    )


def _is_sorted(labels: NDArray[Any]) -> bool:
    """Whether labels ascend or descend, and are too many to do so by chance."""
    if labels.ndim > 1 or len(labels) < _NOT_BY_CHANCE or labels[0] == labels[-1]:
        return False
    before, after = labels[:-1], labels[1:]
    return bool((before <= after).all() or (before >= after).all())


def _part(split: Split, rows: Rows) -> Split:
    return Split(split.x[rows], split.y[rows])
