"""Matching of the states of networks, from cnet or PyTorch, with parameters and buffers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from cnet._utils.arrays import Array, as_array
from cnet.nn._parameter import Buffer, Parameter

_MAY_BE_MISSING = "num_batches_tracked"
"""Buffer that states from before PyTorch 0.4.1, or from other libraries, do not have."""


def matching_values(
    own: Mapping[str, Parameter | Buffer], state: Any, strict: bool
) -> dict[str, Array]:
    """Return the values of a state in the shapes of the parameters, see `Module.load_state_dict`.

    Parameters
    ----------
    own : mapping
        Parameters and buffers by name.
    state : mapping
        Arrays by name, in PyTorch's shapes.
    strict : bool
        Whether the names must be the same.

    Returns
    -------
    dict of ndarray
        Views of the arrays with reversed axes, by name.

    Raises
    ------
    TypeError
        If `state` is not a mapping, or a value does not hold real numbers.
    KeyError
        If names do not match.
    ValueError
        If shapes do not match.
    """
    if not isinstance(state, Mapping):
        hint = (
            ": pass its state_dict()"
            if hasattr(state, "state_dict")
            else ": for a file use cnet.load"
            if isinstance(state, str | os.PathLike)
            else ""
        )
        raise TypeError(f"state is of type {type(state).__name__}, expected a dict of arrays{hint}")
    missing = [
        name for name in own if name not in state and name.rpartition(".")[2] != _MAY_BE_MISSING
    ]
    unknown = [name for name in state if name not in own]
    if strict and missing:
        raise _key_error(
            f"the state has no {_listed(missing)}; it has {_listed(state)}{_hint(own, state)}"
        )
    if strict and unknown:
        raise _key_error(
            f"the state has {_listed(unknown)}, which this model does not have; it has "
            f"{_listed(own)}{_hint(own, state) or ': strict=False leaves out the others'}"
        )
    if own and len(unknown) == len(state):
        raise _key_error(
            f"the state has none of {_listed(own)}; it has {_listed(state)}{_hint(own, state)}"
        )
    values = {}
    for name in own:
        if name in state:
            values[name] = as_array(state[name], name).T
            if values[name].shape != own[name].shape:
                raise ValueError(
                    f"{name} has shape {values[name].shape[::-1]} in the state, expected "
                    f"{own[name].shape[::-1]}"
                )
    return values


class _Text(str):
    """A message that KeyError, which shows the `repr` of its argument, shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _key_error(message: str) -> KeyError:
    return KeyError(_Text(message))


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "nothing"


def _hint(own: Mapping[str, Parameter | Buffer], state: Mapping[Any, Any]) -> str:
    """Return a hint for a state whose names do not match, with a colon before it, or nothing."""
    needed = [name for name in own if name.rpartition(".")[2] != _MAY_BE_MISSING]
    for key, value in state.items():
        if isinstance(value, Mapping) and all(name in value for name in needed):
            return f": pass state[{key!r}], which has them"
        prefix = (
            key.removesuffix(needed[0])
            if isinstance(key, str) and needed and key.endswith("." + needed[0])
            else ""
        )
        if prefix and all(prefix + name in state for name in needed):
            whose = {
                "module.": ", as DataParallel saves them",
                "_orig_mod.": ", as torch.compile saves them",
            }.get(prefix, "")
            return (
                f": names there begin with {prefix!r}{whose}. Pass "
                f"{{name.removeprefix({prefix!r}): value for name, value in state.items()}}"
            )
    shapes = [getattr(value, "shape", None) for value in state.values()]
    if len(own) == len(state) and all(
        shape is not None and tuple(shape) == array.shape[::-1]
        for shape, array in zip(shapes, own.values(), strict=True)
    ):
        return (
            ": its shapes are those of the model, in order. If its layers are too, pass "
            "dict(zip(model.state_dict(), state.values()))"
        )
    return ""
