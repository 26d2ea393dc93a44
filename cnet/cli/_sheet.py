"""Detection of a sheet of paper that is photographed together with its surroundings."""

import numpy as np

from cnet._utils.arrays import Array

_MIN_AREA = 0.1  # minimum area of the sheet, as a fraction of the image
_MIN_PAPER = 0.6  # minimum fraction of the sheet that is paper, not ink
_MIN_FILL = 0.9  # minimum fraction of its smallest bounding rectangle that a sheet fills
_RIM = 0.03  # rim of the sheet with shadows and edges, left out; fraction of its shorter side


def sheet_alone(gray: Array) -> Array | None:
    """Return the part of an image that shows a sheet of paper, extended by paper around it.

    The sheet may be rotated. Return None if no rectangle in the image is lighter or darker than the
    sides of the image without touching them.
    """
    from scipy import ndimage

    around = np.median(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]]))
    off = abs(gray - around)
    labels, count = ndimage.label(off > np.percentile(off, 99) / 2)
    if not count:
        return None
    largest = 1 + int(np.bincount(labels.ravel())[1:].argmax())
    box = ndimage.find_objects(labels)[largest - 1]
    if any(
        part.start == 0 or part.stop == side for part, side in zip(box, gray.shape, strict=True)
    ):
        return None
    paper = labels[box] == largest
    sheet = ndimage.binary_fill_holes(paper)
    if (
        paper.size < _MIN_AREA * gray.size
        or paper.sum() < _MIN_PAPER * sheet.sum()
        or not is_rectangle(sheet)
    ):
        return None
    rim = 1 + round(_RIM * min(sheet.shape))
    inner = ndimage.minimum_filter(sheet.view(np.uint8), 2 * rim + 1, mode="constant").view(bool)
    if not inner.any():
        return None
    # Each pixel outside takes the value of the nearest pixel inside.
    rows, columns = ndimage.distance_transform_edt(
        ~inner, return_distances=False, return_indices=True
    )
    alone: Array = gray[box][rows, columns]
    return alone


def is_rectangle(mask: Array) -> bool:
    """Whether the pixels of a mask fill a rectangle, rotated by any angle."""
    from scipy import ndimage

    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    angles = np.radians(np.arange(0, 90, 3))[:, None]
    length = 1 + np.ptp(np.cos(angles) * x + np.sin(angles) * y, axis=1)
    width = 1 + np.ptp(np.cos(angles) * y - np.sin(angles) * x, axis=1)
    return bool(mask.sum() >= _MIN_FILL * (length * width).min())
