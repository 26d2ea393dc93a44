"""Plots of training and of a network's predictions, with Matplotlib: ``pip install "cnet[plot]"``.

Each function draws into `ax`, or into a new figure, and returns the Axes. Change titles and limits,
and save files, with Matplotlib (``ax.figure.savefig("loss.png")``).
"""

from typing import TYPE_CHECKING

from cnet._utils.lazy import lazy

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

__getattr__, __dir__ = lazy(__name__, _HOMES)
