"""OpenVINO, which only predicts, in float32 and in bfloat16."""

import io

import openvino

from peers._onnx import Predictor, onnx_file
from peers._peer import Floats, Weights


class OpenVino(Predictor):
    """An inference request for each network."""

    precision = openvino.Type.f32

    @staticmethod
    def version() -> str:
        return openvino.__version__

    def set_weights(self, weights: Weights) -> None:
        core = openvino.Core()
        model = core.read_model(io.BytesIO(onnx_file(self.case, weights)))
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": self.threads,
                "INFERENCE_PRECISION_HINT": self.precision,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        if compiled.get_property("INFERENCE_PRECISION_HINT") != self.precision:
            raise NotImplementedError(f"this processor has no {self.precision.to_string()}")
        self.request = compiled.create_infer_request()

    def predict(self, x: Floats) -> Floats:
        return self.request.infer(x, share_inputs=True)[0]


class Bfloat16(OpenVino):
    """With products in bfloat16."""

    precision = openvino.Type.bf16
