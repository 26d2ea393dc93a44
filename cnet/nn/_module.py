"""Base of layers and networks.

A module maps a batch of n samples, an array of shape (n, ...), to another. Built-in and custom
modules override `forward`, `backward` and `output_shape`. All other methods rely on these and on
the parameters of the module.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import FLOAT32, FLOAT64
from cnet._utils.arrays import Array, as_input, rows_at_a_time, seed_sequence
from cnet._utils.stored import as_rows
from cnet.nn._habits import Habits, taking_training
from cnet.nn._parameter import Buffer, Parameter
from cnet.nn._state import matching_values
from cnet.nn._summary import summary_html, summary_text
from cnet.nn._undo import Undo
from cnet.nn.init import Initializer

_REALS = (FLOAT32, FLOAT64)
_ROWS_PER_CALL = 1024  # samples of a block in inference, which bounds the memory of activations


class Module(Habits):
    """Base of layers and networks.

    To write a layer, override `forward` and `backward`. Override `output_shape` if the shape of a
    sample changes. If `training` is true, `forward` must store the values that `backward` needs. A
    ``forward(self, x)`` without `training` is accepted, and is called in training and in inference
    alike. Attributes that are parameters, buffers or modules are found automatically.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> class Square(nn.Module):
    ...     def forward(self, x, training=False):
    ...         self.x = x
    ...         return x * x
    ...     def backward(self, grad):
    ...         return grad * 2 * self.x
    >>> nn.Sequential(nn.Linear(4, 3), Square(), seed=0)(np.ones((2, 4))).shape
    (2, 3)
    """

    _default_init: Initializer | None = None
    """Suggested initializer of the weights of the layer before this one; None if it has none."""

    _saved: tuple[str, ...] = ()
    """Names of the attributes in which `forward` stores values for `backward`."""

    _has_branches = False
    """Whether all children take the same input, instead of the output of the previous child."""
    _changes = 0
    """Number of assignments to public attributes of any module. Programs that were compiled before
    may be out of date.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        forward = vars(cls).get("forward")
        if inspect.isfunction(forward) and len(inspect.signature(forward).parameters) > 1:
            cls.forward = taking_training(forward)  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        if isinstance(vars(self).get(name), Parameter | Buffer) and not isinstance(
            value, Parameter | Buffer | None
        ):
            raise TypeError(
                f"{name} is a parameter or buffer, and was assigned a {type(value).__name__}: "
                f"assign values to {name}.data"
            )
        if name == "requires_grad":
            raise AttributeError(
                "requires_grad belongs to parameters: requires_grad_(False) freezes all "
                "parameters of a module"
            )
        object.__setattr__(self, name, value)
        Module._changes += 1

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of an input sample, if the module accepts only one; None otherwise."""
        return None

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """Map a batch.

        Parameters
        ----------
        x : array-like, shape (n, ...)
            Batch of n samples.
        training : bool
            Whether to store the values that `backward` needs.

        Returns
        -------
        ndarray, shape (n, ...)
            Outputs of the samples.
        """
        raise TypeError(f"{type(self).__name__} does not define forward(x, training=False)")

    def backward(self, grad: ArrayLike) -> Array:
        """Map the gradient of the output of the last training batch to that of its input.

        It also sets `grad` of the parameters.

        Parameters
        ----------
        grad : array-like
            Gradient of the loss with respect to the output of ``forward(x, training=True)``, with
            the shape of that output.

        Returns
        -------
        ndarray
            Gradient of the loss with respect to `x`, with the shape of `x`.

        Raises
        ------
        RuntimeError
            If there was no ``forward(x, training=True)`` before.
        ValueError
            If `grad` has another shape than the output.
        """
        raise TypeError(
            f"{type(self).__name__} does not define backward(grad): there is no automatic "
            "differentiation, so it has to return the gradient of the input, and to set the grad "
            "of the parameters, see docs/extending.md"
        )

    def backward_params(self, grad: ArrayLike) -> None:
        """Set `grad` of the parameters like `backward`, without the gradient of the input.

        The first layer of a network needs no gradient of the input.
        """
        self.backward(grad)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of an output sample for an input sample of `input_shape`.

        Raises
        ------
        ValueError
            If the module does not accept samples of that shape.
        """
        return input_shape

    def config(self) -> dict[str, Any]:
        """Return the arguments that construct this module again, without its weights.

        A saved model holds them.
        """
        return {}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct children of this module with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator[Module]:
        """Yield this module and all modules nested in it."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def _named_state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """Yield all parameters and buffers with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Buffer):
                yield name, value
        for name, child in self.named_children():
            for inner, state in child._named_state():
                yield f"{name}.{inner}", state

    def _states(self) -> list[Parameter | Buffer]:
        """Return all parameters and buffers, in the order of `_named_state`.

        Training calls this often, and it is faster without names.
        """
        states = [value for value in vars(self).values() if isinstance(value, Parameter | Buffer)]
        for _, child in self.named_children():
            states += child._states()
        return states

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Return an iterator over the parameters, with their names in `state_dict`."""
        return (
            (name, state) for name, state in self._named_state() if isinstance(state, Parameter)
        )

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Return an iterator over the buffers, with their names in `state_dict`.

        Buffers are arrays that training changes without an optimizer, such as running means.
        """
        return ((name, state) for name, state in self._named_state() if isinstance(state, Buffer))

    def parameters(self) -> list[Parameter]:
        """Return the parameters in the order of the layers, for an optimizer."""
        return [state for state in self._states() if isinstance(state, Parameter)]

    def _take_seed(self, sequence: np.random.SeedSequence, settled: bool) -> None:
        """Set the seed of modules that draw random numbers in training.

        A seed that is not `settled` may be replaced by another.
        """

    def _fill(self, seed: int | None) -> None:
        """Draw the values of the parameters, unless the seed is None."""
        if seed is not None:
            rng = np.random.default_rng(seed_sequence(seed))
            for parameter in self.parameters():
                parameter.initialize(rng)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters and of the arithmetic; float32 without parameters."""
        return self._own_dtype() or FLOAT32

    def _own_dtype(self) -> np.dtype[Any] | None:
        """Return the dtype of the parameters; None if there are none."""
        return next(
            (state.dtype for _, state in self._named_state() if state.dtype.kind == "f"), None
        )

    def __call__(self, x: ArrayLike) -> Array:
        """Map any number of samples, in inference mode.

        Parameters
        ----------
        x : array-like, shape (n, ...)
            Samples: real numbers of any dtype and memory layout.

        Returns
        -------
        ndarray, shape (n, ...)
            Outputs, of the dtype of this module. Without parameters, they are float64 if `x` is,
            and float32 otherwise. The output of a sample does not depend on the other samples.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If the samples have a shape that the module does not accept.
        """
        if (
            type(x) is np.ndarray
            and x.ndim > 1
            and (flags := x.flags).c_contiguous
            and flags.aligned
            and x.dtype in _REALS
        ):
            out = _Provided.predict(self, x)
            if out is not None:
                return out
        rows = as_rows(x, "x")
        if rows.ndim == 0:
            raise ValueError("x is a single number, expected an array with one sample per row")
        self.output_shape(rows.shape[1:])
        step = rows_at_a_time(rows.shape[1:], _ROWS_PER_CALL)
        if len(rows) <= step:
            return self.forward(self._as_input(rows[:]))
        out = None
        for start in range(0, len(rows), step):
            block = self.forward(self._as_input(rows[start : start + step]))
            if out is None:
                out = np.empty((len(rows), *block.shape[1:]), block.dtype)
            out[start : start + step] = block
        assert out is not None
        return out

    def _as_input(self, x: ArrayLike) -> Array:
        """Return a batch in the dtype of the arithmetic.

        Without parameters, that is float64 if `x` is, and float32 otherwise.
        """
        return as_input(x, self._own_dtype())

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and buffers, with PyTorch's names and shapes.

        PyTorch's shapes have the axes in reverse order: ``"0.weight"`` is (out, in).
        """
        return {
            name: np.ascontiguousarray(state.data.T).reshape(state.shape[::-1]).copy()
            for name, state in self._named_state()
        }

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> Self:
        """Load all parameters and buffers from a state.

        Nothing is changed if it raises, or is interrupted by Ctrl-C.

        Parameters
        ----------
        state : dict
            Arrays with the names and shapes of `state_dict`, or PyTorch tensors on the CPU. As in
            PyTorch, the ``num_batches_tracked`` of a normalization may be missing, and is then not
            changed.
        strict : bool
            Whether the names must be those of the model. With False, other names in the state are
            ignored, and parameters and buffers that the state does not have are not changed. At
            least one name must match.

        Returns
        -------
        Module
            This module. (PyTorch returns the missing and the unexpected names.)

        Raises
        ------
        KeyError
            If names are missing or unknown.
        TypeError
            If the state is not a dict, or its values are not real numbers.
        ValueError
            If a shape differs.
        """
        own = dict(self._named_state())
        values = matching_values(own, state, strict)
        undo = Undo(own.values())
        try:
            for name, array in values.items():
                own[name].data = array
            return self
        except BaseException:  # Ctrl-C too
            undo()
            raise

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the architecture and the weights to a safetensors file, for `cnet.load`.

        The data are written to a temporary file in the same folder, which is renamed when it is
        complete. The matching ``nn.Sequential`` of PyTorch can load the weights without conversion.

        Parameters
        ----------
        path : path-like
            Path of the file, by convention with the suffix ``.safetensors``. ``~`` is expanded.

        Raises
        ------
        TypeError
            If the model has custom layers. Save their weights with `state_dict`.
        OSError
            If the folder does not exist, the file is read-only, or writing fails. An existing file
            is then not changed.

        Examples
        --------
        >>> import cnet, os, tempfile
        >>> from cnet import nn
        >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
        >>> nn.Sequential(nn.Linear(784, 10), seed=0).save(path)
        >>> cnet.load(path)
        Sequential(
          (0): Linear(in_features=784, out_features=10)
        )
        """
        _Provided.save(self, path)

    def summary(self, input_shape: tuple[int, ...] | None = None) -> None:
        """Print a table of the layers, with their output shapes and numbers of parameters.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of an input sample; by default the one that the first layer requires.

        Examples
        --------
        >>> from cnet import nn
        >>> nn.Sequential(nn.Linear(784, 10), nn.Softmax()).summary()
        layer                                       output   parameters
        ---------------------------------------------------------------
        0 Linear(in_features=784, out_features=10)  (n, 10)       7,850
        1 Softmax()                                 (n, 10)           0
        ---------------------------------------------------------------
        total: 7,850 parameters, 31.4 kB as float32
        """
        print(summary_text(self, input_shape))

    def _repr_html_(self) -> str:
        """Return the table of `summary` for a notebook."""
        return summary_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the last training batch, which copies and pickles do not need."""
        return {name: None if name in self._saved else value for name, value in vars(self).items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


class _Provided:
    """Functions of higher-level packages, which register them here to avoid circular imports."""

    predict: Callable[[Module, Array], Array | None] = staticmethod(lambda model, x: None)
    save: Callable[[Module, str | os.PathLike[str]], None]


def provide(**functions: Callable[..., Any]) -> None:
    """Register `predict` (compiled prediction) or `save` (files of models)."""
    for name, function in functions.items():
        setattr(_Provided, name, staticmethod(function))
