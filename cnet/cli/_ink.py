"""Detection of a digit's ink on a photo, without noise, specks, ruled lines and surroundings."""

from typing import NamedTuple

import numpy as np

from cnet._utils.arrays import Array
from cnet.cli._paper import CORE, EDGE, MIN_INK, grown, ink_on_paper, spread
from cnet.cli._ruled import ruled_lines
from cnet.cli._sheet import is_rectangle, sheet_alone

# Limits of the longer side of an image in pixels. Other images are scaled.
_LARGEST, _SMALLEST = 640, 100
# Noise up to the first value is kept. Stronger noise is blurred, with a radius of 40 pixels times
# the noise, within limits.
_NOISE, _BLUR, _BLUR_RANGE = 0.004, 40, (0.7, 2.5)
_FAINT_INK = 0.2
# Minimum ratio of the strongest ink, and of the edges of strokes, to the grain of the paper.
_SURE, _SEEN = 6, 4
# Fractions of the side lengths of the image. A digit smaller than _SMALL is examined again at a
# larger scale. If the ink inside the image is larger than _MIN_SIDE, ink that touches the sides
# of the image is not part of the digit.
_SMALL = 0.2
_MIN_SIDE = 0.12
# Fractions of the ink of the largest part. A part with less than _SPECK is a speck; a part with
# more than _SEPARATE may be another digit.
_SPECK = 0.08
_SEPARATE = 0.35

Box = tuple[slice, slice]


class Ink(NamedTuple):
    """The ink of one digit, cut out of its image.

    Attributes
    ----------
    strength : ndarray of float32, shape (height, width)
        From 0 (paper) to 1.
    remarks : tuple of str
        Reasons for doubt that this is one complete digit.
    """

    strength: Array
    remarks: tuple[str, ...]


def find_ink(gray: Array, closer: int = 2) -> Ink | None:
    """Find the ink of the digit in an image. Return None if there is no ink.

    Parameters
    ----------
    gray : ndarray of float32, shape (height, width)
        From 0 to 1. The ink is dark on light or light on dark.
    closer : int
        Maximum number of times that a part of the image may be examined separately.
    """
    longest = max(gray.shape)
    scale = min(_LARGEST, max(_SMALLEST, longest)) / longest
    image = _without_noise(resized(gray, *(max(1, round(side * scale)) for side in gray.shape)))
    sheet = sheet_alone(image) if closer else None
    found = None if sheet is None else find_ink(sheet, closer - 1)
    if found is not None:
        return found

    ink, peak, grain = _above_paper(*ink_on_paper(image))
    if peak < max(MIN_INK, _SURE * grain):
        return None
    seen = ink > max(EDGE * peak, _SEEN * grain)
    seen &= ~ruled_lines(seen)
    parts = _parts(seen, np.where(seen & (ink > CORE * peak), ink, 0))
    if parts is None:
        return None
    kept, box, remarks = parts
    if closer and scale < 1 and max(kept[box].shape) < _SMALL * max(ink.shape):
        found = find_ink(_around(gray, box, scale), closer - 1)
        if found is not None:
            return found
    if peak < _FAINT_INK:
        remarks.append("the ink is faint")
    strength = (ink[box] / np.percentile(ink[kept], 98)).clip(0, 1) * kept[box]
    return Ink(strength.astype(np.float32), tuple(remarks))


def resized(image: Array, height: int, width: int) -> Array:
    """Scale a float32 image to another size."""
    from PIL import Image

    if image.shape == (height, width):
        return image
    method = Image.Resampling.BOX if height * width < image.size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(image).resize((width, height), method), np.float32)


def _without_noise(image: Array) -> Array:
    """Blur an image according to its noise."""
    from scipy import ndimage

    fine = image - ndimage.uniform_filter(image, 3, mode="nearest")
    noise = 0.92 * float(
        np.percentile(abs(fine), 75)
    )  # the standard deviation, if the noise is normal and dominates the fine structure
    if noise <= _NOISE:
        return image
    blurred: Array = ndimage.gaussian_filter(
        image, float(np.clip(_BLUR * noise, *_BLUR_RANGE)), mode="nearest"
    )
    return blurred


def _above_paper(ink: Array, peak: float) -> tuple[Array, float, float]:
    """Return the ink and its peak relative to the paper level, and the grain of the paper.

    The grain is the standard deviation of the paper.
    """
    paper = ink[abs(ink) < CORE * peak]
    if not paper.size:
        return ink, peak, 0.0
    level = float(np.median(paper))
    return ink - np.float32(level), peak - level, 1.48 * float(np.median(abs(paper - level)))


def _parts(seen: Array, core: Array) -> tuple[Array, Box, list[str]] | None:
    """Return the pixels of the digit, their bounding box, and remarks; None without a digit.

    Parameters
    ----------
    seen : ndarray of bool
        Pixels of ink, including the soft edges of strokes.
    core : ndarray of float32
        Strength of the ink where it is strong, and 0 elsewhere.
    """
    from scipy import ndimage

    labels, count = ndimage.label(grown(seen, max(1, spread(seen.shape) // 3)))
    numbers = np.arange(1, count + 1)
    mass = ndimage.sum_labels(core, labels, numbers)
    boxes = ndimage.find_objects(labels)
    longest = np.array([max(part.stop - part.start for part in box) for box in boxes])
    at_side = np.array(
        [
            any(
                part.start == 0 or part.stop == side
                for part, side in zip(box, seen.shape, strict=True)
            )
            for box in boxes
        ],
        bool,
    )
    ink = mass > 0
    if not ink.any():
        return None
    inside = ink & ~at_side
    if inside.any() and longest[inside].max() >= _MIN_SIDE * min(seen.shape):
        # Ink that touches the sides is a shadow, the table, or another digit, unless it is very
        # close to the rest.
        near = labels[grown(np.isin(labels, numbers[inside]), 2 * spread(seen.shape))]
        ink &= ~at_side | np.isin(numbers, near)
    largest = mass[ink].max()
    ink &= mass >= _SPECK * largest
    kept = seen & np.isin(labels, numbers[ink])
    box: Box = ndimage.find_objects(kept.view(np.uint8))[0]

    remarks = []
    if (ink & at_side).any():
        remarks.append("the ink touches the edge of the image")
    separate = int((mass[ink] >= _SEPARATE * largest).sum())
    if separate > 1:
        remarks.append(f"{separate} separate parts were taken for one digit")
    if mass[~ink].sum() > _SEPARATE * mass[ink].sum():
        remarks.append("other marks were ignored")
    height, width = kept[box].shape
    if 2 * min(height, width) > max(height, width) and is_rectangle(
        ndimage.binary_fill_holes(kept[box])
    ):
        remarks.append("the ink fills a rectangle")
    return kept, box, remarks


def _around(gray: Array, box: Box, scale: float) -> Array:
    """Return the part of an image around a box that was found in its scaled copy."""
    margin = 2 + round(0.6 * max(part.stop - part.start for part in box))
    return gray[
        tuple(
            slice(max(0, int((part.start - margin) / scale)), int((part.stop + margin) / scale) + 1)
            for part in box
        )
    ]
