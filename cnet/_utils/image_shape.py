"""Which shape images have."""

from __future__ import annotations

import math
from typing import Any

from cnet._utils.validation import integer, two


def image_layout(row_shape: tuple[int, ...], shape: tuple[int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of images that are the rows of a data set; `shape` is that of flat
    ones, else they are squares.

    Raises
    ------
    ValueError
        If rows of that shape are no images.
    """
    if len(row_shape) == 3:
        return row_shape
    if len(row_shape) == 2:
        return 1, *row_shape
    if len(row_shape) != 1:
        raise ValueError(
            f"rows have shape {row_shape}, expected images: (height, width), (channels, height, "
            "width) or flat"
        )
    (pixels,) = row_shape
    side = math.isqrt(pixels)
    height, width = shape or (side, side)
    if not pixels or pixels % (height * width) or (shape is None and pixels != side * side):
        hint = (
            f"of {height} x {width} pixels"
            if shape
            else "that are square: give the shape=(height, width) of others"
        )
        raise ValueError(f"rows have {pixels} elements, expected images {hint}")
    return pixels // (height * width), height, width


def image_shape(shape: Any) -> tuple[int, int] | None:
    """A (height, width) that a user gave, checked."""
    if shape is None:
        return None
    height, width = two("shape", shape, "(height, width) in pixels, such as (28, 28)")
    return integer("height of shape", height, 1), integer("width of shape", width, 1)
