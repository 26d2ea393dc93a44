"""Keras's ``mnist.npz``: a zip of NumPy arrays, read without pickle and with bounded memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ._images import (
    Arrays,
    check_images_header,
    check_labels,
    check_labels_header,
    from_bytes,
    to_images,
    to_labels,
)
from ._reader import DataFileError, Reader, expanded_limit, require_regular
from ._signature import START, kind_of

_MEMBERS = ("x_train", "y_train", "x_test", "y_test")
# Other methods decompress a whole block at a time, and the size of a block is not bounded.
_BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def load_npz(path: Path) -> Arrays:
    """Read MNIST from an npz file with arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Parameters
    ----------
    path : Path
        The file. Other arrays in it are not read.

    Returns
    -------
    Arrays

    Raises
    ------
    DataFileError
        If the file is not a valid zip file, or if an array is missing, is pickled, has an
        unexpected shape or dtype, or does not have the size that its header specifies. If labels
        are not in 0 to 9 or are all equal, or pixels have another range.
    """
    require_regular(path)
    name = str(path)
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:
            # Corrupt offsets and sizes can raise almost any exception.
            file.seek(0)
            kind = kind_of(file.read(START))
            hint = f"; it looks like {kind}" if kind else ""
            raise DataFileError(name, f"is not a readable npz (zip) file: {error}{hint}") from error
        x_train, y_train, x_test, y_test = (
            _read_member(
                archive,
                member,
                path,
                check_images_header if member[0] == "x" else check_labels_header,
            )
            for member in _MEMBERS
        )
    check_labels(x_train, y_train, f"{name}[x_train]", f"{name}[y_train]")
    check_labels(x_test, y_test, f"{name}[x_test]", f"{name}[y_test]")
    train, test = to_images([x_train, x_test], [f"{name}[x_train]", f"{name}[x_test]"])
    return Arrays(
        train, to_labels(y_train, f"{name}[y_train]"), test, to_labels(y_test, f"{name}[y_test]")
    )


def _read_member(
    archive: zipfile.ZipFile,
    member: str,
    path: Path,
    check_header: Callable[[Sequence[int], np.dtype[Any], str], None],
) -> NDArray[Any]:
    """Read one array, header first, so that data that the checks reject are never read."""
    name = f"{path}[{member}]"
    try:
        info = archive.getinfo(f"{member}.npy")
    except KeyError:
        held = ", ".join(archive.namelist())[:200] or "nothing"
        problem = f"has no array {member}; it holds {held}, expected {', '.join(_MEMBERS)}"
        raise DataFileError(str(path), problem) from None
    if info.compress_type not in _BOUNDED_METHODS:
        raise DataFileError(
            name, f"uses zip compression method {info.compress_type}, expected stored or deflated"
        )
    limit = expanded_limit(min(info.compress_size, path.stat().st_size))
    try:
        stream = archive.open(info)
    except Exception as error:
        # As above. Encryption and unsupported features also raise their own exceptions.
        raise DataFileError(name, f"cannot be read from the zip file: {error}") from error
    with stream:
        reader = Reader(stream, name, limit)
        shape, fortran, dtype = _read_header(reader)
        check_header(shape, dtype, name)
        data = reader.exactly(prod(shape) * dtype.itemsize, "the array")
        reader.end()
    return from_bytes(data, dtype, shape, fortran, name)


def _read_header(reader: Reader) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Parse the header of a ``.npy`` file of version 1, which is at most 64 KB long."""
    prefix = reader.exactly(npy.MAGIC_LEN + 2, "the .npy prefix")
    try:
        version = npy.read_magic(io.BytesIO(prefix))
        # Later versions are only needed for headers that images do not have.
        if version != (1, 0):
            raise ValueError(f"format version {version}, expected (1, 0)")
        length = prefix[npy.MAGIC_LEN :]
        header = reader.exactly(int.from_bytes(length, "little"), "the .npy header")
        shape, fortran, dtype = npy.read_array_header_1_0(io.BytesIO(length + header))
    except DataFileError:
        raise
    except Exception as error:
        # NumPy evaluates the header as a Python literal: a malicious header can raise almost any
        # exception.
        raise DataFileError(reader.name, f"is not a readable .npy array: {error}") from error
    if any(size < 0 for size in shape):
        raise DataFileError(reader.name, f"has the shape {shape}, expected non-negative sizes")
    return shape, fortran, dtype
