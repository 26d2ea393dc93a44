"""How a net becomes stages (`_stages`): each layer's `Module.lower` calls a method of
`Lowering`.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from cnet._stages import (
    NONE,
    Activation,
    BatchNorm,
    Convolution,
    Dense,
    Dropout,
    Elementwise,
    LayerNorm,
    Pooling,
    Rescale,
    Softmax,
    Stage,
    Turn,
    Window,
)
from cnet.nn._module import is_builtin

if TYPE_CHECKING:
    from cnet import nn


class Lowered(NamedTuple):
    """A net as stages: those that all outputs share, and for each output its own."""

    trunk: list[Stage]
    branches: list[list[Stage]]
    heads: nn.Heads | None
    """Whose outputs they are; None for a net with one."""
    scale: float = 1.0
    offset: float = 0.0
    """The trunk reads scale * input + offset: its first layer `nn.Rescale`, which is done as a
    mini-batch is gathered.
    """

    def stages(self) -> list[Stage]:
        return [*self.trunk, *chain.from_iterable(self.branches)]


class Lowering:
    """What `Module.lower` adds a module to, for rows of `shape`."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.stages: list[Stage] = []
        self.branches: list[list[Stage]] = []
        self.heads: nn.Heads | None = None
        self.shape = shape
        self._turned = False  # whether the channels of images lie last

    def linear(self, layer: nn.Linear) -> None:
        """A dense layer."""
        self._add(Dense(layer), layer)

    def activation(self, layer: Any) -> None:
        """A function of each element, with a `kind` and a `slope`."""
        activation = Activation(layer.kind, layer.slope, layer.derived_from_input)
        last = self.stages[-1] if self.stages else None
        if (
            isinstance(last, Dense | Convolution)
            and last.activation is NONE
            and not activation.derived_from_input
        ):
            last.activation = activation
        else:
            self.stages.append(Elementwise(activation))

    def rescale(self, layer: nn.Rescale) -> None:
        """A linear function of each element, the same for all."""
        self.stages.append(Rescale(layer))

    def softmax(self) -> None:
        """A softmax of each row."""
        self.stages.append(Softmax())

    def dropout(self, layer: nn.Dropout) -> None:
        """Dropout, in training."""
        self.stages.append(Dropout(layer))

    def layer_norm(self, layer: nn.LayerNorm) -> None:
        """A normalisation of each row over its last axis."""
        self._turn(last=False)
        self._add(LayerNorm(layer, layer.normalized_shape[0]), layer)

    def batch_norm(self, layer: Any) -> None:
        """A normalisation of each feature or channel."""
        if len(self.shape) == 3:
            self._turn(last=True)
        self._add(BatchNorm(layer, math.prod(self.shape) // layer.num_features), layer)

    def flatten(self, layer: nn.Module) -> None:
        """Rows of one axis, in the order of their axes."""
        self._turn(last=False)
        self.shape = layer.output_shape(self.shape)

    def conv(self, layer: nn.Conv2d) -> None:
        """A convolution."""
        self._add_window(Convolution, layer)

    def pool(self, layer: Any) -> None:
        """The largest value of each window, where the layer has `maximum`, or the mean."""
        self._add_window(Pooling, layer)

    def branch(self, heads: nn.Heads) -> bool:
        """Several outputs; False if one has no compiled form. Nothing may follow."""
        self._turn(last=False)
        for head in heads.heads.values():
            lowering = Lowering(self.shape)
            if not lowering.add(head) or lowering.heads is not None:
                return False
            self.branches.append(lowering.end())
        self.heads = heads
        return True

    def add(self, module: nn.Module) -> bool:
        """A module; False if it has no compiled form, or follows several outputs."""
        return self.heads is None and is_builtin(module) and module.lower(self)

    def end(self) -> list[Stage]:
        """The stages. What the last ones give is in the order of its axes."""
        self._turn(last=False)
        return self.stages

    def finish(self) -> Lowered:
        """The net."""
        match self.end():
            case [Rescale(layer=first), *trunk]:
                return Lowered(trunk, self.branches or [[]], self.heads, first.scale, first.offset)
            case trunk:
                return Lowered(trunk, self.branches or [[]], self.heads)

    def _add(self, stage: Stage, layer: nn.Module) -> None:
        self.stages.append(stage)
        self.shape = layer.output_shape(self.shape)

    def _add_window(self, kind: type[Window], layer: nn.Module) -> None:
        self._turn(last=True)
        (channels, *size), (filters, *out_size) = self.shape, layer.output_shape(self.shape)
        self._add(kind(layer, (*size, channels), (*out_size, filters)), layer)

    def _turn(self, last: bool) -> None:
        if last != self._turned:
            channels, *size = self.shape
            pixels = math.prod(size)
            if channels != 1 and pixels != 1:
                self.stages.append(Turn(channels, pixels) if last else Turn(pixels, channels))
            self._turned = last
