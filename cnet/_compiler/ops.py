"""Ops: the intermediate representation of a network, between its layers and a compiled program.

An op emits its kernels to a program, forward and backward. Buffers have one axis for a sample.
Images are stored with channels last, as the kernels read them, from the first layer that needs
it until a layer that takes the elements of a sample in order. `lower` makes ops of layers.

An activation behind a dense layer or a convolution is its epilogue. Its derivative is the epilogue
of the dense layer behind it, or its own kernel.
"""

from __future__ import annotations

import math
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


class Transpose(Op):
    """Transpose of each sample, a matrix: channels last from channels first, or back."""

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols

    def _add(self, builder: ProgramBuilder, x: Array, rows: int, cols: int) -> Array:
        out = builder.buffer(x.shape[1])
        builder.kernels.transpose(
            out.reshape(-1, cols, rows), x.reshape(-1, rows, cols), builder.program
        )
        return out

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        return self._add(builder, x, *self.shape)

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        return self._add(builder, dout, *self.shape[::-1])


class Window(Op):
    """A sliding window. `source` and `result` are shapes (height, width, channels) of images."""

    def __init__(self, layer: Any, source: tuple[int, ...], result: tuple[int, ...]) -> None:
        self.layer, self.source, self.result, self.sizes = layer, source, result, layer.sizes


class Convolution(Window):
    """A two-dimensional convolution."""

    layer: nn.Conv2d
    reduces_over_batch = True

    def parameters(self) -> list[Parameter]:
        return self.layer.parameters()

    def _scratch(self, builder: ProgramBuilder) -> Array:
        height, width, channels = self.source
        each = builder.kernels.conv_scratch_size(
            height, width, channels, self.result[2], self.sizes
        )
        return np.empty(builder.threads * each, np.int8)

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out, layer, activation = builder.buffer(math.prod(self.result)), self.layer, self.activation
        images, bias = x.reshape(-1, *self.source), layer.bias.data if layer.bias else None
        builder.kernels.conv_forward(
            out.reshape(-1, *self.result),
            images,
            layer.weight.data,
            bias,
            self.sizes,
            self._scratch(builder),
            activation.kind,
            activation.slope,
            builder.program,
        )
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        images, grad = dx.reshape(-1, *self.source), dout.reshape(-1, *self.result)
        builder.kernels.conv_backward_input(
            images,
            grad,
            self.layer.weight.data,
            self.sizes,
            self._scratch(builder),
            builder.program,
        )
        return dx

    def gradients(
        self, builder: ProgramBuilder, dout: Array, x: Array, rules: Rules, fuse_update: bool
    ) -> dict[Parameter, Array]:
        deferred = {
            parameter: empty(parameter.shape, builder.dtype) for parameter in self.parameters()
        }
        images, grad = x.reshape(-1, *self.source), dout.reshape(-1, *self.result)
        layer = self.layer
        builder.kernels.conv_backward_params(
            deferred[layer.weight],
            deferred[layer.bias] if layer.bias else None,
            images,
            grad,
            self.sizes,
            self._scratch(builder),
            builder.program,
        )
        return {
            parameter: gradient for parameter, gradient in deferred.items() if parameter in rules
        }


class Pooling(Window):
    """Maximum or mean of each window."""

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(math.prod(self.result))
        builder.kernels.pool_forward(
            out.reshape(-1, *self.result),
            x.reshape(-1, *self.source),
            self.sizes,
            self.layer.maximum,
            builder.program,
        )
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        builder.kernels.pool_backward(
            dx.reshape(-1, *self.source),
            dout.reshape(-1, *self.result),
            out.reshape(-1, *self.result),
            x.reshape(-1, *self.source),
            self.sizes,
            self.layer.maximum,
            builder.program,
        )
        return dx


class LayerNorm(Op):
    """Normalization of rows of `width` elements, of which a sample has one or several."""

    reduces_over_batch = True

    def __init__(self, layer: Any, width: int) -> None:
        self.layer, self.width = layer, width

    def parameters(self) -> list[Parameter]:
        return [
            parameter for parameter in (self.layer.weight, self.layer.bias) if parameter is not None
        ]

    def _affine(self) -> tuple[Array | None, Array | None]:
        weight, bias = (
            None if parameter is None else parameter.data
            for parameter in (self.layer.weight, self.layer.bias)
        )
        return weight, bias

    def _rows(self, x: Array) -> Array:
        return x.reshape(-1, self.width)

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(x.shape[1])
        rows = self._rows(out)
        xhat, rstd = (
            (np.empty_like(rows), empty((len(rows),), builder.dtype))
            if builder.training
            else (None, None)
        )
        builder.kernels.layer_norm_forward(
            rows, xhat, rstd, self._rows(x), *self._affine(), self.layer.eps, builder.program
        )
        if xhat is not None and rstd is not None:
            builder.saved[self] = xhat, rstd
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        xhat, rstd = builder.saved[self]
        builder.kernels.layer_norm_backward(
            self._rows(dx), self._rows(dout), xhat, rstd, self._affine()[0], builder.program
        )
        return dx

    def _sums(self, builder: ProgramBuilder, dout: Array) -> Array:
        """Emit the gradients of bias and weight, (2, width)."""
        xhat = builder.saved[self][0]
        sums, scratch = (
            empty((2, self.width), builder.dtype),
            empty((builder.kernels.norm_blocks(len(xhat)), 2 * self.width), builder.dtype),
        )
        builder.kernels.norm_backward_params(sums, self._rows(dout), xhat, scratch, builder.program)
        return sums

    def gradients(
        self, builder: ProgramBuilder, dout: Array, x: Array, rules: Rules, fuse_update: bool
    ) -> dict[Parameter, Array]:
        sums = self._sums(builder, dout)
        return {
            parameter: sums[i]
            for i, parameter in enumerate((self.layer.bias, self.layer.weight))
            if parameter in rules
        }


class BatchNorm(LayerNorm):
    """Normalization of each feature. A sample has `group` rows: the pixels of an image."""

    def __init__(self, layer: Any, group: int) -> None:
        super().__init__(layer, layer.num_features)
        self.group = group

    def check_batch(self, rows: int) -> None:
        self.layer.check_batch(rows * self.group)

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out, layer, width = builder.buffer(x.shape[1]), self.layer, self.width
        rows, source, running = (
            self._rows(out),
            self._rows(x),
            (layer.running_mean.data, layer.running_var.data),
        )
        if not builder.training:
            scratch = empty((builder.threads, width), builder.dtype)
            builder.kernels.batch_norm_inference(
                rows, source, *running, *self._affine(), layer.eps, scratch, builder.program
            )
            return out
        xhat, moments = np.empty_like(rows), empty((3, width), builder.dtype)
        mean, var, rstd = moments
        scratch = empty((builder.kernels.norm_blocks(len(rows)), 2 * width), builder.dtype)
        builder.kernels.batch_norm_moments(
            mean, var, rstd, source, layer.eps, scratch, builder.program
        )
        builder.kernels.batch_norm_forward(
            rows, xhat, source, mean, rstd, *self._affine(), builder.program
        )
        tracked = layer.num_batches_tracked.data.reshape(1)
        builder.kernels.batch_norm_track(
            *running, tracked, source, mean, var, layer.kernel_momentum, builder.program
        )
        builder.saved[self] = xhat, moments
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        xhat, moments = builder.saved[self]
        sums = self._sums(builder, dout)
        builder.kernels.batch_norm_backward(
            self._rows(dx),
            self._rows(dout),
            xhat,
            moments[2],
            self._affine()[0],
            sums,
            builder.program,
        )
        return dx

    def _sums(self, builder: ProgramBuilder, dout: Array) -> Array:
        xhat, moments, *sums = builder.saved[self]
        if not sums:
            sums = [super()._sums(builder, dout)]
            builder.saved[self] = xhat, moments, *sums
        return sums[0]


class GroupNorm(LayerNorm):
    """Normalization of groups of channels of each sample; images have channels last."""

    layer: nn.GroupNorm

    def _scratch(self, builder: ProgramBuilder, x: Array) -> Array:
        each = builder.kernels.group_norm_scratch(x.shape[1] // self.width, self.width)
        return empty((builder.threads * each,), builder.dtype)

    def forward(self, builder: ProgramBuilder, x: Array) -> Array:
        out = builder.buffer(x.shape[1])
        rows, moments = self._rows(out), builder.buffer(2 * self.width)
        xhat = np.empty_like(rows) if builder.training else None
        builder.kernels.group_norm_forward(
            rows,
            xhat,
            moments,
            self._rows(x),
            self.layer.num_groups,
            *self._affine(),
            self.layer.eps,
            self._scratch(builder, x),
            builder.program,
        )
        if xhat is not None:
            builder.saved[self] = xhat, moments
        return out

    def backward(
        self, builder: ProgramBuilder, dout: Array, x: Array, out: Array, previous: Activation
    ) -> Array:
        dx = builder.buffer(x.shape[1])
        xhat, moments = builder.saved[self]
        builder.kernels.group_norm_backward(
            self._rows(dx),
            self._rows(dout),
            xhat,
            moments,
            self.layer.num_groups,
            self._affine()[0],
            self._scratch(builder, dout),
            builder.program,
        )
        return dx
