"""Answers in errors about names and arguments that users of PyTorch and Keras expect."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """A hint to append to a message, if one of the names is near; upper and lower case count as the
    same.
    """
    import difflib  # takes time to import

    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(text.lower(), by_lower, 1, cutoff=0.7)
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""


def no_attribute(
    owner: object, name: str, answers: Mapping[str, str], otherwise: str = ""
) -> AttributeError:
    """The error for a missing attribute: with the answer to that name, if there is one, or else the
    name that is near.
    """
    who = (
        f"module {owner.__name__!r}"
        if isinstance(owner, ModuleType)
        else f"{type(owner).__name__!r} object"
    )
    text = f"{who} has no attribute {name!r}"
    if name.startswith("_"):  # of Python's own, which are looked for all the time
        return AttributeError(text)
    if answer := answers.get(name, otherwise):
        return AttributeError(f"{text}: {answer}")
    names = getattr(owner, "__all__", None) or [*getattr(owner, "__dict__", ()), *dir(type(owner))]
    return AttributeError(
        text + did_you_mean(name, (known for known in names if not known.startswith("_")))
    )


def answers_keywords(answers: Mapping[str, str]) -> Callable[[_Function], _Function]:
    """A decorator: an unknown keyword is a TypeError with the answer to it, if there is one, or
    else the name that is near.
    """

    def decorate(function: _Function) -> _Function:
        code = function.__code__
        known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]  # without self

        @functools.wraps(function)
        def checked(*args: Any, **settings: Any) -> Any:
            for name in settings.keys() - {*known}:
                answer = f": {answers[name]}" if name in answers else did_you_mean(name, known)
                owner = type(args[0]).__name__
                called = (
                    owner if function.__name__ == "__init__" else f"{owner}.{function.__name__}"
                )
                raise TypeError(f"{called}() got an unexpected keyword argument {name!r}{answer}")
            return function(*args, **settings)

        return checked  # type: ignore[return-value]

    return decorate
