"""How light the paper of a photo is at each pixel, and so how strong the ink is.

Light falls unevenly on paper, hands throw shadows, and lenses darken corners. Three models of the
paper are tried, the simplest first: one level everywhere, a smooth surface, and the image without
anything narrow. A model that follows the paper closely follows thick strokes, too, so the simplest
one that explains the image is used.
"""

import math
from collections.abc import Iterator

import numpy as np

from cnet._utils.arrays import Array

CORE = 0.4  # pixels with more than this share of the strongest ink are ink
EDGE = 0.2  # with less than this, they are paper: shadows, and what JPEG adds
LEAST_INK = 0.1  # weaker ink than this is no ink
_WIDEST = 0.3  # strokes are narrower than this share of the image's shorter side
_RING = 0.04  # width of the border, which is mostly paper, as a fraction of the shorter side
_SOFT = 0.02  # width of a stroke's soft edges, as a fraction of the longer side
_DOUBTFUL = (
    0.25  # share of the levels between the darkest and the lightest that lie beyond that of paper
)
_DARK = np.float32(0.02)  # added to all levels: black paper has no ratio to ink
_FEW = 20  # pixels that may be stronger than the strongest ink: they are noise
_TOLERATED = 0.01  # share of the pixels that a model need not explain


def ink_on_paper(gray: Array) -> tuple[Array, float]:
    """Strength of the ink at each pixel, whether it is dark on light or light on dark.

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
    """How many pixels the soft edge of a stroke may be wide."""
    return max(1, round(_SOFT * max(shape)))


def grown(mask: Array, by: int) -> Array:
    """A mask and all pixels within a square of `by` pixels around its own."""
    from scipy import ndimage

    bigger: Array = ndimage.maximum_filter(mask.view(np.uint8), 2 * by + 1, mode="constant").view(
        bool
    )
    return bigger


def _models(gray: Array) -> Iterator[Array]:
    """Strength of the ink by each model of the paper."""
    from scipy import ndimage

    darkest, lightest = float(gray.min()), float(gray.max())
    level = float(np.median(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])))
    if min(level - darkest, lightest - level) > _DOUBTFUL * (lightest - darkest):
        # Strokes that reach the sides, as where an image is cut close, seldom reach the corners.
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
    # Ink reflects a fraction of what the paper beside it does, whatever the light there is.
    return 1 - (gray + _DARK) / (paper + _DARK)


def _unexplained(ink: Array, peak: float) -> float:
    """Share of the pixels that are neither paper nor a stroke: between the two, or in an area wider
    than strokes are.
    """
    from scipy import ndimage

    peak = max(peak, LEAST_INK)
    core = ink > CORE * peak
    between = (abs(ink) > 0.75 * EDGE * peak) & ~grown(core, spread(ink.shape))
    # A wide area at the side of the image is no ink but a shadow, or the table.
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
    """The quadratic surface that fits the border of the image best, whatever ink touches it."""
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
