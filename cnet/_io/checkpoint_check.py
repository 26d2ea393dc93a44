"""Checks of the contents of a checkpoint. Each raises ValueError.

They are complete, so that a later `fit` does not fail because of a value in the file.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from cnet import callbacks as known
from cnet._utils.validation import COUNT_LIMIT, is_count, is_number, real
from cnet.callbacks._trainer_state import TrainerState
from cnet.optim.lr_scheduler._state import check as check_schedule

_MAX_SEEDS, _MAX_SEED_BITS = 64, 4096
_OF_SCHEDULES = {
    "initial_lr"
}  # settings that a scheduler adds to a group, before or after a checkpoint is loaded
_NOT_NEGATIVE = ("running_var", "num_batches_tracked")


def check_numbers(
    state: Any, trainer: TrainerState, own: list[dict[str, Any]], random_layers: int
) -> None:
    """Check the JSON of a checkpoint.

    Parameters
    ----------
    state : object
        The parsed JSON.
    trainer : TrainerState
    own : list of dict
        Parameter groups of the trainer, with names in place of parameters.
    random_layers : int
        Number of layers of the model that draw random numbers.
    """
    match state:
        case {
            "epoch": _,
            "step": _,
            "seed": seed,
            "history": dict(history),
            "optimizer": str(kind),
            "groups": list(groups),
            "steps": dict(steps),
        }:
            random, schedulers, callbacks = (
                state.get("random"),
                state.get("schedulers", []),
                state.get("callbacks"),
            )
        case _:
            raise ValueError("its numbers are incomplete")
    for name in ("epoch", "step"):
        if not is_count(state[name]):
            raise ValueError(
                f"its {name} is {state[name]!r}, expected a whole number of at least 0"
            )
    check_seed(seed)
    _check_history(history)
    _check_optimizer(kind, groups, steps, own, trainer)
    if not isinstance(schedulers, list) or not all(
        isinstance(pair, list) and [type(part) for part in pair] == [str, dict]
        for pair in schedulers
    ):
        raise ValueError("it has no list of schedulers")
    for scheduler, numbers in (
        schedulers if "callbacks" in state else ()
    ):  # `fit` rejects those of the first format
        check_schedule(scheduler, numbers, len(groups))
    if "callbacks" in state:
        _check_callbacks(callbacks, history)
    if (
        not isinstance(random, list)
        or len(random) != random_layers
        or not all(
            isinstance(pair, list) and [type(part) for part in pair] == [int, int]
            for pair in random
        )
    ):
        raise ValueError(
            f"it does not fit the {random_layers} layers of this model that draw random numbers"
        )
    if not all(0 <= key < 1 << 64 and is_count(step) for key, step in random):
        raise ValueError("it holds random states that cannot be")


def check_seed(seed: Any) -> None:
    """Raise ValueError unless a seed is None, a nonnegative integer, or a list of some."""
    parts = seed if isinstance(seed, list | tuple) else [] if seed is None else [seed]
    if len(parts) > _MAX_SEEDS or not all(
        type(part) is int and part >= 0 and part.bit_length() <= _MAX_SEED_BITS for part in parts
    ):
        raise ValueError(
            f"its seed is {seed!r}, expected a whole number of at least 0, or at most "
            f"{_MAX_SEEDS} of them"
        )


def _check_history(history: dict[str, Any]) -> None:
    if not all(
        isinstance(values, list)
        and all(type(value) is float or is_number(value) for value in values)
        for values in history.values()
    ):
        raise ValueError("its history holds other things than numbers")
    if len({len(values) for values in history.values()}) > 1:
        raise ValueError("its history has lists of different lengths")


def _check_optimizer(
    kind: str,
    groups: list[Any],
    steps: dict[str, Any],
    own: list[dict[str, Any]],
    trainer: TrainerState,
) -> None:
    optimizer = trainer.optimizer
    if kind != type(optimizer).__name__:
        raise ValueError(f"its optimizer is {kind}, this trainer's {type(optimizer).__name__}")
    if [
        isinstance(group, dict) and (group.keys() - _OF_SCHEDULES, group.get("params"))
        for group in groups
    ] != [(group.keys() - _OF_SCHEDULES, group["params"]) for group in own]:
        raise ValueError(
            "its optimizer has other groups of parameters, or other settings, than this trainer's"
        )
    for i, (group, now) in enumerate(zip(groups, own, strict=True)):
        for name, value in group.items():
            if name in _OF_SCHEDULES:
                real(name, value, 0, wrong_type=ValueError)
            elif not _alike(value, now[name]):
                raise ValueError(f"{name} is {value!r}, expected a value such as {now[name]!r}")
        optimizer._check_group(
            i,
            {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in group.items()
            },
        )
    names = {name for name, _ in trainer.model.named_parameters()}
    if not steps.keys() <= names or not all(
        number is None or is_count(number) for number in steps.values()
    ):
        raise ValueError("it has an optimizer's state that this version of cnet does not know")


def _alike(value: Any, own: Any) -> bool:
    """Return whether a setting of a file is of the same kind as that of the trainer."""
    if isinstance(own, bool | np.bool_):
        return isinstance(value, bool)
    if isinstance(own, Real):
        return (
            is_number(value)
            or (value is None and isinstance(own, int))
            or (type(value) is float and not math.isfinite(own))
        )
    if isinstance(own, list | tuple):
        return isinstance(value, list) and len(value) == len(own) and all(map(_alike, value, own))
    return own is None or isinstance(value, type(own))


def _check_callbacks(callbacks: Any, history: dict[str, Any]) -> None:
    match callbacks:
        case {"entries": list(entries), "logs": dict(logs)} if all(
            isinstance(entry, dict)
            and {name: type(value) for name, value in entry.items()}
            == {"kind": str, "identity": dict, "state": dict, "missed": bool}
            for entry in entries
        ):
            pass
        case _:
            raise ValueError("it has no list of callbacks")
    if any(entry["missed"] for entry in entries):
        known = [name for name, values in history.items() if values and not math.isnan(values[-1])]
        if not known or not all(type(logs.get(name)) in (int, float) for name in known):
            raise ValueError(
                "it has callbacks that have yet to be told of an epoch, but not what the epoch "
                "ended with"
            )


def check_tensors(
    weights: dict[str, Any], callbacks: dict[str, Any], trainer: TrainerState
) -> None:
    """Check the weights of a checkpoint, and the states of built-in callbacks."""
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise ValueError(f"tensor model.{name} holds values that are not finite")
        if name.rpartition(".")[2] in _NOT_NEGATIVE and (
            values.min(initial=0) < 0
            or (values.dtype.kind == "i" and values.max(initial=0) >= COUNT_LIMIT)
        ):
            raise ValueError(f"tensor model.{name} holds {values.min()}, which cannot be")
    kinds = {f"cnet {name}": getattr(known, name) for name in known.__all__}
    for entry in callbacks["entries"]:
        if entry["state"] and entry["kind"].startswith(("cnet ", "scheduler ")):
            kinds.get(entry["kind"], known.Callback)._check_state(entry["state"], trainer.model)
