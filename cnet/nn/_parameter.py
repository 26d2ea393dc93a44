"""Parameters, which are trained, and buffers, which are not."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike

from cnet._utils.arrays import Array, as_array, empty, real_dtype
from cnet._utils.hints import no_attribute
from cnet._utils.validation import flag
from cnet.nn.init import Initializer, Xavier, Zeros


class _State:
    """Base of parameters and buffers, which represent an array, `data`."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def data(self) -> Array:
        """The array of values."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def numel(self) -> int:
        """Return the number of elements, under PyTorch's name."""
        return self.size

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.data.item()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        """Return `data` itself, without a copy, unless another dtype or a copy is required."""
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
    """Return a shape, and the values if an array is given in its place, as in PyTorch."""
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
    """A trainable array, whose initial values are drawn when they are first used.

    The delay lets a container draw the values of all layers from one seed, and saves the work if
    weights are loaded.

    Parameters
    ----------
    shape : tuple of int, or ndarray of float
        Shape of the array. An array defines the shape and the values, which are copied.
    requires_grad : bool
        Whether the parameter is trained. A dtype in its place is `dtype`.
    dtype : {"float32", "float64"}
        Dtype of the values and of the gradient.
    initializer : nn.init.Initializer or None
        Initializer of the values. None leaves the choice to the container; without a container,
        arrays of one axis use `Zeros`, and others `Xavier`.

    Attributes
    ----------
    data : ndarray
        Values, C-contiguous. Optimizers update them in place, and an assignment copies into them.
    grad : ndarray or None
        Gradient of the last backward pass, of the same shape; the next one overwrites it. It is
        None if `requires_grad` is False.
    requires_grad : bool
        Whether the parameter is trained. While it is False, `grad` is None, and optimizers change
        neither the parameter nor its optimizer state. Its gradient is not part of the norm of
        gradients. It may be changed at any time, and is not saved.
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Dtype of the values and of the gradient.
    initializer : Initializer or None
        Initializer of the values.

    Raises
    ------
    TypeError
        If `shape` is neither a tuple of integers nor an array of floats.
    ValueError
        If the dtype is not float32 or float64.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.Linear(3, 2, seed=0).weight.data.shape
    (3, 2)
    """

    _exchanges = 0
    """Number of times that a parameter or a buffer has replaced its array. Programs that were
    compiled before may hold an old array.
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
        self._data: Array  # missing until the values are drawn or assigned
        self._settled = False
        self._suggestion: Initializer | None = None
        if values is not None:
            self.data = values

    @property
    def grad(self) -> Array | None:
        """The gradient of the last backward pass; the next one overwrites it."""
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
        self._requires_grad = flag("requires_grad", requires_grad)
        self.grad = self._grad

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad`, and return the parameter."""
        self.requires_grad = requires_grad
        return self

    @property
    def initialized(self) -> bool:
        """Whether the values are final: they were drawn from a seed, assigned, or read."""
        return self._settled

    def initialize(
        self, rng: np.random.Generator, suggestion: Initializer | None = None, settled: bool = True
    ) -> None:
        """Draw the values.

        `suggestion` is the initializer of a parameter without one; the first suggestion counts.
        Unless `settled`, the values may be drawn again until they are read: a network without a
        seed may become part of a network with a seed.
        """
        self._suggestion = self._suggestion or suggestion
        self._data = self._draw(rng)
        self._settled = settled
        Parameter._exchanges += 1

    def _draw(self, rng: np.random.Generator) -> Array:
        """Return initial values."""
        default = Zeros() if len(self.shape) == 1 else self._suggestion or Xavier()
        values = np.asarray((self.initializer or default)(self.shape, rng), self.dtype)
        if values.shape != self.shape:
            raise ValueError(
                f"{self.initializer!r} gave values of shape {values.shape}, the parameter has "
                f"{self.shape}"
            )
        return self._copy(values)  # an initializer may keep a reference to its result

    def _copy(self, values: Array) -> Array:
        """Return a copy of values in the shape and dtype of the parameter."""
        data = empty(self.shape, self.dtype)
        data[...] = values
        return data

    def cast(self, dtype: np.dtype[Any]) -> None:
        """Change the dtype, and discard the gradient."""
        self.dtype = dtype
        self.grad = None
        if "_data" in vars(self):
            self._data = self._copy(self._data)
            Parameter._exchanges += 1

    @property
    def data(self) -> Array:
        if not self._settled:
            if "_data" not in vars(self):
                vars(self).setdefault(
                    "_data", self._draw(np.random.default_rng())
                )  # setdefault is atomic: concurrent threads get the same values
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
    """An array that is part of the state of a layer and is not trained, such as a running mean.

    It is allocated when it is first used.

    Parameters
    ----------
    shape : tuple of int, or ndarray
        Shape of the array. An array defines the shape and the values, which are copied.
    dtype : dtype-like
        Dtype of the array, which may be an integer dtype.
    fill : float
        Initial value of all elements.

    Attributes
    ----------
    data : ndarray
        Values. An assignment copies into them.
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Dtype of the array.
    fill : float
        Initial value of all elements.

    Raises
    ------
    TypeError
        If `shape` is neither a tuple of integers nor an array, or the dtype is unknown.

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
        """Change the dtype, except that of an integer buffer, such as a counter."""
        if self.dtype.kind == "f":
            self.dtype = dtype
            self._data = None if self._data is None else self._data.astype(dtype)
            Parameter._exchanges += 1

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
    """Return the values, after copying them to another array if theirs is read-only.

    Arrays are read-only if they are mapped from a file, as by ``joblib.load(path, mmap_mode="r")``
    and in workers of ``joblib.Parallel``.
    """
    values = state.data
    return values if values.flags.writeable else exchange(state, values)


def exchange(state: Parameter | Buffer, values: Array) -> Array:
    """Replace the array of a parameter or buffer by a copy of `values`, and return the copy.

    The previous array is not changed, since other objects may hold it.
    """
    state._data = own = empty(state.shape, state.dtype)
    own[...] = values
    Parameter._exchanges += 1
    return own
