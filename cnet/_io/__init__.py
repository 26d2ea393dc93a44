"""Files and other libraries: models, checkpoints, ONNX, PyTorch."""
