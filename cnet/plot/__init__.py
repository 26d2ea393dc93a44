"""Plots of training and of a network's predictions, with Matplotlib: ``pip install "cnet[plot]"``.

Each function draws into `ax`, or into a new figure, and returns the Axes. Change titles and limits,
and save files, with Matplotlib (``ax.figure.savefig("loss.png")``).
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._confusion import confusion_matrix
    from ._curves import history, max_weights
    from ._grids import images, mistakes, weights
    from ._live import LivePlot

__all__ = [
    "LivePlot",
    "confusion_matrix",
    "history",
    "images",
    "max_weights",
    "mistakes",
    "weights",
]

_HOMES = {
    "LivePlot": "_live",
    "confusion_matrix": "_confusion",
    "history": "_curves",
    "images": "_grids",
    "max_weights": "_curves",
    "mistakes": "_grids",
    "weights": "_grids",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
