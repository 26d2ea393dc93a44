"""The built-in data set: any number of synthetic digits in the layout of MNIST.

Each digit is one of several manually designed variants (`_strokes`), distorted the way handwriting
varies and rendered with a pen into 28 x 28 pixels. A network trained on these digits alone
recognizes real handwriting, so that examples, tests and first experiments need no download.

A block of digits is drawn in these steps:

1. The hand: the pen *drifts* along its path (a few cosines of the arc length), the sheet is
   *warped* (a sum of a few sine waves over the plane: the smooth random displacements of Simard,
   Steinkraus & Platt, "Best practices for convolutional neural networks applied to visual document
   analysis", 2003, applied to strokes instead of pixels), and the digit is stretched, slanted and
   rotated.
2. The layout of MNIST: the digit is scaled to fit a box of 20 x 20 pixels, with the center of mass
   near pixel (14, 14).
3. The pen: the coverage of each pixel is computed from its distance to the stroke and the pen's
   radius, with soft edges.

In coordinates, x points to the right and y down. The unit is the digit's height until step 2; after
it, the unit is a pixel and the origin is the center of the top left pixel. Images are white on
black, indexed [image, y, x].
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from cnet._utils.arrays import reject_masked
from cnet._utils.validation import integer

from ._dataset import CLASSES, Dataset, build
from ._holdout import count_of
from ._strokes import SAMPLES, load_glyphs

_Float = NDArray[np.float32]

SIZE = 28
_BOX = 20
# Digits that share a stream of random numbers. The arrays of so few digits fit the level-2 cache,
# which makes them faster than those of larger blocks.
_BLOCK = 50

_TRAIN, _VALIDATION, _TEST, _GIVEN_LABELS = range(4)

# Variation between digits: standard deviations, unless a comment says otherwise.
_DRIFT = 0.02  # of the first cosine, relative to the length of the strokes
_DRIFT_COSINES = 6
_DRIFT_DECAY = 0.8  # the amplitude of the k-th cosine is k ** -0.8 times that of the first
_WARP = 0.04  # in digit heights
_WARP_WAVES = 5
_WARP_FREQUENCY = 4.0  # radians per digit height
_ROTATION = 0.13  # radians
_SLANT_MEAN, _SLANT = 0.14, 0.22  # x per y; handwriting leans to the right
_ASPECT_MEAN, _ASPECT = 0.12, 0.14  # logarithm of width / height
_RADIUS_MEDIAN, _RADIUS = 1.25, 0.28  # median in pixels, standard deviation of the logarithm
_RADIUS_RANGE = 0.55, 2.3
_PRESSURE = 0.3  # change of the squared radius along the strokes, in pixels squared
_SOFTNESS_RANGE = 0.8, 1.8  # width of an edge from black to white in pixels, uniform
_OFFSET = 0.5  # maximum, in pixels. MNIST has none, but models trained without it are brittle

# Distance in pixels within which ink of several strokes blends. Below it, samples show as dots.
_BLEND = 0.7


def digits(
    train: int = 10_000,
    test: int = 2_000,
    *,
    validation: float = 0,
    seed: int = 0,
    normalize: bool = True,
    flatten: bool = True,
    one_hot: bool = False,
    standardize: bool = False,
) -> Dataset:
    """Generate synthetic handwritten digits: a data set that needs no files.

    The images have the layout of MNIST, and the result has the same form as that of `mnist`. Every
    ten consecutive labels are the digits 0 to 9 in random order, so the classes are balanced. The
    splits use independent random streams. Image ``i`` of a split depends only on `seed`, so that
    generating more images does not change the first ones.

    Parameters
    ----------
    train : int, default 10_000
        Number of training images, at least 1.
    test : int, default 2_000
        Number of test images. With 0, the result has no test split.
    validation : int or float, default 0
        Number of validation images, or a fraction of `train`. They are generated in addition to the
        training images. With 0, the result has no validation split. The classes are balanced, so
        that there is no `stratify` option.
    seed : int, default 0
        Non-negative seed. The same seed generates the same digits. (Between machines, a pixel may
        differ by 1 of 255 where NumPy rounds differently.)
    normalize : bool, default True
        Divide pixels by 255, to float32 in [0, 1]. With False, pixels are uint8 in [0, 255], which
        take a quarter of the memory, for networks that begin with ``nn.Rescale(1 / 255)``.
    flatten : bool, default True
        Return images of shape (n, 784) instead of (n, 1, 28, 28).
    one_hot : bool, default False
        Return float32 one-hot vectors, shape (n, 10) instead of int64 labels, shape (n,).
    standardize : bool, default False
        Return float32 with mean 0 and standard deviation 1 for each pixel of the training split.

    Returns
    -------
    Dataset

    Raises
    ------
    TypeError
        If `train`, `test` or `seed` is not an integer, or `validation` is not a number.
    ValueError
        If `train` is less than 1, if `test` or `seed` is negative, or if `validation` is negative
        or is a float of 1 or more.

    Examples
    --------
    >>> from cnet import datasets
    >>> datasets.digits(train=100, test=20)
    Dataset(
        train=Split(x: float32 (100, 784), y: int64 (100,)),
        validation=None,
        test=Split(x: float32 (20, 784), y: int64 (20,)),
    )
    """
    train = integer("train", train, 1)
    test = integer("test", test, 0)
    validation = count_of("validation", validation, train, "training images")
    seed = integer("seed", seed, 0)

    images = np.empty((train + validation, SIZE, SIZE), np.uint8)
    labels = np.concatenate(
        [_balanced_labels(train, seed, _TRAIN), _balanced_labels(validation, seed, _VALIDATION)]
    )
    _draw(labels[:train], seed, _TRAIN, out=images[:train])
    _draw(labels[train:], seed, _VALIDATION, out=images[train:])
    test_images = np.empty((test, SIZE, SIZE), np.uint8)
    test_labels = _balanced_labels(test, seed, _TEST)
    _draw(test_labels, seed, _TEST, out=test_images)
    return build(
        images,
        labels,
        test_images if test else None,
        test_labels if test else None,
        validation=validation,
        normalize=normalize,
        flatten=flatten,
        one_hot=one_hot,
        standardize=standardize,
    )


def draw_digits(labels: ArrayLike, seed: int = 0) -> NDArray[np.uint8]:
    """Generate one synthetic handwritten digit for each label.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Digits to generate, 0 to 9.
    seed : int, default 0
        Non-negative seed. Image ``i`` depends only on `seed`, ``i`` and ``labels[i]``.

    Returns
    -------
    uint8 array, shape (n, 28, 28)
        White on black: 0 is the background, 255 is ink.

    Raises
    ------
    TypeError
        If the labels or the seed are not integers.
    ValueError
        If the labels are not one-dimensional or not in 0 to 9, or if the seed is negative.

    Examples
    --------
    >>> from cnet import datasets
    >>> datasets.draw_digits([3, 1, 4]).shape
    (3, 28, 28)
    """
    checked = _checked_labels(labels)
    images = np.empty((len(checked), SIZE, SIZE), np.uint8)
    _draw(checked, integer("seed", seed, 0), _GIVEN_LABELS, out=images)
    return images


def _checked_labels(labels: ArrayLike) -> NDArray[np.int64]:
    """Return labels as int64, shape (n,). Raise TypeError or ValueError for others."""
    reject_masked(labels, "labels")
    array = np.asarray(labels)
    if array.ndim != 1:
        raise ValueError(f"labels has shape {array.shape}, expected (n,)")
    if not array.size:
        return np.empty(0, np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"labels has dtype {array.dtype}, expected integers")
    if array.min() < 0 or array.max() >= CLASSES:
        raise ValueError(
            f"labels holds {array.min()} to {array.max()}, expected 0 to {CLASSES - 1}"
        )
    return array.astype(np.int64)


def generator(seed: int, *key: int) -> Generator:
    """Return the random stream of a key. Streams of different keys are independent."""
    return Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def _balanced_labels(count: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Return labels, shape (count,), with each digit once in every ten consecutive labels."""
    rows = np.tile(np.arange(CLASSES), (-(-count // CLASSES), 1))
    return generator(seed, stream).permuted(rows, axis=1).ravel()[:count]


def _draw(labels: NDArray[np.int64], seed: int, stream: int, *, out: NDArray[np.uint8]) -> None:
    """Draw digits into `out`, shape (n, SIZE, SIZE), in blocks, so that memory stays bounded."""
    for block, start in enumerate(range(0, len(labels), _BLOCK)):
        part = labels[start : start + _BLOCK]
        # Always draw a whole block, so that its random numbers do not depend on how many of its
        # digits are needed.
        whole = np.zeros(_BLOCK, np.int64)
        whole[: len(part)] = part
        out[start : start + _BLOCK] = _draw_block(whole, generator(seed, stream, block))[
            : len(part)
        ]


def _draw_block(labels: NDArray[np.int64], rng: Generator) -> NDArray[np.uint8]:
    """Draw a block of digits, shape (_BLOCK, SIZE, SIZE)."""
    glyphs = load_glyphs()
    # Single precision is required: in double precision, 9 plus a number just below 1 rounds to 10.
    glyph = np.searchsorted(glyphs.share, labels + rng.random(_BLOCK, np.float32), side="right")
    curve = _sheared(_warped(_drifted(glyphs.curves[glyph], glyphs.length[glyph], rng), rng), rng)
    radius = (_RADIUS_MEDIAN * np.exp(_RADIUS * _normal(rng))).clip(*_RADIUS_RANGE)
    curve, length = _laid_out(curve, radius, glyphs.pen_down[glyph])
    ink = _inked(
        curve,
        length * _pressure(rng),
        radius,
        rng.uniform(*_SOFTNESS_RANGE, _BLOCK).astype(np.float32),
    )
    centered = _centered(ink, rng.uniform(-_OFFSET, _OFFSET, (2, _BLOCK)))
    images: NDArray[np.uint8] = np.rint(centered * np.float32(255)).astype(np.uint8)
    return images


def _normal(rng: Generator, *shape: int) -> _Float:
    """Return standard normal numbers, shape (_BLOCK, *shape)."""
    return rng.standard_normal((_BLOCK, *shape), np.float32)


def _drifted(curve: _Float, length: _Float, rng: Generator) -> _Float:
    """Let the pen stray smoothly along its path: loops open and close, tails grow and shrink."""
    k = np.arange(1, _DRIFT_COSINES + 1, dtype=np.float32)
    way = np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None]
    strength = _DRIFT * length[:, None, None] * k[:, None] ** -_DRIFT_DECAY
    drift: _Float = np.cos(np.pi * k * way) @ (strength * _normal(rng, _DRIFT_COSINES, 2))
    return curve + drift


def _warped(curve: _Float, rng: Generator) -> _Float:
    """Displace the strokes by a smooth random field, so that nearby parts move together."""
    wave = _WARP_FREQUENCY * _normal(rng, 2, _WARP_WAVES)
    phase = rng.uniform(0, 2 * np.pi, (_BLOCK, 1, _WARP_WAVES)).astype(np.float32)
    strength = _WARP * math.sqrt(2 / _WARP_WAVES)
    warp: _Float = np.sin(curve @ wave + phase) @ (strength * _normal(rng, _WARP_WAVES, 2))
    return curve + warp


def _sheared(curve: _Float, rng: Generator) -> _Float:
    """Change the aspect ratio, the slant and the rotation."""
    width = np.exp(_ASPECT_MEAN + _ASPECT * _normal(rng))
    slant = _SLANT_MEAN + _SLANT * _normal(rng)
    angle = _ROTATION * _normal(rng)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[width * cos, width * sin], [-slant * cos - sin, -slant * sin + cos]])
    sheared: _Float = curve @ matrix.transpose(2, 0, 1)
    return sheared


def _laid_out(curve: _Float, radius: _Float, pen_down: _Float) -> tuple[_Float, _Float]:
    """Scale strokes and pen to the box, and move the center of mass to the middle of the image.

    Returns
    -------
    curve : array, shape (_BLOCK, SAMPLES, 2)
        The strokes in pixels.
    length : array, shape (_BLOCK, SAMPLES)
        The length of stroke that each sample represents, in pixels.
    """
    extent = np.ptp(curve, axis=1).max(axis=1)
    curve = curve * ((_BOX - 2 * radius) / extent)[:, None, None]
    step = np.sqrt(np.square(np.diff(curve, axis=1)).sum(axis=2)) * pen_down
    length = np.zeros(curve.shape[:2], np.float32)
    length[:, 1:] = step
    length[:, :-1] += step
    length /= 2
    center = (length[:, None] @ curve) / length.sum(axis=1)[:, None, None]
    return curve + (np.float32(SIZE / 2) - center), length


def _pressure(rng: Generator) -> _Float:
    """Return the pressure of the pen along its path, shape (_BLOCK, SAMPLES)."""
    way = np.linspace(-1, 1, SAMPLES, dtype=np.float32)
    weight: _Float = np.exp(_PRESSURE * (_normal(rng, 1) * way + _normal(rng, 1) * np.sin(3 * way)))
    return weight


def _inked(curve: _Float, weight: _Float, radius: _Float, softness: _Float) -> _Float:
    """Return the coverage of each pixel by ink, in [0, 1], shape (_BLOCK, SIZE, SIZE).

    The distance d of a pixel from the strokes is the smooth minimum over the samples s, ::

        d**2 = -2 b**2 log(sum over s of weight[s] exp(-|pixel - s|**2 / (2 b**2)) / (sqrt(2 pi) b))

    which is exact for a straight stroke of weight 1 per pixel. A two-dimensional Gaussian is the
    product of one in x and one in y, so the sum over the samples is one matrix product for each
    image, without a loop over pairs of a pixel and a sample.
    """
    x, y = _gaussians(curve[..., 0]), _gaussians(curve[..., 1])
    y *= (weight / np.float32(math.sqrt(2 * math.pi) * _BLEND))[:, None]
    field = y @ x.transpose(0, 2, 1)
    np.maximum(field, np.finfo(np.float32).tiny, out=field)
    np.log(field, out=field)
    field *= np.float32(-2 * _BLEND**2)
    np.maximum(field, 0, out=field)
    distance = np.sqrt(field, out=field)
    ink: _Float = (radius[:, None, None] - distance) / softness[:, None, None] + np.float32(0.5)
    return ink.clip(0, 1)


def _gaussians(position: _Float) -> _Float:
    """Return exp(-(pixel - position)**2 / (2 _BLEND**2)), shape (_BLOCK, SIZE, SAMPLES)."""
    pixel = np.arange(SIZE, dtype=np.float32)[:, None]
    exponent: _Float = (pixel - position[:, None]) * np.float32(1 / (math.sqrt(2) * _BLEND))
    np.square(exponent, out=exponent)
    # The limit keeps products of two above the subnormal numbers, which are slow.
    np.minimum(exponent, 40, out=exponent)
    np.negative(exponent, out=exponent)
    return np.exp(exponent, out=exponent)


def _centered(ink: _Float, offset: NDArray[np.float64]) -> _Float:
    """Shift images by whole pixels, as in MNIST: center of mass at pixel (14, 14) plus `offset`."""
    pixel = np.arange(SIZE)
    profiles = np.stack([ink.sum(axis=2), ink.sum(axis=1)])
    center = profiles @ pixel / profiles.sum(axis=2)
    shift = np.rint(center - SIZE // 2 + offset).astype(np.int64)
    # A margin of one empty pixel represents everything outside the image.
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    row, column = (pixel + shift[..., None] + 1).clip(0, SIZE + 1)
    image = np.arange(_BLOCK)[:, None, None]
    shifted: _Float = padded[image, row[:, :, None], column[:, None, :]]
    return shifted
