"""The layout of MNIST: 28x28 pixels, light on black, the digit in 20x20 pixels and centered."""

import numpy as np

from cnet._utils.arrays import Array
from cnet.cli._ink import Ink, find_ink

SIDE = 28
_BOX = 20
_BOX_RANGE = 17, 22  # size of digits in MNIST's layout; it varies because of their soft edges
_OFF_CENTER = 1.6
_BLACK = 2 / 255


def like_mnist(gray: Array) -> Ink | None:
    """Convert an image to the layout of MNIST.

    An image that is already in this layout, or its negative, keeps its pixels.

    Parameters
    ----------
    gray : ndarray of float32, shape (height, width)
        From 0 to 1. The digit is dark on light or light on dark.

    Returns
    -------
    Ink or None
        `strength` has the shape (28, 28). None if there is no ink.
    """
    for levels in (gray, 1 - gray):
        if _is_like_mnist(levels):
            return Ink(levels, ())
    ink = find_ink(gray)
    return None if ink is None else Ink(_centered(_fitted(ink.strength)), ink.remarks)


def _is_like_mnist(levels: Array) -> bool:
    """Whether an image has the size of MNIST's images, black paper, and the digit in its place."""
    if levels.shape != (SIDE, SIDE) or np.median(levels) > _BLACK:
        return False
    ink = levels > 0.25
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return False
    longest = 1 + max(rows[-1] - rows[0], columns[-1] - columns[0])
    off = max(abs(_center(levels, axis) - SIDE / 2) for axis in (0, 1))
    return bool(_BOX_RANGE[0] <= longest <= _BOX_RANGE[1] and off <= _OFF_CENTER)


def _fitted(ink: Array) -> Array:
    """Scale to fit 20x20 pixels, with the proportions kept and the strongest ink at 1."""
    from PIL import Image

    height, width = ink.shape
    scale = _BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: Array = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)).clip(0)
    small /= small.max()
    return small


def _centered(ink: Array) -> Array:
    """Place in 28x28 pixels with the center of mass in the middle, as far as space permits."""
    image = np.zeros((SIDE, SIDE), np.float32)
    top, left = (
        min(max(round(SIDE / 2 - _center(ink, axis)), 0), SIDE - ink.shape[axis]) for axis in (0, 1)
    )
    image[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return image


def _center(ink: Array, axis: int) -> float:
    """Return the position of the center of mass along an axis, in pixels from the first one."""
    mass = ink.sum(axis=1 - axis)
    return float(mass @ np.arange(len(mass)) / mass.sum())
