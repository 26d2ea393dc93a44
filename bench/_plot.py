"""Pictures of the results, by Matplotlib: the table's ratios as a range for each library, the
grid's as a heat map. For light pages and dark ones.
"""

import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import colors, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from _cases import CASES, GRID, GRID_BATCHES, GRID_WIDTHS, grid_case
from _report import Results, fastest, ratios, row_times
from peers import CNET_COLUMNS

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
TIMES = "\N{MULTIPLICATION SIGN}"
LIBRARY_COLORS = {
    "NumPy": "#4c78a8",
    "PyTorch": "#e45756",
    "torch.compile": "#f0a04b",
    "JAX": "#54a24b",
    "scikit-learn": "#9467bd",
}
FASTER, EVEN, SLOWER = "#2a7f8e", "#fafafa", "#c8553d"
MOST = 4.0
"""The ratio at which the heat map's colors end."""


class Theme(NamedTuple):
    """Colors of text, of remarks, of lines, and of the page."""

    ink: str
    faint: str
    rule: str
    page: str


LIGHT, DARK = (
    Theme("#222222", "#6a6a6a", "#e4e4e4", "#ffffff"),
    Theme("#e6e6e6", "#9a9a9a", "#3a3a3a", "#0d1117"),
)


def save(results: Results, file: Path, dark: bool = False) -> None:
    """Draw what the rows call for; the file's name says the format. An SVG has no background, for
    pages that are light or dark.
    """
    theme = DARK if dark else LIGHT
    style: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.size": 10,
        "svg.fonttype": "none",
        "svg.hashsalt": "cnet",  # the same results give the same file
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), theme.ink
        ),
    }
    with pyplot.rc_context(style):
        figure = (_grid if GRID.keys() & results["rows"] else _table)(results, theme)
        page = "none" if file.suffix == ".svg" else theme.page
        figure.savefig(
            file,
            dpi=160,
            bbox_inches="tight",
            pad_inches=0.2,
            facecolor=page,
            metadata={"Date": None} if file.suffix == ".svg" else None,
        )
        pyplot.close(figure)


def _table(results: Results, theme: Theme) -> Figure:
    """A line for each network: where the other libraries lie, the least and the greatest ratio of
    the rounds about the median.
    """
    rows = list(results["rows"].items())
    names = _others(results)
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 0.7 * len(rows)))
    seen = [1.0]
    for y, (_, row) in enumerate(rows):
        times = row_times(row)
        for i, name in enumerate(names):
            if not (values := ratios(times, name)):
                continue
            height = y + 0.8 * ((i + 0.5) / len(names) - 0.5)
            color = LIBRARY_COLORS.get(name, theme.faint)
            axes.plot(
                [min(values), max(values)],
                [height, height],
                color=color,
                linewidth=2,
                alpha=0.4,
                solid_capstyle="round",
            )
            axes.plot(
                statistics.median(values),
                height,
                "o",
                color=color,
                markersize=7,
                markeredgecolor=theme.page,
                markeredgewidth=0.8,
            )
            seen += values
    for name in names:
        axes.plot(
            [], [], "o", color=LIBRARY_COLORS.get(name, theme.faint), markersize=7, label=name
        )
    for y in range(len(rows) - 1):
        axes.axhline(y + 0.5, color=theme.rule, linewidth=0.8)
    axes.set_facecolor("none")
    axes.set_yticks(range(len(rows)), [CASES[name].title for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    _ratio_axis(axes, min(seen), max(seen), theme)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(names),
        frameon=False,
        handletextpad=0,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    _caption(
        figure,
        axes,
        "Time of other libraries / time of cnet",
        "Medians, and from the least to the greatest,",
        results,
        0.3,
        theme,
    )
    return figure


def _ratio_axis(axes: Axes, least: float, greatest: float, theme: Theme) -> None:
    low, high = least / 1.15, greatest * 1.15
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{TIMES}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=theme.rule, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.axvspan(low, 1, color=SLOWER, alpha=0.07, linewidth=0)
    axes.axvline(1, color=theme.ink, linewidth=1.2)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.annotate(
        "cnet is faster →",
        (1, 0),
        (6, -24),
        ("data", "axes fraction"),
        "offset points",
        color=FASTER,
        va="top",
        ha="left",
    )
    axes.annotate(
        "← slower",
        (1, 0),
        (-6, -24),
        ("data", "axes fraction"),
        "offset points",
        color=SLOWER,
        va="top",
        ha="right",
    )


def _grid(results: Results, theme: Theme) -> Figure:
    """A cell for each batch size and width: the median ratio to the fastest other library, and
    which that is.
    """
    scale = colors.TwoSlopeNorm(0, -math.log2(MOST), math.log2(MOST))
    palette = colors.LinearSegmentedColormap.from_list("cnet", [SLOWER, EVEN, FASTER])
    figure, axes = pyplot.subplots(figsize=(1.7 * len(GRID_WIDTHS), 0.95 * len(GRID_BATCHES)))
    for y, batch in enumerate(GRID_BATCHES):
        for x, width in enumerate(GRID_WIDTHS):
            times = row_times(results["rows"].get(grid_case(batch, width).name, {}))
            values = ratios(times, fastest(times))
            if not values:
                axes.text(x, y, "-", ha="center", va="center", color=theme.faint)
                continue
            middle = statistics.median(values)
            color = palette(scale(math.log2(middle)))
            ink = "white" if abs(math.log2(middle)) > 0.7 * math.log2(MOST) else "#222222"
            edge = SLOWER if (slower := round(middle, 2) < 1) else color
            axes.add_patch(
                Rectangle(
                    (x - 0.47, y - 0.45), 0.94, 0.9, facecolor=color, edgecolor=edge, linewidth=1.2
                )
            )
            axes.text(
                x, y - 0.1, f"{middle:.2f}{TIMES}", ha="center", va="center", fontsize=14, color=ink
            )
            axes.text(
                x,
                y + 0.24,
                f"{'slower than' if slower else 'against'} {fastest(times)}",
                ha="center",
                va="center",
                fontsize=8,
                color=ink,
            )
    axes.set_xlim(-0.5, len(GRID_WIDTHS) - 0.5)
    axes.set_ylim(len(GRID_BATCHES) - 0.5, -0.5)
    axes.set_xticks(range(len(GRID_WIDTHS)), map(str, GRID_WIDTHS))
    axes.set_yticks(range(len(GRID_BATCHES)), map(str, GRID_BATCHES))
    axes.set_xlabel("width of the hidden layer")
    axes.set_ylabel("batch size")
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    _caption(
        figure,
        axes,
        "Time of the fastest other library / time of cnet",
        f"784-width-10 ReLU, beside {', '.join(_others(results))}: medians",
        results,
        0.0,
        theme,
    )
    return figure


def _caption(
    figure: Figure,
    axes: Axes,
    title: str,
    remark: str,
    results: Results,
    above: float,
    theme: Theme,
) -> None:
    """A title, and in gray what the ratios depend on; above: inches over the axes that are
    taken.
    """
    threads = f"{results['threads']} thread{'s' if results['threads'] > 1 else ''}"
    lines = [
        f"In float32 on {results['machine']['cpu']}, {threads}, {results['date']}",
        f"{remark} of {results['rounds']} interleaved rounds",
    ]
    inch = 1 / figure.get_figheight()
    left, top = axes.get_position().x0, axes.get_position().y1 + (above + 0.05) * inch
    figure.text(left, top + 0.4 * inch, title, fontsize=13, fontweight="bold", va="bottom")
    figure.text(
        left,
        top + 0.05 * inch,
        "\n".join(lines),
        fontsize=8,
        color=theme.faint,
        va="bottom",
        linespacing=1.3,
    )


def _others(results: Results) -> list[str]:
    """The libraries that cnet is compared with."""
    return [
        name
        for name, peer in results["peers"].items()
        if "error" not in peer and name not in CNET_COLUMNS
    ]
