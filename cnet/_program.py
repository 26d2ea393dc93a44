"""A model, loss and optimiser lowered to a compiled program for one batch size.

Layers add *stages* through `Module.lower`; the stages become operations on buffers that are allocated here, once. An
activation behind a dense layer joins its product, and its derivative the product that brings the gradient back. What
has no compiled form (a layer, loss or optimiser written in Python) has no program, and is run layer by layer.
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
from cnet._threads import get_num_threads
from cnet.nn._module import is_builtin
from cnet.optim._rule import Rule, RuleOptimizer, State, flat

if TYPE_CHECKING:
    from cnet._arrays import Array

_NO_ACTIVATION = (-1, 0.0)

_MOST_ROWS = 1024
"""Larger batches are walked in blocks of rows."""
_BLOCK_ROWS = 512


class _Stage:
    """A dense layer with the activation behind it, an activation alone, or a softmax."""

    def __init__(self, linear: nn.Linear | None = None, activation: tuple[int, float] = _NO_ACTIVATION, softmax: bool = False) -> None:
        self.linear, self.activation, self.softmax = linear, activation, softmax


class Lowering:
    """What `Module.lower` adds stages to."""

    def __init__(self) -> None:
        self.stages: list[_Stage] = []

    def linear(self, layer: nn.Linear) -> None:
        """A dense layer."""
        self.stages.append(_Stage(linear=layer))

    def activation(self, kind: int, slope: float) -> None:
        """A function of each element."""
        last = self.stages[-1] if self.stages else None
        if last and last.linear and last.activation is _NO_ACTIVATION:
            last.activation = (kind, slope)
        else:
            self.stages.append(_Stage(activation=(kind, slope)))

    def softmax(self) -> None:
        """A softmax of each row."""
        self.stages.append(_Stage(softmax=True))


def _stages(model: nn.Module) -> list[_Stage] | None:
    lowering = Lowering()
    return lowering.stages if is_builtin(model) and model.lower(lowering) else None


def lower(model: nn.Module, loss: nn.Loss, optimizer: optim.Optimizer | None) -> list[_Stage] | None:
    """The stages of a model; None if any part of the training step has no compiled form."""
    if not is_builtin(loss) or not (optimizer is None or (is_builtin(optimizer) and isinstance(optimizer, RuleOptimizer))):
        return None
    return _stages(model)


def _forward(program: Any, stages: list[_Stage], x: Array, room: int, dtype: Any) -> list[Array]:
    """Adds the way from rows of x to the outputs; returns the buffers on the way."""
    kernels = loops(dtype)
    values = [empty((room, x.shape[1]), dtype)]
    program.source(values[0], x)
    for stage in stages:
        value = values[-1]
        out = empty((room, stage.linear.out_features if stage.linear else value.shape[1]), dtype)
        if stage.linear:
            layer = stage.linear
            kernels.program_linear(program, out, value, layer.weight.data, layer.bias.data if layer.bias else None, *stage.activation)
        elif stage.softmax:
            kernels.program_softmax(program, out, value)
        else:
            kernels.program_activation(program, out, value, *stage.activation)
        values.append(out)
    program.outputs(values[-1])
    return values


def build(
    stages: list[_Stage],
    loss: Any,
    updates: list[tuple[nn.Parameter, State, Rule]],
    x: Array,
    labels: Array | None,
    targets: Array | None,
    batch: int,
    threads: int,
    dtype: Any,
    clips: bool,
) -> Any:
    """A program for batches of up to `batch` rows of x (rows, width).

    It updates parameters by rules, which may change as long as they remember as much; without any, it only evaluates.
    If it `clips`, gradients are limited before any update.
    """
    kernels = loops(dtype)
    room = batch if batch <= _MOST_ROWS else _BLOCK_ROWS
    room = max(room, kernels.LEAST_ROOM)

    def buffer(*shape: int) -> Array:
        return empty(shape, dtype)

    program = kernels.Program(room, len(updates), threads)
    rules = {}
    for i, (parameter, state, rule) in enumerate(updates):
        program.set_rule(i, state.steps, *rule)
        rules[parameter] = i, parameter.data.reshape(-1), flat(state.arrays[: kernels.states(rule.kind)])
    values = _forward(program, stages, x, room, dtype)
    row_loss = buffer(room)
    grad = buffer(*values[-1].shape) if rules else None
    program.answers(row_loss, labels, targets)
    kind, setting, weights = loss.program_loss(dtype)
    kernels.program_loss(program, kind, setting, row_loss, grad, values[-1], weights)
    if not rules:
        return program

    trained = [i for i, stage in enumerate(stages) if stage.linear and any(p in rules for p in stage.linear.parameters())]
    gradients = []  # of the parameters: made when the rows of a batch have been all the way back
    derived = False
    for i in reversed(range(min(trained, default=len(stages)), len(stages))):
        stage, value, out = stages[i], values[i], values[i + 1]
        if stage.activation is not _NO_ACTIVATION and not derived:
            kernels.program_derivative(program, grad, grad, out, *stage.activation)
        derived = False
        if stage.softmax:
            dx = buffer(*value.shape)
            kernels.program_softmax_backward(program, dx, grad, out)
            grad = dx
        elif stage.linear:
            gradients.append((stage.linear, value, grad))
            if i > trained[0]:
                dout, grad = grad, buffer(*value.shape)
                before = stages[i - 1].activation
                derived = before is not _NO_ACTIVATION
                kernels.program_linear_input(program, grad, dout, stage.linear.weight.data, value if derived else None, *before)

    scratch = buffer(threads * max((kernels.scratch_size(layer.out_features) for layer, _, _ in gradients), default=0))
    at_once = batch <= room and not clips  # else gradients are complete before the first update
    complete = {}
    for layer, value, dout in gradients:
        weight, bias = layer.weight, layer.bias
        if weight in rules and at_once:
            kernels.program_linear_weight(program, *rules[weight], scratch, value, dout)
        elif weight in rules:
            complete[weight] = buffer(*weight.shape)
            kernels.program_linear_weight_sums(program, complete[weight], value, dout)
        if bias and bias in rules:
            sums = buffer(*bias.shape)
            if at_once:
                kernels.program_linear_bias(program, *rules[bias], sums, dout)
            else:
                complete[bias] = sums
                kernels.program_linear_bias(program, 0, None, None, sums, dout)
    if clips:
        starts = [0, *accumulate(kernels.clip_chunks(parameter.size) for parameter in rules)]
        program.make_clip(starts[-1])
        for start, parameter in zip(starts, rules, strict=False):
            kernels.program_clip(program, complete[parameter].reshape(-1), start)
    for parameter, gradient in complete.items():
        kernels.program_update(program, *rules[parameter], gradient.reshape(-1))
    return program


class _Predictor:
    """A net lowered for inference, as long as nothing of it is exchanged."""

    def __init__(self, model: nn.Module, x: Array) -> None:
        self.changes, self.row_shape, self.dtype = nn.Module.changes, x.shape[1:], x.dtype
        self.parameters = [(parameter, parameter.data) for parameter in model.parameters()]
        self.outputs = model.output_shape(self.row_shape)
        self.width = math.prod(self.row_shape)
        stages = _stages(model) if model.dtype == x.dtype and len(self.outputs) == 1 else None
        self.program = None
        if stages is not None:
            room = loops(x.dtype).LEAST_ROOM
            self.program = loops(x.dtype).Program(room, 0, get_num_threads())
            _forward(self.program, stages, empty((0, self.width), x.dtype), room, x.dtype)
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
