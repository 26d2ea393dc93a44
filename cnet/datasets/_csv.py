"""MNIST as text: a label and 784 pixels a line, with or without a line of names above.

`_columns` tells which cell of a line is the label. Lines of nothing but digits and separators,
which is how such files usually are, are parsed all at once; any others are parsed cell by cell.
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
# np.savetxt writes 25 characters a number.
_LONGEST_LINE = 64 * (1 + PIXELS)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SEPARATORS = (b",", b";", b"\t", b"|", b" ")


class Table(NamedTuple):
    """What a file holds: images (n, 784), uint8 or float32 in [0, 1], labels (n,), and the columns
    in which they were found.
    """

    images: NDArray[Any]
    labels: NDArray[np.uint8]
    columns: Columns


def load_csv(path: Path) -> Arrays:
    """Read MNIST from a training file and, if there is one, the test file beside it.

    Parameters
    ----------
    path : Path
        The training file. The test file has the same name with "test" for "train", and may be
        compressed by gzip where the training file is not, or the other way round.

    Returns
    -------
    Arrays
        Without test arrays if there is no test file, or if it has no labels (784 columns, as
        Kaggle's has).

    Raises
    ------
    DataFileError
        If a line is not a label and 784 pixels: the message names line and column. If it is not
        certain which column holds the labels, or if all labels are alike.
    """
    train = read_csv(path)
    if train is None:
        problem = (
            f"{PIXELS} columns, expected {PIXELS + 1}: a label, then {PIXELS} pixels (images "
            "without labels, as in Kaggle's test.csv, teach nothing)"
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
    """The test file beside a training file."""
    name = "test".join(path.name.rsplit("train", 1))
    if name == path.name:
        return None
    other = name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
    return next(
        (path.with_name(each) for each in (name, other) if path.with_name(each).is_file()), None
    )


def read_csv(path: Path, like: Columns | None = None) -> Table | None:
    """Read one file; None if its lines are pixels without a label.

    Parameters
    ----------
    path : Path
        The file. Cells are separated by commas, semicolons, tabs, bars or spaces, and may be
        quoted.
    like : Columns, optional
        Columns of the training file. A test file without names has its label in the same column.
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
    parts.clear()  # they take as much memory as the table
    if columns.label is None:
        known = like.label if like is not None and like.width == columns.width else None
        columns = columns.with_label(
            known if known in columns.kept else find_label(table, columns, line)
        )
    check_order(columns)
    return _table(table, columns, line, reader.name)


def _table(table: NDArray[Any], columns: Columns, first_line: int, name: str) -> Table:
    """Labels and pixels, once it is known which columns they are in."""
    label, first = columns.label or 0, columns.kept[0]
    labels = table[:, label]
    wrong = (labels >= CLASSES) | _is_fraction(labels)
    if wrong.any():
        row = int(wrong.argmax())
        raise _wrong_cell(name, first_line + row, label, f"{labels[row]:g}", CLASSES - 1)
    # A slice is a view, a list of columns a copy.
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
    """Blocks of whole lines, each line ended by a bare newline, and the number of each block's
    first line.

    Blank lines are left out at the end of the file and rejected elsewhere.
    """
    number, blank = 1, 0
    rest = reader.some(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK)
    more = True
    while more:
        chunk = reader.some(_CHUNK)
        more = bool(chunk)
        # The last line may lack its newline; if it has one, this adds a blank line, which is
        # dropped.
        whole, newline, rest = _whole_lines(rest + (chunk or b"\n"))
        lines = whole + newline
        if b"\r" in lines:  # far faster to find than two bytes are
            lines = lines.replace(b"\r\n", b"\n")
        content = lines.rstrip(b"\n")
        if content and blank:
            raise DataFileError(reader.name, f"line {number - 1} is blank, but more lines follow")
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
    """Lines that are complete, their last newline, and what follows it."""
    if b"\n" not in text[:-1] and b"\r" in text:
        # Lines end in bare carriage returns; the last of these may be half of a line end.
        text = text[:-1].replace(b"\r", b"\n") + text[-1:]
    return text.rpartition(b"\n")


def _parser(lines: bytes, name: str) -> tuple[_Parser, bool]:
    """What parses a file that begins with these lines, and whether the first of them is a
    header.
    """
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
    """Parses blocks of lines to arrays (lines, columns): uint8, or float32 where there are
    fractions.
    """

    def __init__(self, columns: Columns, separator: bytes, name: str) -> None:
        self.columns = columns
        self._separator = separator
        self._skipped = columns.skipped
        self._name = name
        # The largest numbers that are expected: without names, in the usual place of the label, a
        # digit.
        self._largest = np.full(columns.width, 255)
        self._largest[columns.kept[0] if columns.label is None else columns.label] = CLASSES - 1

    def parse(self, lines: bytes, number: int) -> NDArray[Any]:
        """Parse lines, the first of which has this number in the file."""
        plain = self._parse_plain(lines)
        if plain is None and b'"' in lines:
            lines = self._unquoted(lines)
            plain = self._parse_plain(lines)
        return self._parse_any(lines, number) if plain is None else plain

    def _unquoted(self, lines: bytes) -> bytes:
        """Lines without the quotes that begin or end a cell."""
        for end in (self._separator, b"\n"):
            lines = lines.replace(b'"' + end, end).replace(end + b'"', end)
        return lines.removeprefix(b'"')

    def _parse_plain(self, lines: bytes) -> NDArray[np.uint8] | None:
        """Parse lines of nothing but digits and separators, all cells at once; None if there is
        anything else to look at.
        """
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
        """Parse lines one by one: numbers in any notation, or an error that names the first cell
        that is wrong.
        """
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
                else f"{count}, as many as line 1 has"
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
        # Fractions up to 1 are pixels if there is nothing larger in the whole file, which is for
        # `_table` to see.
        wrong = ~((values >= 0) & (values <= 255) & ((values == np.floor(values)) | (values <= 1)))
        if self.columns.label is not None:
            wrong[self.columns.label] |= not values[self.columns.label] < CLASSES
        if wrong.any():
            column = int(wrong.argmax())
            cell = cells[column][:20].decode("latin-1")
            raise _wrong_cell(self._name, line_number, column, cell, int(self._largest[column]))
        return values.astype(np.float32)
