"""Checkpoints: all that training goes on from, in one safetensors file.

Weights and what the optimiser remembers are tensors; numbers are JSON beside them. Reading executes nothing, checks every
shape against the trainer's own model before a tensor is read, and changes nothing unless everything fits.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._files import check_target, write_atomically
from cnet._serialize import in_order, opened, values_of
from cnet._version import __version__
from cnet.nn import Module, Parameter
from cnet.optim._rule import State
from cnet.optim.lr_scheduler._state import check as check_schedule
from cnet.optim.lr_scheduler._state import kind_of, resume

if TYPE_CHECKING:
    from cnet._trainer import Trainer
    from cnet.optim.lr_scheduler import LRScheduler

_FORMAT = "1"
_OF_SCHEDULES = {"initial_lr"}  # which may begin before or after a checkpoint is loaded
_MOST_ARRAYS = 8  # that an optimiser keeps for a parameter


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """See `Trainer.save_checkpoint`."""
    from safetensors.numpy import save as serialize

    path = check_target(path)
    tensors = {f"model.{name}": values for name, values in trainer.model.state_dict().items()}
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    steps = {}
    for parameter, state in trainer.optimizer.copy_state().items():
        arrays = getattr(state, "arrays", state)  # an array, or arrays and a number of steps
        if not isinstance(arrays, np.ndarray) or parameter not in names:
            raise TypeError(f"{type(trainer.optimizer).__name__} keeps a {type(state).__name__} for {parameter!r}, which a checkpoint cannot hold")
        tensors[f"optimizer.{names[parameter]}"] = np.ascontiguousarray(arrays)
        steps[names[parameter]] = getattr(state, "steps", None)
    numbers = {
        "epoch": trainer.epoch,
        "step": trainer.step,
        "seed": trainer.seed,
        "history": {name: [float(value) for value in values] for name, values in trainer.history.items()},
        "optimizer": type(trainer.optimizer).__name__,
        "groups": [_settings(group, names) for group in trainer.optimizer.param_groups],
        "steps": steps,
        "schedulers": schedules(trainer),
        "random": [[layer.key, layer.step] for layer in random_layers(trainer.model)],
    }
    metadata = {"cnet_checkpoint": _FORMAT, "cnet_version": __version__, "state": json.dumps(numbers, default=_number)}
    write_atomically(path, in_order(serialize(tensors, metadata)))


def schedules(trainer: Trainer) -> list[list[Any]]:
    """Kind and state of each scheduler of learning rates that the last `fit` stepped, or that a checkpoint has for the next one."""
    if trainer._resumed_schedules is not None:
        return trainer._resumed_schedules
    return [[kind_of(scheduler), scheduler.state_dict()] for scheduler in trainer._schedulers]


def are_alike(schedulers: list[LRScheduler], saved: list[list[Any]] | None) -> bool:
    """Whether schedulers are of the same kinds as those of a checkpoint."""
    return [kind_of(scheduler) for scheduler in schedulers] == [kind for kind, _ in saved or ()]


def go_on(schedulers: list[LRScheduler], saved: list[list[Any]] | None) -> None:
    """Bring schedulers to where those of a checkpoint were. Schedulers of other kinds begin as they are."""
    if are_alike(schedulers, saved):
        resume(schedulers, [state for _, state in saved or ()])
        return
    given, kinds = [kind_of(scheduler) for scheduler in schedulers], [kind for kind, _ in saved or ()]
    if {*given} & {*kinds}:
        raise ValueError(
            f"the checkpoint has the schedulers {', '.join(kinds)}, but fit got {', '.join(given)}: give the same ones in the same order to go on, "
            "or, to begin new schedules, train with a new Trainer(trainer.model, trainer.loss, trainer.optimizer)"
        )


def _settings(group: dict[str, Any], names: dict[Parameter, str]) -> dict[str, Any]:
    """A group of parameters, by their names; those that are not the model's have none."""
    return {**group, "params": [names.get(parameter) for parameter in group["params"]]}


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {value!r}")


def random_layers(model: Module) -> list[Any]:
    """Layers that draw random numbers, such as dropout: a key and a step tell which ones are next."""
    return [module for module in model.modules() if hasattr(module, "key") and hasattr(module, "step")]


def load(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """See `Trainer.load_checkpoint`."""
    with opened(path, "a checkpoint") as file:
        metadata = file.metadata() or {}
        if "cnet_checkpoint" not in metadata:
            raise ValueError(f"it holds {'a model: read it with cnet.load' if 'cnet' in metadata else 'tensors, but no checkpoint of cnet'}")
        if metadata["cnet_checkpoint"] != _FORMAT:
            raise ValueError(f"it is in format {metadata['cnet_checkpoint']} of cnet {metadata.get('cnet_version', '?')}, this version reads format {_FORMAT}")
        state = json.loads(metadata.get("state", "null"))
        _check(state, trainer)
        weights, memory = _tensors(file, state, trainer)
    trainer.model.load_state_dict(weights)
    trainer.optimizer.set_state(memory)
    trainer.optimizer.set_settings(
        [{name: tuple(value) if isinstance(value, list) and name != "params" else value for name, value in group.items()} for group in state["groups"]]
    )
    for layer, (key, step) in zip(random_layers(trainer.model), state["random"], strict=True):
        layer.key, layer.step = key, step
    trainer.epoch, trainer.step, trainer.history = state["epoch"], state["step"], state["history"]
    trainer.seed = trainer._resumed_seed = state["seed"]
    trainer._resumed_schedules = state.get("schedulers", [])


def _check(state: Any, trainer: Trainer) -> None:
    """Raise ValueError unless the numbers of a file are those of such a trainer."""
    match state:
        case {"epoch": int(epoch), "step": int(step), "seed": seed, "history": dict(history), "optimizer": str(kind), "groups": list(groups), "steps": dict()}:
            random, schedulers = state.get("random"), state.get("schedulers", [])
        case _:
            raise ValueError("its numbers are incomplete")
    seeds = seed if isinstance(seed, list) else [] if seed is None else [seed]
    if min(epoch, step, 0) < 0 or not all(type(part) is int and part >= 0 for part in seeds):
        raise ValueError("it counts below zero")
    if not all(isinstance(values, list) and all(type(value) in (int, float) for value in values) for values in history.values()):
        raise ValueError("its history holds other things than numbers")
    if not isinstance(schedulers, list) or not all(isinstance(pair, list) and [type(part) for part in pair] == [str, dict] for pair in schedulers):
        raise ValueError("it has no list of schedulers")
    optimizer = trainer.optimizer
    if kind != type(optimizer).__name__:
        raise ValueError(f"its optimiser is {kind}, this trainer's {type(optimizer).__name__}")
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    own = [_settings(group, names) for group in optimizer.param_groups]
    if [isinstance(group, dict) and (group.keys() - _OF_SCHEDULES, group.get("params")) for group in groups] != [
        (group.keys() - _OF_SCHEDULES, group["params"]) for group in own
    ]:
        raise ValueError("its optimiser has other groups of parameters, or other settings, than this trainer's")
    for i, group in enumerate(groups):
        optimizer.check_group(i, {name: tuple(value) if isinstance(value, list) else value for name, value in group.items()})
    for scheduler, scheduler_state in schedulers:
        check_schedule(scheduler, scheduler_state, len(groups))
    count = len(random_layers(trainer.model))
    if (
        not isinstance(random, list)
        or len(random) != count
        or not all(isinstance(pair, list) and [type(part) for part in pair] == [int, int] for pair in random)
    ):
        raise ValueError(f"it does not fit the {count} layers of this model that draw random numbers")
    if not all(0 <= key < 1 << 64 and 0 <= step < 1 << 63 for key, step in random):
        raise ValueError("it holds random states that cannot be")


def _tensors(file: Any, state: dict[str, Any], trainer: Trainer) -> tuple[dict[str, Any], dict[Parameter, Any]]:
    """The weights, and what the optimiser remembers."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    weights = {}
    for name, values in trainer.model.state_dict().items():
        weights[name] = _read(slices, f"model.{name}", [values.shape], values.dtype)
    memory = {}
    for name, parameter in trainer.model.named_parameters():
        if name in state["steps"]:
            steps = state["steps"][name]
            shapes = [parameter.shape] if steps is None else [(count, *parameter.shape) for count in range(_MOST_ARRAYS + 1)]
            memory[parameter] = _remembered(_read(slices, f"optimizer.{name}", shapes, parameter.dtype), steps)
    if slices:
        raise ValueError(f"nothing in this trainer takes its {', '.join(slices)}")
    return weights, memory


def _read(slices: dict[str, Any], name: str, shapes: list[tuple[int, ...]], dtype: np.dtype[Any]) -> Any:
    if name not in slices:
        raise ValueError(f"it has no tensor {name}, so it is of another model")
    tensor = slices.pop(name)
    if (shape := tuple(tensor.get_shape())) not in shapes:
        raise ValueError(f"tensor {name} has shape {shape}, expected {shapes[0] if len(shapes) == 1 else ('any', *shapes[0][1:])}: it is of another model")
    values = np.empty(shape, dtype) if 0 in shape else values_of(tensor, name)
    if values.dtype != dtype:
        raise ValueError(f"tensor {name} is of {values.dtype}, but the model of {dtype}")
    return values


def _remembered(arrays: Any, steps: Any) -> Any:
    if steps is None:
        return arrays
    if type(steps) is not int or steps < 0:
        raise ValueError("it has an optimiser's state that this version of cnet does not know")
    return State(arrays, steps)
