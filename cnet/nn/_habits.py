"""Methods of PyTorch's modules that do the same here, or whose errors name the equivalent."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from cnet._utils.answers import MODULE
from cnet._utils.arrays import real_dtype
from cnet._utils.hints import no_attribute
from cnet.nn._neutral import neutral

if TYPE_CHECKING:
    from cnet.nn._parameter import Parameter

_Forward = TypeVar("_Forward", bound=Callable[..., Any])


class Habits:
    """Base of `Module` with the methods for users of PyTorch."""

    if TYPE_CHECKING:

        @property
        def dtype(self) -> np.dtype[Any]: ...
        def parameters(self) -> list[Parameter]: ...
        def named_children(self) -> Iterable[tuple[str, Any]]: ...
        def modules(self) -> Iterator[Any]: ...
    else:  # to mypy, every name would be there

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, MODULE)

    def train(self, mode: bool = True) -> Self:
        """Do nothing, and return the module, which has no mode.

        ``model(x)`` is always inference, and ``model.forward(x, training=True)`` is training.
        """
        return self

    def eval(self) -> Self:
        """Do nothing, and return the module, like `train`."""
        return self

    def cpu(self) -> Self:
        """Return the module, which is on the CPU."""
        return self

    def to(self, device: Any = None, dtype: Any = None, *, non_blocking: bool = False) -> Self:
        """Return the module; for code written for PyTorch.

        Parameters
        ----------
        device : {None, "cpu"} or dtype-like
            The CPU. A dtype in its place is `dtype`.
        dtype : dtype-like or None
            Dtype of the module.
        non_blocking : bool
            Has no effect.

        Raises
        ------
        ValueError
            If `device` is not the CPU, or `dtype` is not the dtype of the module.
        """
        try:
            device, dtype = None, real_dtype(device)
        except ValueError:
            neutral(device=device)
            dtype = None if dtype is None else real_dtype(dtype)
        if dtype is not None and dtype != self.dtype:
            raise ValueError(
                f"the module is of {self.dtype}: give another dtype at construction, such as "
                f'nn.Sequential(..., dtype="{dtype}")'
            )
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients. This is optional, because backward passes overwrite them.

        Parameters
        ----------
        set_to_none : bool
            Whether gradients become None; otherwise they become zeros.
        """
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = np.zeros(parameter.shape, parameter.dtype)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `Parameter.requires_grad` of all parameters, and return the module.

        False freezes the parameters.

        Examples
        --------
        >>> from cnet import nn
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), seed=0)
        >>> layer = model[0].requires_grad_(False)
        >>> [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        ['2.weight', '2.bias']
        """
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def children(self) -> Iterator[Any]:
        """Return an iterator over the direct children of this module."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield this module and all modules nested in it, with their names.

        This module has the name `prefix`. A name is the prefix of the names in `state_dict`.
        """
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Call a function with each nested module, then with this module, which is returned."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self


def taking_training(forward: _Forward) -> _Forward:
    """Return a custom `Module.forward` in a form that accepts `training`.

    A PyTorch user may have written it without that argument.
    """
    _, *parameters = inspect.signature(forward).parameters.values()
    names = [parameter.name for parameter in parameters]
    takes_anything = any(
        parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in parameters
    )
    if takes_anything or (
        names[1:2] == ["training"] and parameters[1].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ):
        return forward
    wanted = "training" in names[1:]

    @wraps(forward)
    def with_training(self: Any, x: Any, training: bool = False) -> Any:
        return forward(self, x, training=training) if wanted else forward(self, x)

    return with_training  # type: ignore[return-value]
