"""The IDX format, in which MNIST was published: big-endian sizes, then unsigned bytes, gzip-compressed or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._images import SIDE, Arrays, check_count, check_labels, from_bytes
from ._reader import DataFileError, open_reader

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_UNSIGNED_BYTE = 0x08


def find_idx(folder: Path) -> dict[str, Path]:
    """Which of the four files `folder` holds, in any of their usual spellings, by their names in `NAMES`."""
    found = {}
    for name in NAMES:
        dotted = name.replace("-idx", ".idx")
        for candidate in (name, f"{name}.gz", dotted, f"{dotted}.gz"):
            if (folder / candidate).is_file():
                found[name] = folder / candidate
                break
    return found


def load_idx(files: dict[str, Path]) -> Arrays:
    """Read MNIST from its four IDX files.

    Parameters
    ----------
    files : dict
        A path for each of `NAMES`.

    Returns
    -------
    Arrays

    Raises
    ------
    DataFileError
        If a file is not what it should be, or if images and labels do not match.
    """
    parts = []
    for images_name, labels_name in (NAMES[:2], NAMES[2:]):
        images, labels = read_idx(files[images_name], (SIDE, SIDE)), read_idx(files[labels_name], ())
        check_labels(images, labels, str(files[images_name]), str(files[labels_name]))
        parts += [images, labels]
    return Arrays(*parts)


def read_idx(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        The file; gzip is recognised by its content.
    item_shape : tuple of int
        Shape of one item: ``(28, 28)`` for images, ``()`` for labels.

    Returns
    -------
    ndarray of uint8
        Shape (n, *item_shape).

    Raises
    ------
    DataFileError
        If the header is not the expected one, or promises more or less than the file holds.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(path, ())
    array([5, 0, 4], dtype=uint8)
    """
    ndim = 1 + len(item_shape)
    expected = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    with open_reader(path) as reader:
        magic = reader.exactly(4, "the magic number")
        if magic != expected:
            raise DataFileError(
                reader.name,
                f"starts with the bytes {magic.hex(' ')}, expected {expected.hex(' ')} (IDX, unsigned bytes, dimensions: {ndim})",
            )
        sizes = np.frombuffer(reader.exactly(4 * ndim, "the dimensions"), ">u4").tolist()
        if tuple(sizes[1:]) != item_shape:
            raise DataFileError(reader.name, f"images of shape {tuple(sizes[1:])}, expected {item_shape}")
        check_count(sizes[0], reader.name)
        size = sizes[0] * int(np.prod(item_shape, dtype=int))
        data = reader.exactly(size, "the data")
        reader.end()
        return from_bytes(data, np.dtype(np.uint8), sizes, False, reader.name)
