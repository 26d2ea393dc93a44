"""Checkpoints: the state of a training, in one safetensors file.

Weights and optimizer state are tensors. Numbers are JSON in the metadata. Reading executes nothing
from the file. It checks each shape against the model of the trainer before it reads the tensor, and
changes nothing unless the whole file fits.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from cnet._io.checkpoint_check import check_numbers, check_seed, check_tensors
from cnet._io.model_file import in_order, opened, values_of
from cnet._utils.files import check_target, write_atomically
from cnet._version import __version__
from cnet.callbacks._trainer_state import TrainerState
from cnet.nn import Parameter
from cnet.nn._dropout import random_layers
from cnet.nn._undo import Undo
from cnet.optim._rule import RuleOptimizer, State
from cnet.optim.lr_scheduler import LRScheduler
from cnet.optim.lr_scheduler._state import kind_of, resume

_FORMAT = "2"
_READ = ("1", "2")  # formats that can be read; the first has no states of callbacks
_MAX_ARRAYS = 8  # arrays of optimizer state for one parameter
_TENSOR = "cnet tensor"
"""Key of a dictionary that replaces a tensor in the JSON."""


def save(trainer: TrainerState, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint, see `Trainer.save_checkpoint`."""
    from safetensors.numpy import save as serialize

    path = check_target(path)
    tensors = {f"model.{name}": values for name, values in trainer.model.state_dict().items()}
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    steps = {}
    for parameter, state in trainer.optimizer._copy_state().items():
        arrays = getattr(state, "arrays", state)  # an array, or arrays and a number of steps
        if not isinstance(arrays, np.ndarray) or parameter not in names:
            raise TypeError(
                f"{type(trainer.optimizer).__name__} keeps a {type(state).__name__} for "
                f"{parameter!r}, which a checkpoint cannot hold"
            )
        tensors[f"optimizer.{names[parameter]}"] = np.ascontiguousarray(arrays)
        steps[names[parameter]] = getattr(state, "steps", None)
    check_seed(seed := json.loads(json.dumps(trainer.seed, default=_number)))
    numbers = {
        "epoch": trainer.epoch,
        "step": trainer.global_step,
        "seed": seed,
        "history": {
            name: [float(value) for value in values] for name, values in trainer.history.items()
        },
        "optimizer": type(trainer.optimizer).__name__,
        "groups": [settings(group, names) for group in trainer.optimizer.param_groups],
        "steps": steps,
        "schedulers": schedules(trainer),
        "callbacks": _without_arrays(callbacks(trainer), "callbacks", tensors),
        "random": [[layer.key, layer.step] for layer in random_layers(trainer.model)],
    }
    metadata = {
        "cnet_checkpoint": _FORMAT,
        "cnet_version": __version__,
        "state": json.dumps(numbers, default=_number),
    }
    write_atomically(path, in_order(serialize(tensors, metadata)))


def schedules(trainer: TrainerState) -> list[list[Any]]:
    """Return the kind and the state of each scheduler.

    They are those of the last `fit`, or those of a loaded checkpoint until the next `fit`.
    """
    if trainer._resumed_schedules is not None:
        return trainer._resumed_schedules
    return [[kind_of(scheduler), scheduler.state_dict()] for scheduler in trainer._schedulers]


def are_alike(schedulers: list[LRScheduler], saved: list[list[Any]] | None) -> bool:
    """Return whether schedulers are of the same kinds as those of a checkpoint."""
    return [kind_of(scheduler) for scheduler in schedulers] == [kind for kind, _ in saved or ()]


def callbacks(trainer: TrainerState) -> dict[str, Any]:
    """Return the states of the callbacks.

    They are those of the last `fit`, or those of a loaded checkpoint until the next `fit`.
    """
    return (
        trainer._listeners.states()
        if trainer._resumed_callbacks is None
        else trainer._resumed_callbacks
    )


def restore_schedulers(schedulers: list[LRScheduler], saved: list[list[Any]] | None) -> None:
    """Restore the states of schedulers from a checkpoint.

    Schedulers of entirely other kinds start from the beginning. A mixture raises ValueError.
    """
    if are_alike(schedulers, saved):
        resume(schedulers, [state for _, state in saved or ()])
        return
    given, kinds = (
        [kind_of(scheduler) for scheduler in schedulers],
        [kind for kind, _ in saved or ()],
    )
    if {*given} & {*kinds}:
        raise ValueError(
            f"the checkpoint has the schedulers {', '.join(kinds)}, but fit got "
            f"{', '.join(given)}: give the same ones in the same order to continue, or, to begin "
            "new schedules, train with a new Trainer(trainer.model, trainer.loss, "
            "trainer.optimizer)"
        )


def settings(group: dict[str, Any], names: dict[Parameter, str]) -> dict[str, Any]:
    """Return a parameter group with names in place of parameters; None for one of another model."""
    return {**group, "params": [names.get(parameter) for parameter in group["params"]]}


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {value!r}")


def _without_arrays(value: Any, place: str, tensors: dict[str, Any]) -> Any:
    """Return a value for JSON. Arrays move to `tensors`, under the name of their place."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        while place in tensors:
            place += "'"
        tensors[place] = value.astype(value.dtype.newbyteorder("="), order="C")
        return {_TENSOR: place}
    if (
        isinstance(value, dict)
        and all(isinstance(name, str) for name in value)
        and _TENSOR not in value
    ):
        return {
            name: _without_arrays(part, f"{place}.{name}", tensors) for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_arrays(part, f"{place}.{i}", tensors) for i, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _without_arrays(value.item(), place, tensors)
    raise TypeError(
        f"a checkpoint cannot hold {value!r} ({place}): expected numbers, strings, None, arrays "
        "of numbers, or lists and dictionaries of them"
    )


def _with_arrays(value: Any, slices: dict[str, Any]) -> Any:
    """Invert `_without_arrays`. Tensors are removed from `slices`."""
    if isinstance(value, dict) and _TENSOR in value:
        name = value[_TENSOR]
        if len(value) != 1 or not isinstance(name, str) or name not in slices:
            raise ValueError(f"it has no tensor {name!r} of a callback")
        return _values(slices.pop(name), name)
    if isinstance(value, dict):
        return {name: _with_arrays(part, slices) for name, part in value.items()}
    return [_with_arrays(part, slices) for part in value] if isinstance(value, list) else value


def load(trainer: TrainerState, path: str | os.PathLike[str]) -> None:
    """Read a checkpoint, see `Trainer.load_checkpoint`."""
    with opened(path, "a checkpoint") as file:
        metadata = file.metadata() or {}
        if "cnet_checkpoint" not in metadata:
            model = "a model: read it with cnet.load"
            found = model if "cnet" in metadata else "tensors, but no checkpoint of cnet"
            raise ValueError(f"it holds {found}")
        if metadata["cnet_checkpoint"] not in _READ:
            raise ValueError(
                f"it is in format {metadata['cnet_checkpoint']} of cnet "
                f"{metadata.get('cnet_version', '?')}, this version reads formats "
                f"{' and '.join(_READ)}"
            )
        state = json.loads(metadata.get("state", "null"))
        names = {parameter: name for name, parameter in trainer.model.named_parameters()}
        check_numbers(
            state,
            trainer,
            [settings(group, names) for group in trainer.optimizer.param_groups],
            len(random_layers(trainer.model)),
        )
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        weights, memory = _tensors(slices, state, trainer)
        state["callbacks"] = _with_arrays(
            state.get("callbacks", {"entries": [], "logs": {}}), slices
        )
        if slices:
            raise ValueError(f"nothing in this trainer takes its {', '.join(slices)}")
        check_tensors(weights, state["callbacks"], trainer)
    groups, layers = trainer.optimizer.param_groups, random_layers(trainer.model)
    undo = Undo(
        [
            *trainer.model._states(),
            *layers,
            trainer,
            trainer.optimizer,
            trainer.optimizer._construction,
        ]
    )
    settings_before = [dict(group) for group in groups]
    try:
        _take_up(trainer, state, weights, memory)
    except BaseException:  # also KeyboardInterrupt
        undo()
        for group, before in zip(groups, settings_before, strict=True):
            group.clear()
            group.update(before)
        raise


def _take_up(
    trainer: TrainerState,
    state: dict[str, Any],
    weights: dict[str, Any],
    memory: dict[Parameter, Any],
) -> None:
    trainer.model.load_state_dict(weights)
    trainer.optimizer._set_state(memory)
    trainer.optimizer._set_settings(
        [
            {
                name: tuple(value) if isinstance(value, list) and name != "params" else value
                for name, value in group.items()
            }
            for group in state["groups"]
        ]
    )
    for layer, (key, step) in zip(random_layers(trainer.model), state["random"], strict=True):
        layer.key, layer.step = key, step
    trainer.epoch, trainer.global_step, trainer.history = (
        state["epoch"],
        state["step"],
        state["history"],
    )
    trainer.seed = trainer._resumed_seed = state["seed"]
    trainer._resumed_schedules = state.get("schedulers", [])
    trainer._resumed_callbacks = state["callbacks"]


def _tensors(
    slices: dict[str, Any], state: dict[str, Any], trainer: TrainerState
) -> tuple[dict[str, Any], dict[Parameter, Any]]:
    """Return the weights and the optimizer state. Their tensors are removed from `slices`."""
    weights = {}
    for name, values in trainer.model.state_dict().items():
        weights[name] = _read(slices, f"model.{name}", [values.shape], values.dtype)
    memory = {}
    for name, parameter in trainer.model.named_parameters():
        if name in state["steps"]:
            steps = state["steps"][name]
            if (steps is None) == isinstance(trainer.optimizer, RuleOptimizer):
                raise ValueError(
                    "it has an optimizer's state that this version of cnet does not know"
                )
            shapes = (
                [parameter.shape]
                if steps is None
                else [(count, *parameter.shape) for count in range(_MAX_ARRAYS + 1)]
            )
            arrays = _read(slices, f"optimizer.{name}", shapes, parameter.dtype)
            memory[parameter] = arrays if steps is None else State(arrays, steps)
    return weights, memory


def _read(
    slices: dict[str, Any], name: str, shapes: list[tuple[int, ...]], dtype: np.dtype[Any]
) -> Any:
    if name not in slices:
        raise ValueError(f"it has no tensor {name}, so it is of another model")
    tensor = slices.pop(name)
    if (shape := tuple(tensor.get_shape())) not in shapes:
        raise ValueError(
            f"tensor {name} has shape {shape}, expected "
            f"{shapes[0] if len(shapes) == 1 else ('any', *shapes[0][1:])}: it is of another model"
        )
    values = _values(tensor, name, dtype)
    if values.dtype != dtype:
        raise ValueError(f"tensor {name} is of {values.dtype}, but the model of {dtype}")
    return values


def _values(tensor: Any, name: str, empty: Any = np.float64) -> Any:
    shape = tuple(tensor.get_shape())
    return np.empty(shape, empty) if 0 in shape else values_of(tensor, name)
