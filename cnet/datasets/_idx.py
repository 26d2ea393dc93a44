"""The IDX format of MNIST: big-endian sizes, then unsigned bytes, optionally gzip-compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._images import SIDE, Arrays, check_count, check_labels, from_bytes, to_images, to_labels
from ._reader import DataFileError, open_reader

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_UNSIGNED_BYTE = 0x08


def _spellings(name: str) -> tuple[str, ...]:
    """Return the usual spellings of a name in `NAMES`, in order of preference."""
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"


def find_idx(folder: Path) -> dict[str, Path]:
    """Return the paths of the IDX files found in `folder`, keyed by their names in `NAMES`."""
    found = {}
    for name in NAMES:
        for candidate in _spellings(name):
            if (folder / candidate).is_file():
                found[name] = folder / candidate
                break
    return found


def missing_idx(folder: Path) -> str:
    """Describe the missing files of an incomplete set; "" if the set is complete or absent.

    Files that may be the missing ones under other names are listed.
    """
    found = find_idx(folder)
    missing = [name for name in NAMES if name not in found]
    if not found or not missing:
        return ""
    problem = f"of the four IDX files, these are missing: {', '.join(missing)}"
    # Names given by browsers and unfinished downloads: "train-images-idx3-ubyte (1).gz",
    # "train-images-idx3-ubyte.gz.part".
    taken = {path.name for path in found.values()}
    entries = sorted(
        entry.name for entry in folder.iterdir() if entry.is_file() and entry.name not in taken
    )
    similar = [
        entry
        for entry in entries
        if any(entry.startswith((name, name.replace("-idx", ".idx"))) for name in missing)
    ]
    return f"{problem}; rename {', '.join(similar)} if it is complete" if similar else problem


def load_idx(files: dict[str, Path]) -> Arrays:
    """Read MNIST from its four IDX files.

    Parameters
    ----------
    files : dict
        A path for each name in `NAMES`.

    Returns
    -------
    Arrays

    Raises
    ------
    DataFileError
        If a file is not a valid IDX file of the expected shape, if labels are not in 0 to 9 or are
        all equal, or if the numbers of images and labels differ.
    """
    train_images, train_labels, test_images, test_labels = (
        _read_chosen(files[name], () if "labels" in name else (SIDE, SIDE)) for name in NAMES
    )
    paths = [str(files[name]) for name in NAMES]
    check_labels(train_images, train_labels, paths[0], paths[1])
    check_labels(test_images, test_labels, paths[2], paths[3])
    train_images, test_images = to_images([train_images, test_images], [paths[0], paths[2]])
    return Arrays(
        train_images,
        to_labels(train_labels, paths[1]),
        test_images,
        to_labels(test_labels, paths[3]),
    )


def _read_chosen(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a file. An error also names unread files of the same content in other spellings."""
    try:
        return read_idx(path, item_shape)
    except DataFileError as error:
        (name,) = (name for name in NAMES if path.name in _spellings(name))
        others = [
            other
            for other in _spellings(name)
            if other != path.name and path.with_name(other).is_file()
        ]
        if not others:
            raise
        raise DataFileError(
            str(error), f"to read {', '.join(others)} in the same folder instead, remove this file"
        ) from error


def read_idx(path: Path, item_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : Path
        The file. gzip compression is recognized by the content.
    item_shape : tuple of int
        Shape of one item: ``(28, 28)`` for images, ``()`` for labels.

    Returns
    -------
    ndarray of uint8
        Shape (n, *item_shape).

    Raises
    ------
    DataFileError
        If the header differs from the expected one, or if the file has more or fewer bytes than the
        header specifies.

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
                (
                    f"starts with the bytes {magic.hex(' ')}, expected {expected.hex(' ')} (IDX, "
                    f"unsigned bytes, dimensions: {ndim})"
                )
                + (f"; it looks like {reader.kind}" if reader.kind else ""),
            )
        sizes = np.frombuffer(reader.exactly(4 * ndim, "the dimensions"), ">u4").tolist()
        if tuple(sizes[1:]) != item_shape:
            raise DataFileError(
                reader.name, f"images of shape {tuple(sizes[1:])}, expected {item_shape}"
            )
        check_count(sizes[0], reader.name)
        size = sizes[0] * int(np.prod(item_shape, dtype=int))
        data = reader.exactly(size, "the data")
        reader.end()
        return from_bytes(data, np.dtype(np.uint8), sizes, False, reader.name)
