"""The result of every loader: splits of inputs and targets, and the options that shape them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnet._utils.arrays import as_array, shape_text
from cnet._utils.standardize import feature_statistics, inverse

from ._holdout import Indices, count_of, last_samples

CLASSES = 10
_NOT_BY_CHANCE = 20


class Split(NamedTuple):
    """Inputs and targets, one per sample. It can be passed on as ``trainer.fit(*split)``.

    Attributes
    ----------
    x : ndarray
        Inputs, shape (n, ...).
    y : ndarray
        Targets, one per sample: int64 labels (two per image for `multi_digit`), or float32 one-hot
        vectors.

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
        Data for training.
    validation : Split or None
        Data held out from the training set. None, as ``Trainer.fit`` accepts it, if nothing was
        held out.
    test : Split or None
        Test data. None if the source has no labeled test set.
    mean, std : ndarray of float32 or None
        Mean and standard deviation of each feature over the training split, in the shape of one
        input, with ``standardize=True``. `std` is 0 for a constant feature. None otherwise.
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
        """Standardize new inputs with this data set's mean and standard deviation.

        Parameters
        ----------
        x : ndarray
            Inputs in the units of `mean`, shape (n, ...) with the same features as this data set.

        Returns
        -------
        ndarray of float32
            ``(x - mean) / std``, or 0 where `std` is 0. Same shape as `x`.

        Raises
        ------
        ValueError
            If this data set was loaded without ``standardize=True``, or if the shape of a sample in
            `x` differs from that of `mean`.
        """
        if self.mean is None or self.std is None:
            raise ValueError(
                "this data has no mean and std, because it was loaded without standardize=True"
            )
        x = as_array(x, "x")
        if x.shape[1:] != self.mean.shape:
            raise ValueError(f"x has shape {x.shape}, expected {shape_text(self.mean.shape)}")
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
    """Split images and labels, and convert them to the requested form.

    Parameters
    ----------
    train_images, test_images : ndarray
        Shape (n, height, width), uint8 or float32 in [0, 1]. Both have the same dtype.
    train_labels, test_labels : ndarray
        Labels 0 to 9, shape (n,). With ``one_hot=False``, shape (n, labels) is also accepted.
    validation : int or float
        Number or fraction of images to hold out from the end of the training set. At least one
        image is left for training.
    stratify : bool
        Hold out images from the end of each class, the same fraction of each class.
    normalize : bool
        Return float32 in [0, 1] instead of uint8.
    flatten : bool
        Return inputs of shape (n, height * width) instead of (n, 1, height, width).
    one_hot : bool
        Return float32 targets of shape (n, 10) instead of int64 of shape (n,).
    standardize : bool
        Return float32 with mean 0 and standard deviation 1 for each feature of the training split.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError
        If `validation` is not a number.
    ValueError
        If `validation` is negative or leaves no training image, if the images are sorted by label
        and `stratify` is False, if `stratify` is True but no two images have the same label, or if
        `normalize` is False and the images are not stored as whole numbers from 0 to 255.
    """
    if not normalize and train_images.dtype != np.uint8:
        raise ValueError(
            f"normalize=False returns uint8 images, but these are {train_images.dtype} and are not "
            "whole numbers divided by 255; leave normalize=True"
        )
    count = len(train_images)
    held_out = count_of("validation", validation, count, "training images", count - 1)
    if held_out and not stratify and _is_sorted(train_labels):
        raise ValueError(
            f"the training images are sorted by label, so the last {held_out} do not represent all "
            "classes; pass stratify=True or validation=0"
        )
    kept, held = last_samples(train_labels, held_out, stratify)

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
    """Whether there are enough labels to rule out chance, and they ascend or descend."""
    if labels.ndim > 1 or len(labels) < _NOT_BY_CHANCE or labels[0] == labels[-1]:
        return False
    before, after = labels[:-1], labels[1:]
    return bool((before <= after).all() or (before >= after).all())


def _part(split: Split, indices: Indices) -> Split:
    return Split(split.x[indices], split.y[indices])
