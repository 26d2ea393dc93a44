"""What every layer and every network has in common.

A module maps a batch, one row per example, to another. Built-in modules, and modules that users
write, override `forward`, `backward` and `output_shape`; all else here follows from these and from
the parameters they own.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import FLOAT32, FLOAT64
from cnet._utils.arrays import Array, as_input, rows_at_a_time, seed_sequence, shape_text
from cnet._utils.stored import as_rows
from cnet.nn._habits import Habits, taking_training
from cnet.nn._parameter import Buffer, Parameter
from cnet.nn._state import matching_values
from cnet.nn._summary import summary_html, summary_text
from cnet.nn._undo import Undo
from cnet.nn.init import Initializer

_REALS = (FLOAT32, FLOAT64)
_ROWS_PER_CALL = 1024  # inference in blocks: activations need memory for one block


class Module(Habits):
    """Base of layers and networks.

    To write a layer, override `forward` and `backward`, and `output_shape` if the shape of rows
    changes; keep in `forward` what `backward` needs when `training` is true. Attributes that are a
    `Parameter`, or a module, are found. A ``forward(self, x)`` without `training` will do; then it
    is not told what the call is for.

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

    suggested_init: Initializer | None = None
    """How the weights of the layer before this one are best initialized, if it matters."""

    _kept: tuple[str, ...] = ()
    """Attributes in which `forward` keeps what `backward` needs."""

    _has_branches = False
    """Whether its children read the same input, instead of each other's output."""
    changes = 0
    """How often a module has got a new attribute that forward passes do not keep: what was compiled
    before may be out of date.
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
        Module.changes += 1

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape of an input row, where only one fits; else None."""
        return None

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        """Map a batch.

        Parameters
        ----------
        x : array-like, shape (n, ...)
        training : bool
            Keep what `backward` needs.

        Returns
        -------
        ndarray, shape (n, ...)
        """
        raise TypeError(f"{type(self).__name__} does not define forward(x, training=False)")

    def backward(self, grad: ArrayLike) -> Array:
        """Map the gradient of the last training batch's output to that of its input; set `grad` of
        the parameters.

        Parameters
        ----------
        grad : array-like
            Gradient of the loss with respect to the output of ``forward(x, training=True)``; same
            shape.

        Returns
        -------
        ndarray
            Gradient of the loss with respect to `x`; same shape as `x`.
        """
        raise TypeError(
            f"{type(self).__name__} does not define backward(grad): there is no automatic "
            "differentiation, so it has to return the gradient of the input, and to set the grad "
            "of the parameters, see docs/extending.md"
        )

    def backward_params(self, grad: ArrayLike) -> None:
        """As `backward`, without the gradient of the input: the first layer of a network needs
        none.
        """
        self.backward(grad)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an output row for an input row of `input_shape`.

        Raises
        ------
        ValueError
            If rows of that shape do not fit this module.
        """
        return input_shape

    def config(self) -> dict[str, Any]:
        """Arguments that construct this module again, without its weights: what a saved model
        holds.
        """
        return {}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that this one is made of, and how it calls them."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def modules(self) -> Iterator[Module]:
        """This module, those that it is made of, those that they are made of, and so on."""
        yield self
        for _, child in self.named_children():
            yield from child.modules()

    def _named_state(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        for name, value in vars(self).items():
            if isinstance(value, Parameter | Buffer):
                yield name, value
        for name, child in self.named_children():
            for inner, state in child._named_state():
                yield f"{name}.{inner}", state

    def _states(self) -> list[Parameter | Buffer]:
        """The same without names, in the same order. Training asks many times."""
        states = [value for value in vars(self).values() if isinstance(value, Parameter | Buffer)]
        for _, child in self.named_children():
            states += child._states()
        return states

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters with the names that `state_dict` gives them."""
        return (
            (name, state) for name, state in self._named_state() if isinstance(state, Parameter)
        )

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """What else `state_dict` holds: arrays that training changes, but no optimizer, such as
        running means.
        """
        return ((name, state) for name, state in self._named_state() if isinstance(state, Buffer))

    def parameters(self) -> list[Parameter]:
        """The parameters, in the order of the layers: what an optimizer takes."""
        return [state for state in self._states() if isinstance(state, Parameter)]

    def _take_seed(self, sequence: np.random.SeedSequence, settled: bool) -> None:
        """Where the random numbers of training come from, for those who draw some; until settled,
        another may yet be given.
        """

    def _fill(self, seed: int | None) -> None:
        """Draw the values of the parameters, unless they shall wait for a seed."""
        if seed is not None:
            rng = np.random.default_rng(seed_sequence(seed))
            for parameter in self.parameters():
                parameter.initialize(rng)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the arithmetic: that of the parameters, float32 where there are none."""
        return self._own_dtype() or FLOAT32

    def _own_dtype(self) -> np.dtype[Any] | None:
        return next(
            (state.dtype for _, state in self._named_state() if state.dtype.kind == "f"), None
        )

    def __call__(self, x: ArrayLike) -> Array:
        """Map any number of rows, in inference mode.

        Parameters
        ----------
        x : array-like, shape (n, ...)
            Real numbers of any dtype and layout.

        Returns
        -------
        ndarray, shape (n, ...)
            Of this module's dtype; without parameters, float64 for float64 and else float32. A
            row's result does not depend on the other rows.

        Raises
        ------
        TypeError, ValueError
            If `x` does not hold real numbers, or its rows do not fit.
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
            raise ValueError("x is a single number, expected an array with one row per example")
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
        """A batch in the dtype of the parameters; without any, in its own dtype if that can be."""
        return as_input(x, self._own_dtype())

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, under PyTorch's names and in PyTorch's shapes.

        These have the axes in reverse: ``"0.weight"`` is (out, in).
        """
        return {
            name: np.ascontiguousarray(state.data.T).reshape(state.shape[::-1]).copy()
            for name, state in self._named_state()
        }

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> Self:
        """Set all parameters and buffers; nothing is changed if anything does not fit, or Ctrl-C
        comes in between.

        Parameters
        ----------
        state : dict
            Arrays under the names and in the shapes of `state_dict`; PyTorch tensors on the CPU
            will do. As in PyTorch, the ``num_batches_tracked`` of a normalization may be missing,
            and then stays as it is.
        strict : bool
            False leaves out names that only the state has, and leaves parameters and buffers as
            they are that only the model has. At least one name has to be in both.

        Returns
        -------
        Module
            This one. (PyTorch returns the names that are missing and those that are unexpected.)

        Raises
        ------
        KeyError
            If names are missing or unknown.
        TypeError
            If the state is no dict, or holds something else than real numbers.
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
        """Write the architecture and the weights to a safetensors file; `cnet.load` reads it.

        The file is written beside its final place and moved there when complete. PyTorch's matching
        ``nn.Sequential`` loads the weights as they are.

        Parameters
        ----------
        path : path-like
            Ends in ``.safetensors`` by custom. ``~`` is expanded.

        Raises
        ------
        TypeError
            If the model has layers that are not cnet's own: save their weights with `state_dict`.
        OSError
            If the folder does not exist, the file is read-only, or writing fails. Then a file that
            was there is as it was.

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
        """Print the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        input_shape : tuple of int, optional
            The shape of an input row; by default that which the first layer asks for.

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
        """What a notebook shows: the table of `summary`."""
        return summary_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles do without the last training batch."""
        return {name: None if name in self._kept else value for name, value in vars(self).items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


def is_builtin(thing: object) -> bool:
    """Whether the type of a layer, loss or optimizer is cnet's own, not a user's subclass.

    A type may say so by its own attribute `_compiled`, which is not inherited.
    """
    kind = type(thing)
    own: bool = vars(kind).get("_compiled", kind.__module__.startswith(("cnet.nn.", "cnet.optim.")))
    return own


class _Provided:
    """Functions of packages above this one, which import it and register them here."""

    predict: Callable[[Module, Array], Array | None] = staticmethod(lambda model, x: None)
    save: Callable[[Module, str | os.PathLike[str]], None]


def provide(**functions: Callable[..., Any]) -> None:
    """Register `predict` (compiled prediction) or `save` (files of models)."""
    for name, function in functions.items():
        setattr(_Provided, name, staticmethod(function))


def check_row_shape(layer: Module, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless rows of shape `got` are of shape `expected`."""
    if got == expected:
        return
    hint = ""
    if not got and len(expected) == 1:
        hint = (
            "; for rows of one number pass x[:, None]"
            if expected == (1,)
            else "; for a single row pass x[None]"
        )
    elif len(expected) == 1 and math.prod(got) == expected[0]:
        hint = "; put nn.Flatten() before it, or reshape x to " + shape_text(expected)
    raise ValueError(
        f"{layer!r} takes input of shape {shape_text(expected)}, got {shape_text(got)}{hint}"
    )


def check_grad(layer: Module, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError unless a gradient of shape `got` is of shape `expected`."""
    if got != expected:
        raise ValueError(
            f"{layer!r} got a gradient of shape {got}, expected {expected}: the shape of its last "
            "training output"
        )


def training_state(module: Module, name: str) -> Array:
    """What `forward` kept for `backward`, or an error that says that it kept nothing."""
    state: Array | None = getattr(module, name)
    if state is None:
        raise RuntimeError(f"{module!r}: call forward(x, training=True) before backward")
    return state
