"""Ops of normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._compiler.ops import Activation, Op, ProgramBuilder, Rules
from cnet._utils.arrays import empty

if TYPE_CHECKING:
    from cnet import nn
    from cnet._utils.arrays import Array
    from cnet.nn import Parameter


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
