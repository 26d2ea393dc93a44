"""The callback that plots metrics during training."""

from __future__ import annotations

import contextlib
import importlib
import time
from typing import TYPE_CHECKING, Any

from cnet._utils.validation import real
from cnet.callbacks import Callback, Logs
from cnet.plot._axes import pyplot
from cnet.plot._curves import history

if TYPE_CHECKING:
    from cnet._training.trainer import Trainer

_SHARE_OF_TIME = 0.05


class LivePlot(Callback):
    """Plots metrics during training: below the cell in a notebook, otherwise in a window.

    It draws after an epoch, at most every `interval` seconds, and rarely enough that drawing takes
    at most 5 % of the time. It draws again when training ends. If nothing can be shown, as on a
    server, it only fills `axes`.

    Parameters
    ----------
    interval : float
        Minimum time between two drawings, in seconds.
    ax : Axes, sequence of Axes or None
        One for each metric. None creates a new figure in each ``Trainer.fit``.

    Attributes
    ----------
    axes : ndarray of Axes or None
        The Axes of the last drawing, as returned by `history`.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `interval` is not a non-negative number of seconds.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim, plot
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> live = plot.LivePlot()
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=5, callbacks=[live], verbose=False)
    >>> live.axes[0].get_title()
    'loss'
    """

    _catches_up = False

    def __init__(self, *, interval: float = 1.0, ax: Any = None) -> None:
        pyplot()
        self.interval = real("interval in seconds", interval, 0)
        self.ax = ax
        self.axes: Any = None

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self.axes = None
        self._heard, self._drawn, self._next = 0, 0, 0.0
        self._display: Any = None

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        self._heard += 1
        if time.monotonic() >= self._next:
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._drawn < self._heard:
            self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        began = time.monotonic()
        new = self.axes is None
        if new:
            self.axes = history(trainer.history, ax=self.ax)
        else:
            for ax in self.axes:
                ax.clear()
            history(trainer.history, ax=self.axes)
        figure = self.axes[0].figure
        if new:
            self._display = _show(figure)
        elif self._display is not None:
            self._display.update(figure)
        figure.canvas.draw_idle()
        figure.canvas.flush_events()
        self._drawn = self._heard
        now = time.monotonic()
        self._next = now + max(self.interval, (now - began) / _SHARE_OF_TIME)


def _show(figure: Any) -> Any:
    """Open a window, or display the figure in a notebook and return a handle to update it."""
    plt = pyplot()
    if "inline" in plt.get_backend().lower():
        plt.close(figure)  # otherwise it would be shown again below the finished cell
        return importlib.import_module("IPython.display").display(figure, display_id=True)
    from matplotlib.backend_bases import NonGuiException

    if figure.canvas.manager is not None:
        with contextlib.suppress(NonGuiException):  # a backend that only writes files
            figure.canvas.manager.show()
    return None
