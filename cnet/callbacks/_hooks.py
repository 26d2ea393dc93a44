"""Methods of callbacks, and checks for methods with unknown names or wrong arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_ARGUMENTS = {
    "on_train_begin": ("trainer", "epochs", "steps"),
    "on_batch_end": ("trainer", "step", "loss"),
    "on_epoch_end": ("trainer", "logs"),
    "on_train_end": ("trainer",),
    "state_dict": (),
    "load_state_dict": ("state",),
}
_HOOKS = ", ".join(
    f"{name}({', '.join(arguments)})"
    for name, arguments in _ARGUMENTS.items()
    if name.startswith("on_")
)
_OTHER_NAMES = {"epoch", "batch", "state"}.union(*_ARGUMENTS.values())
_SYNONYMS = {("batch", "step")}


def check_callback(callback: Any, base: type) -> None:
    """Raise TypeError for methods of a callback that cnet would not call, or not as defined."""
    kind = type(callback).__name__
    if type(callback).__module__.startswith("cnet.") and not any(
        name.startswith("on_") for name in vars(callback)
    ):
        return  # the checks take as long as a small step
    for name in dir(callback):
        if name.startswith("on_") and name not in _ARGUMENTS and callable(getattr(callback, name)):
            raise TypeError(
                f"{kind} defines {name}, which cnet never calls; a callback may define {_HOOKS}"
            )
    for name, arguments in _ARGUMENTS.items():
        if overrides(callback, name, base):
            _check_arguments(getattr(callback, name), arguments, f"{kind}.{name}")
    if overrides(callback, "state_dict", base) != overrides(callback, "load_state_dict", base):
        raise TypeError(
            f"{kind} defines only one of state_dict() and load_state_dict(state); define both to "
            "store a state in checkpoints"
        )


def check_function(function: Callable[..., Any]) -> None:
    """Raise TypeError for a function that cannot be called as f(trainer, logs)."""
    _check_arguments(
        function, _ARGUMENTS["on_epoch_end"], getattr(function, "__qualname__", repr(function))
    )


def overrides(callback: Any, name: str, base: type) -> bool:
    """Whether a callback overrides a method of `base`."""
    method = getattr(callback, name)
    return getattr(method, "__func__", method) is not getattr(base, name)


def _check_arguments(function: Callable[..., Any], expected: tuple[str, ...], name: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a C function without a signature
        return
    wanted = f"expected ({', '.join(expected)})"
    try:
        bound = signature.bind(*expected)
    except TypeError:
        raise TypeError(f"{name} takes {signature}, {wanted}") from None
    for argument, value in bound.arguments.items():
        # Keras's on_epoch_end(epoch, logs=None) takes the same number of arguments, but others.
        if (
            isinstance(value, str)
            and argument != value
            and argument in _OTHER_NAMES
            and (argument, value) not in _SYNONYMS
        ):
            raise TypeError(
                f"{name} takes {signature}, {wanted}: its {argument} would be the {value}"
            )
