"""Trainable arrays with their gradients, and arrays that are kept beside them."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike

from cnet._utils.arrays import Array, as_array, empty, real_dtype
from cnet._utils.hints import no_attribute
from cnet.nn.init import Initializer, Xavier, Zeros


class _State:
    """What parameters and buffers have in common: they stand for an array, `data`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def data(self) -> Array:
        """The values."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def numel(self) -> int:
        """The number of values, as PyTorch calls it."""
        return self.size

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def item(self) -> Any:
        """The value, if there is one alone, as a number of Python."""
        return self.data.item()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """``np.asarray(parameter)`` is `data` itself, as long as no other dtype is asked for."""
        values = self.data if dtype is None else self.data.astype(dtype, copy=False)
        if copy is False and values is not self.data:
            raise ValueError(f"{self!r} cannot be of dtype {values.dtype} without a copy")
        return values.copy() if copy else values

    if not TYPE_CHECKING:  # to mypy, every name would be there

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, {}, "its values are data, an array of NumPy")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


def _shape_and_values(shape: Any) -> tuple[tuple[int, ...], Array | None]:
    """The shape; and the values, where an array stands in its place, as in PyTorch."""
    if hasattr(shape, "__array__"):
        values = as_array(shape, "values")
        return values.shape, values
    try:
        return tuple(operator.index(size) for size in shape), None
    except TypeError:
        raise TypeError(
            f"shape is {shape!r}, expected a tuple of integers such as (3, 2), or an array of "
            "values"
        ) from None


class Parameter(_State):
    """A trainable array, filled when its values are first needed.

    Waiting lets a container fill its layers from one seed, and spares the work where weights are
    loaded.

    Parameters
    ----------
    shape : tuple of int, or ndarray of float
        An array gives shape and values, which are copied.
    requires_grad : bool
        Whether it is trained. A dtype in its place is `dtype`.
    dtype : {"float32", "float64"}
    initializer : nn.init.Initializer or None

    Attributes
    ----------
    data : ndarray
        The values, C-contiguous; optimizers update them in place, and assigning copies into them.
    grad : ndarray or None
        The gradient of the last backward pass, of the same shape; backward passes overwrite it.
        None where `requires_grad` is False.
    requires_grad : bool
        Whether it is trained. While it is False, `grad` stays None, and optimizers leave the
        parameter as it is, as if they had not been given it: also its momentum, and its share in
        the norm of gradients. It may be changed at any time, and is not saved.
    shape : tuple of int
    dtype : numpy.dtype
    initializer : Initializer or None
        What fills it; None leaves the choice to the container, and without one to `Xavier`
        (weights) and `Zeros` (biases).

    Raises
    ------
    TypeError, ValueError
        If there are neither a shape nor values of real numbers, or `requires_grad` or the dtype is
        something else.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.Linear(3, 2, seed=0).weight.data.shape
    (3, 2)
    """

    exchanges = 0
    """How often a parameter or a buffer has replaced its array by another: what was
    compiled before may be out of date.
    """

    _grad: Array | None = None
    _requires_grad = True

    def __init__(
        self,
        shape: tuple[int, ...] | Array,
        requires_grad: bool | DTypeLike = True,
        *,
        dtype: DTypeLike = np.float32,
        initializer: Initializer | None = None,
    ) -> None:
        self.shape, values = _shape_and_values(shape)
        if values is not None and values.dtype.kind != "f":
            raise TypeError(
                f"a parameter got an array of {values.dtype}, expected its values as floats, or "
                "its shape as a tuple"
            )
        is_flag = isinstance(requires_grad, bool | np.bool_)
        self.dtype = real_dtype(dtype if is_flag else requires_grad)  # type: ignore[arg-type]
        self.initializer = initializer
        self.requires_grad = bool(requires_grad) if is_flag else True
        self._data: Array  # there once the values are
        self._settled = False
        self._suggestion: Initializer | None = None
        if values is not None:
            self.data = values

    @property
    def grad(self) -> Array | None:
        """The gradient of the last backward pass, which the next one overwrites."""
        return self._grad

    @grad.setter
    def grad(self, grad: Array | None) -> None:
        self._grad = grad if self._requires_grad else None

    @property
    def requires_grad(self) -> bool:
        """Whether the parameter is trained."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        if not isinstance(requires_grad, bool | np.bool_):
            raise TypeError(f"requires_grad is {requires_grad!r}, expected True or False")
        self._requires_grad = bool(requires_grad)
        self.grad = self._grad

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad`; returns the parameter."""
        self.requires_grad = requires_grad
        return self

    @property
    def initialized(self) -> bool:
        """Whether the values exist already: drawn from a seed, assigned, or looked at."""
        return self._settled

    def initialize(
        self, rng: np.random.Generator, suggestion: Initializer | None = None, settled: bool = True
    ) -> None:
        """Draw the values; `suggestion` is for weights that were given no initializer, and the
        first one counts.

        Unless `settled`, they may be drawn again until somebody looks at them: a network without a
        its own seed may yet become part of one with a seed.
        """
        self._suggestion = self._suggestion or suggestion
        self._data = self._draw(rng)
        self._settled = settled
        Parameter.exchanges += 1

    def _draw(self, rng: np.random.Generator) -> Array:
        default = Zeros() if len(self.shape) == 1 else self._suggestion or Xavier()
        values = np.asarray((self.initializer or default)(self.shape, rng), self.dtype)
        if values.shape != self.shape:
            raise ValueError(
                f"{self.initializer!r} gave values of shape {values.shape}, the parameter has "
                f"{self.shape}"
            )
        return self._copy(values)  # an initializer may keep what it gave

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
                vars(self).setdefault(
                    "_data", self._draw(np.random.default_rng())
                )  # in one go: threads that come together get the same
            self._settled = True
        return self._data

    @data.setter
    def data(self, values: Any) -> None:
        values = as_array(values, "data")
        if values.shape != self.shape:
            raise ValueError(f"the values have shape {values.shape}, the parameter {self.shape}")
        if "_data" in vars(self):
            make_writable(self)[...] = values
        else:
            self._data = self._copy(values)
        self._settled = True


class Buffer(_State):
    """An array that is part of a layer's state and is not trained, such as a running mean; filled
    when first needed.

    Parameters
    ----------
    shape : tuple of int, or ndarray
        An array gives shape and values, which are copied.
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
    >>> nn.Buffer((3,), fill=1).data
    array([1., 1., 1.], dtype=float32)
    """

    def __init__(
        self, shape: tuple[int, ...] | Array, *, dtype: DTypeLike = np.float32, fill: float = 0
    ) -> None:
        self.shape, values = _shape_and_values(shape)
        self.dtype = np.dtype(dtype)
        self.fill = fill
        self._data: Array | None = None
        if values is not None:
            self.data = values

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
        make_writable(self)[...] = values


def make_writable(state: Parameter | Buffer) -> Array:
    """The values, after they have moved to their own array if the one that holds them is
    read-only.

    So are arrays that are mapped from a file, as ``joblib.load(path, mmap_mode="r")`` and workers
    of ``joblib.Parallel`` map them.
    """
    values = state.data
    return values if values.flags.writeable else exchange(state, values)


def exchange(state: Parameter | Buffer, values: Array) -> Array:
    """Put a copy of values in the place of the array that there is, which stays as it is for others
    who hold it.
    """
    state._data = own = empty(state.shape, state.dtype)
    own[...] = values
    Parameter.exchanges += 1
    return own
