"""Data sets: each loader, and `split` for custom arrays, returns a `Dataset` of splits."""

from typing import TYPE_CHECKING

from cnet._utils.lazy import lazy

if TYPE_CHECKING:
    from ._dataset import Dataset, Split
    from ._digits import digits, draw_digits
    from ._mnist import mnist
    from ._multi_digit import multi_digit
    from ._split import split

__all__ = ["Dataset", "Split", "digits", "draw_digits", "mnist", "multi_digit", "split"]

# Loaded on first use: programs that do not use these loaders import cnet in half the time.
_HOMES = {
    "Dataset": "_dataset",
    "Split": "_dataset",
    "digits": "_digits",
    "draw_digits": "_digits",
    "mnist": "_mnist",
    "multi_digit": "_multi_digit",
    "split": "_split",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
