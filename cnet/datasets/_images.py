"""What an MNIST-like set of images and labels may be, whichever file format it came from."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._dataset import CLASSES
from ._reader import DataFileError

SIDE = 28
PIXELS = SIDE * SIDE
MAX_IMAGES = 10_000_000
_ROWS_PER_BLOCK = 4096


class Arrays(NamedTuple):
    """Images (n, 28, 28), uint8 or float32 in [0, 1], with integer labels (n,); no test arrays, no test set."""

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    test_images: NDArray[Any] | None = None
    test_labels: NDArray[Any] | None = None


def check_count(count: int, name: str) -> None:
    """Refuse a set that is empty or larger than any of its kind."""
    if not 1 <= count <= MAX_IMAGES:
        raise DataFileError(name, f"holds {count} images or labels, expected 1 to {MAX_IMAGES}")


def check_images_header(shape: Sequence[int], dtype: np.dtype[Any], name: str) -> None:
    """Refuse an array of images by its shape and dtype, before its data are read."""
    check_count(shape[0] if shape else 0, name)
    if tuple(shape[1:]) not in {(SIDE, SIDE), (PIXELS,)}:
        raise DataFileError(name, f"images of shape {tuple(shape)}, expected (n, {SIDE}, {SIDE}) or (n, {PIXELS})")
    if dtype != np.uint8 and not (dtype.kind == "f" and dtype.itemsize in (4, 8)):
        raise DataFileError(name, f"images of dtype {dtype}, expected uint8, float32 or float64")


def check_labels_header(shape: Sequence[int], dtype: np.dtype[Any], name: str) -> None:
    """Refuse an array of labels by its shape and dtype, before its data are read."""
    check_count(shape[0] if shape else 0, name)
    if len(shape) != 1:
        raise DataFileError(name, f"labels of shape {tuple(shape)}, expected (n,)")
    if dtype.kind not in "iu":
        raise DataFileError(name, f"labels of dtype {dtype}, expected an integer type")


def from_bytes(data: bytes | bytearray, dtype: np.dtype[Any], shape: Sequence[int], fortran: bool, name: str) -> NDArray[Any]:
    """An array over bytes from a file, once its shape and dtype are known to fit them."""
    expected = prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise DataFileError(name, f"{dtype} of shape {tuple(shape)} takes {expected} bytes, got {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def check_labels(images: NDArray[Any], labels: NDArray[Any], images_name: str, labels_name: str) -> None:
    """Refuse labels that are not digits, or that are not one for each image."""
    if len(images) != len(labels):
        problem = f"{len(labels)} labels, expected one for each of the {len(images)} images in {images_name}"
        raise DataFileError(labels_name, problem)
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if wrong.size:
        index = wrong[0]
        problem = f"label number {index}, counted from 0, is {labels[index]}, expected 0 to {CLASSES - 1}"
        raise DataFileError(labels_name, problem)


def to_images(arrays: Sequence[NDArray[Any]], name: str) -> list[NDArray[Any]]:
    """Give stored images one form: uint8 pixels wherever that loses nothing.

    Parameters
    ----------
    arrays : sequence of ndarray
        Shape (n, 28, 28) or (n, 784); uint8, or floating point in [0, 1], which is pixels divided by 256 in the
        well-known pickle and by 255 in most other files.
    name : str
        What errors call the file.

    Returns
    -------
    list of ndarray
        C-contiguous, shape (n, 28, 28). All uint8, or all float32 if some array is floating point and is not exactly
        pixels divided by 255 or 256.

    Raises
    ------
    DataFileError
        If a floating-point value is outside [0, 1] or not a number.
    """
    for array in arrays:
        if array.dtype != np.uint8 and not (array.min() >= 0 and array.max() <= 1):
            raise DataFileError(name, f"pixels from {array.min()} to {array.max()}, expected 0 to 1 for floating point")
    for scale in (256, 255):
        pixels = [array if array.dtype == np.uint8 else _times(array, scale) for array in arrays]
        exact = [array for array in pixels if array is not None]
        if len(exact) == len(arrays):
            break
    else:
        exact = [np.divide(array, np.float32(255), dtype=np.float32) if array.dtype == np.uint8 else array.astype(np.float32) for array in arrays]
    return [np.ascontiguousarray(array.reshape(-1, SIDE, SIDE)) for array in exact]


def _times(array: NDArray[Any], scale: int) -> NDArray[np.uint8] | None:
    """The pixels that were divided by `scale`, or None if there are none; block by block, to spare memory."""
    pixels = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), _ROWS_PER_BLOCK):
        block = array[start : start + _ROWS_PER_BLOCK]
        rounded = np.rint(block * block.dtype.type(scale))
        if rounded.max() > 255 or not np.array_equal(rounded / block.dtype.type(scale), block):
            return None
        pixels[start : start + _ROWS_PER_BLOCK] = rounded
    return pixels
