"""Data sets: each loader, and `split` for custom arrays, returns a `Dataset` of splits."""

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
