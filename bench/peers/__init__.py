"""The libraries compared, one class each. Nothing is imported, not even NumPy, until a process asks
for its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peers._peer import Peer

PEERS = {
    "cnet": ("_cnet", "Fit"),
    "cnet by hand": ("_cnet", "ByHand"),
    "NumPy": ("_numpy", "HandWritten"),
    "PyTorch": ("_torch", "Eager"),
    "torch.compile": ("_torch", "Compiled"),
    "JAX": ("_jax", "Scan"),
    "scikit-learn": ("_sklearn", "Classifier"),
}
"""Column of the table: module and class."""

CNN_PEERS = {
    "cnet": ("_cnet", "Cnn"),
    "PyTorch": ("_torch", "Cnn"),
    "PyTorch, channels last": ("_torch", "CnnChannelsLast"),
    "JAX": ("_jax", "Cnn"),
}
"""The same for the table of `cnn.py`."""


def load(name: str) -> type[Peer]:
    """The class of a peer, "cnn: " and its name for one of `CNN_PEERS`; ImportError if its library
    is not installed.
    """
    cnn = name.startswith("cnn: ")
    module, class_name = CNN_PEERS[name.removeprefix("cnn: ")] if cnn else PEERS[name]
    return getattr(import_module(f"peers.{module}"), class_name)
