"""The compiled engine: runs training steps by a compiled program.

A call of the program runs as many steps as fit into a few tens of milliseconds, so that progress
bars, callbacks and Ctrl-C are served.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnet._compiler import options
from cnet._compiler.lower import Lowered
from cnet._compiler.ops import Dropout
from cnet._compiler.program import LossTerm, build, first_dense
from cnet._data.samples import Rows
from cnet._training.steps import StepResults, batch_sizes, batch_weights
from cnet._utils.arrays import Array, empty, rows_at_a_time
from cnet._utils.stored import Stored
from cnet._utils.thread_autotuner import autotuner
from cnet._utils.threads import get_num_threads
from cnet.nn import HeadsLoss, Loss, Module, Parameter
from cnet.optim._rule import Rule, RuleOptimizer, State, kinds

_ROWS_STAGED = 512
"""Samples that are augmented or converted at a time, to be used while they are in the cache."""


class _StagingBuffer:
    """The samples and targets that a program reads.

    These are the data set itself, where it is an array. If samples are augmented or converted when
    they are needed, they are a buffer, which `fill` prepares.
    """

    def __init__(self, rows: Rows, terms: list[LossTerm], batch: int, lowered: Lowered) -> None:
        self.max_rows: int | None = None
        """Maximum number of samples in a call; None for the data set itself."""
        self.x: Any = rows.flat
        self.terms = terms
        if rows.flat is not None:
            if first := first_dense(lowered):
                self.x = rows.source(first.layer.out_features, lowered.scale, lowered.offset)
            return
        staged = 1 if isinstance(rows.x, Stored) else _ROWS_STAGED  # a file is read batch by batch
        self.max_rows = n = batch * max(1, rows_at_a_time(rows.row_shape, staged) // batch)
        self.x = empty((n, math.prod(rows.row_shape)), rows.dtype)
        self.terms = [
            LossTerm(loss, weight, *(a if a is None else a[:1].repeat(n, axis=0) for a in targets))
            for loss, weight, *targets in terms
        ]

    def fill(self, indices: Array, rows: Rows, terms: list[LossTerm]) -> Array:
        """Prepare these samples of the data set; returns their indices in the buffer."""
        if self.max_rows is None:
            return indices
        n = len(indices)
        for (_, _, *buffers), (_, _, *targets) in zip(self.terms, terms, strict=True):
            for buffer, values in zip(buffers, targets, strict=True):
                if buffer is not None and values is not None:
                    buffer[:n] = values[indices]
        self.x[:n] = rows.take(indices).reshape(n, -1)
        return np.arange(n)


def _loss_term(loss: Any, weight: float, target: Array, weights: Array | None) -> LossTerm:
    targets = None if target.ndim == 1 else target.reshape(len(target), math.prod(target.shape[1:]))
    return LossTerm(loss, weight, loss._program_labels(target), targets, weights)


class CompiledEngine:
    """Runs a model by compiled programs, one for each batch size."""

    def __init__(
        self, lowered: Lowered, model: Module, loss: Loss, optimizer: RuleOptimizer | None
    ) -> None:
        self.lowered, self.loss, self.optimizer = lowered, loss, optimizer
        self.parameters = {*model.parameters()}
        self.ops = lowered.ops() if optimizer else []
        self.dropouts = [op for op in self.ops if isinstance(op, Dropout)]
        self.dtype = model.dtype
        self.names = [*loss.losses] if isinstance(loss, HeadsLoss) else None
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._sources: dict[int, _StagingBuffer] = {}
        self._steps: dict[int, int] = {}
        """Steps of a call, by batch size."""
        self._largest = 0
        """Largest batch so far of samples that are staged."""
        self._kind = (
            ("fit", "fit, step by step") if optimizer else ("evaluate", "evaluate, step by step")
        )

    def bind(self, rows: Rows, targets: Array, weights: Array | None = None) -> None:
        """Read this data set from now on. Programs are kept if they read a staging buffer."""
        if rows.flat is not None:
            self._programs, self._sources = {}, {}
        loss, self.rows, self.weights = self.loss, rows, weights
        if isinstance(loss, HeadsLoss):
            self.terms = [
                _loss_term(term, loss.weights[name], np.ascontiguousarray(targets[name]), weights)
                for name, term in loss.losses.items()
            ]
        else:
            self.terms = [_loss_term(loss, 1, targets, weights)]

    def _correct(self, counts: list[int | None]) -> Any:
        """The number of samples that were classified correctly, in the form of the loss."""
        if self.names is None:
            return counts[0]
        return {
            name: count for name, count in zip(self.names, counts, strict=True) if count is not None
        } or None

    def _updates(self) -> list[tuple[Parameter, State, Rule]] | None:
        """State and update rule of each trained parameter; None in evaluation."""
        if self.optimizer is None:
            return None
        self.optimizer._check_groups()
        rules = [
            (parameter, self.optimizer._rule(group))
            for group in self.optimizer.param_groups
            for parameter in group["params"]
        ]
        trained = (
            (parameter, rule)
            for parameter, rule in rules
            if parameter.requires_grad and parameter in self.parameters
        )
        return [
            (parameter, self.optimizer._state_of(parameter, rule), rule)
            for parameter, rule in trained
        ]

    def _source(self, batch: int) -> _StagingBuffer:
        if batch not in self._sources:
            self._sources[batch] = _StagingBuffer(self.rows, self.terms, batch, self.lowered)
        return self._sources[batch]

    def _size(self, batch: int) -> int:
        """The batch size of the program for such batches.

        With a staging buffer, one program serves batches of all sizes so far.
        """
        if self.rows.flat is not None:
            return batch
        if batch > self._largest:
            self._programs, self._sources, self._largest = {}, {}, max(batch, 2 * self._largest)
        return self._largest

    def _program(self, batch: int, updates: list[tuple[Parameter, State, Rule]] | None) -> Any:
        threads = get_num_threads()
        clipping = self.optimizer._limits if self.optimizer else None
        arrays = (id(parameter.data) for parameter in self.parameters)  # callbacks may replace them
        key = (
            batch,
            threads,
            clipping is None,
            *(
                (id(state.arrays), kinds.states(rule.kind), rule.summed)
                for _, state, rule in updates or ()
            ),
            *arrays,
        )
        if key not in self._programs:
            source = self._source(batch)
            self._programs[key] = build(
                self.lowered,
                source.terms,
                updates,
                source.x,
                batch,
                threads,
                self.dtype,
                clipping is not None,
            )
        if clipping is not None:
            self._programs[key].set_clip(*clipping)
        for i, (_, state, rule) in enumerate(updates or ()):
            self._programs[key].set_rule(i, state.steps, *rule)
        return self._programs[key]

    def _count(
        self, done: int, losses: Array, updates: list[tuple[Parameter, State, Rule]] | None
    ) -> None:
        """Count steps. The last one changed no weights if its loss is not finite."""
        for _, state, _ in updates or ():
            state.steps += done - (done > 0 and not np.isfinite(losses[done - 1]))
        for dropout in self.dropouts:
            dropout.layer.step += done

    def run(self, order: Array, batch: int, yield_each_step: bool) -> Iterator[StepResults]:
        """Take a step for each batch of `order`, indices of samples.

        Yields after some tens of milliseconds of steps, or with `yield_each_step` after each.
        """
        steps, start = 1 if yield_each_step else self._steps.get(batch, 1), 0
        size = self._size(min(batch, len(order)))
        source = self._source(size)
        for op in self.ops:
            op.check_batch(len(order) % batch or batch)
        while start < len(order):
            began = time.perf_counter()
            indices = order[start : start + min(steps * batch, source.max_rows or len(order))]
            rows = source.fill(indices, self.rows, self.terms)
            losses = np.empty(-(-len(rows) // batch))
            updates = self._updates()
            squares = (
                np.empty(len(losses)) if any(rule.summed for _, _, rule in updates or ()) else None
            )
            program = self._program(size, updates)
            choice = autotuner.choose(
                self._kind[yield_each_step], program.flops_per_row * min(batch, len(order))
            )
            for dropout in self.dropouts:
                dropout.step[0] = dropout.layer.step
            called = time.perf_counter()
            program.done = 0
            try:
                correct = program.run(
                    rows,
                    batch,
                    losses,
                    choice.threads,
                    options.current.trial_seconds if choice.trial else options.current.max_seconds,
                    squares,
                )
            finally:  # also after an interrupt: counts of steps have to agree with the weights
                done = program.done
                self._count(done, losses, updates)
            if not done:  # an interrupt aborted the step, and its handler lets training continue
                continue
            ended = time.perf_counter()
            taken = min(done * batch, len(rows))
            if not program.aborted:
                autotuner.record(choice, ended - called, taken / batch)
            if not (yield_each_step or choice.trial or program.aborted):
                steps = self._steps[batch] = max(
                    1,
                    min(
                        2 * steps,
                        int(options.current.seconds_per_call / (ended - began) * taken / batch),
                    ),
                )
            start += taken
            sizes = batch_sizes(taken, batch)
            sums = batch_weights(
                None if self.weights is None else self.weights[indices[:taken]], sizes, batch
            )
            yield StepResults(
                losses[:done].tolist(),
                sums,
                sizes,
                self._correct(correct),
                None if squares is None else squares[:done].tolist(),
            )
