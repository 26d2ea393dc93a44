"""ONNX Runtime, which only predicts, and the file that it and others run."""

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from _cases import LEAKY_SLOPE, Activation, Case
from peers._peer import Floats, Peer, Weights

OPERATORS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "tanh": ("Tanh", {}),
}


class Predictor(Peer):
    """A library that runs ONNX files of dense networks."""

    @staticmethod
    def supports(case: Case) -> bool:
        return bool(case.predict) and case.dense

    def get_weights(self) -> Weights:
        raise NotImplementedError

    def train(self, epochs: int, shuffle: bool = True) -> None:
        raise NotImplementedError


class OnnxRuntime(Predictor):
    """A session for each network."""

    @staticmethod
    def version() -> str:
        return onnxruntime.__version__

    def set_weights(self, weights: Weights) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        self.session = onnxruntime.InferenceSession(
            onnx_file(self.case, weights), options, providers=["CPUExecutionProvider"]
        )

    def predict(self, x: Floats) -> Floats:
        return self.session.run(None, {"x": x})[0]


def onnx_file(case: Case, weights: Weights) -> bytes:
    """The network for batches of `case.predict` samples."""
    nodes: list[Any] = []
    values = []
    pairs = iter(weights)
    name, numbers = "x", itertools.count()
    for layer in case.layers:
        number = next(numbers)
        output = "z" if number == len(case.layers) - 1 else f"a{number}"
        if isinstance(layer, Activation):
            operator, attributes = OPERATORS[layer.function]
            nodes.append(helper.make_node(operator, [name], [output], **attributes))
        else:
            arrays = {f"w{number}": 0, f"b{number}": 1}
            pair = next(pairs)
            values += [
                numpy_helper.from_array(np.ascontiguousarray(pair[i]), key)
                for key, i in arrays.items()
            ]
            nodes.append(helper.make_node("Gemm", [name, *arrays], [output]))
        name = output
    ends = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, [case.predict, size])
        for key, size in (("x", case.sizes[0]), ("z", case.outputs))
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], values)
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()
