"""Estimation of the paper level at each pixel of a photo, and of the strength of the ink.

Paper is unevenly lit, hands cast shadows, and lenses darken corners. Three models of the paper are
tried in order of complexity: a constant level, a smooth surface, and the image without narrow
structures. A model that follows the paper closely also follows thick strokes, so the simplest model
that explains the image is used.
"""

import math
from collections.abc import Iterator

import numpy as np

from cnet._utils.arrays import Array

CORE = 0.4  # pixels above this fraction of the strongest ink are ink
EDGE = 0.2  # pixels below this fraction are paper, including shadows and JPEG artifacts
MIN_INK = 0.1  # minimum strength of the strongest ink
_WIDEST = 0.3  # maximum width of strokes, as a fraction of the shorter side
_RING = 0.04  # width of the border, which is mostly paper, as a fraction of the shorter side
_SOFT = 0.02  # width of a stroke's soft edges, as a fraction of the longer side
_DOUBTFUL = 0.25  # fraction of the range of levels that may be beyond the paper, opposite the ink
_DARK = np.float32(0.02)  # added to all levels, because black paper has no ratio to ink
_FEW = 20  # number of pixels that may exceed the strongest ink, as noise
_TOLERATED = 0.01  # fraction of the pixels that a model need not explain


def ink_on_paper(gray: Array) -> tuple[Array, float]:
    """Return the strength of the ink at each pixel, for dark on light or light on dark.

    Parameters
    ----------
    gray : ndarray of float32, shape (height, width)
        From 0 to 1, with little noise.

    Returns
    -------
    ink : ndarray of float32, shape (height, width)
        About 0 on paper, and up to 1.
    peak : float
        Strength of the strongest ink.
    """
    found = []
    for ink in _models(gray):
        peak = (
            float(np.partition(ink, -_FEW, axis=None)[-_FEW])
            if ink.size > _FEW
            else float(ink.max())
        )
        left = _unexplained(ink, peak)
        if left <= _TOLERATED:
            return ink, peak
        found.append((ink, peak, left))
    limit = 1.3 * min(left for _, _, left in found)
    return next((ink, peak) for ink, peak, left in found if left <= limit + _TOLERATED)


def spread(shape: tuple[int, ...]) -> int:
    """Return the maximum width of a stroke's soft edge, in pixels."""
    return max(1, round(_SOFT * max(shape)))


def grown(mask: Array, by: int) -> Array:
    """Return a mask dilated by a square of `by` pixels in each direction."""
    from scipy import ndimage

    bigger: Array = ndimage.maximum_filter(mask.view(np.uint8), 2 * by + 1, mode="constant").view(
        bool
    )
    return bigger


def _models(gray: Array) -> Iterator[Array]:
    """Yield the strength of the ink according to each model of the paper."""
    from scipy import ndimage

    darkest, lightest = float(gray.min()), float(gray.max())
    level = float(np.median(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])))
    if min(level - darkest, lightest - level) > _DOUBTFUL * (lightest - darkest):
        # Strokes that touch the sides, as in a tightly cropped image, rarely reach the corners.
        level = float(np.median(gray[[0, 0, -1, -1], [0, -1, 0, -1]]))
    yield _strength(gray, np.full_like(gray, level), level - darkest > lightest - level)
    surface = _surface(gray)
    below, above = np.percentile(gray - surface, [0.2, 99.8])
    dark_ink = bool(-below > above)
    yield _strength(gray, surface, dark_ink)
    without_narrow = (ndimage.grey_closing if dark_ink else ndimage.grey_opening)(
        gray, (_window(gray),) * 2, mode="nearest"
    )
    yield _strength(gray, without_narrow, dark_ink)


def _strength(gray: Array, paper: Array, dark_ink: bool) -> Array:
    if not dark_ink:
        gray, paper = 1 - gray, 1 - paper
    # Ink reflects a constant fraction of the light of the paper next to it, whatever the lighting.
    return 1 - (gray + _DARK) / (paper + _DARK)


def _unexplained(ink: Array, peak: float) -> float:
    """Return the fraction of pixels that are neither paper nor part of a stroke.

    Their level is between the two, or they are in an area wider than strokes.
    """
    from scipy import ndimage

    peak = max(peak, MIN_INK)
    core = ink > CORE * peak
    between = (abs(ink) > 0.75 * EDGE * peak) & ~grown(core, spread(ink.shape))
    # A wide area at the side of the image is not ink, but a shadow or the table.
    wide = ndimage.minimum_filter(core.view(np.uint8), _window(ink), mode="constant").view(bool)
    if wide.any():
        labels, _ = ndimage.label(core)
        at_side = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        between |= np.isin(labels, np.intersect1d(at_side[at_side > 0], labels[wide]))
    return float(np.mean(between))


def _window(gray: Array) -> int:
    return max(3, round(_WIDEST * math.sqrt(gray.size)))


def _ring(shape: tuple[int, ...]) -> Array:
    width = max(1, round(_RING * min(shape)))
    ring = np.ones(shape, bool)
    ring[width:-width, width:-width] = False
    return ring


def _surface(gray: Array) -> Array:
    """Fit a quadratic surface to the border of the image, robust against ink that touches it."""
    height, width = gray.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=-1)
    ring = _ring(gray.shape)
    of_ring, levels = terms[ring], gray[ring]
    weights = np.ones(len(levels), np.float32)
    for _ in range(8):
        coefficients = np.linalg.lstsq(of_ring * weights[:, None], levels * weights, rcond=None)[0]
        off = abs(levels - of_ring @ coefficients)
        weights = 1 / np.hypot(1, off / (3 * np.median(off) + np.float32(1e-4)))
    surface: Array = terms @ coefficients
    return surface
