"""Ops on images: convolution, pooling, and transposes of their layout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._compiler.ops import Activation, Op, ProgramBuilder, Rules
from cnet._utils.arrays import empty

if TYPE_CHECKING:
    from cnet import nn
    from cnet._utils.arrays import Array
    from cnet.nn import Parameter


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
