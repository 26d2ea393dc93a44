"""What users of PyTorch call on a module by habit: it does the same here, or says what to type
instead.
"""

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
    """Base of `Module`."""

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
        """Do nothing and return the module: a network has no mode.

        ``model(x)`` is inference in any case, and ``model.forward(x, training=True)`` is training.
        """
        return self

    def eval(self) -> Self:
        """Do nothing and return the module, as `train`."""
        return self

    def cpu(self) -> Self:
        """Return the module, which is on the CPU."""
        return self

    def to(self, device: Any = None, dtype: Any = None, *, non_blocking: bool = False) -> Self:
        """Return the module, where `device` is the CPU and `dtype` that of the module, which may
        also be the first argument.

        Raises
        ------
        ValueError
            If they are not.
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
        """Forget the gradients. There is no need to: backward passes overwrite them.

        Parameters
        ----------
        set_to_none : bool
            Otherwise they become zeros.
        """
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = np.zeros(parameter.shape, parameter.dtype)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `Parameter.requires_grad` of all parameters: False freezes them. Returns the module.

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
        """The modules that this one is made of."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """This module, called `prefix`, and those that it is made of, and so on, under the names
        that `state_dict` begins with.
        """
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Call a function with each module that this one is made of, and with this one last."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self


def taking_training(forward: _Forward) -> _Forward:
    """A `Module.forward` that may be called with `training`, whether its author foresaw that or
    not, as in PyTorch.
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
