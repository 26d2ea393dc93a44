"""Checks of the settings of schedulers, for constructors and for states that are loaded.

A check takes the name of a setting, its value, and the number of parameter groups. It returns the
value as plain Python data. It raises TypeError for a value of the wrong type, and ValueError for a
value that is out of bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from cnet._utils import validation
from cnet._utils.validation import COUNT_LIMIT

Check = Callable[..., Any]
Checks = Mapping[str, Check]


def number(minimum: float = 0.0, maximum: float = math.inf, **options: Any) -> Callable[..., float]:
    """Return a check for a finite real number, with the options of `validation.real`."""
    return lambda name, value, groups=1: validation.real(name, value, minimum, maximum, **options)


def whole(minimum: int = 1) -> Callable[..., int]:
    """Return a check for an integer. Other real numbers raise ValueError, as in PyTorch."""

    def check(name: str, value: Any, groups: int = 1) -> int:
        is_real = isinstance(value, Real) and not isinstance(value, bool)
        return validation.integer(
            name,
            value,
            minimum,
            COUNT_LIMIT - 1,
            wrong_type=ValueError if is_real else TypeError,
        )

    return check


def choice(*choices: str) -> Check:
    """Return a check for one of a few strings."""
    return lambda name, value, groups=1: validation.choice(name, value, choices)


def flag(name: str, value: Any, groups: int = 1) -> bool:
    """Check for True or False."""
    return validation.flag(name, value)


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
