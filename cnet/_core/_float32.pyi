from typing import Any

import numpy as np
from numpy.typing import NDArray

RELU: int
LEAKY_RELU: int
TANH: int
SIGMOID: int

CROSS_ENTROPY: int
NLL: int
MSE: int
L1: int
HUBER: int
QUANTILE: int
POISSON: int
POISSON_LOG: int
BCE: int

SGD: int
MOMENTUM: int
NESTEROV: int
ADAM: int
AMSGRAD: int
RMSPROP: int
RMSPROP_MOMENTUM: int
RMSPROP_CENTERED: int

def linear_forward(out: NDArray[Any], x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None) -> None: ...
def linear_backward_input(dx: NDArray[Any], dout: NDArray[Any], w: NDArray[Any]) -> None: ...
def linear_backward_params(dw: NDArray[Any], db: NDArray[Any] | None, x: NDArray[Any], dout: NDArray[Any]) -> None: ...
def activation_forward(out: NDArray[Any], x: NDArray[Any], kind: int, slope: float = 0) -> None: ...
def activation_backward(dx: NDArray[Any], dout: NDArray[Any], out: NDArray[Any], kind: int, slope: float = 0) -> None: ...
def softmax_forward(out: NDArray[Any], x: NDArray[Any]) -> None: ...
def softmax_backward(dx: NDArray[Any], dout: NDArray[Any], out: NDArray[Any]) -> None: ...
def loss(
    kind: int,
    setting: float,
    row_loss: NDArray[Any] | None,
    dx: NDArray[Any] | None,
    x: NDArray[Any],
    labels: NDArray[np.int64] | None,
    t: NDArray[Any] | None,
    weights: NDArray[Any] | None = None,
) -> float: ...
def states(kind: int) -> int: ...
def update_step(
    w: NDArray[Any],
    grad: NDArray[Any],
    state: NDArray[Any],
    steps: int,
    kind: int,
    lr: float,
    weight_decay: float,
    decoupled: bool,
    beta1: float,
    beta2: float,
    eps: float,
) -> None: ...
def clip(grad: NDArray[Any], total: float, bound: float) -> float: ...
def scale(x: NDArray[Any], factor: float) -> None: ...
def clip_factor(squares: float, most: float) -> float: ...
def gather(out: NDArray[Any], x: NDArray[Any], rows: NDArray[np.int64]) -> None: ...
def gather_uint8(out: NDArray[Any], x: NDArray[np.uint8], rows: NDArray[np.int64]) -> None: ...
def count_correct(x: NDArray[Any], labels: NDArray[np.int64]) -> int: ...

class Augmentation:
    span: int
    scratch: int
    def __init__(self, channels: int, height: int, width: int, key: NDArray[np.uint32]) -> None: ...
    def affine(self, shift: float, rotation: float, scale: float, shear: float, flip: bool) -> None: ...
    def elastic(self, basis_y: NDArray[Any], basis_x: NDArray[Any]) -> None: ...
    def noise(self, deviation: float, quantiles: NDArray[Any]) -> None: ...
    def standardize(self, mean: NDArray[Any], factor: NDArray[Any]) -> None: ...
    def run(self, out: NDArray[Any], x: NDArray[Any], sources: NDArray[np.int64], rows: NDArray[np.int64], epoch: int, scratch: NDArray[Any]) -> None: ...
