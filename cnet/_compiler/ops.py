"""Ops: the intermediate representation of a network, between its layers and a compiled program.

An op emits its kernels to a program, forward and backward. Buffers have one axis for a sample.
Images are stored with channels last, as the kernels read them, from the first layer that needs
it until a layer that takes the elements of a sample in order. `lower` makes ops of layers.

An activation behind a dense layer or a convolution is its epilogue. Its derivative is the epilogue
of the dense layer behind it, or its own kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet._utils.arrays import empty

if TYPE_CHECKING:
    from cnet import nn
    from cnet._core._loops import Loops, Program
    from cnet._utils.arrays import Array
    from cnet.nn import Parameter

Rules = dict["Parameter", tuple[int, "Array", "Array"]]
"""For each trained parameter: the index of its update rule, its values, and its optimizer state."""


class ProgramBuilder(NamedTuple):
    """A program under construction."""

    kernels: Loops
    program: Program
    capacity: int
    threads: int
    dtype: Any
    training: bool
    saved: dict[Op, tuple[Array, ...]]
    """Arrays that an op saves for backward, beside its input and output."""

    def buffer(self, *row: int) -> Array:
        """A new buffer of this shape for each sample of a block."""
        return empty((self.capacity, *row), self.dtype)


class Activation(NamedTuple):
    """An elementwise function, by its kind among the kernels' constants."""

    kind: int = -1
    slope: float = 0.0
    grad_needs_input: bool = False


NONE = Activation()


class Op:
    """Base class. A subclass defines `forward`, and `backward` unless that is the identity."""

    activation = NONE
    """Activation fused into this op's output. The producer of `dout` applies its derivative."""
    fuses_activation_grad = False
    """Whether `backward` can apply the derivative of the previous op's activation."""
    reduces_over_batch = False
    """Whether it sums over all samples of a batch in one kernel: the batch must not be cut."""

    def parameters(self) -> list[Parameter]:
        """Its parameters; none by default."""
        return []

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        """Emit the forward kernels for input buffer x; returns the output buffer."""
        raise NotImplementedError

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        """Emit the backward kernels; returns the buffer of the gradient of x.

        `previous` is the activation whose derivative is applied, too, or NONE.
        """
        return dout

    def check_batch(self, rows: int) -> None:
        """Raise ValueError if it cannot train on a batch of so few samples."""

    def gradients(
        self, builder: ProgramBuilder, dout: Array, x: Array, rules: Rules, fuse_update: bool
    ) -> dict[Parameter, Array]:
        """Emit the gradients of its parameters, and with `fuse_update` their updates.

        Returns the gradients whose updates are deferred.
        """
        return {}


class Dense(Op):
    """A dense layer."""

    fuses_activation_grad = True

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def parameters(self) -> list[Parameter]:
        return self.layer.parameters()

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out, layer, activation = (
            builder.buffer(self.layer.out_features),
            self.layer,
            self.activation,
        )
        builder.kernels.linear_forward(
            out,
            x,
            layer.weight.data,
            layer.bias.data if layer.bias else None,
            activation.kind,
            activation.slope,
            builder.program,
        )
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        builder.kernels.linear_backward_input(
            dx,
            dout,
            self.layer.weight.data,
            None if previous is NONE else x,
            previous.kind,
            previous.slope,
            builder.program,
        )
        return dx

    def gradients(
        self, builder: ProgramBuilder, dout: Array, x: Array, rules: Rules, fuse_update: bool
    ) -> dict[Parameter, Array]:
        deferred = {}
        weight, bias = self.layer.weight, self.layer.bias
        if weight in rules and fuse_update:
            scratch = empty(
                (
                    builder.threads
                    * builder.kernels.scratch_size(builder.program, x, weight.shape[1]),
                ),
                builder.dtype,
            )
            builder.kernels.linear_update_weight(builder.program, *rules[weight], scratch, x, dout)
        elif weight in rules:
            deferred[weight] = empty(weight.shape, builder.dtype)
            builder.kernels.linear_backward_weight(deferred[weight], x, dout, builder.program)
        if bias and bias in rules:
            sums = empty(bias.shape, builder.dtype)
            if fuse_update:
                builder.kernels.linear_update_bias(builder.program, *rules[bias], sums, dout)
            else:
                builder.kernels.linear_backward_bias(sums, dout, builder.program)
                deferred[bias] = sums
        return deferred


class Elementwise(Op):
    """An activation that no op has as its epilogue."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(x.shape[1])
        kind, slope, _ = self.activation
        builder.kernels.activation_forward(out, x, kind, slope, builder.program)
        return out


class Softmax(Op):
    """Softmax of each sample."""

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(x.shape[1])
        builder.kernels.softmax_forward(out, x, builder.program)
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        builder.kernels.softmax_backward(dx, dout, out, builder.program)
        return dx


class Rescale(Op):
    """``scale * x + offset``."""

    def __init__(self, layer: nn.Rescale) -> None:
        self.layer = layer

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(x.shape[1])
        builder.kernels.rescale(out, x, self.layer.scale, self.layer.offset, builder.program)
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        builder.kernels.rescale(dout, dout, self.layer.scale, 0.0, builder.program)
        return dout


class Dropout(Op):
    """Dropout. `step`, an array of one element, is set before each call of the program."""

    def __init__(self, layer: nn.Dropout) -> None:
        self.layer = layer
        self.step = np.zeros(1, np.int64)

    def _add(self, builder: ProgramBuilder, out: Array, x: Array) -> None:
        builder.kernels.dropout(out, x, self.layer.p, self.layer.key, self.step, builder.program)

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        if not builder.training:
            return x
        out = builder.buffer(x.shape[1])
        self._add(builder, out, x)
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        self._add(builder, dout, dout)
        return dout
