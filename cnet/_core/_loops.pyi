"""The compiled core for one dtype. Written by .ci/stubs.py."""

from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

Array = NDArray[Any] | None

class Program:
    flops_per_row: float
    done: int
    updated: int
    aborted: bool
    def __init__(self, capacity: int, rules: int, threads: int) -> None: ...
    def source(
        self, x_batch: Array, x: Any, alone: bool, scale: float = ..., offset: float = ...
    ) -> None: ...
    def output(self, values: Array) -> None: ...
    def set_rule(
        self,
        rule: int,
        steps: int,
        kind: int,
        lr: float,
        weight_decay: float,
        decoupled: bool,
        beta1: float,
        beta2: float,
        eps: float,
        summed: bool = ...,
        inner: bool = ...,
        setting: float = ...,
    ) -> None: ...
    def penalize(self, w: Array) -> None: ...
    def make_clip(self, chunks: int) -> None: ...
    def set_clip(self, max_value: float, max_norm: float) -> None: ...
    def defers(self, batch: int) -> bool: ...
    def run(
        self,
        order: Array,
        batch: int,
        losses: Array,
        correct: Array,
        threads: int,
        seconds: float,
        squares: Array = ...,
    ) -> None: ...
    def predict(self, x: Array, out: Array, threads: int = ...) -> bool: ...

class Sparse:
    shape: tuple[int, ...]

class Augmentation:
    def __init__(self, channels: int, height: int, width: int, key: Array) -> None: ...
    def affine(
        self, shift: float, rotation: float, scale: float, shear: float, flip: bool
    ) -> None: ...
    def elastic(self, basis_y: Array, basis_x: Array) -> None: ...
    def noise(self, deviation: float, quantiles: Array) -> None: ...
    def standardize(self, mean: Array, factor: Array) -> None: ...
    @property
    def span(self) -> int: ...
    @property
    def scratch(self) -> int: ...
    def run(
        self, out: Array, x: Any, sources: Array, rows: Array, epoch: int, scratch: Array
    ) -> None: ...

# In the class below, its own attributes hide these names.
_Program: TypeAlias = Program
_Sparse: TypeAlias = Sparse
_Augmentation: TypeAlias = Augmentation

class Loops(Protocol):
    CODES: dict[str, int]
    MIN_CAPACITY: int
    NO_ACTIVATION: int
    def gather(self, out: Array, x: Array, rows: Array) -> None: ...
    def gather_uint8(self, out: Array, x: Array, rows: Array) -> None: ...
    def count_signs(self, x: Array, targets: Array) -> int: ...
    def count_correct(self, x: Array, labels: Array) -> int: ...
    def square_sum(self, w: Array, total: float) -> float: ...
    def weight_sum(self, weights: Array) -> float: ...
    Program: type[_Program]
    Sparse: type[_Sparse]
    def compress(self, x: Any, most: float, empty: Any) -> object: ...
    def all_finite(self, x: Array) -> bool: ...
    Augmentation: type[_Augmentation]
    def states(self, kind: int) -> int: ...
    def update_step(
        self,
        w: Array,
        grad: Array,
        state: Array,
        steps: int,
        kind: int,
        lr: float,
        weight_decay: float,
        decoupled: bool,
        beta1: float,
        beta2: float,
        eps: float,
        summed: bool = ...,
        inner: bool = ...,
        setting: float = ...,
        weight: float = ...,
    ) -> None: ...
    def append_update(
        self, program: _Program, rule: int, w: Array, state: Array, grad: Array
    ) -> None: ...
    def clip(self, grad: Array, total: float, bound: float) -> float: ...
    def scale(self, x: Array, factor: float) -> None: ...
    def clip_factor(self, squares: float, most: float) -> float: ...
    def append_clip(self, program: _Program, grad: Array, first: int) -> None: ...
    def clip_chunks(self, n: int) -> int: ...
    def linear_forward(
        self,
        out: Array,
        x: Array,
        w: Array,
        b: Array,
        activation: int = ...,
        slope: float = ...,
        program: _Program | None = ...,
    ) -> None: ...
    def linear_backward_input(
        self,
        dx: Array,
        dout: Array,
        w: Array,
        y: Array = ...,
        activation: int = ...,
        slope: float = ...,
        program: _Program | None = ...,
    ) -> None: ...
    def linear_backward_weight(
        self, dw: Array, x: Array, dout: Array, program: _Program | None = ...
    ) -> None: ...
    def linear_backward_bias(
        self, db: Array, dout: Array, program: _Program | None = ...
    ) -> None: ...
    def linear_update_weight(
        self,
        program: _Program,
        rule: int,
        w: Array,
        state: Array,
        scratch: Array,
        x: Array,
        dout: Array,
    ) -> None: ...
    def linear_update_bias(
        self, program: _Program, rule: int, b: Array, state: Array, db: Array, dout: Array
    ) -> None: ...
    def scratch_size(self, program: _Program, x: Array, n: int) -> int: ...
    def transpose(self, out: Array, x: Array, program: _Program | None = ...) -> None: ...
    def conv_scratch_size(self, H: int, W: int, C: int, O: int, sizes: tuple[int, ...]) -> int: ...
    def conv_forward(
        self,
        out: Array,
        x: Array,
        w: Array,
        b: Array,
        sizes: tuple[int, ...],
        scratch: Array,
        activation: int = ...,
        slope: float = ...,
        program: _Program | None = ...,
    ) -> None: ...
    def conv_backward_input(
        self,
        dx: Array,
        dout: Array,
        w: Array,
        sizes: tuple[int, ...],
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def conv_backward_params(
        self,
        dw: Array,
        db: Array,
        x: Array,
        dout: Array,
        sizes: tuple[int, ...],
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def pool_forward(
        self,
        out: Array,
        x: Array,
        sizes: tuple[int, ...],
        maximum: bool,
        program: _Program | None = ...,
    ) -> None: ...
    def pool_backward(
        self,
        dx: Array,
        dout: Array,
        out: Array,
        x: Array,
        sizes: tuple[int, ...],
        maximum: bool,
        program: _Program | None = ...,
    ) -> None: ...
    def activation_forward(
        self, out: Array, x: Array, kind: int, slope: float = ..., program: _Program | None = ...
    ) -> None: ...
    def activation_backward(
        self,
        dx: Array,
        dout: Array,
        y: Array,
        kind: int,
        slope: float = ...,
        program: _Program | None = ...,
    ) -> None: ...
    def softmax_forward(self, out: Array, x: Array, program: _Program | None = ...) -> None: ...
    def softmax_backward(
        self, dx: Array, dout: Array, out: Array, program: _Program | None = ...
    ) -> None: ...
    def add(self, total: Array, x: Array, program: _Program | None = ...) -> None: ...
    def rescale(
        self, out: Array, x: Array, scale: float, offset: float, program: _Program | None = ...
    ) -> None: ...
    def dropout(
        self, out: Array, x: Array, p: float, key: int, step: Array, program: _Program | None = ...
    ) -> None: ...
    def norm_blocks(self, m: int) -> int: ...
    def layer_norm_forward(
        self,
        out: Array,
        xhat: Array,
        rstd: Array,
        x: Array,
        w: Array,
        b: Array,
        eps: float,
        program: _Program | None = ...,
    ) -> None: ...
    def layer_norm_backward(
        self,
        dx: Array,
        dout: Array,
        xhat: Array,
        rstd: Array,
        w: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def norm_backward_params(
        self, sums: Array, dout: Array, xhat: Array, scratch: Array, program: _Program | None = ...
    ) -> None: ...
    def inverse_deviation(self, rstd: Array, var: Array, eps: float) -> None: ...
    def batch_norm_moments(
        self,
        mean: Array,
        var: Array,
        rstd: Array,
        x: Array,
        eps: float,
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def batch_norm_track(
        self,
        running_mean: Array,
        running_var: Array,
        tracked: Array,
        x: Array,
        mean: Array,
        var: Array,
        momentum: float,
        program: _Program | None = ...,
    ) -> None: ...
    def batch_norm_forward(
        self,
        out: Array,
        xhat: Array,
        x: Array,
        mean: Array,
        rstd: Array,
        w: Array,
        b: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def batch_norm_inference(
        self,
        out: Array,
        x: Array,
        running_mean: Array,
        running_var: Array,
        w: Array,
        b: Array,
        eps: float,
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def batch_norm_backward(
        self,
        dx: Array,
        dout: Array,
        xhat: Array,
        rstd: Array,
        w: Array,
        sums: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def group_norm_scratch(self, pixels: int, n: int) -> int: ...
    def group_norm_forward(
        self,
        out: Array,
        xhat: Array,
        moments: Array,
        x: Array,
        groups: int,
        w: Array,
        b: Array,
        eps: float,
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def group_norm_backward(
        self,
        dx: Array,
        dout: Array,
        xhat: Array,
        moments: Array,
        groups: int,
        w: Array,
        scratch: Array,
        program: _Program | None = ...,
    ) -> None: ...
    def loss(
        self,
        kind: int,
        setting: float,
        row_loss: Array,
        dx: Array,
        x: Array,
        labels: Array,
        t: Array,
        weights: Array = ...,
        row_weights: Array = ...,
    ) -> float: ...
    def append_loss(
        self,
        program: _Program,
        output: int,
        kind: int,
        setting: float,
        weights: Array,
        loss_weight: float,
        row_loss: Array,
        dx: Array,
        labels: Any,
        targets: Any,
        row_weights: Any,
    ) -> None: ...
    def append_gradient(
        self, program: _Program, output: int, row_loss: Array, dx: Array, targets: Any
    ) -> None: ...
