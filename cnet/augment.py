"""Augmentation: random transformations of training images."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._data.samples import AugmentedRows, Rows
from cnet._utils.arrays import Array, check_finite, float_dtype, seed_sequence
from cnet._utils.image_shape import image_layout, image_shape
from cnet._utils.standardize import feature_statistics, inverse
from cnet._utils.stored import as_rows
from cnet._utils.validation import flag, integer, real, two

__all__ = ["Augment"]

_EPOCHS = 1 << 32


class Augment:
    """Random transformations of images, different for each image and epoch.

    An augmented image is computed in this order:

    1. Mirroring, shear, rotation and scaling about the center, and a shift.
    2. Displacement of each pixel by a smooth random field (`elastic`).
    3. Addition of noise.
    4. Standardization.

    Steps 1 and 2 are one mapping: each output pixel is interpolated bilinearly between four input
    pixels. Outside of the image, the input is 0. Shift, angles and scale are drawn from uniform
    distributions.

    The random numbers of an image depend only on the seed, the epoch and the index of the sample
    (generator Philox 4x32-10). The result does not depend on the batch size or the number of
    threads.

    Parameters
    ----------
    shift : float
        Maximum shift in pixels: the shift along each axis is in [-shift, shift].
    rotation : float
        Maximum angle in degrees, at most 180: the angle is in [-rotation, rotation].
    scale : float
        Maximum change of the size, below 1: the factor is in [1 - scale, 1 + scale].
    shear : float
        Maximum slant of vertical lines in degrees, below 90: the angle is in [-shear, shear].
    elastic : (alpha, sigma) or None
        Elastic distortion: a displacement of each pixel along each axis, drawn uniformly from
        [-alpha, alpha] and smoothed by a Gaussian of standard deviation `sigma`, at least 1 pixel.
        Simard, Steinkraus and Platt used (34, 4) for MNIST, which moves pixels by 1.4 (root mean
        square).
    noise : float
        Standard deviation of the normal noise that is added to each element. 0.1 is much for images
        in [0, 1], and 25 for uint8 images in [0, 255]. The distribution is cut off at about 3.5
        standard deviations.
    flip : bool
        Whether to mirror an image left to right, with probability 1/2. Not for digits.
    standardize : bool
        Whether to replace each element `x` by ``(x - mean) / std``, with the mean and the standard
        deviation of this element over the training images. `fit` or else the first ``Trainer.fit``
        computes them from images that are not augmented. ``Trainer.fit`` also standardizes
        validation data; for other images see `standardized`.
    shape : (height, width) or None
        Size of images that are flat, of shape (n, pixels). None is for square images.
    seed : int or None
        Seed of the random numbers. None draws one from the operating system.

    Attributes
    ----------
    mean, std : ndarray of float64 or None
        Mean and standard deviation of each element, in the shape of an image. None before `fit`. An
        element that is the same in all training images has a `std` of 0, and is 0 in all results.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds.

    References
    ----------
    Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to visual
    document analysis, ICDAR 2003.

    Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011 (Philox).

    Examples
    --------
    >>> import cnet
    >>> from cnet import datasets, nn, optim
    >>> from cnet.augment import Augment
    >>> x, y = datasets.digits(train=100, test=0).train
    >>> augment = Augment(shift=2, rotation=15, scale=0.1, elastic=(34, 4), seed=0)
    >>> augment(x, epoch=3).shape
    (100, 784)
    >>> model = nn.Sequential(nn.Linear(784, 10), seed=0)
    >>> trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> history = trainer.fit(x, y, epochs=2, seed=0, augment=augment, verbose=False)
    """

    def __init__(
        self,
        *,
        shift: float = 0,
        rotation: float = 0,
        scale: float = 0,
        shear: float = 0,
        elastic: tuple[float, float] | None = None,
        noise: float = 0,
        flip: bool = False,
        standardize: bool = False,
        shape: tuple[int, int] | None = None,
        seed: int | None = None,
    ) -> None:
        self.shift = real("shift", shift, 0)
        self.rotation = real("rotation", rotation, 0, 180)
        self.scale = real("scale", scale, 0, below=1)
        self.shear = real("shear", shear, 0, below=90)
        self.noise = real("noise", noise, 0)
        self.elastic = None
        if elastic is not None:
            alpha, sigma = two("elastic", elastic, "(alpha, sigma), such as (34, 4)")
            self.elastic = (
                real("alpha of elastic", alpha, 0),
                real("sigma of elastic", sigma, 1),
            )
        self.flip = flag("flip", flip)
        self.standardize = flag("standardize", standardize)
        self.shape = image_shape(shape)
        self.seed = seed_sequence(seed).entropy
        self.mean: Array | None = None
        self.std: Array | None = None

    def __repr__(self) -> str:
        default = Augment(seed=0)
        settings = {
            name: value
            for name, value in vars(self).items()
            if name not in ("mean", "std", "seed") and value != getattr(default, name)
        }
        shown = [*(f"{name}={value!r}" for name, value in settings.items()), f"seed={self.seed}"]
        return f"Augment({', '.join(shown)})"

    def __call__(self, x: ArrayLike, epoch: int = 0) -> Array:
        """Augment images as in one epoch of training.

        Parameters
        ----------
        x : array-like, shape (n, height, width), (n, channels, height, width) or (n, pixels)
            Images: real numbers of any dtype, such as uint8.
        epoch : int
            Number of the epoch, at least 0. Another epoch gives other images.

        Returns
        -------
        ndarray
            Augmented images, of the shape of `x`: float64 if `x` is, and otherwise float32.

        Raises
        ------
        TypeError, ValueError
            If `x` is not an array of images, or `epoch` is not an integer of at least 0.
        RuntimeError
            If `standardize` is True, and `fit` has not been called.
        """
        rows = self.rows(_images(x))
        rows.epoch = integer("epoch", epoch, 0, _EPOCHS - 1)
        return rows.take(np.arange(len(rows)))

    def fit(self, x: ArrayLike) -> Augment:
        """Compute `mean` and `std`, which only ``standardize=True`` needs.

        Parameters
        ----------
        x : array-like
            Training images, of a shape as for a call.

        Returns
        -------
        Augment
            The object itself.
        """
        rows = _images(x)
        image_layout(rows.row_shape, self.shape)
        if not len(rows):
            raise ValueError("x has no samples: their mean is not defined")
        self.mean, self.std = feature_statistics(rows.x)
        return self

    def standardized(self, x: ArrayLike) -> Array:
        """Standardize images as in training, without random changes.

        With ``standardize=False``, the images do not change.

        Parameters
        ----------
        x : array-like
            Images, of a shape as for a call.

        Returns
        -------
        ndarray
            Images of the shape of `x`: float64 if `x` is, and otherwise float32.

        Examples
        --------
        >>> import numpy as np
        >>> from cnet.augment import Augment
        >>> images = np.array([[1.0, 3.0, 0.0, 0.0], [3.0, 3.0, 0.0, 8.0]])
        >>> augment = Augment(rotation=15, standardize=True).fit(images)
        >>> augment.standardized(np.array([[2.0, 5.0, 5.0, 12.0]]))
        array([[0., 0., 0., 2.]])
        """
        rows = self.rows(_images(x), random=False)
        return rows.take(np.arange(len(rows)))

    def rows(self, rows: Rows, random: bool = True) -> AugmentedRows:
        """Wrap a data set, so that images are augmented when they are taken.

        Parameters
        ----------
        rows : Rows
            Images.
        random : bool
            Whether to apply random transformations. Otherwise, images are only standardized.

        Returns
        -------
        AugmentedRows
            The data set that `Trainer.fit` reads mini-batches from.
        """
        channels, height, width = image_layout(rows.row_shape, self.shape)
        dtype = rows.dtype
        key = np.random.SeedSequence(self.seed).generate_state(2, np.uint32)
        augmentation = loops(dtype).Augmentation(channels, height, width, key)
        if random:
            if self.shift or self.rotation or self.scale or self.shear or self.flip:
                augmentation.affine(
                    self.shift,
                    math.radians(self.rotation),
                    self.scale,
                    math.radians(self.shear),
                    self.flip,
                )
            if self.elastic:
                augmentation.elastic(
                    *_bases(*self.elastic, height, width, augmentation.span, dtype)
                )
            if self.noise:
                augmentation.noise(self.noise, _quantiles().astype(dtype))
        if self.standardize:
            if self.mean is None or self.std is None:
                raise RuntimeError(
                    "standardize=True needs the mean and deviation of training images: call "
                    "fit(x) first"
                )
            if self.mean.shape != rows.row_shape:
                raise ValueError(
                    f"images of shape {rows.row_shape} differ from those that fit measured, "
                    f"{self.mean.shape}"
                )
            augmentation.standardize(
                self.mean.ravel().astype(dtype), inverse(self.std).ravel().astype(dtype)
            )
        return AugmentedRows(rows, augmentation)


def _bases(
    alpha: float, sigma: float, height: int, width: int, span: int, dtype: np.dtype[Any]
) -> tuple[Array, Array]:
    """Return the factors `basis_y` and `basis_x` of ``displacements = basis_y @ noise @ basis_x``.

    They have the shapes (height, nodes) and (nodes, span), and include `alpha`. The noise is
    uniform in [-1, 1].

    A field that is smoothed by a Gaussian has no detail finer than `sigma`. So a grid of noise with
    one node per `sigma` pixels takes the place of noise at each pixel, with an amplitude `sigma`
    times as large. Mean square and correlation are those of the fine grid to 1 in 1000, and in
    corners to a few in 100.
    """

    def gaussians(pixels: int) -> Array:
        nodes = math.ceil((pixels - 1) / sigma) + 3  # one beyond each edge, at least
        place = (pixels - 1) / 2 + sigma * (np.arange(nodes) - (nodes - 1) / 2)
        distance = (np.arange(pixels)[:, None] - place) / sigma
        return np.exp(-np.square(distance) / 2) / math.sqrt(2 * math.pi)

    basis_x = gaussians(width).T
    padded = np.zeros((len(basis_x), span), dtype)
    padded[:, :width] = basis_x
    return (gaussians(height) * (alpha / sigma)).astype(dtype), padded


@functools.cache
def _quantiles() -> Array:
    """Return the quantiles of 0/256 to 256/256 of the standard normal distribution.

    The first and the last, which are infinite, are replaced so that the variance of the linear
    interpolation is 1.
    """
    from statistics import NormalDist

    inner = np.array([NormalDist().inv_cdf(i / 256) for i in range(1, 256)])
    a, b = inner[:-1], inner[1:]
    variance = (a * a + a * b + b * b).sum() / (3 * 256)
    last = inner[-1]
    end = (math.sqrt(last * last - 4 * (last * last - 3 * 128 * (1 - variance))) - last) / 2
    return np.concatenate([[-end], inner, [end]])


def _images(x: ArrayLike) -> Rows:
    """Return images as a data set, after a check that they are finite."""
    array: Any = as_rows(x, "x")
    rows = Rows(array, float_dtype(array))
    check_finite(array, "x", rows.dtype)
    return rows
