"""The libraries compared, one class each. Nothing is imported, not even NumPy, until a process asks for its own."""

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


def load(name: str) -> type[Peer]:
    """The class of a peer; ImportError if its library is not installed."""
    module, class_name = PEERS[name]
    return getattr(import_module(f"peers.{module}"), class_name)
