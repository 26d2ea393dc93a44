"""What a net is made of once it is lowered: stages, each of which adds its operations to a compiled
program.

A stage maps rows to rows. Buffers hold a row as one axis; images lie in them with channels last, as
the kernels read them, from the first layer that needs it until a layer that takes the elements of a
row in order. `_lowering` makes stages of layers.

An activation behind a dense layer or a convolution joins it. On the way back its derivative joins
the dense layer behind, and else is taken in place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet._arrays import empty

if TYPE_CHECKING:
    from cnet import nn
    from cnet._arrays import Array
    from cnet.nn import Parameter

Rules = dict["Parameter", tuple[int, "Array", "Array"]]
"""Parameters that are trained: the number of the rule, and values and what the optimiser remembers
as `program_...` take them.
"""


class Target(NamedTuple):
    """A program that is being built."""

    kernels: Any
    program: Any
    room: int
    threads: int
    dtype: Any
    training: bool
    kept: dict[Stage, tuple[Array, ...]]
    """What a stage needs on its way back, beside what it read and gave."""

    def buffer(self, *row: int) -> Array:
        return empty((self.room, *row), self.dtype)


class Activation(NamedTuple):
    """A function of each element, by its number among the kernels. The derivative is told by its
    output, or by its input.
    """

    kind: int = -1
    slope: float = 0.0
    derived_from_input: bool = False


NONE = Activation()


class Stage:
    """What every stage has. Subclasses write `forward`, and `backward` unless the gradient passes
    as it is.
    """

    activation = NONE
    """The function that its output has been through last; who brings the gradient back takes its
    derivative first.
    """
    takes_derivative = False
    """Whether `backward` can multiply by the derivative of the activation before."""
    sums_rows = False
    """Whether it sums over all rows of a batch in an order of its own, which blocks of rows would
    cut.
    """

    def parameters(self) -> list[Parameter]:
        return []

    def forward(self, to: Target, x: Array) -> Array:
        """Add the way from the rows of x; returns the buffer where it leads."""
        raise NotImplementedError

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        """Add the way back; returns the buffer of the gradient of x."""
        return dout

    def check_batch(self, rows: int) -> None:
        """ValueError if it cannot train on so few rows."""

    def gradients(
        self, to: Target, dout: Array, x: Array, rules: Rules, at_once: bool
    ) -> dict[Parameter, Array]:
        """Add the gradients of its parameters, and if `at_once` the steps with them; returns those
        that wait for their step.
        """
        return {}


class Dense(Stage):
    takes_derivative = True

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer

    def parameters(self) -> list[Parameter]:
        return self.layer.parameters()

    def forward(self, to: Target, x: Array) -> Array:
        out, layer, activation = to.buffer(self.layer.out_features), self.layer, self.activation
        to.kernels.program_linear(
            to.program,
            out,
            x,
            layer.weight.data,
            layer.bias.data if layer.bias else None,
            activation.kind,
            activation.slope,
        )
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        to.kernels.program_linear_input(
            to.program,
            dx,
            dout,
            self.layer.weight.data,
            None if before is NONE else x,
            before.kind,
            before.slope,
        )
        return dx

    def gradients(
        self, to: Target, dout: Array, x: Array, rules: Rules, at_once: bool
    ) -> dict[Parameter, Array]:
        waiting = {}
        weight, bias = self.layer.weight, self.layer.bias
        if weight in rules and at_once:
            scratch = empty(
                (to.threads * to.kernels.scratch_size(to.program, x, weight.shape[1]),), to.dtype
            )
            to.kernels.program_linear_weight(to.program, *rules[weight], scratch, x, dout)
        elif weight in rules:
            waiting[weight] = empty(weight.shape, to.dtype)
            to.kernels.program_linear_weight_sums(to.program, waiting[weight], x, dout)
        if bias and bias in rules:
            sums = empty(bias.shape, to.dtype)
            to.kernels.program_linear_bias(
                to.program, *(rules[bias] if at_once else (0, None, None)), sums, dout
            )
            if not at_once:
                waiting[bias] = sums
        return waiting


class Elementwise(Stage):
    def __init__(self, activation: Activation) -> None:
        self.activation = activation

    def forward(self, to: Target, x: Array) -> Array:
        out = to.buffer(x.shape[1])
        to.kernels.program_activation(
            to.program, out, x, self.activation.kind, self.activation.slope
        )
        return out


class Softmax(Stage):
    def forward(self, to: Target, x: Array) -> Array:
        out = to.buffer(x.shape[1])
        to.kernels.program_softmax(to.program, out, x)
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        to.kernels.program_softmax_backward(to.program, dx, dout, out)
        return dx


class Rescale(Stage):
    """``scale * x + offset``."""

    def __init__(self, layer: nn.Rescale) -> None:
        self.layer = layer

    def forward(self, to: Target, x: Array) -> Array:
        out = to.buffer(x.shape[1])
        to.kernels.program_rescale(to.program, out, x, self.layer.scale, self.layer.offset)
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        to.kernels.program_rescale(to.program, dout, dout, self.layer.scale, 0.0)
        return dout


class Dropout(Stage):
    """The step of each call is told in `step`, an array of one element, before the program runs."""

    def __init__(self, layer: nn.Dropout) -> None:
        self.layer = layer
        self.step = np.zeros(1, np.int64)

    def _add(self, to: Target, out: Array, x: Array) -> None:
        to.kernels.program_dropout(to.program, out, x, self.layer.p, self.layer.key, self.step)

    def forward(self, to: Target, x: Array) -> Array:
        if not to.training:
            return x
        out = to.buffer(x.shape[1])
        self._add(to, out, x)
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        self._add(to, dout, dout)
        return dout


class Turn(Stage):
    """Rows are matrices: they are transposed, which brings channels behind pixels or back."""

    def __init__(self, rows: int, cols: int) -> None:
        self.shape = rows, cols

    def _add(self, to: Target, x: Array, rows: int, cols: int) -> Array:
        out = to.buffer(x.shape[1])
        to.kernels.program_transpose(
            to.program, out.reshape(-1, cols, rows), x.reshape(-1, rows, cols)
        )
        return out

    def forward(self, to: Target, x: Array) -> Array:
        return self._add(to, x, *self.shape)

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        return self._add(to, dout, *self.shape[::-1])


class Window(Stage):
    """A window that slides over images: `source` and `result` are (height, width, channels) before
    and behind it.
    """

    def __init__(self, layer: Any, source: tuple[int, ...], result: tuple[int, ...]) -> None:
        self.layer, self.source, self.result, self.sizes = layer, source, result, layer.sizes


class Convolution(Window):
    layer: nn.Conv2d
    sums_rows = True

    def parameters(self) -> list[Parameter]:
        return self.layer.parameters()

    def _scratch(self, to: Target) -> Array:
        return np.empty(
            to.threads * to.kernels.conv_scratch_size(*self.source, self.result[2], self.sizes),
            np.int8,
        )

    def forward(self, to: Target, x: Array) -> Array:
        out, layer, activation = to.buffer(math.prod(self.result)), self.layer, self.activation
        images, bias = x.reshape(-1, *self.source), layer.bias.data if layer.bias else None
        to.kernels.program_conv(
            to.program,
            out.reshape(-1, *self.result),
            images,
            layer.weight.data,
            bias,
            self.sizes,
            self._scratch(to),
            activation.kind,
            activation.slope,
        )
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        images, grad = dx.reshape(-1, *self.source), dout.reshape(-1, *self.result)
        to.kernels.program_conv_input(
            to.program, images, grad, self.layer.weight.data, self.sizes, self._scratch(to)
        )
        return dx

    def gradients(
        self, to: Target, dout: Array, x: Array, rules: Rules, at_once: bool
    ) -> dict[Parameter, Array]:
        waiting = {parameter: empty(parameter.shape, to.dtype) for parameter in self.parameters()}
        images, grad = x.reshape(-1, *self.source), dout.reshape(-1, *self.result)
        layer = self.layer
        to.kernels.program_conv_params(
            to.program,
            waiting[layer.weight],
            waiting[layer.bias] if layer.bias else None,
            images,
            grad,
            self.sizes,
            self._scratch(to),
        )
        return {
            parameter: gradient for parameter, gradient in waiting.items() if parameter in rules
        }


class Pooling(Window):
    def forward(self, to: Target, x: Array) -> Array:
        out = to.buffer(math.prod(self.result))
        to.kernels.program_pool(
            to.program,
            out.reshape(-1, *self.result),
            x.reshape(-1, *self.source),
            self.sizes,
            self.layer.maximum,
        )
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        images = (
            array.reshape(-1, *shape)
            for array, shape in (
                (dx, self.source),
                (dout, self.result),
                (out, self.result),
                (x, self.source),
            )
        )
        to.kernels.program_pool_backward(to.program, *images, self.sizes, self.layer.maximum)
        return dx


class LayerNorm(Stage):
    """Of rows of so many elements, of which the batch has one or several for each of its own."""

    sums_rows = True

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

    def forward(self, to: Target, x: Array) -> Array:
        out = to.buffer(x.shape[1])
        rows = self._rows(out)
        xhat, rstd = (
            (np.empty_like(rows), empty((len(rows),), to.dtype)) if to.training else (None, None)
        )
        to.kernels.program_layer_norm(
            to.program, rows, xhat, rstd, self._rows(x), *self._affine(), self.layer.eps
        )
        if xhat is not None and rstd is not None:
            to.kept[self] = xhat, rstd
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        xhat, rstd = to.kept[self]
        to.kernels.program_layer_norm_backward(
            to.program, self._rows(dx), self._rows(dout), xhat, rstd, self._affine()[0]
        )
        return dx

    def _sums(self, to: Target, dout: Array) -> Array:
        """Adds the gradients of bias and weight, (2, width)."""
        xhat = to.kept[self][0]
        sums, scratch = (
            empty((2, self.width), to.dtype),
            empty((to.kernels.norm_blocks(len(xhat)), 2 * self.width), to.dtype),
        )
        to.kernels.program_norm_params(to.program, sums, self._rows(dout), xhat, scratch)
        return sums

    def gradients(
        self, to: Target, dout: Array, x: Array, rules: Rules, at_once: bool
    ) -> dict[Parameter, Array]:
        sums = self._sums(to, dout)
        return {
            parameter: sums[i]
            for i, parameter in enumerate((self.layer.bias, self.layer.weight))
            if parameter in rules
        }


class BatchNorm(LayerNorm):
    """Of each feature; several rows for one of the batch are the pixels of an image. The sums over
    a batch join the way back.
    """

    def __init__(self, layer: Any, group: int) -> None:
        super().__init__(layer, layer.num_features)
        self.group = group

    def check_batch(self, rows: int) -> None:
        self.layer.check_batch(rows * self.group)

    def forward(self, to: Target, x: Array) -> Array:
        out, layer, width = to.buffer(x.shape[1]), self.layer, self.width
        rows, source, running = (
            self._rows(out),
            self._rows(x),
            (layer.running_mean.data, layer.running_var.data),
        )
        if not to.training:
            scratch = empty((to.threads, width), to.dtype)
            to.kernels.program_batch_norm(
                to.program, rows, source, *running, *self._affine(), layer.eps, scratch
            )
            return out
        xhat, moments = np.empty_like(rows), empty((3, width), to.dtype)
        momentum = -1.0 if layer.momentum is None else layer.momentum
        scratch, tracked = (
            empty((to.kernels.norm_blocks(len(rows)), 2 * width), to.dtype),
            layer.num_batches_tracked.data.reshape(1),
        )
        to.kernels.program_batch_norm_training(
            to.program,
            rows,
            xhat,
            moments,
            source,
            *running,
            tracked,
            *self._affine(),
            layer.eps,
            momentum,
            scratch,
        )
        to.kept[self] = xhat, moments
        return out

    def backward(self, to: Target, dout: Array, x: Array, out: Array, before: Activation) -> Array:
        dx = to.buffer(x.shape[1])
        xhat, moments = to.kept[self]
        sums = self._sums(to, dout)
        to.kernels.program_batch_norm_backward(
            to.program, self._rows(dx), self._rows(dout), xhat, moments, self._affine()[0], sums
        )
        return dx

    def _sums(self, to: Target, dout: Array) -> Array:
        xhat, moments, *sums = to.kept[self]
        if not sums:
            sums = [super()._sums(to, dout)]
            to.kept[self] = xhat, moments, *sums
        return sums[0]
