"""Bounded reading of untrusted files: sizes claimed by a file never determine the memory used."""

from __future__ import annotations

import gzip
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ._signature import START, kind_of

_CHUNK = 1 << 20
_LONGEST_PROBLEM = 500
_GZIP_MAGIC = b"\x1f\x8b"
# Images of digits compress by a factor of 2 to 15 in any format; a zip bomb, by a factor of 1000.
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 100


class DataFileError(ValueError):
    """A data file is not as expected. The message names the file, the problem and the remedy."""

    def __init__(self, name: str, problem: str) -> None:
        # A message of another library may quote any amount of the file.
        super().__init__(f"{name}: {problem[:_LONGEST_PROBLEM]}")


def expanded_limit(compressed_bytes: int) -> int:
    """Return the size limit for the decompressed data, above which the file is rejected."""
    return _FREE_BYTES + _LARGEST_RATIO * compressed_bytes


class SupportsRead(Protocol):
    """A binary file, reduced to the method used here."""

    def read(self, size: int = ..., /) -> bytes: ...


class Reader:
    """Reader of untrusted bytes. Its memory grows with the bytes present, not those claimed.

    Parameters
    ----------
    stream : file
        A plain, gzip or zip-member stream, positioned at its start.
    name : str
        Name of the file, for error messages.
    limit : int
        Maximum number of bytes that the whole stream may deliver.

    Attributes
    ----------
    kind : str or None
        Another kind of file that the first bytes indicate, or None.
    """

    def __init__(self, stream: SupportsRead, name: str, limit: int) -> None:
        self.name = name
        self._stream = stream
        self._limit = limit
        self._count = 0
        self._ahead = self._read(START)  # not yet delivered
        self.kind = kind_of(self._ahead)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise DataFileError(self.name, f"the compressed data are damaged: {error}") from error

    def some(self, size: int) -> bytes:
        """Read up to `size` bytes. Fewer are returned only at the end of the file."""
        ahead, self._ahead = self._ahead[:size], self._ahead[size:]
        data = ahead + self._read(size - len(ahead)) if ahead else self._read(size)
        self._count += len(data)
        if self._count > self._limit:
            raise DataFileError(
                self.name,
                f"expands to more than {self._limit} bytes, too much for a file of its size",
            )
        return data

    def exactly(self, size: int, part: str) -> bytearray:
        """Read `size` bytes; raise without reading if the file cannot contain them.

        Error messages refer to the bytes as `part`.
        """
        left = self._limit - self._count
        if size > left:
            raise DataFileError(
                self.name, f"{part} should take {size} bytes, but the file holds at most {left}"
            )
        data = bytearray()
        while len(data) < size:
            chunk = self.some(min(_CHUNK, size - len(data)))
            if not chunk:
                raise DataFileError(
                    self.name,
                    f"{part} should take {size} bytes, but the file ends after {len(data)}",
                )
            data += chunk
        return data

    def end(self) -> None:
        """Raise if anything follows. Reaching the end also makes gzip and zip verify checksums."""
        count = self._count
        if self.some(1):
            raise DataFileError(self.name, f"should end after {count} bytes, but has more")


def require_regular(path: Path) -> None:
    """Reject pipes and devices: they may never end, and even opening one can block."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataFileError(str(path), "is not a regular file")


@contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """Open a file for bounded reading. gzip is recognized by the content, not by the name.

    Raises
    ------
    OSError
        If the file cannot be opened.
    DataFileError
        If it is not a regular file.
    """
    require_regular(path)
    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        if raw.peek(2)[:2] == _GZIP_MAGIC:
            with gzip.GzipFile(fileobj=raw) as expanded:
                yield Reader(expanded, str(path), expanded_limit(size))
        else:
            yield Reader(raw, str(path), size)
