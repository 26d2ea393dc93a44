"""MNIST as comma-separated text: a label and 784 pixels a line, with or without a line of names above."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._dataset import CLASSES
from ._images import MAX_IMAGES, PIXELS, SIDE, Arrays, check_count
from ._reader import DataFileError, Reader, open_reader

_COLUMNS = 1 + PIXELS
_CHUNK = 1 << 20
# np.savetxt writes 25 characters a number.
_LONGEST_LINE = 64 * _COLUMNS
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ZERO, _COMMA, _NEWLINE = b"0,\n"


def load_csv(path: Path) -> Arrays:
    """Read MNIST from a training file and, if there is one, the test file beside it.

    Parameters
    ----------
    path : Path
        The training file. The test file has the same name with "test" for "train".

    Returns
    -------
    Arrays
        Without test arrays if there is no test file, or if it has no labels (784 columns, as Kaggle's has).

    Raises
    ------
    DataFileError
        If a line is not a label and 784 pixels: the message names line and column.
    """
    train = read_csv(path)
    if train is None:
        raise DataFileError(str(path), f"{PIXELS} columns, expected {_COLUMNS}: a label, then {PIXELS} pixels")
    sibling = path.with_name("test".join(path.name.rsplit("train", 1)))
    test = read_csv(sibling) if sibling != path and sibling.is_file() else None
    return Arrays(*train) if test is None else Arrays(*train, *test)


def read_csv(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Read one file: images (n, 28, 28) and labels (n,), or None if its lines are pixels without a label."""
    images: list[NDArray[np.uint8]] = []
    labels: list[NDArray[np.uint8]] = []
    count = 0
    with open_reader(path) as reader:
        for number, lines in _blocks(reader):
            if number == 1 and _columns(lines) == PIXELS:
                return None
            if number == 1 and _is_header(lines):
                number, lines = 2, lines[lines.index(b"\n") + 1 :]
            plain = _parse_plain(lines)
            rows = _parse_any(lines, number, reader.name) if plain is None else plain
            images.append(rows[:, 1:])
            labels.append(rows[:, 0])
            count += len(rows)
            if count > MAX_IMAGES:
                break
        check_count(count, reader.name)
    return np.concatenate(images).reshape(-1, SIDE, SIDE), np.concatenate(labels)


def _blocks(reader: Reader) -> Iterator[tuple[int, bytes]]:
    """Blocks of whole lines, each line ended by a bare newline, and the number of each block's first line.

    Blank lines are left out at the end of the file and refused elsewhere.
    """
    number, blank = 1, 0
    rest = reader.some(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK)
    more = True
    while more:
        chunk = reader.some(_CHUNK)
        more = bool(chunk)
        # The last line may lack its newline; if it has one, this adds a blank line, which is dropped.
        whole, newline, rest = (rest + (chunk or b"\n")).rpartition(b"\n")
        lines = (whole + newline).replace(b"\r\n", b"\n")
        content = lines.rstrip(b"\n")
        if content and blank:
            raise DataFileError(reader.name, f"line {number - 1} is blank, but more lines follow")
        if content:
            yield number, content + b"\n"
        blank = len(lines) - len(content) - bool(content) + blank
        number += lines.count(b"\n")
        if len(rest) > _LONGEST_LINE:
            problem = f"line {number} has more than {_LONGEST_LINE} characters, expected {_COLUMNS} cells"
            raise DataFileError(reader.name, problem)


def _columns(lines: bytes) -> int:
    return 1 + lines.count(b",", 0, lines.index(b"\n"))


def _is_header(lines: bytes) -> bool:
    """Whether the first line names the columns: its first cell is no number."""
    return _number(lines[: lines.index(b"\n")].split(b",")[0]) is None


def _number(cell: bytes) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _parse_plain(lines: bytes) -> NDArray[np.uint8] | None:
    """Parse lines of nothing but digits and commas, all cells at once; None if there is anything else to look at."""
    text = np.frombuffer(lines, np.uint8)
    digits = text - np.uint8(_ZERO)
    ends = np.flatnonzero(digits > 9)
    separators = text[ends]
    lengths = np.diff(ends, prepend=-1) - 1
    if ends.size % _COLUMNS or not ends.size or lengths.min() < 1 or lengths.max() > 3:
        return None
    separators = separators.reshape(-1, _COLUMNS)
    if (separators[:, :-1] != _COMMA).any() or (separators[:, -1] != _NEWLINE).any():
        return None
    values = digits[ends - 1].astype(np.uint16)
    for place, worth in ((2, 10), (3, 100)):
        values += np.where(lengths >= place, digits[ends - place], 0) * np.uint16(worth)
    table = values.reshape(-1, _COLUMNS)
    if table.max() > 255 or table[:, 0].max() >= CLASSES:
        return None
    return table.astype(np.uint8)


def _parse_any(lines: bytes, number: int, name: str) -> NDArray[np.uint8]:
    """Parse lines one by one: numbers in any notation, or an error that names the first cell that is wrong."""
    rows = [_parse_line(line, number + index, name) for index, line in enumerate(lines.split(b"\n")[:-1])]
    return np.array(rows, np.uint8).reshape(-1, _COLUMNS)


def _parse_line(line: bytes, number: int, name: str) -> NDArray[Any]:
    cells = line.split(b",")
    if len(cells) != _COLUMNS:
        problem = f"line {number} has {len(cells)} cells, expected {_COLUMNS}: a label, then {PIXELS} pixels"
        raise DataFileError(name, problem)
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError:
        values = np.array([np.nan if (value := _number(cell)) is None else value for cell in cells])
    largest = np.full(_COLUMNS, 255)
    largest[0] = CLASSES - 1
    wrong = ~((values >= 0) & (values <= largest) & (values == np.floor(values)))
    if wrong.any():
        column = int(wrong.argmax())
        cell = cells[column][:20].decode("latin-1")
        problem = f"line {number}, column {column + 1} is {cell!r}, expected a whole number from 0 to {largest[column]}"
        raise DataFileError(name, problem)
    return values
