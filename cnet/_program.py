"""A model, loss and optimiser lowered to a compiled program for one batch size.

Layers add *stages* through `Module.lower`; the stages become operations on buffers that are allocated here, once. An
activation behind a dense layer joins its product, and its derivative the product that brings the gradient back. What
has no compiled form (a layer, loss or optimiser written in Python) has no program, and is run layer by layer.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from cnet import nn, optim
from cnet._arrays import empty
from cnet._core import loops
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


def lower(model: nn.Module, loss: nn.Loss, optimizer: optim.Optimizer | None) -> list[_Stage] | None:
    """The stages of a model; None if any part of the training step has no compiled form."""
    lowering = Lowering()
    if not (is_builtin(loss) and is_builtin(model) and model.lower(lowering)):
        return None
    if optimizer is not None and not (is_builtin(optimizer) and isinstance(optimizer, RuleOptimizer)):
        return None
    return lowering.stages


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
    values = [buffer(room, x.shape[1])]
    program.source(values[0], x)
    for stage in stages:
        value = values[-1]
        width = stage.linear.out_features if stage.linear else value.shape[1]
        out = buffer(room, width)
        if stage.linear:
            layer = stage.linear
            kernels.program_linear(program, out, value, layer.weight.data, layer.bias.data if layer.bias else None, *stage.activation)
        elif stage.softmax:
            kernels.program_softmax(program, out, value)
        else:
            kernels.program_activation(program, out, value, *stage.activation)
        values.append(out)
    row_loss = buffer(room)
    grad = buffer(*values[-1].shape) if rules else None
    program.answers(row_loss, values[-1], labels, targets)
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
