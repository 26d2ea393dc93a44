"""MNIST as CSV: a label and 784 pixels in each line, with an optional header line.

`_columns` finds the label column. Lines that contain only digits and separators, the usual case,
are parsed as one array. Any other line is parsed cell by cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._columns import (
    Columns,
    ColumnsError,
    check_order,
    columns_of,
    find_label,
    is_header,
    number_in,
)
from ._dataset import CLASSES
from ._images import MAX_IMAGES, PIXELS, Arrays, check_count, to_images, to_labels
from ._reader import DataFileError, Reader, open_reader

_CHUNK = 1 << 20
# np.savetxt writes 25 characters for each number.
_LONGEST_LINE = 64 * (1 + PIXELS)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SEPARATORS = (b",", b";", b"\t", b"|", b" ")


class Table(NamedTuple):
    """Content of a file: images (n, 784), uint8 or float32 in [0, 1], labels (n,), and columns."""

    images: NDArray[Any]
    labels: NDArray[np.uint8]
    columns: Columns


def load_csv(path: Path) -> Arrays:
    """Read MNIST from a training file and from the test file in the same folder, if there is one.

    Parameters
    ----------
    path : Path
        The training file. The test file has the same name with "test" in place of "train". Either
        file may be gzip-compressed, independently of the other.

    Returns
    -------
    Arrays
        The test arrays are None if there is no test file, or if the test file has no labels (784
        columns, as in Kaggle's test.csv).

    Raises
    ------
    DataFileError
        If a line is not a label and 784 pixels (the message gives the line and column), if the
        label column is ambiguous, or if all labels are equal.
    """
    train = read_csv(path)
    if train is None:
        problem = (
            f"{PIXELS} columns, expected {PIXELS + 1}: a label, then {PIXELS} pixels (images "
            "without labels, such as Kaggle's test.csv, cannot be used for training)"
        )
        raise DataFileError(str(path), problem)
    sibling = _test_file(path)
    test = None if sibling is None else read_csv(sibling, like=train.columns)
    if test is None:
        (images,) = to_images([train.images], [str(path)])
        return Arrays(images, train.labels)
    images, test_images = to_images([train.images, test.images], [str(path), str(sibling)])
    return Arrays(images, train.labels, test_images, test.labels)


def _test_file(path: Path) -> Path | None:
    """Return the test file that belongs to a training file, or None."""
    name = "test".join(path.name.rsplit("train", 1))
    if name == path.name:
        return None
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    return next(
        (path.with_name(each) for each in (name, other) if path.with_name(each).is_file()), None
    )


def read_csv(path: Path, like: Columns | None = None) -> Table | None:
    """Read one file. Return None if it contains pixels without labels.

    Parameters
    ----------
    path : Path
        The file. Cells are separated by commas, semicolons, tabs, vertical bars or spaces, and may
        be quoted.
    like : Columns, optional
        Columns of the training file. A test file without a header has its label in the same column.
    """
    with open_reader(path) as reader:
        if reader.kind is not None:
            raise DataFileError(
                reader.name,
                f"expected lines of comma-separated numbers, but it looks like {reader.kind}",
            )
        try:
            return _read(reader, like)
        except ColumnsError as error:
            raise DataFileError(reader.name, str(error)) from None


def _read(reader: Reader, like: Columns | None) -> Table | None:
    blocks = _blocks(reader)
    line, lines = next(blocks, (1, b""))
    if not lines:
        check_count(0, reader.name)
    parser, header = _parser(lines, reader.name)
    columns = parser.columns
    if not columns.labeled:
        return None
    if header:
        line, lines = 2, lines[lines.index(b"\n") + 1 :]
    parts, count = [], 0
    for number, block in chain([(line, lines)], blocks):
        parts.append(parser.parse(block, number))
        count += len(parts[-1])
        if count > MAX_IMAGES:
            break
    check_count(count, reader.name)
    table = np.concatenate(parts)
    parts.clear()  # frees as much memory as the table takes
    if columns.label is None:
        known = like.label if like is not None and like.width == columns.width else None
        columns = columns.with_label(
            known if known in columns.kept else find_label(table, columns, line)
        )
    check_order(columns)
    return _table(table, columns, line, reader.name)


def _table(table: NDArray[Any], columns: Columns, first_line: int, name: str) -> Table:
    """Separate labels from pixels, given their columns."""
    label, first = columns.label or 0, columns.kept[0]
    labels = table[:, label]
    wrong = (labels >= CLASSES) | _is_fraction(labels)
    if wrong.any():
        row = int(wrong.argmax())
        raise _wrong_cell(name, first_line + row, label, f"{labels[row]:g}", CLASSES - 1)
    # Slicing creates a view; indexing with a list of columns copies.
    together = columns.kept == tuple(range(first, first + PIXELS))
    pixels = table[:, first : first + PIXELS] if together else table[:, columns.kept]
    if pixels.dtype != np.uint8 and pixels.max() > 1:
        wrong = _is_fraction(pixels)
        if wrong.any():
            row, place = divmod(int(wrong.argmax()), PIXELS)
            raise _wrong_cell(
                name, first_line + row, columns.kept[place], f"{pixels[row, place]:g}", 255
            )
        pixels = pixels.astype(np.uint8)
    return Table(pixels, to_labels(labels.astype(np.uint8), name), columns)


def _is_fraction(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.zeros(values.shape, bool) if values.dtype == np.uint8 else values != np.floor(values)


def _wrong_cell(name: str, line: int, column: int, cell: str, largest: int) -> DataFileError:
    return DataFileError(
        name,
        f"line {line}, column {column + 1} is {cell!r}, expected a whole number from 0 to "
        f"{largest}",
    )


def _blocks(reader: Reader) -> Iterator[tuple[int, bytes]]:
    r"""Yield the line number and the bytes of blocks of whole lines, each ended by ``\n``.

    Blank lines at the end of the file are dropped. A blank line elsewhere is an error.
    """
    number, blank = 1, 0
    rest = reader.some(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK)
    more = True
    while more:
        chunk = reader.some(_CHUNK)
        more = bool(chunk)
        # The last line may lack its newline. If it has one, this adds a blank line, which is
        # dropped below.
        whole, newline, rest = _whole_lines(rest + (chunk or b"\n"))
        lines = whole + newline
        if b"\r" in lines:  # searching for one byte is far faster than for two
            lines = lines.replace(b"\r\n", b"\n")
        content = lines.rstrip(b"\n")
        if content and blank:
            raise DataFileError(reader.name, f"line {number - 1} is blank, but is not the last one")
        if content:
            yield number, content + b"\n"
        blank = len(lines) - len(content) - bool(content) + blank
        number += lines.count(b"\n")
        if len(rest) > _LONGEST_LINE:
            problem = (
                f"line {number} has more than {_LONGEST_LINE} characters, expected {1 + PIXELS} "
                "cells"
            )
            raise DataFileError(reader.name, problem)


def _whole_lines(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the complete lines, the newline that ends them, and the rest of the text."""
    if b"\n" not in text[:-1] and b"\r" in text:
        # The lines end in carriage returns alone. The last one may be the first half of "\r\n".
        text = text[:-1].replace(b"\r", b"\n") + text[-1:]
    return text.rpartition(b"\n")


def _parser(lines: bytes, name: str) -> tuple[_Parser, bool]:
    """Return a parser for a file that begins with these lines, and whether it has a header."""
    line = lines[: lines.index(b"\n")]
    if b"\0" in line:
        raise DataFileError(
            name, "holds zero bytes, expected lines of comma-separated numbers as UTF-8 text"
        )
    separator = next(
        (each for each in _SEPARATORS if line.count(each) >= PIXELS - 1),
        max(_SEPARATORS, key=line.count),
    )
    cells = [cell.decode("latin-1") for cell in _split(line, separator)]
    header = is_header(cells)
    return _Parser(columns_of(cells, header), separator, name), header


def _split(line: bytes, separator: bytes) -> list[bytes]:
    return line.split() or [b""] if separator == b" " else line.split(separator)


class _Parser:
    """Parser of blocks of lines. It returns (lines, columns), uint8 or, for fractions, float32."""

    def __init__(self, columns: Columns, separator: bytes, name: str) -> None:
        self.columns = columns
        self._separator = separator
        self._skipped = columns.skipped
        self._name = name
        # The largest value expected in each column. Without a header, the first of the kept
        # columns, the usual place of the label, is expected to hold a digit.
        self._largest = np.full(columns.width, 255)
        self._largest[columns.kept[0] if columns.label is None else columns.label] = CLASSES - 1

    def parse(self, lines: bytes, number: int) -> NDArray[Any]:
        """Parse lines. `number` is the line number of the first one in the file."""
        plain = self._parse_plain(lines)
        if plain is None and b'"' in lines:
            lines = self._unquoted(lines)
            plain = self._parse_plain(lines)
        return self._parse_any(lines, number) if plain is None else plain

    def _unquoted(self, lines: bytes) -> bytes:
        """Remove the quotes at the beginning and end of cells."""
        for end in (self._separator, b"\n"):
            lines = lines.replace(b'"' + end, end).replace(end + b'"', end)
        return lines.removeprefix(b'"')

    def _parse_plain(self, lines: bytes) -> NDArray[np.uint8] | None:
        """Parse lines that contain only digits and separators; return None for any others."""
        columns = self.columns.width
        text = np.frombuffer(lines, np.uint8)
        digits = text - np.uint8(ord("0"))
        ends = np.flatnonzero(digits > 9)
        separators = text[ends]
        lengths = np.diff(ends, prepend=-1) - 1
        if ends.size % columns or not ends.size:
            return None
        if self._skipped:
            lengths.reshape(-1, columns)[:, self._skipped] = 1
        if lengths.min() < 1 or lengths.max() > 3:
            return None
        separators = separators.reshape(-1, columns)
        if (separators[:, :-1] != ord(self._separator)).any() or (
            separators[:, -1] != ord("\n")
        ).any():
            return None
        values = digits[ends - 1].astype(np.uint16)
        for place, worth in ((2, 10), (3, 100)):
            values += np.where(lengths >= place, digits[ends - place], 0) * np.uint16(worth)
        table = values.reshape(-1, columns)
        table[:, self._skipped] = 0
        return table.astype(np.uint8) if table.max() <= 255 else None

    def _parse_any(self, lines: bytes, number: int) -> NDArray[Any]:
        """Parse lines one by one, with numbers in any notation. Raise at the first invalid cell."""
        rows = [
            self._parse_line(line, number + index)
            for index, line in enumerate(lines.split(b"\n")[:-1])
        ]
        table = np.array(rows, np.float32).reshape(-1, self.columns.width)
        return table if _is_fraction(table).any() else table.astype(np.uint8)

    def _parse_line(self, line: bytes, line_number: int) -> NDArray[np.float32]:
        cells = _split(line, self._separator)
        count = self.columns.width
        if len(cells) != count:
            expected = (
                f"{1 + PIXELS}: a label, then {PIXELS} pixels"
                if count == 1 + PIXELS
                else f"{count}, as in line 1"
            )
            raise DataFileError(
                self._name, f"line {line_number} has {len(cells)} cells, expected {expected}"
            )
        for column in self._skipped:
            cells[column] = b"0"
        try:
            values = np.array([float(cell) for cell in cells])
        except ValueError:
            values = np.array(
                [
                    np.nan if (value := number_in(cell.strip().strip(b'"'))) is None else value
                    for cell in cells
                ]
            )
        # Fractions up to 1 are valid pixels if the whole file has nothing larger. `_table` checks
        # that.
        wrong = ~((values >= 0) & (values <= 255) & ((values == np.floor(values)) | (values <= 1)))
        if self.columns.label is not None:
            wrong[self.columns.label] |= not values[self.columns.label] < CLASSES
        if wrong.any():
            column = int(wrong.argmax())
            cell = cells[column][:20].decode("latin-1")
            raise _wrong_cell(self._name, line_number, column, cell, int(self._largest[column]))
        return values.astype(np.float32)
