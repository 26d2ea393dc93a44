"""Plots of quantities over the epochs: metrics and the largest weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._utils.metric_modes import is_accuracy, mode_of
from cnet.plot._axes import (
    FIRST,
    SECOND,
    AxesArray,
    epochs_below,
    new_axes,
    one_axes,
    plain,
    pyplot,
    some_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cnet.callbacks import WeightRecorder

_VALIDATION = "val_"
_WIDTH, _HEIGHT = 4.6, 3.4


def history(history: Mapping[str, Sequence[float]], *, ax: Any = None) -> AxesArray:
    """Plot training and validation metrics over the epochs.

    A dot marks the best validation value of losses and accuracies. For other metrics, the history
    does not show whether lower or higher is better.

    Parameters
    ----------
    history : dict of lists
        The history returned by ``Trainer.fit``. Each metric has its own plot, together with its
        validation values (``"val_..."``).
    ax : Axes, sequence of Axes or None
        One for each metric.

    Returns
    -------
    ndarray of Axes, shape (metrics,)

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `history` is not a dict, is empty or has lists of different lengths, or if `ax` has fewer
        Axes than there are metrics.

    Examples
    --------
    >>> from cnet import plot
    >>> losses = {"loss": [0.9, 0.4, 0.2], "val_loss": [0.8, 0.5, 0.6]}
    >>> loss, accuracy = plot.history({**losses, "accuracy": [0.7, 0.9, 0.95]})
    >>> accuracy.get_title()
    'accuracy'
    """
    plt = pyplot()
    if not isinstance(history, Mapping):
        raise TypeError(
            f"history is of type {type(history).__name__}, expected a dict as returned by "
            "Trainer.fit"
        )
    metrics = list(dict.fromkeys(name.removeprefix(_VALIDATION) for name in history))
    lengths = {len(values) for values in history.values()}
    if not metrics or lengths == {0}:
        raise ValueError("history has no epochs: there is nothing to plot")
    if len(lengths) > 1:
        raise ValueError(
            f"history has lists of {' and '.join(map(str, sorted(lengths)))} numbers, expected "
            "one number per epoch in each"
        )
    axes = (
        new_axes(1, len(metrics), _WIDTH, _HEIGHT)[0] if ax is None else some_axes(ax, len(metrics))
    )
    for one, metric in zip(axes, metrics, strict=False):
        _draw_metric(plt, one, metric, history)
    return axes


def _draw_metric(plt: Any, ax: Axes, metric: str, history: Mapping[str, Sequence[float]]) -> None:
    curves = {"training": history.get(metric), "validation": history.get(_VALIDATION + metric)}
    mode, is_fraction = mode_of(metric), is_accuracy(metric)
    (epochs,) = {len(values) for values in curves.values() if values is not None}
    for (label, values), color in zip(curves.items(), (FIRST, SECOND), strict=True):
        if values is None:
            continue
        ax.plot(
            range(1, epochs + 1),
            values,
            color=color,
            label=label,
            linewidth=2,
            marker="o" if epochs == 1 else "",
        )
        if label == "validation" and mode and np.isfinite(values).any():
            finite = np.where(np.isfinite(values), values, np.nan)
            best = int(np.nanargmax(finite) if mode == "max" else np.nanargmin(finite))
            text = f"{100 * values[best]:.2f} %" if is_fraction else f"{values[best]:.4g}"
            ax.plot(
                best + 1, values[best], "o", color=color, label=f"best: {text}, epoch {best + 1}"
            )
    plain(ax)
    epochs_below(ax, 1, epochs)
    ax.set_title(metric.replace("_", " "))
    if is_fraction:
        ax.yaxis.set_major_formatter(plt.matplotlib.ticker.PercentFormatter(1, symbol=" %"))
    if sum(values is not None for values in curves.values()) > 1:
        ax.legend(frameon=False)


def max_weights(
    recorder: WeightRecorder | Mapping[str, Sequence[float]], *, ax: Any = None
) -> Axes:
    """Plot the largest absolute weight of each layer, starting before the first epoch.

    Parameters
    ----------
    recorder : callbacks.WeightRecorder, or its `max_abs`
    ax : Axes or None

    Returns
    -------
    Axes

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `recorder` is not a recorder or is empty, or if `ax` is not Axes.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim, plot
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), seed=0)
    >>> recorder = cnet.callbacks.WeightRecorder()
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=5, callbacks=[recorder], verbose=False)
    >>> ax = plot.max_weights(recorder)
    >>> [line.get_label() for line in ax.get_lines()]
    ['0.weight', '2.weight']
    """
    plt = pyplot()
    recorded = recorder if isinstance(recorder, Mapping) else getattr(recorder, "max_abs", None)
    if recorded is None:
        raise TypeError(
            f"recorder is of type {type(recorder).__name__}, expected a callbacks.WeightRecorder"
        )
    if not recorded:
        raise ValueError(
            "the recorder is empty: pass it to Trainer.fit as a callback, with a model that has "
            "weights"
        )
    axes = one_axes(ax, 6, _HEIGHT)
    last = max(map(len, recorded.values())) - 1
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(recorded)))
    lines = []
    for (name, values), color in zip(recorded.items(), colors, strict=True):
        lines += axes.plot(
            values, color=color, label=name, linewidth=2, marker="o" if last == 0 else ""
        )
    plain(axes)
    epochs_below(axes, 0, last)
    axes.set_ylim(bottom=0)
    axes.set_title("largest absolute weight")
    # In the order of the last values, so that each name is close to its curve.
    lines.sort(key=lambda line: recorded[str(line.get_label())][-1], reverse=True)
    axes.legend(handles=lines, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return axes
