"""Optimizers whose step is a compiled kernel, called from Python or in a program."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from cnet._core import FLOAT32, loops
from cnet._utils.arrays import Array, empty
from cnet._utils.validation import integer
from cnet.nn import Parameter
from cnet.optim._optimizer import Optimizer
from cnet.optim._optimizer_state import MAX_STEPS, turned, turned_back

kinds = loops(FLOAT32)
"""The core that counts the state arrays of a kind of update: ``kinds.states(rule.kind)``."""


class Rule(NamedTuple):
    """Settings in the form of the compiled core, see ``cnet_rule`` in kernels/arguments.h."""

    kind: int
    lr: float
    weight_decay: float = 0.0
    decoupled: bool = False
    beta1: float = 0.0
    beta2: float = 0.0
    eps: float = 0.0
    summed: bool = False
    inner: bool = False
    setting: float = 0.0


class State:
    """Optimizer state of a parameter: the number of its steps, and its arrays, which are stacked in
    one array of shape (count, *parameter.shape).
    """

    def __init__(self, arrays: Array, steps: int = 0) -> None:
        self.arrays, self.steps = arrays, steps

    def copy(self) -> State:
        """Return a copy, which later steps do not change."""
        return State(self.arrays.copy(), self.steps)


class RuleOptimizer(Optimizer):
    """Base of the optimizers with compiled steps. Subclasses define `_rule` and `_names`."""

    _names: tuple[str, ...]
    """Names of the arrays of optimizer state, as in PyTorch."""

    _batch_weight = 1.0
    """Total weight of the samples of the current mini-batch. The eager engine sets it for penalties
    that are summed.
    """

    def _rule(self, settings: dict[str, Any]) -> Rule:
        """Return the settings of a group as a rule of the compiled core."""
        raise NotImplementedError

    def _state_of(self, parameter: Parameter, rule: Rule) -> State:
        """Return the state of a parameter, with writable arrays.

        Arrays that the settings did not require until now are added as zeros.
        """
        state: State | None = self._state.get(parameter)
        if state is None:
            state = self._state[parameter] = State(np.empty((0, *parameter.shape), parameter.dtype))
        if (
            len(state.arrays) < (needed := kinds.states(rule.kind))
            or not state.arrays.flags.writeable
        ):
            arrays = empty((max(needed, len(state.arrays)), *parameter.shape), parameter.dtype)
            arrays[...] = 0
            arrays[: len(state.arrays)] = state.arrays
            state.arrays = arrays
        return state

    def _penalized(self) -> list[Parameter]:
        """Return the parameters with a summed penalty, whose squares the training loop reports."""
        return [
            parameter
            for group in self.param_groups
            if self._rule(group).summed
            for parameter in group["params"]
        ]

    def _update(self, parameter: Parameter, settings: dict[str, Any]) -> None:
        rule = self._rule(settings)
        state = self._state_of(parameter, rule)
        assert parameter.grad is not None
        loops(parameter.dtype).update_step(
            parameter.data.reshape(-1),
            parameter.grad.reshape(-1),
            flat(state.arrays[: kinds.states(rule.kind)]),
            state.steps,
            *rule,
            self._batch_weight,
        )
        state.steps += 1

    def _packed(self, state: State) -> dict[str, Any]:
        return {
            "step": state.steps,
            **{name: turned(array) for name, array in zip(self._names, state.arrays, strict=False)},
        }

    def _unpacked(self, parameter: Parameter, packed: Any) -> State:
        if not isinstance(packed, dict) or not {"step"} <= packed.keys() <= {"step", *self._names}:
            raise ValueError(f"it is no dictionary with step and any of {', '.join(self._names)}")
        steps = integer("step", packed["step"], 0, MAX_STEPS - 1, wrong_type=ValueError)
        count = max((i + 1 for i, name in enumerate(self._names) if name in packed), default=0)
        arrays = empty((count, *parameter.shape), parameter.dtype)
        arrays[...] = 0
        for array, name in zip(arrays, self._names, strict=False):
            if name in packed:
                array[...] = turned_back(packed[name], parameter, name)
        return State(arrays, steps)


def square_sum(parameters: Iterable[Parameter]) -> float:
    """Return the sum of the squares of all elements of the parameters."""
    total = 0.0
    for parameter in parameters:
        total = loops(parameter.dtype).square_sum(parameter.data.reshape(-1), total)
    return total


def flat(arrays: Array) -> Array:
    """Return a view of stacked arrays in which each array is one row."""
    return arrays.reshape(len(arrays), math.prod(arrays.shape[1:]))
