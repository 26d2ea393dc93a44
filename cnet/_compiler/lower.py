"""Lowering: the table of layers that have a compiled form, and the ops that each becomes.

`lowers(nn.Linear)` registers the function that emits the ops of that layer. A layer that is not in
the table has no compiled form: a network with it runs eagerly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from cnet import nn
from cnet._compiler.image_ops import Convolution, Pooling, Transpose, Window
from cnet._compiler.norm_ops import BatchNorm, GroupNorm, LayerNorm
from cnet._compiler.ops import (
    NONE,
    Activation,
    Dense,
    Dropout,
    Elementwise,
    Op,
    Rescale,
    Softmax,
)
from cnet._utils.builtin import is_builtin
from cnet.nn._activations import ElementwiseActivation


class Lowered(NamedTuple):
    """A network as ops: those that all outputs share, and those of each output."""

    trunk: list[Op]
    branches: list[list[Op]]
    heads: nn.Heads | None
    """The layer whose outputs these are; None for a network with one output."""
    scale: float = 1.0
    offset: float = 0.0
    """The trunk reads scale * input + offset, computed as a mini-batch is gathered: the first layer
    was `nn.Rescale`.
    """

    def ops(self) -> list[Op]:
        """All ops."""
        return [*self.trunk, *chain.from_iterable(self.branches)]


class Lowering:
    """The ops of the layers so far, and the shape of a sample behind them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.ops: list[Op] = []
        self.branches: list[list[Op]] = []
        self.heads: nn.Heads | None = None
        self.shape = shape
        self._channels_last = False

    def add(self, module: nn.Module) -> bool:
        """Emit the ops of a module; False if it has no compiled form or follows several outputs."""
        if self.heads is not None or not is_builtin(module):
            return False
        emit = next((_TABLE[kind] for kind in type(module).__mro__ if kind in _TABLE), None)
        return emit is not None and emit(self, module) is not False

    def emit(self, op: Op, layer: nn.Module) -> None:
        """Append an op that computes this layer."""
        self.ops.append(op)
        self.shape = layer.output_shape(self.shape)

    def emit_window(self, op: type[Window], layer: nn.Module) -> None:
        """Append an op on images."""
        self.set_layout(channels_last=True)
        (channels, *size), (filters, *out_size) = self.shape, layer.output_shape(self.shape)
        self.emit(op(layer, (*size, channels), (*out_size, filters)), layer)

    def set_layout(self, channels_last: bool) -> None:
        """Transpose images to this layout, unless they have it."""
        if channels_last != self._channels_last:
            channels, *size = self.shape
            pixels = math.prod(size)
            if channels != 1 and pixels != 1:
                shape = (channels, pixels) if channels_last else (pixels, channels)
                self.ops.append(Transpose(*shape))
            self._channels_last = channels_last

    def finish(self) -> Lowered:
        """The lowered network."""
        self.set_layout(channels_last=False)
        match self.ops:
            case [Rescale(layer=first), *trunk]:
                return Lowered(trunk, self.branches or [[]], self.heads, first.scale, first.offset)
            case trunk:
                return Lowered(trunk, self.branches or [[]], self.heads)


_TABLE: dict[type[nn.Module], Callable[[Lowering, Any], bool | None]] = {}
"""For a type of layers, the function that emits its ops. It returns False where a layer with these
options has no compiled form.
"""


def lowers(*layers: type[nn.Module]) -> Callable[..., Any]:
    """Register the function below as the lowering of these layers."""

    def register(function: Callable[[Lowering, Any], bool | None]) -> Any:
        _TABLE.update(dict.fromkeys(layers, function))
        return function

    return register


@lowers(nn.Sequential)
def _sequential(lowering: Lowering, module: nn.Sequential) -> bool:
    return all(map(lowering.add, module.layers))


@lowers(nn.Heads)
def _heads(lowering: Lowering, heads: nn.Heads) -> bool:
    lowering.set_layout(channels_last=False)
    for head in heads.heads.values():
        branch = Lowering(lowering.shape)
        if not branch.add(head) or branch.heads is not None:
            return False
        branch.set_layout(channels_last=False)
        lowering.branches.append(branch.ops)
    lowering.heads = heads
    return True


@lowers(nn.Linear)
def _linear(lowering: Lowering, layer: nn.Linear) -> None:
    lowering.emit(Dense(layer), layer)


@lowers(ElementwiseActivation)
def _activation(lowering: Lowering, layer: ElementwiseActivation) -> None:
    activation = Activation(layer._kind, layer._slope, layer._grad_needs_input)
    last = lowering.ops[-1] if lowering.ops else None
    fused = isinstance(last, Dense | Convolution) and last.activation is NONE
    if last is not None and fused and not activation.grad_needs_input:
        last.activation = activation
    else:
        lowering.ops.append(Elementwise(activation))


@lowers(nn.Softmax)
def _softmax(lowering: Lowering, layer: nn.Softmax) -> None:
    lowering.ops.append(Softmax())


@lowers(nn.Rescale)
def _rescale(lowering: Lowering, layer: nn.Rescale) -> None:
    lowering.ops.append(Rescale(layer))


@lowers(nn.Dropout)
def _dropout(lowering: Lowering, layer: nn.Dropout) -> None:
    lowering.ops.append(Dropout(layer))


@lowers(nn.Identity)
def _identity(lowering: Lowering, layer: nn.Identity) -> None:
    pass


@lowers(nn.Flatten)
def _flatten(lowering: Lowering, layer: nn.Flatten) -> None:
    lowering.set_layout(channels_last=False)
    lowering.shape = layer.output_shape(lowering.shape)


@lowers(nn.Conv2d)
def _conv(lowering: Lowering, layer: nn.Conv2d) -> None:
    lowering.emit_window(Convolution, layer)


@lowers(nn.MaxPool2d, nn.AvgPool2d)
def _pool(lowering: Lowering, layer: nn.MaxPool2d | nn.AvgPool2d) -> None:
    lowering.emit_window(Pooling, layer)


@lowers(nn.LayerNorm)
def _layer_norm(lowering: Lowering, layer: nn.LayerNorm) -> bool:
    if len(layer.normalized_shape) > 1:
        return False  # the weight would have to be transposed
    lowering.set_layout(channels_last=False)
    lowering.emit(LayerNorm(layer, layer.normalized_shape[0]), layer)
    return True


@lowers(nn.GroupNorm)
def _group_norm(lowering: Lowering, layer: nn.GroupNorm) -> None:
    if len(lowering.shape) == 3:
        lowering.set_layout(channels_last=True)
    lowering.emit(GroupNorm(layer, layer.num_channels), layer)


@lowers(nn.BatchNorm1d, nn.BatchNorm2d)
def _batch_norm(lowering: Lowering, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    if len(lowering.shape) == 3:
        lowering.set_layout(channels_last=True)
    lowering.emit(BatchNorm(layer, math.prod(lowering.shape) // layer.num_features), layer)
