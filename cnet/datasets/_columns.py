"""Locate the label column and the pixel columns of a table, by their names or their content.

If the label column is not where it is expected, the labels are read as pixels, and a corner pixel,
which is 0 in nearly every image, is read as the label. Every model then reaches an accuracy of 1.
The label column is therefore determined by a name or by unambiguous content; a table that leaves
any doubt is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._dataset import CLASSES
from ._images import PIXELS

LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "target", "targets", "y", "digit", "digits"}
)
_ROW_NAMES = frozenset(
    {
        "",
        "id",
        "ids",
        "index",
        "idx",
        "image_id",
        "imageid",
        "row",
        "row_id",
        "rowid",
        "rownames",
        "unnamed: 0",
    }
)
_MISSING = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none"})
_REMEDY = "add a header line that names the label column 'label'"
# A label column is accepted over the other end column only if its values are spread _RARE times as
# widely: in a corner pixel, digits other than the most frequent one are rare.
_RARE = 4
_FEW = 100


class ColumnsError(ValueError):
    """The columns are not those of a table of images. The message states the expected layout."""


class Columns(NamedTuple):
    """Layout of the columns of a table. Columns are counted from 0.

    Attributes
    ----------
    width : int
        Number of cells in each line.
    label : int or None
        Index of the label column. None if there are no labels, or if only the content can tell.
    kept : tuple of int
        Indices of the pixel columns. They include the label column while it is unknown.
    names : tuple of str
        Names in the header line, normalized for comparison. Empty if there is no header line.
    """

    width: int
    label: int | None
    kept: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def labeled(self) -> bool:
        """Whether the table has labels."""
        return self.label is not None or len(self.kept) != PIXELS

    @property
    def skipped(self) -> list[int]:
        """Columns that are not read, such as row numbers."""
        return sorted(
            set(range(self.width)) - {*self.kept, *([] if self.label is None else [self.label])}
        )

    def with_label(self, label: int) -> Columns:
        """Return the columns with `label` as the label column."""
        return self._replace(
            label=label, kept=tuple(column for column in self.kept if column != label)
        )


def is_header(cells: Sequence[str]) -> bool:
    """Whether the first line is a header: most cells are words, or the cells count up.

    A single cell that is not a number does not make the line a header; it is an error in the data.

    Examples
    --------
    >>> is_header(["label", "1x1", "1x2"]), is_header(["?", "0", "255"])
    (True, False)
    """
    cells = [_clean(cell) for cell in cells]
    values = [number_in(cell) for cell in cells]
    words = sum(
        value is None and cell not in _MISSING for cell, value in zip(cells, values, strict=True)
    )
    numbers = [value for value in values if value is not None]
    # pandas names unnamed columns 0 to 783 or 1 to 785. Pixels are at most 255, so such a sequence
    # cannot be data.
    counts_up = len(numbers) >= PIXELS and all(
        after == before + 1 for before, after in pairwise(numbers)
    )
    return 2 * words > len(cells) or counts_up


def number_in(cell: str | bytes) -> float | None:
    """Return the number in a cell, or None if the cell is not a number."""
    try:
        return float(cell)
    except ValueError:
        return None


def columns_of(cells: Sequence[str], header: bool) -> Columns:
    """Determine the columns from the cells of the first line.

    Parameters
    ----------
    cells : sequence of str
        Cells of the first line.
    header : bool
        Whether the cells are column names.

    Raises
    ------
    ColumnsError
        If the number of columns is not that of the pixels plus a label, or if more than one column
        has a label name.
    """
    names = tuple(map(_clean, cells)) if header else ()
    labels = [column for column, name in enumerate(names) if name in LABEL_NAMES]
    if len(labels) > 1:
        named = ", ".join(f"{names[column]!r} (column {column + 1})" for column in labels)
        raise ColumnsError(f"line 1 names more than one label column, expected one: {named}")
    kept = tuple(
        column
        for column in range(len(cells))
        if column not in labels and not (header and names[column] in _ROW_NAMES)
    )
    if labels and len(kept) != PIXELS:
        raise ColumnsError(
            f"line 1 names {len(kept)} pixel columns besides the label, expected {PIXELS}"
        )
    if not labels and len(kept) not in (PIXELS, PIXELS + 1):
        empty = ", the last of which is empty" if not cells[-1].strip() else ""
        raise ColumnsError(
            f"line 1 has {len(cells)} cells{empty}, expected {PIXELS + 1}: a label, then {PIXELS} "
            "pixels"
        )
    return Columns(len(cells), labels[0] if labels else None, kept, names)


def check_order(columns: Columns) -> None:
    """Reject pixel columns whose names are out of order, such as pixel10 right after pixel1.

    Raises
    ------
    ColumnsError
        If the numbers in the names are distinct and do not increase.
    """
    keys = (
        [tuple(map(int, re.findall(r"\d{1,9}", columns.names[column]))) for column in columns.kept]
        if columns.names
        else []
    )
    if not all(keys) or len(set(keys)) < len(keys) or len(set(map(len, keys))) != 1:
        return
    for (before, key), (after, later) in pairwise(zip(columns.kept, keys, strict=True)):
        if later < key:
            problem = (
                f"column {after + 1}, {columns.names[after]!r}, follows "
                f"{columns.names[before]!r}: expected the pixels in increasing order"
            )
            raise ColumnsError(problem)


def find_label(table: NDArray[Any], columns: Columns, first_line: int) -> int:
    """Find the label column of a table that does not name it: the first or the last column.

    Parameters
    ----------
    table : ndarray, shape (n, columns.width)
        Pixels and labels.
    columns : Columns
        Layout of the table. Only the `kept` columns are searched.
    first_line : int
        Number of the table's first line in its file, for errors.

    Raises
    ------
    ColumnsError
        If neither column can hold the labels, if both can, or if another column looks more like
        labels.
    """
    first, last = columns.kept[0], columns.kept[-1]
    digits = [column for column in (first, last) if _is_digit(table[:, column]).all()]
    if len(table) == 1:
        # The spread of a single label says nothing, but the corners of an image are 0.
        found = [column for column in digits if table[0, column]] if len(digits) == 2 else digits
        if found == [first] or len(digits) == 1:
            return found[0]
    else:
        likeness = _likeness(table, columns.kept)
        found = [column for column in digits if column in likeness]
        if found:
            label = max(found, key=lambda column: likeness[column])
            if not any(_rivals(likeness, label, column, first, last) for column in likeness):
                return label
            found = [
                column
                for column in likeness
                if column == label or _rivals(likeness, label, column, first, last)
            ]
    raise ColumnsError(_uncertain(table, first, last, found, first_line))


def _rivals(
    likeness: dict[int, tuple[int, float]], label: int, column: int, first: int, last: int
) -> bool:
    """Whether `column` looks so much like labels that `label` is not certain."""
    (own_distinct, own_spread), (distinct, spread) = likeness[label], likeness[column]
    if column == label:
        return False
    if column in (first, last):
        return not (own_distinct > distinct and own_spread > _RARE * spread)
    # To displace the first column, the usual place of labels, another column must exceed it. To
    # cast doubt on the last one, it need only equal it.
    return (
        distinct >= own_distinct
        and spread >= own_spread
        and (label != first or likeness[column] != likeness[label])
    )


def _is_digit(values: NDArray[Any]) -> NDArray[np.bool_]:
    digits: NDArray[np.bool_] = (values < CLASSES) & (values == values.astype(np.uint8))
    return digits


def _likeness(table: NDArray[Any], candidates: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Return the number of distinct values and the spread of each column that may hold labels.

    Only columns that contain at least two different values, all of them digits, are included. The
    spread is the fraction of lines that differ from the column's most frequent value.
    """
    # A few lines are enough to rule out most pixel columns.
    likely = np.array(candidates)[_is_digit(table[:_FEW, candidates]).all(axis=0)]
    found = {}
    for column, values in zip(likely.tolist(), table[:, likely].T.copy(), strict=True):
        if (values != values[0]).any() and _is_digit(values).all():
            counts = np.bincount(values.astype(np.uint8))
            found[column] = (int((counts > 0).sum()), 1 - float(counts.max()) / len(values))
    return found


def _uncertain(
    table: NDArray[Any], first: int, last: int, found: Sequence[int], first_line: int
) -> str:
    """Return the reason why the label column is not certain."""
    wrong = ~_is_digit(table[:, first])
    if wrong.any():
        row = int(wrong.argmax())
        cell = (
            f"line {first_line + row}, column {first + 1} is '{table[row, first]:g}', expected a "
            f"whole number from 0 to {CLASSES - 1}"
        )
        return (
            f"{cell} in a label column, and column {last + 1} is not clearly one either: {_REMEDY}"
        )
    if len(found) > 1:
        places = " or ".join(str(column + 1) for column in found[:3])
        return f"column {places} may hold the labels: {_REMEDY}"
    if len(table) == 1:
        return (
            f"a single line does not show whether column {first + 1} or {last + 1} is the label: "
            f"{_REMEDY}"
        )
    return (
        f"every label is {table[0, first]:g} if column {first + 1} holds the labels, and column "
        f"{last + 1} does not hold labels either: {_REMEDY}"
    )


def _clean(cell: str) -> str:
    """Normalize a name: np.savetxt writes ``#`` before the first one, other programs add quotes."""
    return cell.strip().lstrip("#").strip().strip("\"'").strip().casefold()
