"""Settings of PyTorch for which cnet supports only one behavior.

The values with that behavior are accepted, so that code written for PyTorch runs unchanged. Any
other value raises an error that names an alternative. `cnet.from_torch` uses the same table.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class _Setting(NamedTuple):
    values: tuple[Any, ...]
    """Values that are accepted."""
    instead: str
    """Alternative for other values, at the end of the error message."""


_EXTENDING = "a custom layer can do it, see docs/extending.md"
_SETTINGS = {
    "inplace": _Setting((False, True), "whether memory is used again changes no result"),
    # Convolution and pooling
    "dilation": _Setting((1, (1, 1)), _EXTENDING),
    "groups": _Setting((1,), _EXTENDING),
    "padding_mode": _Setting(("zeros",), "pad the images with numpy.pad"),
    "ceil_mode": _Setting((False,), "pad the images so that the last windows fit"),
    "return_indices": _Setting((False,), _EXTENDING),
    "count_include_pad": _Setting((True,), _EXTENDING),
    "divisor_override": _Setting((None,), "scale the weights of the next layer"),
    # Shapes
    "start_dim": _Setting(
        (1,),
        "a sample becomes one axis as a whole; a function among the layers can reshape otherwise",
    ),
    "end_dim": _Setting(
        (-1,),
        "a sample becomes one axis as a whole; a function among the layers can reshape otherwise",
    ),
    "dim": _Setting((-1, 1, None), "samples have one axis, and softmax is taken along it"),
    # Normalization
    "track_running_stats": _Setting((True,), "inference goes by the running mean and variance"),
    "bias": _Setting((True,), "affine=False leaves out weight and bias together"),
    # Losses
    "reduction": _Setting(
        ("mean",),
        "a loss is the mean over the batch: multiply it by the number of samples for their sum",
    ),
    "ignore_index": _Setting((-100,), "give the samples to leave out a sample_weight of 0"),
    "full": _Setting((False,), "the rest of the likelihood depends on the targets alone"),
    # Optimizers
    "dampening": _Setting(
        (0,),
        "multiply lr by 1 - dampening, which has the same effect after the first step; nesterov "
        "is given by its name",
    ),
    "lr": _Setting((1,), "L-BFGS searches along its direction for the length of a step"),
    # All
    "device": _Setting(("cpu", None, "cpu:0"), "it computes on the CPU"),
}
NEUTRAL = frozenset(_SETTINGS) - {"bias"}
"""Names of settings that are not part of a saved model."""


def neutral(**settings: Any) -> None:
    """Raise ValueError if a setting has a value that cnet does not support."""
    for name, value in settings.items():
        values, instead = _SETTINGS[name]
        if _plain(value) not in values:
            raise ValueError(f"{name} is {value!r}, and cnet has only {values[0]!r}: {instead}")


def _plain(value: Any) -> Any:
    """Return a value in a form that can be compared.

    A list becomes a tuple, a NumPy number a Python number, and a ``torch.device`` its name.
    """
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, bool | int | float | str | tuple | None) else str(value)
