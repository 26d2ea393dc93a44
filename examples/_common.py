"""What the examples share: ``--full``, the images to learn from, and tables."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cnet
from cnet import datasets
from cnet.datasets import Dataset, Split

TRAIN, VALIDATION, TEST = 2_000, 500, 500


def full() -> bool:
    """Whether the command line asks for the whole run. In a notebook, write True in place of the call."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--full", action="store_true", help="train on all images, for as long as it takes; without it, a few seconds")
    return parser.parse_known_args()[0].full


def digits(everything: bool, *, validation: int = 0, flatten: bool = True) -> Dataset:
    """MNIST from the folder mnist in ``$CNET_DATA``, or else drawn digits: all of it, or a few thousand images."""
    real = "CNET_DATA" in os.environ and Path(os.environ["CNET_DATA"], "mnist").is_dir()
    if real:
        data = datasets.mnist(validation=validation, flatten=flatten)
    elif everything:
        data = datasets.digits(60_000 - validation, 10_000, validation=validation, flatten=flatten)
    else:
        data = datasets.digits(TRAIN, TEST, validation=min(validation, VALIDATION), flatten=flatten)
    if not everything:
        data = Dataset(_first(data.train, TRAIN), _first(data.validation, VALIDATION), _first(data.test, TEST))
        print("A trial on few images, whose figures say little: --full takes all.")
    counts = {"training": data.train, "validation": data.validation, "test": data.test}
    print(f"{'MNIST' if real else 'Drawn digits'}: {', '.join(f'{len(part.x):,} {name}' for name, part in counts.items() if part)} images;", end=" ")
    print(f"threads: {cnet.get_num_threads()}")
    return data


def _first(split: Split | None, count: int) -> Any:
    return None if split is None else Split(split.x[:count], split.y[:count])


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, the first column to the left and all others to the right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}")
    for first, *others in cells:
        print("  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]))
