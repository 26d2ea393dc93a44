"""Which column of a table holds the labels and which hold the pixels: by the names above them, or
by their content.

A label column in another place than expected would be read as pixels, and a corner pixel, which is
0 in nearly every image, as the labels: every network then is right all the time. So the place is
taken from a name, or from content that can mean nothing else; anything less certain is rejected.
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
_REMEDY = "a line of names above, with 'label' over the labels, says which column they are in"
# How many times rarer than in the label column other digits than the most frequent one are in a
# corner pixel.
_RARE = 4
_FEW = 100


class ColumnsError(ValueError):
    """The columns are not those of a table of images: the message says which are expected."""


class Columns(NamedTuple):
    """What the cells of each line are, counted from 0.

    Attributes
    ----------
    width : int
        Cells in each line.
    label : int or None
        Column of the labels; None where there are none, or where only the content can tell.
    kept : tuple of int
        Columns of the pixels, among them that of the labels if it is not known.
    names : tuple of str
        The names above, as they were cleaned for comparison; empty if there are none.
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
        """Columns of row numbers and the like, which are not read."""
        return sorted(
            set(range(self.width)) - {*self.kept, *([] if self.label is None else [self.label])}
        )

    def with_label(self, label: int) -> Columns:
        """The columns, once it is known which of `kept` holds the labels."""
        return self._replace(
            label=label, kept=tuple(column for column in self.kept if column != label)
        )


def is_header(cells: Sequence[str]) -> bool:
    """Whether the first line of a table names the columns: most cells are words, or they count up.

    One cell that is no number does not make names of the others: it is a mistake in a line of data.

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
    # 0 to 783 or 1 to 785 are names that pandas gives to columns without names; no pixels can be so
    # large.
    counts_up = len(numbers) >= PIXELS and all(
        after == before + 1 for before, after in pairwise(numbers)
    )
    return 2 * words > len(cells) or counts_up


def number_in(cell: str | bytes) -> float | None:
    """The number in a cell; None if there is none."""
    try:
        return float(cell)
    except ValueError:
        return None


def columns_of(cells: Sequence[str], header: bool) -> Columns:
    """Tell the columns from the cells of the first line.

    Parameters
    ----------
    cells : sequence of str
        Cells of the first line.
    header : bool
        Whether they are names.

    Raises
    ------
    ColumnsError
        If there are more or fewer columns than pixels and a label, or if several are named as the
        label's.
    """
    names = tuple(map(_clean, cells)) if header else ()
    labels = [column for column, name in enumerate(names) if name in LABEL_NAMES]
    if len(labels) > 1:
        named = ", ".join(f"{names[column]!r} (column {column + 1})" for column in labels)
        raise ColumnsError(f"line 1 names several columns of labels, expected one: {named}")
    kept = tuple(
        column
        for column in range(len(cells))
        if column not in labels and not (header and names[column] in _ROW_NAMES)
    )
    if labels and len(kept) != PIXELS:
        raise ColumnsError(
            f"line 1 names {len(kept)} columns of pixels beside the labels, expected {PIXELS}"
        )
    if not labels and len(kept) not in (PIXELS, PIXELS + 1):
        empty = ", the last of which is empty" if not cells[-1].strip() else ""
        raise ColumnsError(
            f"line 1 has {len(cells)} cells{empty}, expected {PIXELS + 1}: a label, then {PIXELS} "
            "pixels"
        )
    return Columns(len(cells), labels[0] if labels else None, kept, names)


def check_order(columns: Columns) -> None:
    """Reject pixels whose names say that they are in another order, as when pixel10 follows pixel1.

    Raises
    ------
    ColumnsError
        If the numbers in the names differ from each other and do not increase.
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
                f"{columns.names[before]!r}: expected the pixels in the order of their numbers"
            )
            raise ColumnsError(problem)


def find_label(table: NDArray[Any], columns: Columns, first_line: int) -> int:
    """Find the column of labels in a table that does not name it: the first or the last one.

    Parameters
    ----------
    table : ndarray, shape (n, columns.width)
        Pixels and labels.
    columns : Columns
        Their `kept` columns are searched.
    first_line : int
        Number of the table's first line in its file, for errors.

    Raises
    ------
    ColumnsError
        If neither can be the labels, if both can, or if a column between them looks more like
        labels.
    """
    first, last = columns.kept[0], columns.kept[-1]
    digits = [column for column in (first, last) if _is_digit(table[:, column]).all()]
    if len(table) == 1:
        # A single label shows nothing by its spread, but the corners of an image are 0.
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
    """Whether another column looks so much like labels that `label`, the first or the last column,
    is not certain.
    """
    (own_distinct, own_spread), (distinct, spread) = likeness[label], likeness[column]
    if column == label:
        return False
    if column in (first, last):
        return not (own_distinct > distinct and own_spread > _RARE * spread)
    # The first column, the usual place, has to be beaten; any other must not even be equalled.
    return (
        distinct >= own_distinct
        and spread >= own_spread
        and (label != first or likeness[column] != likeness[label])
    )


def _is_digit(values: NDArray[Any]) -> NDArray[np.bool_]:
    digits: NDArray[np.bool_] = (values < CLASSES) & (values == values.astype(np.uint8))
    return digits


def _likeness(table: NDArray[Any], candidates: Sequence[int]) -> dict[int, tuple[int, float]]:
    """How much columns look like labels: for each that holds only digits, two or more, their number
    and their spread.

    The spread is the fraction of lines that hold another digit than the most frequent one.
    """
    # Most columns of pixels show within a few lines that they hold more than digits.
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
    """Why the labels' column is not certain."""
    wrong = ~_is_digit(table[:, first])
    if wrong.any():
        row = int(wrong.argmax())
        cell = (
            f"line {first_line + row}, column {first + 1} is '{table[row, first]:g}', expected a "
            f"whole number from 0 to {CLASSES - 1}"
        )
        return (
            f"{cell} in a column of labels, and column {last + 1} is not surely one either: "
            f"{_REMEDY}"
        )
    if len(found) > 1:
        places = " or ".join(str(column + 1) for column in found[:3])
        return f"the labels may be in column {places}: {_REMEDY}"
    if len(table) == 1:
        return (
            f"one line does not show whether its label is in column {first + 1} or {last + 1}: "
            f"{_REMEDY}"
        )
    return (
        f"every label is {table[0, first]:g}, if they are in column {first + 1}, and column "
        f"{last + 1} holds no labels either: {_REMEDY}"
    )


def _clean(cell: str) -> str:
    """A cell for comparison: np.savetxt marks names by ``#``, others put them into quotes."""
    return cell.strip().lstrip("#").strip().strip("\"'").strip().casefold()
