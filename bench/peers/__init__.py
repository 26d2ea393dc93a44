"""The libraries compared, one class each. Nothing is imported, not even NumPy, until a process asks
for its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from peers._peer import Peer


class Entry(NamedTuple):
    """Module and class, and whether products are in bfloat16 instead of float32."""

    module: str
    name: str
    bfloat16: bool = False


PEERS = {
    "cnet": Entry("_cnet", "Fit"),
    "cnet step": Entry("_cnet", "Step"),
    "cnet by hand": Entry("_cnet", "ByHand"),
    "NumPy": Entry("_numpy", "HandWritten"),
    "PyTorch": Entry("_torch", "Eager"),
    "PyTorch, channels last": Entry("_torch", "ChannelsLast"),
    "torch.compile": Entry("_torch", "Compiled"),
    "JAX": Entry("_jax", "Scan"),
    "TensorFlow": Entry("_tensorflow", "Function"),
    "Keras": Entry("_keras", "Keras"),
    "scikit-learn": Entry("_sklearn", "Estimator"),
    "onnxruntime": Entry("_onnx", "OnnxRuntime"),
    "OpenVINO": Entry("_openvino", "OpenVino"),
    "PyTorch bf16": Entry("_torch", "Bfloat16", True),
    "OpenVINO bf16": Entry("_openvino", "Bfloat16", True),
}
"""Column of the table: where it is."""

CNET = "cnet"
CNET_COLUMNS = (CNET, "cnet step", "cnet by hand")


def load(name: str) -> type[Peer]:
    """The class of a peer; ImportError if its library is not installed."""
    entry = PEERS[name]
    return getattr(import_module(f"peers.{entry.module}"), entry.name)
