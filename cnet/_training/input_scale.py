"""Warnings about the scale of inputs: too large, or unlike that of the training data.

The mean square is that of a few samples. Values of several hundred saturate the first layer or make
its outputs explode, and training then does no better than chance. Inputs that are scaled unlike the
training data give meaningless outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cnet._data.samples import Rows
from cnet._utils.arrays import Array
from cnet._utils.builtin import is_builtin
from cnet._utils.warnings import warn
from cnet.nn import BatchNorm1d, BatchNorm2d, Heads, LayerNorm, Module, Sequential

_SAMPLES = 256
_ELEMENTS = 1 << 18
"""Approximate maximum number of elements of these samples."""
_LARGEST = 100.0
"""Maximum mean square of the input of a layer that can learn."""
_UNLIKE = 1000.0
"""Ratio of mean squares above which two inputs count as scaled unlike each other."""


def sample(rows: Rows) -> Array:
    """Return a few samples, evenly spaced."""
    count = max(1, min(len(rows), _SAMPLES, _ELEMENTS // max(1, math.prod(rows.row_shape))))
    return rows.take(np.linspace(0, len(rows) - 1, count).astype(np.int64))


def mean_square(x: Array) -> float:
    """Return the mean of the squares of all elements; 0 if there are none."""
    return float(np.mean(np.square(x, dtype=np.float64))) if x.size else 0.0


def warn_if_large(model: Module, x: Array) -> None:
    """Warn if the input of the first layer with parameters is too large to learn from.

    Parameters
    ----------
    model : Module
    x : ndarray, shape (n, ...)
        Samples as the model takes them.
    """
    for layer, values in _first_layers(model, x):
        size = mean_square(values)
        if size > _LARGEST and not isinstance(layer, BatchNorm1d | BatchNorm2d | LayerNorm):
            warn(
                f"x has a mean square of {size:.3g} where it enters {layer!r}: a network learns "
                "little, or nothing, from such large inputs. For 8-bit images begin the network "
                "with nn.Rescale(1 / 255); for tables use sklearn.preprocessing.StandardScaler, "
                "or begin with nn.BatchNorm1d(features)"
            )
            return


def warn_if_unlike(size: float, trained_on: float) -> None:
    """Warn if inputs to evaluate are scaled unlike the training data.

    Parameters
    ----------
    size, trained_on : float
        Mean squares.
    """
    if min(size, trained_on) > 0 and max(size / trained_on, trained_on / size) > _UNLIKE:
        warn(
            f"the data to evaluate has a mean square of {size:.3g}, but the training data has "
            f"{trained_on:.3g}: scale both alike"
        )


def _first_layers(module: Module, x: Array) -> Iterator[tuple[Module, Array]]:
    """Yield the first layers with parameters, one for each head, and their inputs.

    There is none after a custom layer.
    """
    if not is_builtin(module):
        return
    if isinstance(module, Heads):
        for head in module.heads.values():
            yield from _first_layers(head, x)
    elif not isinstance(module, Sequential):
        if module.parameters():
            yield module, x
    else:
        for layer in module:
            if layer.parameters() or not all(map(is_builtin, layer.modules())):
                yield from _first_layers(layer, x)
                return
            x = layer.forward(x)
