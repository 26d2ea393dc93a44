"""States of schedulers: `state_dict`, and the checks and changes of `load_state_dict`.

A state is plain data that JSON can hold. It is checked in full before anything is changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cnet.optim.lr_scheduler._settings import Checks

if TYPE_CHECKING:
    from cnet.optim._optimizer import Optimizer

State = dict[str, Any]
Change = tuple[Any, str, Any]
"""An object, the name of an attribute, and its new value."""

_OWN = "user:"
"""Prefix of the names of custom classes in a checkpoint."""


class Stateful:
    """Base of objects with a state: all attributes except the optimizer and functions."""

    _settings: ClassVar[Checks] = {}
    """Attributes that are arguments of the constructor, with their checks."""
    _progress: ClassVar[Checks] = {}
    """Attributes that steps change, with their checks."""
    _other: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold schedulers or functions."""
    _also_compared: ClassVar[tuple[str, ...]] = ()
    """Attributes of `_progress` that are also arguments of the constructor."""
    progress: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that steps change, in a custom class."""

    optimizer: Optimizer

    def state_dict(self) -> State:
        """Return the state, from which later steps continue, and the settings.

        The state has all attributes except the optimizer and functions.

        Returns
        -------
        dict
            Numbers, strings, and lists and dictionaries of them, which JSON can hold.
            `Trainer.save_checkpoint` saves it for the schedulers that `fit` steps.

        Raises
        ------
        TypeError
            If an attribute of a custom class is other data. Override this method and
            `load_state_dict` in such a class.
        """
        return {
            name: _dumped(f"{type(self).__name__}.{name}", value)
            for name, value in self._attributes().items()
        }

    def load_state_dict(self, state_dict: State) -> None:
        """Load a state and its settings.

        A rate of the optimizer becomes that of the state if the constructor of a scheduler set it
        last. Rates from `Optimizer.load_state_dict`, or from a manual change, are preserved.
        Nothing is changed if it raises.

        Parameters
        ----------
        state_dict : dict
            The result of `state_dict`.

        Raises
        ------
        ValueError
            If `state_dict` is not a state of such a scheduler.
        """
        apply(changes(self, state_dict))
        self._restore_rates()

    def _attributes(self) -> State:
        """Return the attributes that belong to the state."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def _restore_rates(self) -> None:
        """Replace the rates that constructors set by the rates of the state."""
        raise NotImplementedError

    def _parts(self) -> Iterator[Stateful]:
        """Yield this scheduler, and the schedulers that it contains."""
        yield self
        for value in vars(self).values():
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, Stateful):
                    yield from part._parts()

    @classmethod
    def _check_together(cls, values: State) -> None:
        """Raise ValueError for settings that contradict each other."""

    def _check_for_this(self, values: State) -> None:
        """Raise ValueError for settings that do not fit the optimizer or the functions of this
        scheduler.
        """


def kind_of(scheduler: Stateful) -> str:
    """Return the name of the class; custom classes have a prefix."""
    kind = type(scheduler)
    return kind.__name__ if kind.__module__.startswith(f"{__package__}.") else _OWN + kind.__name__


def apply(made: Sequence[Change]) -> None:
    """Make all changes, or none if it is interrupted."""
    before = [
        (target, {**vars(target)})
        for target in {id(target): target for target, _, _ in made}.values()
    ]
    try:
        for target, name, value in made:
            target.__dict__[name] = value
    except BaseException:  # Ctrl-C
        for target, values in before:
            target.__dict__.update(values)
        raise


def changes(scheduler: Stateful, state: Any) -> list[Change]:
    """Return the changes that a state makes to a scheduler, without making them.

    Raises ValueError if `state` is not a state of such a scheduler.
    """
    kind = type(scheduler).__name__
    own = scheduler._attributes()
    _require(isinstance(state, dict), kind, "it is no dictionary")
    _require(state.keys() == own.keys(), kind, f"it has {_names(state)}, expected {_names(own)}")
    checked = _checked(type(scheduler), state, len(scheduler.optimizer.param_groups))
    made: list[Change] = [(scheduler, name, value) for name, value in checked.items()]
    try:
        scheduler._check_for_this(checked)
        for name in own.keys() - checked.keys():
            if own[name] is None and name in scheduler._other and state[name] is not None:
                raise ValueError(f"{name} is {state[name]!r}, expected None")
            made += _alike(scheduler, name, own[name], state[name])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            str(error)
            if str(error).startswith("this is no state")
            else f"this is no state of such a {kind}: {error}"
        ) from None
    return made


def _built_in() -> dict[str, type[Stateful]]:
    """Return the public schedulers of this package by name."""
    classes, found = [Stateful], {}
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        if kind.__module__.startswith(f"{__package__}.") and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    return found


def check(kind: str, state: Any, groups: int) -> None:
    """Raise ValueError if a scheduler of this kind cannot have this state.

    Functions and custom classes are not checked: that requires the scheduler itself.
    """
    if kind.startswith(_OWN):
        return
    known = _built_in().get(kind, Stateful)
    _require(known is not Stateful, kind, "there is no such scheduler")
    names = {*known._settings, *known._progress, *known._other}
    _require(isinstance(state, dict), kind, "it is no dictionary")
    _require(state.keys() == names, kind, f"it has {_names(state)}, expected {_names(names)}")
    _checked(known, state, groups)
    for name in known._other:
        parts = state[name] if isinstance(state[name], list) else []
        for part in parts if name == "_schedulers" else ():
            _require(_is_pair(part), kind, f"{name} holds {part!r}")
            check(part[0], part[1], groups)


def resume(schedulers: Sequence[Stateful], states: Sequence[State]) -> None:
    """Load the states of a checkpoint into schedulers.

    The settings must be equal to those of the checkpoint; one that is None takes the value of the
    checkpoint. Changes that the constructors made to the optimizer after the checkpoint was loaded
    are undone. Nothing is changed if a state or a setting does not match.

    Raises
    ------
    ValueError
        If a state is not one of such a scheduler, or a setting differs.
    """
    made: list[Change] = []
    overridden = []
    for scheduler, state in zip(schedulers, states, strict=True):
        if type(scheduler).load_state_dict is not Stateful.load_state_dict:
            overridden.append((scheduler, state))
            continue
        made += changes(scheduler, state)
    differing = [
        f"{type(target).__name__} has {name}={getattr(target, name)!r}, the checkpoint {value!r}"
        for target, name, value in made
        if _differs(target, name, value)
    ]
    if differing:
        raise ValueError(
            f"the schedule is not that of the checkpoint: {'; '.join(differing)}. Construct it "
            "with the settings of the checkpoint to continue, or, to begin a new schedule, train "
            "with a new Trainer(trainer.model, trainer.loss, trainer.optimizer)"
        )
    for optimizer in {
        id(scheduler.optimizer): scheduler.optimizer for scheduler in schedulers
    }.values():
        optimizer._construction.undo(optimizer.param_groups)
    apply(made)
    for scheduler, state in overridden:
        scheduler.load_state_dict(state)


def _differs(target: Any, name: str, value: Any) -> bool:
    """Whether a change would give a setting of the constructor another value."""
    if not isinstance(target, Stateful) or getattr(target, name) is None:
        return False
    steps_change_it = (
        name in target._progress and name not in target._also_compared
    ) or name in target.progress
    return not steps_change_it and bool(np.any(getattr(target, name) != value))


def _require(condition: bool, kind: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"this is no state of such a {kind}: {problem}")


def _names(state: Any) -> str:
    return ", ".join(sorted(map(str, state))) or "nothing"


def _checked(kind: type[Stateful], state: State, groups: int) -> State:
    """Return the attributes of a state that have a check, as plain data."""
    checks = {**kind._settings, **kind._progress}
    try:
        checked = {
            name: checks[name](name, value, groups)
            for name, value in state.items()
            if name in checks
        }
        kind._check_together({**state, **checked})
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"this is no state of such a {kind.__name__}: {error}") from None
    return checked


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)


def _plain_attributes(function: Any) -> State | None:
    """Return the attributes of a callable object, if all are plain data; None for functions."""
    attributes = getattr(function, "__dict__", None)
    if isinstance(function, FunctionType | type) or not attributes:
        return None
    try:
        return {name: _dumped(name, value) for name, value in attributes.items()}
    except TypeError:
        return None


def _dumped(name: str, value: Any) -> Any:
    """Return a value as plain data. Raises TypeError if that is not possible."""
    if isinstance(value, Stateful):
        return [kind_of(value), value.state_dict()]
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biuf":
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_dumped(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _dumped(f"{name}[{key!r}]", item) for key, item in value.items()}
    if callable(value):
        return _plain_attributes(value)
    raise TypeError(
        f"{name} is a {type(value).__name__}, which a state cannot hold: override state_dict and "
        "load_state_dict"
    )


def _alike(target: Any, name: str, own: Any, value: Any) -> list[Change]:
    """Return the changes that give an attribute without a check the value of a state.

    `own` is the current value of the attribute. Raises ValueError if `value` does not match it.
    """
    if isinstance(own, Stateful):
        if not _is_pair(value) or value[0] != kind_of(own):
            raise ValueError(f"{name} is {value!r}, expected the state of a {type(own).__name__}")
        return changes(own, value[1])
    if (
        isinstance(own, list | tuple)
        and own
        and all(isinstance(item, Stateful) or callable(item) for item in own)
    ):
        if not isinstance(value, list | tuple) or len(value) != len(own):
            raise ValueError(f"{name} is {value!r}, expected {len(own)} of them")
        return [
            change
            for i, (item, part) in enumerate(zip(own, value, strict=True))
            for change in _alike(target, f"{name}[{i}]", item, part)
        ]
    if callable(own):
        attributes = _plain_attributes(own)
        if (value is None) != (attributes is None) or (
            attributes is not None
            and (not isinstance(value, dict) or value.keys() != attributes.keys())
        ):
            raise ValueError(f"{name} is {value!r}, expected {attributes!r}")
        return [
            (own, key, _plain(f"{name}.{key}", vars(own)[key], item))
            for key, item in (value or {}).items()
        ]
    return [(target, name, _plain(name, own, value))]


def _plain(name: str, own: Any, value: Any) -> Any:
    """Return plain data of the type of `own`. Raises ValueError if `value` does not fit."""
    if isinstance(own, bool | np.bool_):
        fits = isinstance(value, bool)
    elif isinstance(own, int | float | np.number):
        fits = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (math.isfinite(value) or value == own)
        )
    elif isinstance(own, str):
        fits = isinstance(value, str)
    elif isinstance(own, dict):
        fits = isinstance(value, dict)
        value = (
            {key: _plain(f"{name}[{key!r}]", own.get(key), item) for key, item in value.items()}
            if fits
            else value
        )
    elif isinstance(own, list | tuple | np.ndarray):
        fits = isinstance(value, list | tuple)
        if fits and isinstance(own, np.ndarray):
            return np.array([_plain(name, None, item) for item in value], own.dtype)
        items = [_plain(f"{name}[{i}]", None, item) for i, item in enumerate(value)] if fits else []
        value = tuple(items) if isinstance(own, tuple) else items if fits else value
    elif isinstance(value, list | dict):
        return _plain(name, type(value)(), value)
    else:
        fits = (
            value is None
            or isinstance(value, bool | str)
            or (isinstance(value, int | float) and math.isfinite(value))
        )
    if not fits:
        raise ValueError(f"{name} is {value!r}, expected a value such as {own!r}")
    return value
