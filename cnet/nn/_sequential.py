"""Networks that are a sequence of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from cnet._utils.arrays import Array, real_dtype, seed_sequence
from cnet.nn._functions import as_layer
from cnet.nn._module import Module
from cnet.nn.init import Initializer


class Sequential(Module):
    """A network of layers in sequence: ``y = layers[-1](...(layers[1](layers[0](x))))``.

    The input has shape (n, ...) for n samples, as the first layer requires.

    Parameters
    ----------
    *layers : Module or function
        Layers, at least one, or a single list of layers. A plain function takes a batch, and
        returns its output and a function that maps the gradient of the output to that of the input.
        It may return only the output if no gradient has to pass, for example as the first layer.
    seed : int or None
        Seed of the parameters that have no values yet, also in nested networks, and of dropout.
        Layers that have values keep them. None draws a seed from the operating system.
    dtype : {"float32", "float64"} or None
        Dtype of the parameters and of the arithmetic. None is the dtype of the layers.

    Attributes
    ----------
    layers : tuple of Module
        Layers, with plain functions wrapped.

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ValueError
        If there are no layers, a layer appears twice, the shapes of adjacent layers do not match,
        or the layers have different dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> model = nn.Sequential(nn.Linear(784, 128), nn.LeakyReLU(), nn.Linear(128, 10), seed=0)
    >>> model(np.zeros((5, 784), np.uint8)).shape
    (5, 10)
    >>> model[0]
    Linear(in_features=784, out_features=128)
    """

    def __init__(
        self,
        *layers: Module | Callable[[Array], Any],
        seed: int | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        if len(layers) == 1 and isinstance(layers[0], list | tuple):
            layers = tuple(layers[0])
        if not layers:
            raise ValueError("Sequential has no layers, expected at least one")
        self.layers: tuple[Module, ...] = tuple(map(as_layer, layers))
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Module):
                hint = ": construct it" if isinstance(layer, type) else ""
                hint = (
                    ": layers have no names here, so pass *layers.values()"
                    if isinstance(layer, Mapping)
                    else hint
                )
                raise TypeError(
                    f"layer {i} is {layer!r}, expected a layer such as nn.Linear(784, 10){hint}"
                )
        every = [id(module) for layer in self.layers for module in layer.modules()]
        if len(set(every)) < len(every):
            raise ValueError(
                "a layer appears twice: each place needs its own object, because a layer "
                "keeps what its backward pass needs"
            )
        self._check_shapes()
        self._set_dtype(None if dtype is None else real_dtype(dtype))
        self._initialize(seed)

    def _set_dtype(self, dtype: np.dtype[Any] | None) -> None:
        """Cast all layers to `dtype`, and check that they have the same one."""
        state = self._states()
        if dtype is not None:
            for array in state:
                array.cast(dtype)
        if len(found := {array.dtype for array in state if array.dtype.kind == "f"}) > 1:
            raise ValueError(
                f"layers have different dtypes ({', '.join(sorted(map(str, found)))}): give "
                "Sequential the dtype that all shall have"
            )

    def _check_shapes(self) -> None:
        """Raise ValueError if the shapes of adjacent layers do not match."""
        shape: tuple[int, ...] | None = None
        for i, layer in enumerate(self.layers):
            shape = layer.input_shape if shape is None else shape
            try:
                shape = None if shape is None else layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"layer {i}: {error}") from None

    def _initialize(self, seed: int | None) -> None:
        """Draw the values of parameters that have none, with a random stream for each layer."""
        seeds = seed_sequence(seed).spawn(len(self.layers))
        for i, layer in enumerate(self.layers):
            rng = np.random.default_rng(seeds[i])
            for parameter in layer.parameters():
                if not parameter.initialized:
                    parameter.initialize(rng, self._init_of(i), settled=seed is not None)
            for module in layer.modules():
                module._take_seed(seeds[i].spawn(1)[0], settled=seed is not None)

    def _init_of(self, index: int) -> Initializer | None:
        """Return the initializer that the first activation after a layer suggests.

        Layers without parameters and without a suggestion, such as pooling, are skipped.
        """
        for layer in self.layers[index + 1 :]:
            if layer._default_init or layer.parameters():
                return layer._default_init
        return None

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return self.layers[0].input_shape

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer in self.layers:
            input_shape = layer.output_shape(input_shape)
        return input_shape

    def named_children(self) -> Iterator[tuple[str, Module]]:
        for i, layer in enumerate(self.layers):
            yield str(i), layer

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        out = self._as_input(x)
        for layer in self.layers:
            out = layer.forward(out, training)
        return out

    def backward(self, grad: ArrayLike) -> Array:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad  # type: ignore[return-value]

    def backward_params(self, grad: ArrayLike) -> None:
        first = next((i for i, layer in enumerate(self.layers) if layer.parameters()), None)
        if first is None:
            return
        for layer in reversed(self.layers[first + 1 :]):
            grad = layer.backward(grad)
        self.layers[first].backward_params(grad)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: Any) -> Module:
        """Return a layer, or for a slice a network of the same layer objects."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __repr__(self) -> str:
        lines = [
            f"  ({i}): " + repr(layer).replace("\n", "\n  ") for i, layer in enumerate(self.layers)
        ]
        return "\n".join(["Sequential(", *lines, ")"])
