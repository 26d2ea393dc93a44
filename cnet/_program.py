"""A model, loss and optimiser lowered to a compiled program for one batch size.

The stages that layers become (`_stages`) add operations on buffers that are allocated here, once: forward, the loss,
back to the first parameter that is trained, and the updates. What has no compiled form (a layer, loss or optimiser
written in Python) has no program, and is run layer by layer.
"""

from __future__ import annotations

import math
import threading
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from cnet import nn, optim
from cnet._arrays import empty
from cnet._core import loops
from cnet._stages import NONE, Convolution, Lowering, Stage, Target
from cnet._threads import get_num_threads
from cnet.nn._module import is_builtin
from cnet.optim._rule import Rule, RuleOptimizer, State, flat

if TYPE_CHECKING:
    from cnet._arrays import Array

_MOST_ROWS = 1024
"""Larger batches are walked in blocks of rows."""
_BLOCK_ROWS = 512


def _stages(model: nn.Module, row_shape: tuple[int, ...]) -> list[Stage] | None:
    lowering = Lowering(row_shape)
    return lowering.finish() if is_builtin(model) and model.lower(lowering) else None


def lower(model: nn.Module, loss: nn.Loss, optimizer: optim.Optimizer | None, row_shape: tuple[int, ...]) -> list[Stage] | None:
    """The stages of a model for rows of a shape; None if any part of the training step has no compiled form."""
    if not is_builtin(loss) or not (optimizer is None or (is_builtin(optimizer) and isinstance(optimizer, RuleOptimizer))):
        return None
    return _stages(model, row_shape)


def _forward(to: Target, stages: list[Stage], x: Array) -> list[Array]:
    """Adds the way from rows of x to the outputs; returns the buffers on the way."""
    values = [to.buffer(x.shape[1])]
    to.program.source(values[0], x)
    for stage in stages:
        values.append(stage.forward(to, values[-1]))
    to.program.outputs(values[-1])
    return values


def build(
    stages: list[Stage],
    loss: Any,
    updates: list[tuple[nn.Parameter, State, Rule]] | None,
    x: Array,
    labels: Array | None,
    targets: Array | None,
    weights: Array | None,
    batch: int,
    threads: int,
    dtype: Any,
    clips: bool,
) -> Any:
    """A program for batches of up to `batch` rows of x (rows, width), which may have weights.

    It updates parameters by rules, which may change as long as they remember as much; if `updates` is None, it only
    evaluates. If it `clips`, gradients are limited before any update.
    """
    kernels = loops(dtype)
    room = max(_room(stages, batch, updates is not None), kernels.LEAST_ROOM)
    program = kernels.Program(room, len(updates or ()), threads)
    to = Target(kernels, program, room, threads, dtype, updates is not None)
    rules = {}
    for i, (parameter, state, rule) in enumerate(updates or ()):
        program.set_rule(i, state.steps, *rule)
        rules[parameter] = i, parameter.data.reshape(-1), flat(state.arrays[: kernels.states(rule.kind)])
    values = _forward(to, stages, x)
    row_loss = empty((room,), dtype)
    grad = to.buffer(values[-1].shape[1]) if rules else None
    program.answers(row_loss, labels, targets, weights)
    kind, setting, class_weights = loss.program_loss(dtype)
    kernels.program_loss(program, kind, setting, row_loss, grad, values[-1], class_weights)
    if grad is None:
        return program

    first = min((i for i, stage in enumerate(stages) if any(parameter in rules for parameter in stage.parameters())), default=len(stages))
    gradients = []  # of the parameters: made when the rows of a batch have been all the way back
    derived = False
    for i in reversed(range(first, len(stages))):
        stage, value, out = stages[i], values[i], values[i + 1]
        if stage.activation is not NONE and not derived:
            kind, slope, from_input = stage.activation
            kernels.program_derivative(program, grad, grad, value if from_input else out, kind, slope)
        gradients.append((stage, grad, value))
        if i > first:
            before = stages[i - 1].activation
            derived = stage.takes_derivative and before is not NONE and not before.derived_from_input
            grad = stage.backward(to, grad, value, out, before if derived else NONE)

    complete: dict[nn.Parameter, Array] = {}  # before the first update
    for stage, dout, value in gradients:
        complete |= stage.gradients(to, dout, value, rules, at_once=batch <= room and not clips)
    if clips:
        starts = [0, *accumulate(kernels.clip_chunks(parameter.size) for parameter in rules)]
        program.make_clip(starts[-1])
        for start, parameter in zip(starts, rules, strict=False):
            kernels.program_clip(program, complete[parameter].reshape(-1), start)
    for parameter, gradient in complete.items():
        kernels.program_update(program, *rules[parameter], gradient.reshape(-1))
    return program


def _room(stages: list[Stage], batch: int, training: bool) -> int:
    """Rows that are taken at a time. A convolution's gradient sums images in groups of its own, which blocks would cut."""
    if any(isinstance(stage, Convolution) for stage in stages):
        return batch if training else 0
    return batch if batch <= _MOST_ROWS else _BLOCK_ROWS


class _Predictor:
    """A net lowered for inference, as long as nothing of it is exchanged."""

    def __init__(self, model: nn.Module, x: Array) -> None:
        self.changes, self.row_shape, self.dtype = nn.Module.changes, x.shape[1:], x.dtype
        self.parameters = [(parameter, parameter.data) for parameter in model.parameters()]
        self.outputs = model.output_shape(self.row_shape)
        self.width = math.prod(self.row_shape)
        stages = _stages(model, self.row_shape) if model.dtype == x.dtype and len(self.outputs) == 1 else None
        self.program = None
        if stages is not None:
            kernels, threads = loops(x.dtype), get_num_threads()
            self.program = kernels.Program(kernels.LEAST_ROOM, 0, threads)
            _forward(Target(kernels, self.program, kernels.LEAST_ROOM, threads, x.dtype, training=False), stages, empty((0, self.width), x.dtype))
        self.lock = threading.Lock()

    def fits(self, x: Array) -> bool:
        return (
            self.changes == nn.Module.changes
            and x.dtype == self.dtype
            and x.shape[1:] == self.row_shape
            and all(parameter.data is data for parameter, data in self.parameters)
        )


_predictors: WeakKeyDictionary[nn.Module, _Predictor] = WeakKeyDictionary()


def predict(model: nn.Module, x: Array) -> Array | None:
    """The outputs for the rows of an array by a compiled program, which is kept for the next call; None if there is none.

    Nor is there while another thread uses the one there is.
    """
    if not is_builtin(model):
        return None
    predictor = _predictors.get(model)
    if predictor is None or not predictor.fits(x):
        predictor = _predictors[model] = _Predictor(model, x)
    if predictor.program is None or not predictor.lock.acquire(blocking=False):
        return None
    try:
        out = np.empty((len(x), *predictor.outputs), x.dtype)
        predictor.program.predict(x if x.ndim == 2 else x.reshape(len(x), predictor.width), out, get_num_threads())
        return out
    finally:
        predictor.lock.release()
