"""What the examples share: the command line, MNIST in a full and a small size, tables and
pictures.
"""

import argparse
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from cnet import datasets

SMALL = {"train": 2000, "validation": 500, "test": 500}


def arguments(description: str) -> argparse.Namespace:
    """``full``, and ``data``: the folder that holds MNIST, or None. In a notebook: small, unless
    the next line says ``args.full = True``.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--full",
        action="store_true",
        help="train on everything, for the figures in README.md, instead of seconds on a little "
        "data",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="holds MNIST's files (default: the folder mnist in $CNET_DATA)",
    )
    args = parser.parse_args([] if "ipykernel" in sys.modules else None)
    usual = Path(os.environ.get("CNET_DATA", ""), "mnist")
    if args.data is None and "CNET_DATA" in os.environ and usual.is_dir():
        args.data = str(usual)
    return args


def mnist(
    full: bool, folder: str | None = None, *, validation: int = 5000, **options: Any
) -> datasets.Dataset:
    """MNIST from `folder`, or without one digits drawn by cnet; small: the first rows of each part.
    `options` are those of `datasets.mnist`.
    """
    if folder is not None:
        data = datasets.mnist(folder, validation=validation, **options)
    elif full:
        data = datasets.digits(
            train=60_000 - validation, validation=validation, test=10_000, seed=0, **options
        )
    else:
        data = datasets.digits(**SMALL, seed=0, **options)
    parts = {part: split for part in SMALL if (split := getattr(data, part)) is not None}
    if not full:
        parts = {
            part: datasets.Split(split.x[: SMALL[part]], split.y[: SMALL[part]])
            for part, split in parts.items()
        }
    sizes = ", ".join(f"{len(split.x):,} {part}" for part, split in parts.items())
    print(
        f"{'MNIST' if folder is not None else 'Digits drawn by cnet (no MNIST found)'}: {sizes}\n"
    )
    return dataclasses.replace(data, **parts)


def percent(share: float) -> str:
    """A share as it is printed here."""
    return f"{100 * share:.2f} %"


def table(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> None:
    """Print a Markdown table: the first column to the left, the others to the right."""
    cells = [
        columns,
        *(
            [
                f"{cell:,}"
                if isinstance(cell, int)
                else f"{cell:.3g}"
                if isinstance(cell, float)
                else str(cell)
                for cell in row
            ]
            for row in rows
        ),
    ]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    lines.insert(
        1, ["-" * (width - 1) + ":" if i else "-" * width for i, width in enumerate(widths)]
    )
    print("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")


def has_matplotlib() -> bool:
    """Whether pictures can be drawn: ``pip install "cnet[plot]"``."""
    return importlib.util.find_spec("matplotlib") is not None


def picture(ax: Any, name: str) -> None:
    """Show the figure of an Axes in a notebook or a window, or else save it in the current
    folder.
    """
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == "agg":
        ax.figure.savefig(name, bbox_inches="tight")
        pyplot.close(ax.figure)
        print(f"wrote {name}\n")
    else:
        pyplot.show()
