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
from cnet._compiler.program import LossTerm, build
from cnet._data.samples import Rows
from cnet._training.prepared_program import PreparedProgram
from cnet._training.staging_buffer import StagingBuffer
from cnet._training.steps import EpochResults, StepResults, batch_sizes, batch_weights
from cnet._utils.arrays import Array
from cnet._utils.thread_autotuner import autotuner
from cnet._utils.threads import get_num_threads
from cnet.nn import HeadsLoss, Loss, Module, Parameter
from cnet.optim._rule import Rule, RuleOptimizer, State, kinds


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
        self._accuracies = loss._accuracy_names()
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._sources: dict[int, StagingBuffer] = {}
        self._steps: dict[int, int] = {}
        """Steps of a call, by batch size."""
        self._last: PreparedProgram | None = None
        self._largest = 0
        """Largest batch so far of samples that are staged."""
        self._kind = (
            ("fit", "fit, step by step") if optimizer else ("evaluate", "evaluate, step by step")
        )

    def bind(self, rows: Rows, targets: Array, weights: Array | None = None) -> None:
        """Read this data set from now on. Programs are kept if they read a staging buffer."""
        if rows.flat is not None:
            self._programs, self._sources, self._last = {}, {}, None
        self.rows, self.weights = rows, weights
        self.terms = self._terms(targets, weights)

    def _terms(self, targets: Array, weights: Array | None) -> list[LossTerm]:
        """A loss term for each output."""
        loss = self.loss
        if not isinstance(loss, HeadsLoss):
            return [_loss_term(loss, 1, targets, weights)]
        return [
            _loss_term(term, loss.weights[name], np.ascontiguousarray(targets[name]), weights)
            for name, term in loss.losses.items()
        ]

    def _correct(self, correct: Array) -> dict[str, list[int]]:
        """The number of correct samples of each epoch, by the name of the accuracy."""
        counts = (count for count in correct.tolist() if count[0] >= 0)
        return dict(zip(self._accuracies, counts, strict=True))

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

    def _source(self, batch: int) -> StagingBuffer:
        if batch not in self._sources:
            self._sources[batch] = StagingBuffer(self.rows, self.terms, batch, self.lowered)
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

    def _begin(self, n: int, batch: int) -> int:
        """The batch size of the program for n samples in such batches.

        Raises ValueError if an op cannot train on the last batch.
        """
        for op in self.ops:
            op.check_batch(n % batch or batch)
        return self._size(min(batch, n))

    def _prepare(self, batch: int) -> PreparedProgram:
        """Read the settings of the optimizer, and return the program for them."""
        updates, threads = self._updates(), get_num_threads()
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
        program = self._programs.get(key)
        if program is None:
            source = self._source(batch)
            program = self._programs[key] = build(
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
            program.set_clip(*clipping)
        for i, (_, state, rule) in enumerate(updates or ()):
            program.set_rule(i, state.steps, *rule)
        states = [state for _, state, _ in updates or ()]
        summed = any(rule.summed for _, _, rule in updates or ())
        return PreparedProgram(program, batch, threads, self.optimizer, states, summed)

    def _prepared(self, batch: int) -> PreparedProgram:
        """The program for such batches, with the current settings of the optimizer."""
        if self._last is None or not self._last.is_current(batch):
            self._last = self._prepare(batch)
        return self._last

    def _call(
        self, prepared: PreparedProgram, indices: Array, batch: int, epochs: int, kind: str
    ) -> tuple[Array, Array, Array | None]:
        """Run a program once, with steps for `epochs` epochs of these indices of its samples.

        Returns the losses and the squares of the steps that were taken, and the numbers of correct
        samples of each output and epoch.
        """
        program, epoch = prepared.program, len(indices) // epochs
        losses = np.empty(epochs * -(-epoch // batch))
        squares = np.empty(len(losses)) if prepared.summed else None
        correct = np.empty((len(self.terms), epochs), np.int64)
        choice = autotuner.choose(kind, program.flops_per_row * min(batch, epoch))
        for dropout in self.dropouts:
            dropout.step[0] = dropout.layer.step
        limit = options.current.trial_seconds if choice.trial else options.current.max_seconds
        program.done = program.updated = 0
        began = time.perf_counter()
        try:
            program.run(indices, batch, losses, correct, choice.threads, limit, squares)
        finally:  # also after an interrupt: counts of steps have to agree with the weights
            done = program.done
            prepared.count(program.updated)
            for dropout in self.dropouts:
                dropout.layer.step += done
        if done and not program.aborted:
            seconds = time.perf_counter() - began
            steps = done * len(indices) / len(losses) / batch  # a smaller batch is part of a step
            autotuner.record(choice, seconds, steps)
            if not choice.trial:
                planned = options.current.seconds_per_call / seconds * steps
                self._steps[batch] = max(1, min(2 * self._steps.get(batch, 1), int(planned)))
        return losses[:done], correct, None if squares is None else squares[:done]

    def run(self, order: Array, batch: int, yield_each_step: bool) -> Iterator[StepResults]:
        """Take a step for each batch of `order`, indices of samples.

        Yields after some tens of milliseconds of steps, or with `yield_each_step` after each.
        """
        start, size = 0, self._begin(len(order), batch)
        source = self._source(size)
        while start < len(order):
            steps = 1 if yield_each_step else self._steps.get(batch, 1)
            indices = order[start : start + min(steps * batch, source.max_rows or len(order))]
            losses, correct, squares = self._call(
                self._prepared(size),
                source.fill(indices, self.rows, self.terms),
                batch,
                1,
                self._kind[yield_each_step],
            )
            taken = min(len(losses) * batch, len(indices))
            if not taken:  # an interrupt aborted the step, and its handler lets training continue
                continue
            start += taken
            sizes = batch_sizes(taken, batch)
            sums = batch_weights(
                None if self.weights is None else self.weights[indices[:taken]], sizes, batch
            )
            yield StepResults(
                losses.tolist(),
                sums,
                sizes,
                {name: count for name, (count,) in self._correct(correct).items()},
                None if squares is None else squares.tolist(),
            )

    def epochs_at_once(self, batch: int) -> int:
        """The number of epochs of the data set that one call is to run."""
        if self.rows.flat is None:
            return 1
        return max(1, self._steps.get(batch, 1) // -(-len(self.rows) // batch))

    def run_epochs(self, order: Array, batch: int, epochs: int) -> EpochResults | None:
        """Take the steps of several epochs in one call; `order` has one epoch after the other.

        The call ends early after an epoch that takes longer than expected. Returns None if the loss
        of a step is not finite.
        """
        n = len(order) // epochs
        size = self._begin(n, batch)
        losses, correct, _ = self._call(
            self._prepared(size), order, batch, epochs, self._kind[False]
        )
        if not np.isfinite(losses).all():
            return None
        sizes = batch_sizes(n, batch)
        done = len(losses) // len(sizes)
        weights = [
            batch_weights(None if self.weights is None else self.weights[indices], sizes, batch)
            for indices in order.reshape(epochs, n)[: 1 if self.weights is None else done]
        ]
        return EpochResults(
            losses.reshape(done, len(sizes)),
            np.broadcast_to(np.array(weights, np.float64), (done, len(sizes))),
            n,
            self._correct(correct[:, :done]),
        )

    def step(self, x: Any, targets: Array, weights: Array | None) -> float:
        """Take one step on a mini-batch; returns its loss."""
        n = len(x)
        size = self._begin(n, n)
        self._source(size).load(x, self._terms(targets, weights))
        losses = np.empty(0)
        while not len(losses):  # an interrupt aborted the step, and its handler has returned
            losses, _, _ = self._call(self._prepared(size), np.arange(n), n, 1, "step")
        return float(losses[0])
