"""Building a compiled program: a model, loss and optimizer, for one batch size.

The ops of a model emit their kernels on buffers that are allocated here, once: forward, the losses,
backward to the first trained parameter, and the updates. A layer, loss or optimizer that is written
in Python has no compiled form; a model with one runs eagerly.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, NamedTuple

from cnet._compiler import options
from cnet._compiler.image_ops import Convolution
from cnet._compiler.lower import Lowered, Lowering
from cnet._compiler.ops import NONE, Dense, Op, ProgramBuilder, Rules
from cnet._core import loops
from cnet._utils.arrays import Array, empty
from cnet._utils.builtin import is_builtin
from cnet.nn import HeadsLoss, Loss, Module, Parameter
from cnet.nn._ends import gives_probabilities
from cnet.nn._given_gradient import GivenGradient
from cnet.optim import Optimizer
from cnet.optim._rule import Rule, RuleOptimizer, State, flat

_ROWS_PER_THREAD = 128
"""Samples of a thread in a small block of a batch."""


def lower_model(model: Module, row_shape: tuple[int, ...]) -> Lowered | None:
    """A model as ops, for samples of a shape; None if a layer has no compiled form."""
    lowering = Lowering(row_shape)
    return lowering.finish() if lowering.add(model) else None


def lower(
    model: Module, loss: Loss, optimizer: Optimizer | None, row_shape: tuple[int, ...]
) -> Lowered | None:
    """A model as ops; None if the layers, the loss or the optimizer have no compiled form."""
    return None if why_eager(model, loss, optimizer) else _matching(model, loss, row_shape)


def _matching(model: Module, loss: Loss, row_shape: tuple[int, ...]) -> Lowered | None:
    lowered = lower_model(model, row_shape)
    heads = loss.heads if isinstance(loss, HeadsLoss) else None
    return lowered if lowered and lowered.heads is heads else None


def why_eager(model: Module, loss: Loss, optimizer: Optimizer | None) -> str:
    """The reason for which a training step has no compiled form; empty if there is none.

    A layer may have no compiled form for other reasons, which depend on the shape of samples.
    """
    losses = [loss, *loss.losses.values()] if isinstance(loss, HeadsLoss) else [loss]
    for custom in losses:
        if not is_builtin(custom):
            return f"{custom!r} has no compiled form"
    if optimizer is not None and not (
        is_builtin(optimizer) and isinstance(optimizer, RuleOptimizer)
    ):
        return f"{type(optimizer).__name__} has no compiled form"
    for layer in model.modules():
        if not is_builtin(layer):
            return f"{layer!r} has no compiled form"
    if not gives_probabilities(model, loss):
        return f"{loss!r} checks that the outputs are probabilities"
    return ""


class LossTerm(NamedTuple):
    """One term of the loss: a criterion for one output, with labels or targets (samples, n)."""

    loss: Any
    weight: float
    """Factor of this term in the loss of the model."""
    labels: Array | None
    targets: Array | None
    sample_weight: Array | None


def first_dense(lowered: Lowered) -> Dense | None:
    """The dense layer that is the only consumer of the input, if there is one."""
    first = lowered.trunk[0] if lowered.trunk else None
    return first if isinstance(first, Dense) else None


def _emit_ops(builder: ProgramBuilder, ops: list[Op], x: Array) -> list[Array]:
    """Emit the forward kernels of ops; returns their input and output buffers."""
    values = [x]
    for op in ops:
        values.append(op.forward(builder, values[-1]))
    return values


def emit_forward(
    builder: ProgramBuilder, lowered: Lowered, x: Any
) -> tuple[list[Array], list[list[Array]]]:
    """Emit the forward kernels, from samples of x; returns the buffers of trunk and branches."""
    rows = builder.buffer(x.shape[1])
    only_dense = first_dense(lowered) is not None
    builder.program.source(rows, x, only_dense, lowered.scale, lowered.offset)
    trunk = _emit_ops(builder, lowered.trunk, rows)
    branches = [_emit_ops(builder, branch, trunk[-1]) for branch in lowered.branches]
    for values in branches:
        builder.program.output(values[-1])
    return trunk, branches


class _BackwardBuilder:
    """Emits backward kernels, and collects the ops whose parameters need gradients."""

    def __init__(self, builder: ProgramBuilder, rules: Rules) -> None:
        self.builder, self.rules = builder, rules
        self.gradients: list[tuple[Op, Array, Array]] = []
        """Ops, with the gradients of their outputs and their inputs."""

    def is_trained(self, op: Op) -> bool:
        """Whether a parameter of the op is trained."""
        return any(parameter in self.rules for parameter in op.parameters())

    def emit(self, ops: list[Op], values: list[Array], grad: Array, to_input: bool) -> Array:
        """Emit backward to the first trained op, or to the input; returns the last gradient."""
        trained = (i for i, op in enumerate(ops) if self.is_trained(op))
        first = 0 if to_input else next(trained, len(ops))
        derived = False
        for i in reversed(range(first, len(ops))):
            op, value, out = ops[i], values[i], values[i + 1]
            if op.activation is not NONE and not derived:
                kind, slope, needs_input = op.activation
                self.builder.kernels.activation_backward(
                    grad, grad, value if needs_input else out, kind, slope, self.builder.program
                )
            self.gradients.append((op, grad, value))
            if i > first or to_input:
                previous = ops[i - 1].activation if i else NONE
                derived = (
                    op.fuses_activation_grad
                    and previous is not NONE
                    and not previous.grad_needs_input
                )
                grad = op.backward(self.builder, grad, value, out, previous if derived else NONE)
        return grad


def build(
    lowered: Lowered,
    terms: list[LossTerm],
    updates: list[tuple[Parameter, State, Rule]] | None,
    x: Any,
    batch: int,
    threads: int,
    dtype: Any,
    clips: bool,
) -> Any:
    """A program for batches of up to `batch` samples of x, with a loss term for each output.

    Parameters
    ----------
    lowered : Lowered
    terms : list of LossTerm
    updates : list or None
        Parameters with their optimizer state and update rule, which may be replaced later by one
        with as much state. None for a program that evaluates.
    x : ndarray, shape (samples, width), or the result of `Rows.source`
    batch, threads : int
        The largest batch size, and the most threads.
    dtype : dtype
    clips : bool
        Whether gradients are clipped, which needs all of them before the first update.
    """
    kernels = loops(dtype)
    least = max(kernels.MIN_CAPACITY, _ROWS_PER_THREAD * threads)
    capacity = max(kernels.MIN_CAPACITY, _capacity(lowered, batch, updates is not None, least))
    program = kernels.Program(capacity, len(updates or ()), threads)
    builder = ProgramBuilder(kernels, program, capacity, threads, dtype, updates is not None, {})
    rules = _set_rules(builder, updates or [])
    trunk, branches = emit_forward(builder, lowered, x)
    grads = [builder.buffer(values[-1].shape[1]) for values in branches]
    for i, (term, grad) in enumerate(zip(terms, grads, strict=True)):
        row_loss = empty((capacity,), dtype)
        if isinstance(term.loss, GivenGradient):
            row_loss[...] = 0
            kernels.append_gradient(program, i, row_loss, grad, term.targets)
            continue
        kind, setting, class_weight = term.loss._program_loss(dtype)
        kernels.append_loss(
            program,
            i,
            kind,
            setting,
            class_weight,
            term.weight,
            row_loss,
            grad if rules else None,
            term.labels,
            term.targets,
            term.sample_weight,
        )
    if rules:
        gradients = _emit_backward(builder, lowered, rules, trunk, branches, grads)
        fuse_update = batch <= capacity and not clips and not program.defers(batch)
        _emit_updates(builder, gradients, rules, fuse_update, clips)
    return program


def _set_rules(builder: ProgramBuilder, updates: list[tuple[Parameter, State, Rule]]) -> Rules:
    rules = {}
    for i, (parameter, state, rule) in enumerate(updates):
        builder.program.set_rule(i, state.steps, *rule)
        arrays = flat(state.arrays[: builder.kernels.states(rule.kind)])
        rules[parameter] = i, parameter.data.reshape(-1), arrays
        if rule.summed:
            builder.program.penalize(rules[parameter][1])
    return rules


def _emit_backward(
    builder: ProgramBuilder,
    lowered: Lowered,
    rules: Rules,
    trunk: list[Array],
    branches: list[list[Array]],
    grads: list[Array],
) -> list[tuple[Op, Array, Array]]:
    backward = _BackwardBuilder(builder, rules)
    to_input = any(map(backward.is_trained, lowered.trunk))
    first, *others = [
        backward.emit(*branch, to_input)
        for branch in zip(lowered.branches, branches, grads, strict=True)
    ]
    if to_input:
        for grad in others:
            builder.kernels.add(first, grad, builder.program)
        backward.emit(lowered.trunk, trunk, first, to_input=False)
    return backward.gradients


def _emit_updates(
    builder: ProgramBuilder,
    gradients: list[tuple[Op, Array, Array]],
    rules: Rules,
    fuse_update: bool,
    clips: bool,
) -> None:
    kernels, program = builder.kernels, builder.program
    deferred: dict[Parameter, Array] = {}
    for op, dout, value in gradients:
        deferred |= op.gradients(builder, dout, value, rules, fuse_update)
    if clips:
        starts = [0, *accumulate(kernels.clip_chunks(parameter.size) for parameter in rules)]
        program.make_clip(starts[-1])
        for start, parameter in zip(starts, rules, strict=False):
            kernels.append_clip(program, deferred[parameter].reshape(-1), start)
    for parameter, gradient in deferred.items():
        kernels.append_update(program, *rules[parameter], gradient.reshape(-1))


def _capacity(lowered: Lowered, batch: int, training: bool, small: int) -> int:
    """Samples in a block: as many as `small` if that keeps the activations in the cache."""
    ops = lowered.ops()
    if training and any(op.reduces_over_batch for op in ops):
        return batch
    if any(isinstance(op, Convolution) for op in ops):
        return 0
    layers = [op.layer for op in ops if isinstance(op, Dense)]
    if layers:
        width = layers[0].in_features + 2 * sum(layer.out_features for layer in layers)
        activations = batch * width * layers[0].weight.dtype.itemsize
        # With each block, all weight gradients are read and written once more.
        gradients = sum(layer.weight.size for layer in layers) if training else 0
        if activations > options.current.cached_bytes and small * width > gradients:
            return min(batch, small, options.current.max_block)
    return min(batch, options.current.max_block)
