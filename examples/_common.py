"""What the examples share: ``--full``, the images to learn from, and tables."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cnet
from cnet import datasets

TRAIN, VALIDATION, TEST = 2_000, 500, 500


def full() -> bool:
    """Whether the command line asks for the whole run; in a notebook, change this cell to True."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--full", action="store_true", help="train as long as the figures in README.md took; without it, a few seconds")
    return parser.parse_known_args()[0].full


def digits(everything: bool, validation: int = 0, **options: Any) -> datasets.Dataset:
    """MNIST from the folder mnist in ``$CNET_DATA``, or drawn digits where there is none; all of it, or the first few thousand."""
    real = "CNET_DATA" in os.environ and Path(os.environ["CNET_DATA"], "mnist").is_dir()
    if real:
        data = datasets.mnist(validation=validation, **options)
    else:
        train, test = (60_000 - validation, 10_000) if everything else (TRAIN, TEST)
        data = datasets.digits(train, test, validation=validation if everything else min(validation, VALIDATION), **options)
    if not everything:
        parts = (None if part is None else datasets.Split(part.x[:count], part.y[:count]) for part, count in _parts(data))
        data = datasets.Dataset(*parts)
    rows = {name: len(part.x) for name, part in zip(("training", "validation", "test"), (data.train, data.validation, data.test), strict=True) if part}
    print(f"{'MNIST' if real else 'Drawn digits'}: {', '.join(f'{count:,} {name}' for name, count in rows.items())} images; {cnet.get_num_threads()} threads")
    return data


def _parts(data: datasets.Dataset) -> list[tuple[datasets.Split | None, int]]:
    return [(data.train, TRAIN), (data.validation, VALIDATION), (data.test, TEST)]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header; the first column to the left, all others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for row in cells:
        print("  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))))
