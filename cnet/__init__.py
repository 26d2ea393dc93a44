"""cnet trains small neural networks on a CPU, fast.

`nn` has layers and losses, `optim` optimizers, `datasets` data, `augment` variations of images; a
`Trainer` joins them.
"""

import sys
from typing import TYPE_CHECKING

from cnet import augment as augment
from cnet import callbacks as callbacks
from cnet import datasets as datasets
from cnet import metrics as metrics
from cnet import nn as nn
from cnet import optim as optim
from cnet import plot as plot
from cnet._io.model_file import load
from cnet._training.trainer import Trainer
from cnet._utils.answers import TOP
from cnet._utils.hints import no_attribute
from cnet._utils.lazy import lazy
from cnet._utils.threads import get_num_threads, set_num_threads
from cnet._version import __version__

__all__ = [
    "Trainer",
    "__version__",
    "augment",
    "callbacks",
    "datasets",
    "from_torch",
    "get_num_threads",
    "load",
    "metrics",
    "nn",
    "optim",
    "plot",
    "set_num_threads",
    "show_config",
    "to_onnx",
    "to_torch",
]

_HOMES = {
    "from_torch": "_io.torch",
    "show_config": "_utils.config",
    "to_onnx": "_io.onnx",
    "to_torch": "_io.torch",
}
"""Modules that are imported when they are used."""

if TYPE_CHECKING:
    from cnet._io.onnx import to_onnx
    from cnet._io.torch import from_torch, to_torch
    from cnet._utils.config import show_config
else:  # to mypy, every name would be there

    def _missing(name: str) -> AttributeError:
        return no_attribute(
            sys.modules[__name__],
            name,
            TOP
            | {
                inner: f"it is {module}.{inner}"
                for module in ("nn", "optim")
                for inner in globals()[module].__all__
            },
        )

    __getattr__, __dir__ = lazy(__name__, _HOMES, _missing)
