"""States of networks, such as `Module.state_dict` gives them and PyTorch: matched with the
parameters and buffers that are to take them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from cnet._utils.arrays import Array, as_array
from cnet.nn._parameter import Buffer, Parameter

_MAY_BE_MISSING = "num_batches_tracked"
"""Counted since PyTorch 0.4.1; states that are older, or come from elsewhere, do without it."""


def matching_values(
    own: Mapping[str, Parameter | Buffer], state: Any, strict: bool
) -> dict[str, Array]:
    """The values of a state, turned as parameters are; see `Module.load_state_dict`.

    Parameters
    ----------
    own : mapping
        Parameters and buffers by their names.
    state : mapping
        Arrays by their names.
    strict : bool
        Whether there has to be one for each, and no other.

    Raises
    ------
    TypeError, KeyError, ValueError
        If they do not match.
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
            f"the state has {_listed(unknown)}, which this model has not; it has "
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
    """A message that a KeyError, which shows the `repr` of its argument, shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _key_error(message: str) -> KeyError:
    return KeyError(_Text(message))


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "nothing"


def _hint(own: Mapping[str, Parameter | Buffer], state: Mapping[Any, Any]) -> str:
    """What may be meant by a state whose names do not match; it begins with a colon, or is
    empty.
    """
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
