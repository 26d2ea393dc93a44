"""Checks of the settings of schedulers, for constructors and for states that are loaded.

A check takes the name of a setting, its value, and the number of parameter groups. It returns the
value as plain Python data. It raises TypeError for a value of the wrong type, and ValueError for a
value that is out of bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

Check = Callable[[str, Any, int], Any]
Checks = Mapping[str, Check]

MOST = 2**53
"""Bound of counts: integers below it are exact in float64."""


@dataclass(frozen=True)
class Number:
    """Check for a finite real number from `low` to `high`."""

    low: float = 0.0
    high: float = math.inf
    above: bool = False
    """Whether `low` itself is out of bounds."""
    below: bool = False
    """Whether `high` itself is out of bounds."""
    wrong_type: type[Exception] = TypeError
    """Exception that is raised for a value that is not a real number."""

    def __call__(self, name: str, value: Any, groups: int = 1) -> float:
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
            raise self.wrong_type(f"{name} is {value!r}, expected {self}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        low = number > self.low if self.above else number >= self.low
        high = number < self.high if self.below or self.high == math.inf else number <= self.high
        if not (low and high):
            raise ValueError(f"{name} is {value!r}, expected {self}")
        return number

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else f"of at least {self.low:g}"
        if self.high == math.inf:
            return f"a finite number {low}"
        return f"a number {low} and {'below' if self.below else 'at most'} {self.high:g}"


@dataclass(frozen=True)
class Whole:
    """Check for an integer of at least `low`."""

    low: int = 1

    def __call__(self, name: str, value: Any, groups: int = 1) -> int:
        if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
            raise TypeError(f"{name} is {value!r}, expected an integer of at least {self.low}")
        if not isinstance(value, Integral) or (number := int(value)) < self.low:
            raise ValueError(f"{name} is {value!r}, expected an integer of at least {self.low}")
        if number >= MOST:
            raise ValueError(f"{name} is {value!r}, expected an integer below 2**53")
        return number


def flag(name: str, value: Any, groups: int = 1) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}, expected True or False")
    return bool(value)


@dataclass(frozen=True)
class Choice:
    """Check for one of a few strings."""

    words: tuple[str, ...]

    def __call__(self, name: str, value: Any, groups: int = 1) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise ValueError(
                f"{name} is {value!r}, expected {', '.join(map(repr, self.words[:-1]))} or "
                f"{self.words[-1]!r}"
            )
        return value


@dataclass(frozen=True)
class Optional:
    """Check for None, or for a value that passes another check."""

    check: Check

    def __call__(self, name: str, value: Any, groups: int = 1) -> Any:
        return None if value is None else self.check(name, value, groups)


@dataclass(frozen=True)
class ListOf:
    """Check for a list of any length, with a check of its items."""

    check: Check

    def __call__(self, name: str, value: Any, groups: int = 1) -> list[Any]:
        if isinstance(value, str | bytes | dict):
            raise TypeError(f"{name} is {value!r}, expected a list")
        try:
            items = list(value)
        except TypeError:
            raise TypeError(f"{name} is {value!r}, expected a list") from None
        return [self.check(f"{name}[{i}]", item, groups) for i, item in enumerate(items)]


@dataclass(frozen=True)
class PerGroup:
    """Check for a value for each parameter group: a list, or one value for all groups."""

    check: Check
    argument: str | None = None
    """Name of the argument, if it differs from the name of the attribute."""

    def __call__(self, name: str, value: Any, groups: int = 1) -> list[Any]:
        name = self.argument or name
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, list | tuple):
            return [self.check(name, value, groups)] * groups
        if len(value) != groups:
            raise ValueError(
                f"{name} has {len(value)} values, but the optimizer has {groups} parameter "
                f"group{'' if groups == 1 else 's'}"
            )
        return [self.check(f"{name}[{i}]", item, groups) for i, item in enumerate(value)]
