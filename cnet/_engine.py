"""The two ways to run training steps: a compiled program, and the layer-by-layer loop. Both give
the same bits.

Either takes an order of rows and yields, slice by slice, the losses of the steps taken and the
number of rows classified rightly; then it may be given other rows of the same shape. The loop takes
a step at a time and runs anything; the program takes as many steps in one call as fit into a few
tens of milliseconds, so that progress, callbacks and Ctrl-C get their turn.
"""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnet._arrays import Array, as_real, empty, rows_at_a_time
from cnet._autotune import autotuner
from cnet._core import loops
from cnet._lowering import Lowered
from cnet._program import Question, build, first_dense, lower
from cnet._rows import Rows
from cnet._stages import Dropout
from cnet._stored import Stored
from cnet._threads import get_num_threads
from cnet.nn import BatchNorm1d, HeadsLoss, Loss, Module, Parameter
from cnet.optim import LBFGS, Optimizer
from cnet.optim._rule import Rule, RuleOptimizer, State, kinds, square_sum


class Slice(NamedTuple):
    """Some steps."""

    losses: list[float]
    """The mean of each step."""
    weights: Sequence[float]
    """What the rows of each step count together."""
    sizes: list[int]
    """How many rows each step had."""
    correct: Any
    """How many rows were classified rightly, or how many by each head; None if the loss does not
    classify.
    """
    squares: list[float] | None = None
    """The sum of the squares of the weights that have a summed penalty, before each step; None
    without such a penalty.
    """

    @property
    def rows(self) -> int:
        """How many there were in all."""
        return sum(self.sizes)


_SECONDS_PER_CALL = 0.02
_MOST_SECONDS = 0.03  # where steps turn out to be slower than expected
_TRIAL_SECONDS = 0.005  # of a call to see how long steps take on another number of threads
_ROWS_MADE = (
    512  # at a time, of data that is augmented or converted: to be used while it is in the cache
)


class Loop:
    """Layer by layer, from Python. Without an optimizer it evaluates."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer | None) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        kind = type(loss)
        self._knows_gradient = (
            kind.forward_backward is Loss.forward_backward and kind.backward is not Loss.backward
        )

    def use(self, rows: Rows, targets: Array, weights: Array | None = None) -> None:
        """What to visit from now on."""
        self.rows, self.targets, self.weights = rows, targets, weights

    def run(self, order: Array, batch: int, every_step: bool) -> Iterator[Slice]:
        """Visit rows in `order`, in batches of `batch`."""
        if self.optimizer is not None:
            for layer in self.model.modules():
                if isinstance(layer, BatchNorm1d):
                    layer.check_batch(len(order) % batch or batch)
        rules = self.optimizer if isinstance(self.optimizer, RuleOptimizer) else None
        penalized = rules.penalized() if rules else []
        for start in range(0, len(order), batch):
            indices = order[start : start + batch]
            x, target = self.rows.take(indices), self.targets[indices]
            weights = None if self.weights is None else self.weights[indices]
            squares = [square_sum(penalized)] if penalized else None
            if rules:
                rules.batch_weight = (
                    len(indices) if weights is None else loops(weights.dtype).weight_sum(weights)
                )
            loss, output = (
                self._evaluate(x, target, weights)
                if self.optimizer is None
                else self._step(self.optimizer, x, target, weights)
            )
            sizes = [len(indices)]
            yield Slice(
                [loss],
                _sums(weights, sizes, batch),
                sizes,
                self.loss.count_correct(output, target),
                squares,
            )

    def _evaluate(self, x: Array, target: Array, weights: Array | None) -> tuple[float, Array]:
        output = as_real(self.model.forward(x), self.rows.dtype, "output")
        if weights is not None:
            return self.loss.weighted(output, target, weights)[0], output
        # its shape tells of a loss that spreads targets (n,) over outputs (n, 1): once is enough
        if self._knows_gradient:
            self._knows_gradient = False
            return self.loss.forward_backward(output, target)[0], output
        return self.loss.forward(output, target), output

    def _step(
        self, optimizer: Optimizer, x: Array, target: Array, weights: Array | None
    ) -> tuple[float, Array]:
        output = x

        def closure() -> float:
            nonlocal output
            output = as_real(self.model.forward(x, training=True), self.rows.dtype, "output")
            loss, grad = (
                self.loss.forward_backward(output, target)
                if weights is None
                else self.loss.weighted(output, target, weights)
            )
            if np.isfinite(loss):
                self.model.backward_params(grad)
            return loss

        if isinstance(optimizer, LBFGS):
            optimizer.step(closure)
            return closure(), output
        if np.isfinite(loss := closure()):
            optimizer.step()
        return loss, output


def _sizes(rows: int, batch: int) -> list[int]:
    """How many rows each batch has."""
    whole, rest = divmod(rows, batch)
    return [batch] * whole + [rest] * (rest > 0)


def _sums(weights: Array | None, sizes: list[int], batch: int) -> Sequence[float]:
    """What the rows of each batch count together."""
    if weights is None:
        return sizes
    sums: list[float] = np.add.reduceat(
        weights, range(0, sum(sizes), batch), dtype=np.float64
    ).tolist()
    return sums


class _Source:
    """What a program reads: the data set where it lies, or room for some of its rows, if they are
    made when they are needed.
    """

    def __init__(self, rows: Rows, questions: list[Question], batch: int, net: Lowered) -> None:
        self.most: int | None = None
        """Rows in a call."""
        self.x: Any
        if rows.flat is not None:
            first = first_dense(net)
            self.x, self.questions = (
                rows.source(first.layer.out_features, net.scale, net.offset)
                if first
                else rows.flat,
                questions,
            )
        else:
            made = 1 if isinstance(rows.x, Stored) else _ROWS_MADE  # a file is read batch by batch
            self.most = most = batch * max(1, rows_at_a_time(rows.row_shape, made) // batch)
            self.x = empty((most, math.prod(rows.row_shape)), rows.dtype)
            self.questions = [
                Question(
                    loss,
                    share,
                    *(
                        None if array is None else array[:1].repeat(most, axis=0)
                        for array in answers
                    ),
                )
                for loss, share, *answers in questions
            ]

    def bring(self, indices: Array, rows: Rows, questions: list[Question]) -> Array:
        """Make rows of the data set ready; returns where the program finds them."""
        if self.most is None:
            return indices
        n = len(indices)
        for (_, _, *room), (_, _, *answers) in zip(self.questions, questions, strict=True):
            for array, values in zip(room, answers, strict=True):
                if array is not None and values is not None:
                    array[:n] = values[indices]
        self.x[:n] = rows.take(indices).reshape(n, -1)
        return np.arange(n)


def _question(loss: Any, share: float, target: Array, weights: Array | None) -> Question:
    targets = None if target.ndim == 1 else target.reshape(len(target), math.prod(target.shape[1:]))
    return Question(loss, share, loss.program_labels(target), targets, weights)


class Compiled:
    """As a compiled program."""

    def __init__(
        self, net: Lowered, model: Module, loss: Loss, optimizer: RuleOptimizer | None
    ) -> None:
        self.net, self.loss, self.optimizer = net, loss, optimizer
        self.parameters = {*model.parameters()}
        self.stages = net.stages() if optimizer else []
        self.dropouts = [stage for stage in self.stages if isinstance(stage, Dropout)]
        self.dtype = model.dtype
        self.names = [*loss.losses] if isinstance(loss, HeadsLoss) else None
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._sources: dict[int, _Source] = {}  # by batch size
        self._steps: dict[int, int] = {}  # of a batch size, in a call
        self._largest = 0  # batch of rows that are made
        self._kind = (
            ("fit", "fit, step by step") if optimizer else ("evaluate", "evaluate, step by step")
        )

    def use(self, rows: Rows, targets: Array, weights: Array | None = None) -> None:
        """What to visit from now on. Programs that have been built stay if rows are made, and so do
        not lie where programs read them.
        """
        if rows.flat is not None:
            self._programs, self._sources = {}, {}
        loss, self.rows, self.weights = self.loss, rows, weights
        if isinstance(loss, HeadsLoss):
            parts = (
                (loss.losses[name], loss.weights[name], np.ascontiguousarray(targets[name]))
                for name in loss.losses
            )
            self.questions = [_question(*part, weights) for part in parts]
        else:
            self.questions = [_question(loss, 1, targets, weights)]

    def _correct(self, counts: list[int | None]) -> Any:
        """The rows that were classified rightly, as the loss counts them."""
        if self.names is None:
            return counts[0]
        return {
            name: count for name, count in zip(self.names, counts, strict=True) if count is not None
        } or None

    def _updates(self) -> list[tuple[Parameter, State, Rule]] | None:
        """How the optimiser stands with each parameter of the model; None in evaluation."""
        if self.optimizer is None:
            return None
        self.optimizer.check_groups()
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

    def _source(self, batch: int) -> _Source:
        if batch not in self._sources:
            self._sources[batch] = _Source(self.rows, self.questions, batch, self.net)
        return self._sources[batch]

    def _size(self, batch: int) -> int:
        """Of the program for such batches. Where rows are made, batches may be of all sizes, and
        one program is for all so far.
        """
        if self.rows.flat is not None:
            return batch
        if batch > self._largest:
            self._programs, self._sources, self._largest = {}, {}, max(batch, 2 * self._largest)
        return self._largest

    def _program(self, batch: int, updates: list[tuple[Parameter, State, Rule]] | None) -> Any:
        threads = get_num_threads()
        limits = self.optimizer.limits if self.optimizer else None
        arrays = (
            id(parameter.data) for parameter in self.parameters
        )  # which a callback may have exchanged
        key = (
            batch,
            threads,
            limits is None,
            *(
                (id(state.arrays), kinds.states(rule.kind), rule.summed)
                for _, state, rule in updates or ()
            ),
            *arrays,
        )
        if key not in self._programs:
            source = self._source(batch)
            self._programs[key] = build(
                self.net,
                source.questions,
                updates,
                source.x,
                batch,
                threads,
                self.dtype,
                limits is not None,
            )
        if limits is not None:
            self._programs[key].set_clip(*limits)
        for i, (_, state, rule) in enumerate(updates or ()):
            self._programs[key].set_rule(i, state.steps, *rule)
        return self._programs[key]

    def _count(
        self, done: int, losses: Array, updates: list[tuple[Parameter, State, Rule]] | None
    ) -> None:
        """So many steps were taken. The last one changed no weights if its loss is not finite."""
        for _, state, _ in updates or ():
            state.steps += done - (done > 0 and not np.isfinite(losses[done - 1]))
        for dropout in self.dropouts:
            dropout.layer.step += done

    def run(self, order: Array, batch: int, every_step: bool) -> Iterator[Slice]:
        """Visit rows in `order`, in batches of `batch`; with `every_step`, a step in each slice."""
        steps, start = 1 if every_step else self._steps.get(batch, 1), 0
        size = self._size(min(batch, len(order)))
        source = self._source(size)
        for stage in self.stages:
            stage.check_batch(len(order) % batch or batch)
        while start < len(order):
            began = time.perf_counter()
            visited = order[start : start + min(steps * batch, source.most or len(order))]
            rows = source.bring(visited, self.rows, self.questions)
            losses = np.empty(-(-len(rows) // batch))
            updates = self._updates()
            squares = (
                np.empty(len(losses)) if any(rule.summed for _, _, rule in updates or ()) else None
            )
            program = self._program(size, updates)
            choice = autotuner.choose(
                self._kind[every_step], program.flops_per_row * min(batch, len(order))
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
                    _TRIAL_SECONDS if choice.trial else _MOST_SECONDS,
                    squares,
                )
            # an interrupt ends the call here: whatever counts steps is to agree with the weights
            # then, too
            finally:
                done = program.done
                self._count(done, losses, updates)
            if not done:
                # the step was given up because of an interrupt, and whoever handles it lets
                # training go on
                continue
            ended = time.perf_counter()
            taken = min(done * batch, len(rows))
            if not program.aborted:
                autotuner.record(choice, ended - called, taken / batch)
            if not (every_step or choice.trial or program.aborted):
                steps = self._steps[batch] = max(
                    1, min(2 * steps, int(_SECONDS_PER_CALL / (ended - began) * taken / batch))
                )
            start += taken
            sizes = _sizes(taken, batch)
            sums = _sums(
                None if self.weights is None else self.weights[visited[:taken]], sizes, batch
            )
            yield Slice(
                losses[:done].tolist(),
                sums,
                sizes,
                self._correct(correct),
                None if squares is None else squares[:done].tolist(),
            )


def engine(
    model: Module,
    loss: Loss,
    optimizer: Optimizer | None,
    rows: Rows,
    targets: Array,
    weights: Array | None = None,
) -> Loop | Compiled:
    """The faster way that these can be run."""
    net = lower(model, loss, optimizer, rows.row_shape)
    runs = Loop(model, loss, optimizer) if net is None else Compiled(net, model, loss, optimizer)  # type: ignore[arg-type] # lower has seen to it
    runs.use(rows, targets, weights)
    return runs
