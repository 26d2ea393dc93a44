"""The plot of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cnet import metrics
from cnet.plot._axes import one_axes, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_WITH_NUMBERS = 20


def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, *, labels: Sequence[Any] | None = None, ax: Any = None
) -> Axes:
    """Plot a confusion matrix: numbers of samples by true and by predicted class.

    Colors show fractions of the row, that is, of the true class, on a scale that emphasizes small
    fractions. With up to 20 classes, each cell shows its count.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Labels from 0; at least one sample.
    labels : sequence or None
        Names of the classes. None shows the labels.
    ax : Axes or None

    Returns
    -------
    Axes

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `y_true` and `y_pred` are not labels, differ in length or are empty, if there are
        more classes than `labels`, or if `ax` is not Axes.

    See Also
    --------
    cnet.metrics.confusion_matrix : the confusion matrix as an array

    Examples
    --------
    >>> from cnet import plot
    >>> ax = plot.confusion_matrix([0, 1, 2, 2], [0, 1, 2, 0], labels=["cat", "dog", "owl"])
    >>> ax.get_xlabel()
    'predicted class'
    """
    plt = pyplot()
    counts = metrics.confusion_matrix(y_true, y_pred, None if labels is None else len(labels))
    if not counts.any():
        raise ValueError("y_true has no samples: there is nothing to plot")
    classes = len(counts)
    numbers = classes <= _MAX_WITH_NUMBERS
    side = max(3.5, 0.52 * classes + 1.2) if numbers else 7
    axes = one_axes(ax, side + 0.4, side)

    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    scale = plt.matplotlib.colors.PowerNorm(0.4, 0, 1)
    axes.imshow(fractions, cmap="Blues", norm=scale)
    if numbers:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                axes.text(
                    j,
                    i,
                    f"{count:,}",
                    ha="center",
                    va="center",
                    color="white" if scale(fractions[i, j]) > 0.6 else "black",
                    fontsize=9,
                )
        names = (
            [str(i) for i in range(classes)] if labels is None else [str(label) for label in labels]
        )
        upright = max(map(len, names)) <= 4
        axes.set_xticks(
            range(classes),
            names,
            rotation=0 if upright else 45,
            ha="center" if upright else "right",
            rotation_mode="anchor",
        )
        axes.set_yticks(range(classes), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(
        f"{np.trace(counts):,} of {counts.sum():,} correct, "
        f"{100 * np.trace(counts) / counts.sum():.2f} %",
        fontsize="medium",
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    # White lines between the cells.
    axes.set_xticks(np.arange(1, classes) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, classes) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1 if numbers else 0.3)
    axes.tick_params(which="minor", length=0)
    return axes
