"""Figures and Axes of the plots, and their common style."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Two colors that also differ in lightness, and a third one for errors.
FIRST, SECOND, WRONG, FAINT = "#1f5fa8", "#e0762c", "#c0281f", "#7a7a7a"

AxesArray = NDArray[Any]


def pyplot() -> Any:
    """Return matplotlib.pyplot, or raise an error that gives the installation command."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ModuleNotFoundError('plots require Matplotlib: pip install "cnet[plot]"') from error
    return matplotlib.pyplot


def new_axes(
    rows: int, columns: int, width: float, height: float, layout: str = "constrained"
) -> AxesArray:
    """Return the Axes of a new figure, shape (rows, columns), each `width` by `height` inches."""
    axes: AxesArray = pyplot().subplots(
        rows, columns, figsize=(columns * width, rows * height), squeeze=False, layout=layout
    )[1]
    return axes


def one_axes(ax: Any, width: float, height: float) -> Axes:
    """Return the Axes given by the user, or the Axes of a new figure."""
    one: Axes = new_axes(1, 1, width, height)[0, 0] if ax is None else some_axes(ax, 1)[0]
    return one


def some_axes(ax: Any, count: int) -> AxesArray:
    """Return the Axes given by the user for `count` plots, as a flat array."""
    from matplotlib.axes import Axes

    given = list(np.ravel(np.array(ax, dtype=object))) if isinstance(ax, Iterable) else [ax]
    for one in given:
        if not isinstance(one, Axes):
            raise TypeError(f"ax is {ax!r}, expected Matplotlib Axes (at least {count}) or None")
    if len(given) < count:
        raise ValueError(f"ax holds {len(given)} Axes, expected at least {count}")
    axes = np.empty(len(given), object)
    axes[:] = given
    return axes


def plain(ax: Axes) -> None:
    """Style Axes: no lines at the top and right, and a faint grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(color=FAINT)
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def epochs_below(ax: Axes, first: int, last: int) -> None:
    """Set up an x axis of whole epochs."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    margin = 0.03 * (last - first) or 1
    ax.set_xlim(first - margin, last + margin)
