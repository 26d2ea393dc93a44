"""A trainable array with its gradient."""

import math
from typing import Any

import numpy as np

from cnet._arrays import Array, as_array
from cnet.nn.init import Initializer, Xavier, Zeros


class Parameter:
    """A trainable array, filled when its values are first needed.

    Waiting lets a container fill its layers from one seed, and spares the work where weights are loaded.

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

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], initializer: Initializer | None = None) -> None:
        self.shape = shape
        self.dtype = dtype
        self.initializer = initializer
        self.grad: Array | None = None
        self._data: Array | None = None

    @property
    def initialized(self) -> bool:
        """Whether the values exist already."""
        return self._data is not None

    def initialize(self, rng: np.random.Generator, suggestion: Initializer | None = None) -> None:
        """Draw the values; `suggestion` is for weights that were given no initialiser."""
        default = Zeros() if len(self.shape) == 1 else suggestion or Xavier()
        self._data = np.ascontiguousarray((self.initializer or default)(self.shape, rng), self.dtype)

    def cast(self, dtype: np.dtype[Any]) -> None:
        """Change the dtype."""
        self.dtype = dtype
        self.grad = None
        if self._data is not None:
            self._data = self._data.astype(dtype)

    @property
    def data(self) -> Array:
        if self._data is None:
            self.initialize(np.random.default_rng())
            assert self._data is not None
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        values = as_array(values, "data")
        if values.shape != self.shape:
            raise ValueError(f"the values have shape {values.shape}, the parameter {self.shape}")
        if self._data is None:
            self._data = np.empty(self.shape, self.dtype)
        self._data[...] = values

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"
