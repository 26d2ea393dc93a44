"""Validation of MNIST-like images and labels, independent of the file format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_MIN_WHITE = 128
_SHAPES: tuple[tuple[int, ...], ...] = ((SIDE, SIDE), (PIXELS,), (SIDE, SIDE, 1), (1, SIDE, SIDE))


class Arrays(NamedTuple):
    """Images (n, 28, 28), uint8 or float32 in [0, 1], and labels (n,). The test set is optional."""

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    test_images: NDArray[Any] | None = None
    test_labels: NDArray[Any] | None = None


def check_count(count: int, name: str) -> None:
    """Reject a set that is empty or larger than `MAX_IMAGES`."""
    if not 1 <= count <= MAX_IMAGES:
        raise DataFileError(name, f"holds {count} images or labels, expected 1 to {MAX_IMAGES}")


def check_images_header(shape: Sequence[int], dtype: np.dtype[Any], name: str) -> None:
    """Reject an array of images by its shape and dtype, before its data are read."""
    check_count(shape[0] if shape else 0, name)
    if tuple(shape[1:]) not in _SHAPES:
        hint = ": these look like labels" if len(shape) == 1 else ""
        raise DataFileError(
            name,
            f"images of shape {tuple(shape)}, expected (n, {SIDE}, {SIDE}) or (n, {PIXELS}){hint}",
        )
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise DataFileError(
            name,
            f"images of dtype {dtype}, expected uint8, float32, float64 or another plain numeric "
            "type",
        )


def check_labels_header(shape: Sequence[int], dtype: np.dtype[Any], name: str) -> None:
    """Reject an array of labels by its shape and dtype, before its data are read."""
    check_count(shape[0] if shape else 0, name)
    if len(shape) != 1 and tuple(shape[1:]) != (1,):
        hints = {(CLASSES,): ": convert one-hot labels with y.argmax(axis=1)"} | dict.fromkeys(
            _SHAPES, ": these look like images"
        )
        hint = hints.get(tuple(shape[1:]), "")
        raise DataFileError(name, f"labels of shape {tuple(shape)}, expected (n,){hint}")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise DataFileError(
            name,
            f"labels of dtype {dtype}, expected an integer type: convert them with y.astype(int)",
        )


def from_bytes(
    data: bytes | bytearray, dtype: np.dtype[Any], shape: Sequence[int], fortran: bool, name: str
) -> NDArray[Any]:
    """Return an array over bytes from a file, after checking the size for the shape and dtype."""
    expected = prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise DataFileError(
            name, f"{dtype} of shape {tuple(shape)} takes {expected} bytes, got {len(data)}"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def check_labels(
    images: NDArray[Any], labels: NDArray[Any], images_name: str, labels_name: str
) -> None:
    """Reject labels that are not digits, or whose number differs from that of the images."""
    if len(images) != len(labels):
        problem = (
            f"{len(labels)} labels, expected one for each of the {len(images)} images in "
            f"{images_name}"
        )
        raise DataFileError(labels_name, problem)
    wrong = ~((labels >= 0) & (labels < CLASSES))
    if labels.dtype.kind == "f":
        wrong |= labels != np.floor(labels)
    if wrong.any():
        index = int(wrong.argmax())
        problem = (
            f"label {index} (counted from 0) is {labels.flat[index]}, expected 0 to {CLASSES - 1}"
        )
        if not (labels != np.floor(labels)).any():
            problem += (
                f"; the labels range from {labels.min()} to {labels.max()}, but only data sets of "
                f"{CLASSES} classes are supported, not EMNIST's letters"
            )
        raise DataFileError(labels_name, problem)


def to_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return checked labels as integers of shape (n,). Reject two or more labels if all are equal.

    Any model that is trained on equal labels reaches an accuracy of 1, whatever the images.
    """
    labels = labels.reshape(-1)
    if len(labels) > 1 and (labels == labels[0]).all():
        problem = (
            f"every label is {labels[0]:g}, so this is probably not the label data; expected at "
            "least two different digits"
        )
        raise DataFileError(name, problem)
    return labels.astype(np.uint8) if labels.dtype.kind == "f" else labels


def to_images(arrays: Sequence[NDArray[Any]], names: Sequence[str]) -> list[NDArray[Any]]:
    """Convert stored images to uint8 pixels where that is lossless, otherwise to float32.

    Parameters
    ----------
    arrays : sequence of ndarray
        784 pixels for each image. Pixels are whole numbers from 0 to 255 of any dtype, or fractions
        from 0 to 1: pixels divided by 256 in the well-known pickle, and by 255 in most other files.
        Images that contain only 0 and 1, whatever their dtype, are black and white.
    names : sequence of str
        Name of each array, for error messages.

    Returns
    -------
    list of ndarray
        C-contiguous, shape (n, 28, 28). All are uint8, or all are float32 if an array is floating
        point and is not exactly pixels divided by 255 or 256.

    Raises
    ------
    DataFileError
        If pixels are in neither form, or if only some arrays of whole numbers end at 1.
    """
    arrays = [_to_levels(array, name) for array, name in zip(arrays, names, strict=True)]
    largest = [int(array.max()) if array.dtype == np.uint8 else 0 for array in arrays]
    if 1 in largest:
        if max(largest) > 1:
            problem = (
                f"pixels from 0 to 1, but from 0 to {max(largest)} in the other images; expected "
                "the same scale in all of them"
            )
            raise DataFileError(names[largest.index(1)], problem)
        arrays = [array * np.uint8(255) if array.dtype == np.uint8 else array for array in arrays]
    for scale in (256, 255):
        pixels = [array if array.dtype == np.uint8 else _times(array, scale) for array in arrays]
        exact = [array for array in pixels if array is not None]
        if len(exact) == len(arrays):
            break
    else:
        exact = [
            np.divide(array, np.float32(255), dtype=np.float32)
            if array.dtype == np.uint8
            else array.astype(np.float32)
            for array in arrays
        ]
    return [np.ascontiguousarray(array.reshape(-1, SIDE, SIDE)) for array in exact]


def _to_levels(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return images as uint8, or as fractions from 0 to 1 in their floating-point type."""
    if array.dtype in (np.uint8, np.bool_):
        return array.astype(np.uint8, copy=False)
    low, high = array.min(), array.max()
    fractions = array.dtype.kind == "f"
    if low >= 0 and high <= 1:
        return array if fractions else array.astype(np.uint8)
    # Whole numbers up to 255 are pixels. If the maximum is far lower, such as 16, the scale is
    # unknown.
    if (
        low >= 0
        and _MIN_WHITE <= high <= 255
        and not (fractions and any((block != np.floor(block)).any() for block in _blocks(array)))
    ):
        return array.astype(np.uint8)
    problem = (
        f"pixels from {low} to {high}, expected floating-point values from 0 to 1 or whole "
        "numbers from 0 to 255"
    )
    raise DataFileError(name, problem)


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Iterate over parts of an array, to limit temporary memory."""
    return (
        array[start : start + _ROWS_PER_BLOCK] for start in range(0, len(array), _ROWS_PER_BLOCK)
    )


def _times(array: NDArray[Any], scale: int) -> NDArray[np.uint8] | None:
    """Return the pixels that were divided by `scale`, or None if the division is not exact."""
    pixels = np.empty(array.shape, np.uint8)
    for block, out in zip(_blocks(array), _blocks(pixels), strict=True):
        rounded = np.rint(block * block.dtype.type(scale))
        if rounded.max() > 255 or not np.array_equal(rounded / block.dtype.type(scale), block):
            return None
        out[...] = rounded
    return pixels
