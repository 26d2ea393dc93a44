"""Two overlapping digits in one image: a task for networks with two heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._dataset import Dataset, Split, build
from ._digits import SIZE, digits, generator
from ._holdout import count_of, whole_number

HEIGHT = 42
_STREAMS = ("train", "validation", "test")
_PAIRS = 4  # the first of their random streams: 0 to 3 draw the digits

_Arrays = tuple[NDArray[Any], NDArray[np.int64]]


def multi_digit(
    source: Dataset | None = None,
    *,
    train: int | None = None,
    test: int | None = None,
    validation: float | None = None,
    seed: int = 0,
    normalize: bool = True,
    flatten: bool = True,
    standardize: bool = False,
) -> Dataset:
    """Put two digits into each image, one above the other: 42 x 28 pixels with two labels.

    The upper digit has rows 0 to 27 and the lower one rows 14 to 41; where they overlap, the
    brighter pixel counts. The digits of a split of the result come from the same split of `source`,
    so that no digit is in two splits. Within a split, digits are paired at random, and each is used
    once as the upper and once as the lower one before any is used again.

    Parameters
    ----------
    source : Dataset, optional
        Where to take digits from: images of 28 x 28 pixels, such as those of ``datasets.mnist()``.
        By default they are drawn, by `digits`.
    train, test : int, optional
        How many images, train at least 1; without test images the result has no test split. By
        default as many as `source` has digits, and 10,000 and 2,000 if they are drawn.
    validation : int or float, optional
        The same for the validation split: a count, or a fraction of `train`. By default as many as
        `source` has digits, and none if they are drawn.
    seed : int, default 0
        Of the pairs, and of the digits if they are drawn.
    normalize : bool, default True
        float32 in [0, 1]. With False, uint8 in [0, 255]: then `source` has to be loaded with
        ``normalize=False`` too.
    flatten : bool, default True
        Images of shape (n, 1176) instead of (n, 1, 42, 28).
    standardize : bool, default False
        float32 with mean 0 and standard deviation 1 for each pixel of the training split.

    Returns
    -------
    Dataset
        ``y`` is int64 of shape (n, 2): the upper digit and the lower one.

    Raises
    ------
    TypeError
        If `source` is no Dataset, or a count or the seed is not a number.
    ValueError
        If a count or the seed is too small, or if `source` lacks the split, is standardized already
        or holds no images of 28 x 28 pixels with one label each.

    Examples
    --------
    >>> from cnet import datasets
    >>> datasets.multi_digit(train=50, test=20)
    Dataset(
        train=Split(x: float32 (50, 1176), y: int64 (50, 2)),
        validation=None,
        test=Split(x: float32 (20, 1176), y: int64 (20, 2)),
    )
    >>> digits = datasets.digits(train=100, test=20)
    >>> datasets.multi_digit(digits, train=200, flatten=False).train
    Split(x: float32 (200, 1, 42, 28), y: int64 (200, 2))
    """
    seed = whole_number("seed", seed)
    if source is None:
        train = whole_number("train", 10_000 if train is None else train, least=1)
        test = whole_number("test", 2_000 if test is None else test)
        validation = count_of(
            "validation", 0 if validation is None else validation, train, "training images"
        )
        source = digits(train, test, validation=validation, seed=seed, normalize=False)
    elif not isinstance(source, Dataset):
        raise TypeError(
            f"source is of type {type(source).__name__}, expected a Dataset such as "
            "datasets.mnist()"
        )
    elif source.mean is not None:
        raise ValueError(
            "source is standardized already: load it without standardize=True, and ask for it here"
        )
    elif not normalize and source.train.x.dtype != np.uint8:
        raise ValueError(
            f"source holds {source.train.x.dtype} images, and normalize=False asks for uint8: "
            "load it with normalize=False too"
        )
    train = whole_number("train", len(source.train.x) if train is None else train, least=1)
    validation = count_of(
        "validation",
        _size(source.validation) if validation is None else validation,
        train,
        "training images",
    )
    test = whole_number("test", _size(source.test) if test is None else test)

    images, labels = _pairs("train", source.train, train, seed)
    if validation:
        more_images, more_labels = _pairs("validation", source.validation, validation, seed)
        images, labels = (
            np.concatenate([images, more_images]),
            np.concatenate([labels, more_labels]),
        )
    test_images, test_labels = _pairs("test", source.test, test, seed) if test else (None, None)
    return build(
        images,
        labels,
        test_images,
        test_labels,
        validation=validation,
        normalize=normalize,
        flatten=flatten,
        one_hot=False,
        standardize=standardize,
    )


def _size(split: Split | None) -> int:
    return 0 if split is None else len(split.x)


def _pairs(name: str, split: Split | None, count: int, seed: int) -> _Arrays:
    """Images of two digits of a split, and the labels of both."""
    if split is None or not len(split.x):
        raise ValueError(
            f"source has no {name} digits to make {count} images of: load it with some, or ask "
            f"for {name}=0"
        )
    images, labels = _digits_of(name, split)
    rounds = np.tile(np.arange(len(images)), (-(-count // len(images)), 1))
    upper, lower = (
        generator(seed, _PAIRS + _STREAMS.index(name), place)
        .permuted(rounds, axis=1)
        .ravel()[:count]
        for place in range(2)
    )
    pairs = np.zeros((count, HEIGHT, SIZE), images.dtype)
    pairs[:, :SIZE] = images[upper]
    below = pairs[:, HEIGHT - SIZE :]
    np.maximum(below, images[lower], out=below)
    return pairs, np.stack([labels[upper], labels[lower]], axis=1)


def _digits_of(name: str, split: Split) -> _Arrays:
    """The images of a split, shape (n, SIZE, SIZE), and their labels, shape (n,)."""
    x, y = split
    if x.shape[1:] not in ((SIZE * SIZE,), (SIZE, SIZE), (1, SIZE, SIZE)):
        raise ValueError(
            f"source.{name} holds inputs of shape {x.shape}, expected images of {SIZE} x {SIZE} "
            "pixels"
        )
    labels = y.argmax(axis=1) if y.ndim == 2 and y.dtype.kind == "f" else y
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"source.{name} has targets {y.dtype} of shape {y.shape}, expected a label or a "
            "one-hot row for each image"
        )
    return x.reshape(len(x), SIZE, SIZE), labels.astype(np.int64, copy=False)
