"""Trainable arrays with their gradients, and arrays that are kept beside them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from cnet._arrays import Array, as_array, empty, real_dtype
from cnet.nn.init import Initializer, Xavier, Zeros


class Parameter:
    """A trainable array, filled when its values are first needed.

    Waiting lets a container fill its layers from one seed, and spares the work where weights are loaded.

    Parameters
    ----------
    shape : tuple of int
    dtype : {"float32", "float64"}
    initializer : nn.init.Initializer or None

    Attributes
    ----------
    data : ndarray
        The values, C-contiguous; optimisers update them in place, and assigning copies into them.
    grad : ndarray or None
        The gradient of the last backward pass, of the same shape; backward passes overwrite it.
    shape : tuple of int
    dtype : numpy.dtype
    initializer : Initializer or None
        What fills it; None leaves the choice to the container, and without one to `Xavier` (weights) and `Zeros` (biases).

    Examples
    --------
    >>> from cnet import nn
    >>> nn.Linear(3, 2, seed=0).weight.data.shape
    (3, 2)
    """

    exchanges = 0
    """How often a parameter or a buffer has put another array in the place of its own: what was compiled before may be out of date."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, initializer: Initializer | None = None) -> None:
        self.shape = tuple(operator.index(size) for size in shape)
        self.dtype = real_dtype(dtype)
        self.initializer = initializer
        self.grad: Array | None = None
        self._data: Array  # there once the values are
        self._settled = False
        self._suggestion: Initializer | None = None

    @property
    def initialized(self) -> bool:
        """Whether the values exist already: drawn from a seed, assigned, or looked at."""
        return self._settled

    def initialize(self, rng: np.random.Generator, suggestion: Initializer | None = None, settled: bool = True) -> None:
        """Draw the values; `suggestion` is for weights that were given no initialiser, and the first one counts.

        Unless `settled`, they may be drawn again until somebody looks at them: a net without a seed of its own may yet
        become part of one with a seed.
        """
        self._suggestion = self._suggestion or suggestion
        self._data = self._draw(rng)
        self._settled = settled
        Parameter.exchanges += 1

    def _draw(self, rng: np.random.Generator) -> Array:
        default = Zeros() if len(self.shape) == 1 else self._suggestion or Xavier()
        values = np.asarray((self.initializer or default)(self.shape, rng), self.dtype)
        if values.shape != self.shape:
            raise ValueError(f"{self.initializer!r} gave values of shape {values.shape}, the parameter has {self.shape}")
        return self._copy(values)  # an initialiser may keep what it gave

    def _copy(self, values: Array) -> Array:
        data = empty(self.shape, self.dtype)
        data[...] = values
        return data

    def cast(self, dtype: np.dtype[Any]) -> None:
        """Change the dtype."""
        self.dtype = dtype
        self.grad = None
        if "_data" in vars(self):
            self._data = self._copy(self._data)
            Parameter.exchanges += 1

    @property
    def data(self) -> Array:
        if not self._settled:
            if "_data" not in vars(self):
                vars(self).setdefault("_data", self._draw(np.random.default_rng()))  # in one go: threads that come together get the same
            self._settled = True
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        values = as_array(values, "data")
        if values.shape != self.shape:
            raise ValueError(f"the values have shape {values.shape}, the parameter {self.shape}")
        if "_data" in vars(self):
            self._data[...] = values
        else:
            self._data = self._copy(values)
        self._settled = True

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class Buffer:
    """An array that is part of a layer's state and is not trained, such as a running mean; filled when first needed.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype-like
        Also of whole numbers.
    fill : float
        The value of all elements at first.

    Attributes
    ----------
    data : ndarray
        The values; assigning copies into them.
    shape : tuple of int
    dtype : numpy.dtype

    Examples
    --------
    >>> from cnet import nn
    >>> nn.Buffer((3,), "float32", 1).data
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, fill: float = 0) -> None:
        self.shape = tuple(operator.index(size) for size in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.fill = fill
        self._data: Array | None = None

    def cast(self, dtype: np.dtype[Any]) -> None:
        """Change the dtype, unless this counts something."""
        if self.dtype.kind == "f":
            self.dtype = dtype
            self._data = None if self._data is None else self._data.astype(dtype)
            Parameter.exchanges += 1

    @property
    def data(self) -> Array:
        if self._data is None:
            self._data = np.full(self.shape, self.fill, self.dtype)
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        values = as_array(values, "data")
        if values.shape != self.shape:
            raise ValueError(f"the values have shape {values.shape}, the buffer {self.shape}")
        if self._data is None:
            self._data = np.empty(self.shape, self.dtype)
        self._data[...] = values

    def __repr__(self) -> str:
        return f"Buffer(shape={self.shape}, dtype={self.dtype})"
