"""Detection of lines that are not part of the digit: of ruled and squared paper, and frames."""

import numpy as np

from cnet._utils.arrays import Array

# Fractions of the length of the image side parallel to a line, except _THICKEST, which is a
# fraction of the longer side.
_THICKEST = 0.02
_SHORTEST_PIECE = 0.15
_WIDEST_GAP = 1.0
_MIN_COVER = 0.3
_TILT = 0.012
_MARGIN = 0.01


def ruled_lines(ink: Array) -> Array:
    """Return the pixels of ink that belong to lines along the sides of the image.

    The result is empty if there is no other ink. Such a line is thin and straight. It extends from
    one side of the image to the other, or starts at a side like other lines, or is part of a frame.
    The bar of a 2 or 7 that fills its image is not such a line, because other ink touches the sides
    as well.
    """
    from scipy import ndimage

    across, reached_across = _straight(ink)
    # Where lines cross, each is thin only after the other is removed.
    down, reached_down = _straight((ink & (across == 0)).T)
    framed = len(reached_across) > 1 and len(reached_down) > 1
    found = np.isin(across, _lines(reached_across, framed)) | np.isin(
        down.T, _lines(reached_down, framed)
    )
    labels, count = ndimage.label(ink & ~found, np.ones((3, 3)))
    if not count or not found.any():
        return np.zeros_like(ink)
    digit = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    reaches_sides = (digit[:, [0, -1]].any() and bool(_lines(reached_across, framed))) or (
        digit[[0, -1]].any() and bool(_lines(reached_down, framed))
    )
    return np.zeros_like(ink) if reaches_sides else found


def _lines(reached: dict[int, int], framed: bool) -> list[int]:
    """Return the straight lines that are not strokes, by the number of sides that each touches."""
    several = sum(sides > 0 for sides in reached.values()) > 1
    return [
        line for line, sides in reached.items() if sides == 2 or (sides == 1 and several) or framed
    ]


def _straight(ink: Array) -> tuple[Array, dict[int, int]]:
    """Label horizontal lines, and count the sides of the image that each touches."""
    from scipy import ndimage

    width = ink.shape[1]
    thickness = max(2, round(_THICKEST * max(ink.shape)))
    thin = ink & ~ndimage.binary_opening(ink, np.ones((thickness + 1, 1)))
    # A slightly tilted line is straight within three rows at a time.
    pieces = thin & ndimage.binary_opening(
        ndimage.binary_dilation(ink, np.ones((3, 1))),
        np.ones((1, max(2, round(_SHORTEST_PIECE * width)))),
    )
    bands = ndimage.maximum_filter(
        pieces.view(np.uint8),
        (2 * round(_TILT * width / 2) + 1, round(_WIDEST_GAP * width)),
        mode="constant",
    )
    labels, _ = ndimage.label(bands)
    reached = {}
    for line, box in enumerate(ndimage.find_objects(labels), 1):
        covered = np.flatnonzero((pieces[box] & (labels[box] == line)).any(axis=0)) + box[1].start
        if len(covered) >= _MIN_COVER * width:
            margin = _MARGIN * width
            reached[line] = int(covered[0] <= margin) + int(covered[-1] >= width - 1 - margin)
    return np.where(pieces & np.isin(labels, list(reached)), labels, 0), reached
