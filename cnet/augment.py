"""Random variations of training images: an `Augment` says which, and `Trainer.fit` or a call makes
them.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._data.samples import AugmentedRows, Rows
from cnet._utils.arrays import Array, check_finite, float_dtype, seed_sequence
from cnet._utils.image_shape import image_layout, image_shape, pair_of
from cnet._utils.standardize import feature_statistics, inverse
from cnet._utils.stored import as_rows

__all__ = ["Augment"]

_EPOCHS = 1 << 32


class Augment:
    """Shows each image a little different in each epoch.

    An image is scaled, sheared, rotated, shifted and perhaps mirrored about its center, all at once
    and read between pixels (bilinear interpolation); its pixels are displaced by a smooth random
    field; noise is added; and the result is standardized. Each amount is drawn uniformly up to the
    given one, in either direction. What comes in from beyond the edges is 0.

    The random numbers of an image depend on the seed, the epoch and the image's row alone (Philox
    4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): results are the
    same for any batch size and number of threads.

    Parameters
    ----------
    shift : float
        Pixels, along each axis.
    rotation : float
        Degrees, at most 180.
    scale : float
        As a fraction of the size, below 1: with 0.1, images are 0.9 to 1.1 times as large.
    shear : float
        Degrees, below 90, by which vertical lines are slanted.
    elastic : (alpha, sigma) or None
        The elastic distortion of Simard, Steinkraus and Platt, "Best practices for convolutional
        neural networks applied to visual document analysis", 2003: for each pixel a displacement
        drawn uniformly up to `alpha` pixels along each axis, smoothed by a Gaussian of standard
        deviation `sigma`, at least 1 pixel. They took (34, 4) for MNIST, which moves pixels by 1.4
        (root mean square).
    noise : float
        Standard deviation of normal noise, added to each element: 0.1 is much for images in [0, 1],
        and 25 for uint8 images in [0, 255]. (The normal distribution is cut off at about 3.5.)
    flip : bool
        Mirror half of the images, left to right. Not for digits.
    standardize : bool
        Give each element mean 0 and standard deviation 1 over the training images, as `fit` or else
        the first ``Trainer.fit`` measures them, before any distortion. ``Trainer.fit`` does it to
        validation data too; for all other images see `standardized`.
    shape : (height, width) or None
        Of images that come as flat rows; None takes them for squares.
    seed : int or None
        None draws one from the operating system.

    Attributes
    ----------
    mean, std : ndarray of float64 or None
        What `fit` measured, in the shape of an image; ``std`` is 0 where an element never changes,
        and such an element is 0 in all results.

    Raises
    ------
    TypeError, ValueError
        If a setting is not a number in its range.

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
        self.shift = _number("shift", shift)
        self.rotation = _number("rotation", rotation, most=180)
        self.scale = _number("scale", scale, below=1)
        self.shear = _number("shear", shear, below=90)
        self.noise = _number("noise", noise)
        self.elastic = None
        if elastic is not None:
            alpha, sigma = pair_of("elastic", elastic, "(alpha, sigma), such as (34, 4)")
            self.elastic = (
                _number("alpha of elastic", alpha),
                _number("sigma of elastic", sigma, least=1),
            )
        for name, value in (("flip", flip), ("standardize", standardize)):
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{name} is {value!r}, expected True or False")
        self.flip, self.standardize = bool(flip), bool(standardize)
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
        """The images as an epoch shows them.

        Parameters
        ----------
        x : array-like, shape (n, height, width), (n, channels, height, width) or (n, pixels)
            Real numbers of any dtype, uint8 too.
        epoch : int
            From 0.

        Returns
        -------
        ndarray
            Of the shape of `x`: float64 if `x` is, and else float32.

        Raises
        ------
        TypeError, ValueError
            If `x` holds no images, or `epoch` is not a number from 0.
        RuntimeError
            If they are to be standardized and `fit` has not been called.
        """
        rows = self.rows(_images(x))
        rows.epoch = _epoch(epoch)
        return rows.take(np.arange(len(rows)))

    def fit(self, x: ArrayLike) -> Augment:
        """Measure `mean` and `std`, which only ``standardize=True`` asks for.

        Parameters
        ----------
        x : array-like
            The training images, as for a call.

        Returns
        -------
        Augment
            This one.
        """
        rows = _images(x)
        image_layout(rows.row_shape, self.shape)
        if not len(rows):
            raise ValueError("x has no rows: their mean is not defined")
        self.mean, self.std = feature_statistics(rows.x)
        return self

    def standardized(self, x: ArrayLike) -> Array:
        """Images that are standardized as training images are, and otherwise left as they are.

        Parameters
        ----------
        x : array-like
            As for a call.

        Returns
        -------
        ndarray
            As from a call.

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
        """The rows of a data set, augmented as they are taken; without `random`, they are only
        standardized.

        Parameters
        ----------
        rows : Rows
        random : bool
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
    """What uniform noise on a grid is multiplied by, from the left and the right, to give a field
    of displacements.

    A field smoothed by a Gaussian holds no finer detail, so noise on a grid as coarse as `sigma`
    will do in place of noise at each pixel, stronger by `sigma`: mean square and correlation are
    those of the fine grid to 1 in 1000, and in corners to a few in 100.
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
    """Quantiles 0/256 to 256/256 of the normal distribution; the outermost, which are infinite,
    such that the variance is 1.
    """
    from statistics import NormalDist

    inner = np.array([NormalDist().inv_cdf(i / 256) for i in range(1, 256)])
    a, b = inner[:-1], inner[1:]
    variance = (a * a + a * b + b * b).sum() / (3 * 256)
    last = inner[-1]
    end = (math.sqrt(last * last - 4 * (last * last - 3 * 128 * (1 - variance))) - last) / 2
    return np.concatenate([[-end], inner, [end]])


def _images(x: ArrayLike) -> Rows:
    array: Any = as_rows(x, "x")
    rows = Rows(array, float_dtype(array))
    check_finite(array, "x", rows.dtype)
    return rows


def _number(
    name: str, value: Any, least: float = 0, most: float | None = None, below: float | None = None
) -> float:
    limits = (
        f"from {least:g} to {most:g}"
        if most is not None
        else f"from {least:g} to below {below:g}"
        if below is not None
        else f"of at least {least:g}"
    )
    wanted = f"{name} is {value!r}, expected a number {limits}"
    if isinstance(value, bool | str | bytes):
        raise TypeError(wanted)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(wanted) from None
    if not (
        math.isfinite(number)
        and number >= least
        and (most is None or number <= most)
        and (below is None or number < below)
    ):
        raise ValueError(wanted)
    return number


def _epoch(epoch: Any) -> int:
    wanted = f"epoch is {epoch!r}, expected an integer of at least 0"
    try:
        number = operator.index(epoch)
    except TypeError:
        raise TypeError(wanted) from None
    if not 0 <= number < _EPOCHS:
        raise ValueError(wanted)
    return number
