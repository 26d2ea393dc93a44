"""The shape of images, of data and as an argument."""

from __future__ import annotations

import math
from typing import Any

from cnet._utils.validation import integer, two


def image_layout(
    sample_shape: tuple[int, ...], shape: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Return the channels, height and width of images, given the shape of a sample.

    `shape` is the height and width of flat images, which are squares without it.

    Raises
    ------
    ValueError
        If a sample of this shape is not an image.
    """
    if len(sample_shape) == 3:
        return sample_shape
    if len(sample_shape) == 2:
        return 1, *sample_shape
    if len(sample_shape) != 1:
        raise ValueError(
            f"samples have shape {sample_shape}, expected images: (height, width), (channels, "
            "height, width) or flat"
        )
    (pixels,) = sample_shape
    side = math.isqrt(pixels)
    height, width = shape or (side, side)
    if not pixels or pixels % (height * width) or (shape is None and pixels != side * side):
        hint = (
            f"of {height} x {width} pixels"
            if shape
            else "that are square: give the shape=(height, width) of others"
        )
        raise ValueError(f"samples have {pixels} elements, expected images {hint}")
    return pixels // (height * width), height, width


def image_shape(shape: Any) -> tuple[int, int] | None:
    """Return the argument `shape`, which is (height, width) or None, after a check."""
    if shape is None:
        return None
    height, width = two("shape", shape, "(height, width) in pixels, such as (28, 28)")
    return integer("height of shape", height, 1), integer("width of shape", width, 1)
