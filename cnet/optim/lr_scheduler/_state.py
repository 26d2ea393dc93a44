"""States of schedulers: what `state_dict` holds, and how a state is checked and taken up.

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
"""Before the names of classes that are not cnet's."""


class Stateful:
    """What has a state: all attributes but the optimizer and functions."""

    _settings: ClassVar[Checks] = {}
    """Attributes that the constructor is given, with their checks."""
    _progress: ClassVar[Checks] = {}
    """Attributes that steps change, with their checks."""
    _other: ClassVar[tuple[str, ...]] = ()
    """Attributes that hold schedulers or functions."""
    _also_compared: ClassVar[tuple[str, ...]] = ()
    """Attributes of `_progress` that the constructor is given, too."""
    progress: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that steps change, in a class of a user's own."""

    optimizer: Optimizer

    def state_dict(self) -> State:
        """All that later steps continue from, and the settings: everything but the optimizer and
        functions.

        Returns
        -------
        dict
            Numbers, words, and lists and dictionaries of them, which JSON can hold.
            `Trainer.save_checkpoint` keeps it for the schedulers that `fit` steps.

        Raises
        ------
        TypeError
            If an attribute of a custom class is no such data: then override this method and
            `load_state_dict`.
        """
        return {
            name: _dumped(f"{type(self).__name__}.{name}", value)
            for name, value in self._attributes().items()
        }

    def load_state_dict(self, state_dict: State) -> None:
        """Continue from a state, with the settings that it has.

        Rates of the optimizer that are still as the constructors of schedulers left them become
        those of the state. Other rates, which `Optimizer.load_state_dict` or a manual change has
        set, stay.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` gave.

        Raises
        ------
        ValueError
            If it is no state of such a scheduler; then nothing is changed.
        """
        apply(changes(self, state_dict))
        self._restore_rates()

    def _attributes(self) -> State:
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def _restore_rates(self) -> None:
        raise NotImplementedError

    def _parts(self) -> Iterator[Stateful]:
        """This scheduler, and those that it holds."""
        yield self
        for value in vars(self).values():
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, Stateful):
                    yield from part._parts()

    @classmethod
    def _check_together(cls, values: State) -> None:
        """Raise ValueError for settings that do not go together."""

    def _check_for_this(self, values: State) -> None:
        """Raise ValueError for settings that do not go with the optimizer, or with the functions,
        that this scheduler has.
        """


def kind_of(scheduler: Stateful) -> str:
    """The name of a class; classes that are not cnet's are told apart."""
    kind = type(scheduler)
    return kind.__name__ if kind.__module__.startswith(f"{__package__}.") else _OWN + kind.__name__


def apply(made: Sequence[Change]) -> None:
    """Make changes, all or none."""
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
    """The changes that a state makes to a scheduler. Raises ValueError if it is no state of such a
    one; nothing is changed yet.
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
    """The public schedulers of this package, by name."""
    classes, found = [Stateful], {}
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        if kind.__module__.startswith(f"{__package__}.") and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    return found


def check(kind: str, state: Any, groups: int) -> None:
    """Raise ValueError unless a scheduler of this kind may have this state, as far as that can be
    told without the scheduler.
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
    """Bring schedulers to where those of a checkpoint were.

    Settings must be those of the checkpoint; one that is None takes that of the checkpoint. What
    the constructors did to the rates of the optimizer after the checkpoint was loaded is undone.

    Raises
    ------
    ValueError
        If a state is none of such a scheduler, or a setting differs; then nothing is changed.
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
    """Whether a change is to a setting that the constructor was given."""
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
    """The attributes of a state that have a check."""
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
    """The attributes of an object that is called, if all are plain data; None for functions."""
    attributes = getattr(function, "__dict__", None)
    if isinstance(function, FunctionType | type) or not attributes:
        return None
    try:
        return {name: _dumped(name, value) for name, value in attributes.items()}
    except TypeError:
        return None


def _dumped(name: str, value: Any) -> Any:
    """A value as plain data."""
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
    """The changes that bring an attribute without a check to a value of its state."""
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
    """Plain data that may take the place of a value."""
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
