from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

RELU: int
LEAKY_RELU: int
TANH: int
SIGMOID: int
ELU: int
GELU: int
GELU_TANH: int

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

def linear_forward(
    out: NDArray[Any], x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None
) -> None: ...
def linear_backward_input(dx: NDArray[Any], dout: NDArray[Any], w: NDArray[Any]) -> None: ...
def linear_backward_params(
    dw: NDArray[Any], db: NDArray[Any] | None, x: NDArray[Any], dout: NDArray[Any]
) -> None: ...
def transpose(out: NDArray[Any], x: NDArray[Any]) -> None: ...
def conv_scratch_size(H: int, W: int, C: int, O: int, sizes: tuple[int, ...]) -> int: ...
def conv_forward(
    out: NDArray[Any],
    x: NDArray[Any],
    w: NDArray[Any],
    b: NDArray[Any] | None,
    sizes: tuple[int, ...],
    scratch: NDArray[np.int8],
) -> None: ...
def conv_backward_input(
    dx: NDArray[Any],
    dout: NDArray[Any],
    w: NDArray[Any],
    sizes: tuple[int, ...],
    scratch: NDArray[np.int8],
) -> None: ...
def conv_backward_params(
    dw: NDArray[Any],
    db: NDArray[Any] | None,
    x: NDArray[Any],
    dout: NDArray[Any],
    sizes: tuple[int, ...],
    scratch: NDArray[np.int8],
) -> None: ...
def max_pool_forward(out: NDArray[Any], x: NDArray[Any], sizes: tuple[int, ...]) -> None: ...
def max_pool_backward(
    dx: NDArray[Any], dout: NDArray[Any], out: NDArray[Any], x: NDArray[Any], sizes: tuple[int, ...]
) -> None: ...
def avg_pool_forward(out: NDArray[Any], x: NDArray[Any], sizes: tuple[int, ...]) -> None: ...
def avg_pool_backward(dx: NDArray[Any], dout: NDArray[Any], sizes: tuple[int, ...]) -> None: ...
def activation_forward(out: NDArray[Any], x: NDArray[Any], kind: int, slope: float = 0) -> None: ...
def activation_backward(
    dx: NDArray[Any], dout: NDArray[Any], out: NDArray[Any], kind: int, slope: float = 0
) -> None: ...
def dropout(out: NDArray[Any], x: NDArray[Any], p: float, key: int, step: int) -> None: ...
def norm_blocks(m: int) -> int: ...
def layer_norm_forward(
    out: NDArray[Any],
    xhat: NDArray[Any] | None,
    rstd: NDArray[Any] | None,
    x: NDArray[Any],
    w: NDArray[Any] | None,
    b: NDArray[Any] | None,
    eps: float,
) -> None: ...
def layer_norm_backward(
    dx: NDArray[Any],
    dout: NDArray[Any],
    xhat: NDArray[Any],
    rstd: NDArray[Any],
    w: NDArray[Any] | None,
) -> None: ...
def norm_backward_params(
    sums: NDArray[Any], dout: NDArray[Any], xhat: NDArray[Any], scratch: NDArray[Any]
) -> None: ...
def batch_norm_moments(
    mean: NDArray[Any], var: NDArray[Any], x: NDArray[Any], scratch: NDArray[Any]
) -> None: ...
def batch_norm_track(
    running_mean: NDArray[Any],
    running_var: NDArray[Any],
    mean: NDArray[Any],
    var: NDArray[Any],
    share: float,
    m: int,
) -> None: ...
def batch_norm_forward(
    out: NDArray[Any],
    xhat: NDArray[Any] | None,
    rstd: NDArray[Any],
    x: NDArray[Any],
    mean: NDArray[Any],
    var: NDArray[Any],
    w: NDArray[Any] | None,
    b: NDArray[Any] | None,
    eps: float,
) -> None: ...
def batch_norm_backward(
    dx: NDArray[Any],
    dout: NDArray[Any],
    xhat: NDArray[Any],
    rstd: NDArray[Any],
    w: NDArray[Any] | None,
    sums: NDArray[Any],
) -> None: ...
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
    row_weights: NDArray[Any] | None = None,
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
    summed: bool = False,
    inner: bool = False,
    weight: float = 1,
) -> None: ...
def square_sum(w: NDArray[Any], total: float) -> float: ...
def weight_sum(weights: NDArray[Any]) -> float: ...
def clip(grad: NDArray[Any], total: float, bound: float) -> float: ...
def scale(x: NDArray[Any], factor: float) -> None: ...
def clip_factor(squares: float, most: float) -> float: ...
def rescale(out: NDArray[Any], x: NDArray[Any], scale: float, offset: float) -> None: ...
def gather(out: NDArray[Any], x: NDArray[Any], rows: NDArray[np.int64]) -> None: ...
def gather_uint8(out: NDArray[Any], x: NDArray[np.uint8], rows: NDArray[np.int64]) -> None: ...
def all_finite(x: NDArray[Any]) -> bool: ...
def compress(x: NDArray[Any], most: float, empty: Callable[[int, str], NDArray[Any]]) -> Any: ...
def count_correct(x: NDArray[Any], labels: NDArray[np.int64]) -> int: ...

class Augmentation:
    span: int
    scratch: int
    def __init__(self, channels: int, height: int, width: int, key: NDArray[np.uint32]) -> None: ...
    def affine(
        self, shift: float, rotation: float, scale: float, shear: float, flip: bool
    ) -> None: ...
    def elastic(self, basis_y: NDArray[Any], basis_x: NDArray[Any]) -> None: ...
    def noise(self, deviation: float, quantiles: NDArray[Any]) -> None: ...
    def standardize(self, mean: NDArray[Any], factor: NDArray[Any]) -> None: ...
    def run(
        self,
        out: NDArray[Any],
        x: NDArray[Any],
        sources: NDArray[np.int64],
        rows: NDArray[np.int64],
        epoch: int,
        scratch: NDArray[Any],
    ) -> None: ...
