"""A model, loss and optimiser lowered to a compiled program for one batch size.

The stages that layers become (`_stages`) add operations on buffers that are allocated here, once:
forward, the loss, back to the first parameter that is trained, and the updates. What has no
compiled form (a layer, loss or optimiser written in Python) has no program, and is run layer by
layer.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cnet import nn, optim
from cnet._arrays import empty
from cnet._autotune import autotuner
from cnet._core import loops
from cnet._lowering import Lowered, Lowering
from cnet._stages import NONE, Convolution, Dense, Rules, Stage, Target
from cnet._threads import get_num_threads
from cnet.nn._ends import gives_probabilities
from cnet.nn._module import is_builtin
from cnet.optim._rule import Rule, RuleOptimizer, State, flat

if TYPE_CHECKING:
    from cnet._arrays import Array

_MOST_ROWS = 1024
"""Larger batches are walked in blocks of at most so many rows."""
_LEAST_TUNED = 1e6
"""Operations of a prediction that is worth choosing the number of threads for."""
_MOST_PREDICTED = 2e9
"""Operations of a call that predicts, about: some tens of milliseconds, after which Python looks
for signals.
"""
_LEAST_PREDICTED = 128
"""Rows of such a call, at least: with fewer, a wide net would copy its weights too often."""


def _lowered(model: nn.Module, row_shape: tuple[int, ...]) -> Lowered | None:
    lowering = Lowering(row_shape)
    return lowering.finish() if lowering.add(model) else None


def lower(
    model: nn.Module, loss: nn.Loss, optimizer: optim.Optimizer | None, row_shape: tuple[int, ...]
) -> Lowered | None:
    """A model as stages, for rows of a shape; None if any part of the training step has no compiled
    form.
    """
    heads, losses = (
        (loss.heads, [loss, *loss.losses.values()])
        if isinstance(loss, nn.HeadsLoss)
        else (None, [loss])
    )
    if not all(map(is_builtin, losses)) or not (
        optimizer is None or (is_builtin(optimizer) and isinstance(optimizer, RuleOptimizer))
    ):
        return None
    if not gives_probabilities(model, loss):
        return None  # from Python, the loss looks at the outputs
    lowered = _lowered(model, row_shape)
    return lowered if lowered and lowered.heads is heads else None


class Question(NamedTuple):
    """What an output of a net is asked of each row of a data set: for its label, or for targets
    (rows, n).
    """

    loss: Any
    share: float
    """Of the loss in that of the net."""
    labels: Array | None
    targets: Array | None
    weights: Array | None
    """Of rows."""


def first_dense(net: Lowered) -> Dense | None:
    """The dense layer that alone reads the rows, if there is one."""
    first = net.trunk[0] if net.trunk else None
    return first if isinstance(first, Dense) else None


def _along(to: Target, stages: list[Stage], x: Array) -> list[Array]:
    """Adds the way from rows of x through stages; returns the buffers on the way."""
    values = [x]
    for stage in stages:
        values.append(stage.forward(to, values[-1]))
    return values


def _forward(to: Target, net: Lowered, x: Any) -> tuple[list[Array], list[list[Array]]]:
    """Adds the way from rows of x to the outputs; returns the buffers on the way, through the trunk
    and each branch.
    """
    rows = to.buffer(x.shape[1])
    to.program.source(rows, x, first_dense(net) is not None, net.scale, net.offset)
    trunk = _along(to, net.trunk, rows)
    branches = [_along(to, branch, trunk[-1]) for branch in net.branches]
    for values in branches:
        to.program.output(values[-1])
    return trunk, branches


class _Back:
    """The way back. Parameters have their gradients made when the rows of a batch have been all the
    way.
    """

    def __init__(self, to: Target, rules: Rules) -> None:
        self.to, self.rules = to, rules
        self.gradients: list[tuple[Stage, Array, Array]] = []

    def is_trained(self, stage: Stage) -> bool:
        return any(parameter in self.rules for parameter in stage.parameters())

    def along(self, stages: list[Stage], values: list[Array], grad: Array, whole: bool) -> Array:
        """Adds the way back to the first stage that is trained; if `whole`, to the input, the
        gradient of which is returned.
        """
        first = (
            0
            if whole
            else next((i for i, stage in enumerate(stages) if self.is_trained(stage)), len(stages))
        )
        derived = False
        for i in reversed(range(first, len(stages))):
            stage, value, out = stages[i], values[i], values[i + 1]
            if stage.activation is not NONE and not derived:
                kind, slope, from_input = stage.activation
                self.to.kernels.program_derivative(
                    self.to.program, grad, grad, value if from_input else out, kind, slope
                )
            self.gradients.append((stage, grad, value))
            if i > first or whole:
                before = stages[i - 1].activation if i else NONE
                derived = (
                    stage.takes_derivative and before is not NONE and not before.derived_from_input
                )
                grad = stage.backward(self.to, grad, value, out, before if derived else NONE)
        return grad


def build(
    net: Lowered,
    questions: list[Question],
    updates: list[tuple[nn.Parameter, State, Rule]] | None,
    x: Any,
    batch: int,
    threads: int,
    dtype: Any,
    clips: bool,
) -> Any:
    """A program for batches of up to `batch` rows of x (rows, width), an array or `Rows.source`,
    with a question for each output.

    It updates parameters by rules, which may change as long as they remember as much; if `updates`
    is None, it only evaluates. If it `clips`, gradients are limited before any update.
    """
    kernels = loops(dtype)
    room = max(_room(net, batch, updates is not None), kernels.MIN_CAPACITY)
    program = kernels.Program(room, len(updates or ()), threads)
    to = Target(kernels, program, room, threads, dtype, updates is not None, {})
    rules = {}
    for i, (parameter, state, rule) in enumerate(updates or ()):
        program.set_rule(i, state.steps, *rule)
        rules[parameter] = (
            i,
            parameter.data.reshape(-1),
            flat(state.arrays[: kernels.states(rule.kind)]),
        )
        if rule.summed:
            program.penalize(rules[parameter][1])
    trunk, branches = _forward(to, net, x)
    grads = [to.buffer(values[-1].shape[1]) for values in branches]
    for i, ((loss, share, *answers), grad) in enumerate(zip(questions, grads, strict=True)):
        kernels.program_loss(
            program,
            i,
            *loss.program_loss(dtype),
            share,
            empty((room,), dtype),
            grad if rules else None,
            *answers,
        )
    if not rules:
        return program

    back = _Back(to, rules)
    whole = any(map(back.is_trained, net.trunk))
    first, *others = [
        back.along(*branch, whole) for branch in zip(net.branches, branches, grads, strict=True)
    ]
    if whole:
        for grad in others:
            kernels.program_sum(program, first, grad)
        back.along(net.trunk, trunk, first, whole=False)

    at_once = batch <= room and not clips and not program.defers(batch)
    complete: dict[nn.Parameter, Array] = {}  # before the first update
    for stage, dout, value in back.gradients:
        complete |= stage.gradients(to, dout, value, rules, at_once)
    if clips:
        starts = [0, *accumulate(kernels.clip_chunks(parameter.size) for parameter in rules)]
        program.make_clip(starts[-1])
        for start, parameter in zip(starts, rules, strict=False):
            kernels.program_clip(program, complete[parameter].reshape(-1), start)
    for parameter, gradient in complete.items():
        kernels.program_update(program, *rules[parameter], gradient.reshape(-1))
    return program


def _room(net: Lowered, batch: int, training: bool) -> int:
    """Rows that are taken at a time."""
    if training and any(stage.sums_rows for stage in net.stages()):
        return batch
    if any(isinstance(stage, Convolution) for stage in net.stages()):
        return 0
    return min(batch, _MOST_ROWS)


class _Predictor:
    """A net lowered for inference, as long as nothing of it is exchanged."""

    def __init__(self, model: nn.Module, x: Array) -> None:
        key = id(model)
        self.model = weakref.ref(
            model, lambda _: _predictors.pop(key, None)
        )  # it goes with its model
        self.changes, self.exchanges = nn.Module.changes, nn.Parameter.exchanges
        self.row_shape, self.dtype = x.shape[1:], x.dtype
        self.width = math.prod(self.row_shape)
        outputs = model.output_shape(self.row_shape)
        net = (
            _lowered(model, self.row_shape)
            if model.dtype == x.dtype and len(outputs) == 1
            else None
        )
        self.program: Any = None
        if net is not None:
            (self.outputs,) = outputs
            kernels, threads = loops(x.dtype), get_num_threads()
            self.program = kernels.Program(kernels.MIN_CAPACITY, 0, threads)
            _forward(
                Target(kernels, self.program, kernels.MIN_CAPACITY, threads, x.dtype, False, {}),
                net,
                empty((0, self.width), x.dtype),
            )
            self.flops = self.program.flops_per_row
            self.few = _LEAST_TUNED / max(self.flops, 1)

    def predict(self, x: Array, out: Array) -> bool:
        """Write the outputs for any number of rows (n, width) to out; False if another thread uses
        the program.
        """
        rows = max(_LEAST_PREDICTED, int(_MOST_PREDICTED / max(self.flops, 1)))
        for start in range(0, len(x), rows):
            piece = x[start : start + rows]
            flops = self.flops * len(piece)
            rounded = 2.0 ** math.ceil(math.log2(flops))
            choice = autotuner.choose("predict", rounded)
            began = time.perf_counter()
            if not self.program.predict(piece, out[start : start + rows], choice.threads):
                return False
            autotuner.record(choice, time.perf_counter() - began, flops / rounded)
        return True


_predictors: dict[int, _Predictor] = {}
"""By `id` of the model: what is looked up before each prediction of a row has to be quick."""


def predict(model: nn.Module, x: Array) -> Array | None:
    """The outputs for the rows of an array by a compiled program, which is kept for the next call;
    None if there is none.

    Nor is there while another thread uses the one there is.
    """
    kept = _predictors.get(id(model))
    if (
        kept is None
        or kept.model() is not model
        or kept.changes != nn.Module.changes
        or kept.exchanges != nn.Parameter.exchanges
        or x.dtype != kept.dtype
        or x.shape[1:] != kept.row_shape
    ):
        if not is_builtin(model):
            return None
        kept = _predictors[id(model)] = _Predictor(model, x)
    if kept.program is None:
        return None
    n = len(x)
    out = np.empty((n, kept.outputs), kept.dtype)
    predicts = kept.program.predict if n < kept.few else kept.predict
    return out if predicts(x if x.ndim == 2 else x.reshape(n, kept.width), out) else None


nn.Module._predict = predict
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_predictors.clear)  # another thread may have been using one
