"""The two ways to run training steps: a compiled program, and the layer-by-layer loop. Both give the same bits.

Either takes an order of rows and yields, slice by slice, the losses of the steps taken and the number of rows classified
rightly. The loop takes a step at a time and runs anything; the program takes as many steps in one call as fit into a few
tens of milliseconds, so that progress, callbacks and Ctrl-C get their turn.
"""

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnet._arrays import Array, as_real, empty
from cnet._program import Question, build, lower
from cnet._rows import Rows
from cnet._stages import Dropout, Lowered
from cnet._threads import get_num_threads
from cnet.nn import HeadsLoss, Loss, Module, Parameter
from cnet.optim import Optimizer
from cnet.optim._rule import Rule, RuleOptimizer, State, kinds

Slice = tuple[list[float], int | None]

_SECONDS_PER_CALL = 0.02
_MOST_SECONDS = 0.1  # where a call turns out to take longer, as threads have to wait for each other
_ROWS_MADE = 512  # at a time, of data that is augmented or converted: to be used while it is in the cache
_CALLS_BETWEEN_TRIALS = 64
_CALLS_BEFORE_TRIAL = 4
_CALLS_REMEMBERED = 3


class Loop:
    """Layer by layer, from Python. Without an optimizer it evaluates."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer | None, rows: Rows, targets: Array) -> None:
        self.model, self.loss, self.optimizer, self.rows, self.targets = model, loss, optimizer, rows, targets

    def run(self, order: Array, batch: int, every_step: bool) -> Iterator[Slice]:
        """Visit rows in `order`, in batches of `batch`."""
        for start in range(0, len(order), batch):
            indices = order[start : start + batch]
            x, target = self.rows.take(indices), self.targets[indices]
            if self.optimizer is None:
                output = as_real(self.model.forward(x), self.rows.dtype, "output")
                loss = self.loss.forward(output, target)
            else:
                output = as_real(self.model.forward(x, training=True), self.rows.dtype, "output")
                loss, grad = self.loss.forward_backward(output, target)
                if np.isfinite(loss):
                    self.model.backward_params(grad)
                    self.optimizer.step()
            yield [loss], self.loss.count_correct(output, target)


class Team:
    """Chooses between all threads and one, by what each was seen to take.

    Threads that wait for each other are slow where other programs use the processors too, and a step may be too small
    to share. Results do not depend on the number of threads, so that it may change at any time: after a few calls, and
    now and then, the number that is not in use is tried.
    """

    def __init__(self) -> None:
        self.seconds: dict[int, deque[float]] = {}
        """Of a row, by the number of threads, in the last calls."""
        self.calls = 0

    def threads(self) -> int:
        """The number of threads for the next call."""
        allowed = get_num_threads()
        if allowed == 1:
            return 1
        self.calls += 1
        one, all_ = (min(self.seconds.get(threads, ()), default=None) for threads in (1, allowed))
        best = 1 if one is not None and all_ is not None and one < all_ else allowed
        trial = self.calls % _CALLS_BETWEEN_TRIALS == _CALLS_BEFORE_TRIAL
        return 1 + allowed - best if trial else best

    def took(self, threads: int, seconds: float, rows: int) -> None:
        """A call took so long. What else the machine does only adds to it: of a few calls, the least says most."""
        self.seconds.setdefault(threads, deque(maxlen=_CALLS_REMEMBERED)).append(seconds / rows)


class _Source:
    """What a program reads: the data set where it lies, or room for some of its rows, if they are made when they are needed."""

    def __init__(self, rows: Rows, questions: list[Question], batch: int) -> None:
        self._rows, self._all = rows, questions
        self.most: int | None = None
        """Rows in a call."""
        if rows.flat is not None:
            self.x, self.questions = rows.flat, questions
        else:
            self.most = most = batch * max(1, _ROWS_MADE // batch)
            self.x = empty((most, math.prod(rows.row_shape)), rows.dtype)
            self.questions = [
                Question(loss, share, *(None if array is None else array[:1].repeat(most, axis=0) for array in answers)) for loss, share, *answers in questions
            ]

    def bring(self, indices: Array) -> Array:
        """Make rows of the data set ready; returns where the program finds them."""
        if self.most is None:
            return indices
        n = len(indices)
        for (_, _, *room), (_, _, *answers) in zip(self.questions, self._all, strict=True):
            for array, values in zip(room, answers, strict=True):
                if array is not None and values is not None:
                    array[:n] = values[indices]
        self.x[:n] = self._rows.take(indices).reshape(n, -1)
        return np.arange(n)


def _question(loss: Loss, share: float, target: Array, dtype: Any) -> Question:
    classifies = loss.count_correct(np.empty((0, 1), dtype), np.empty(0, np.int64)) is not None
    if target.ndim == 1:
        return Question(loss, share, target, None)
    return Question(loss, share, target.argmax(axis=1) if classifies else None, target.reshape(len(target), -1))


class Compiled:
    """As a compiled program."""

    def __init__(self, net: Lowered, model: Module, loss: Loss, optimizer: RuleOptimizer | None, rows: Rows, targets: Array, team: Team) -> None:
        self.net, self.optimizer = net, optimizer
        self.parameters = {*model.parameters()}
        self.stages = net.stages() if optimizer else []
        self.dropouts = [stage for stage in self.stages if isinstance(stage, Dropout)]
        self.dtype = model.dtype
        self.rows = rows
        self.names = [*loss.losses] if isinstance(loss, HeadsLoss) else None
        if isinstance(loss, HeadsLoss):
            self.questions = [_question(loss.losses[name], loss.weights[name], np.ascontiguousarray(targets[name]), self.dtype) for name in loss.losses]
        else:
            self.questions = [_question(loss, 1, targets, self.dtype)]
        self._programs: dict[tuple[Any, ...], Any] = {}
        self._sources: dict[int, _Source] = {}  # by batch size
        self._steps: dict[int, int] = {}  # of a batch size, in a call
        self._team = team

    def _correct(self, counts: list[int]) -> Any:
        """The rows that were classified rightly, as the loss counts them."""
        known = [None if question.labels is None else count for question, count in zip(self.questions, counts, strict=True)]
        if self.names is None:
            return known[0]
        return {name: count for name, count in zip(self.names, known, strict=True) if count is not None} or None

    def _updates(self) -> list[tuple[Parameter, State, Rule]] | None:
        """How the optimiser stands with each parameter of the model; None in evaluation."""
        if self.optimizer is None:
            return None
        rules = [(parameter, self.optimizer._rule(group)) for group in self.optimizer.param_groups for parameter in group["params"]]
        return [(parameter, self.optimizer._state_of(parameter, rule), rule) for parameter, rule in rules if parameter in self.parameters]

    def _source(self, batch: int) -> _Source:
        if batch not in self._sources:
            self._sources[batch] = _Source(self.rows, self.questions, batch)
        return self._sources[batch]

    def _program(self, batch: int, updates: list[tuple[Parameter, State, Rule]] | None) -> Any:
        threads = get_num_threads()
        limits = self.optimizer.limits if self.optimizer else None
        key = (batch, threads, limits is None, *((id(state.arrays), kinds.states(rule.kind)) for _, state, rule in updates or ()))
        if key not in self._programs:
            source = self._source(batch)
            self._programs[key] = build(self.net, source.questions, updates, source.x, batch, threads, self.dtype, limits is not None)
        if limits is not None:
            self._programs[key].set_clip(*limits)
        for i, (_, state, rule) in enumerate(updates or ()):
            self._programs[key].set_rule(i, state.steps, *rule)
        return self._programs[key]

    def run(self, order: Array, batch: int, every_step: bool) -> Iterator[Slice]:
        """Visit rows in `order`, in batches of `batch`; with `every_step`, a step in each slice."""
        steps, start = 1 if every_step else self._steps.get(batch, 1), 0
        source = self._source(min(batch, len(order)))
        for stage in self.stages:
            stage.check_batch(len(order) % batch or batch)
        while start < len(order):
            began = time.perf_counter()
            rows = source.bring(order[start : start + min(steps * batch, source.most or len(order))])
            losses = np.empty(-(-len(rows) // batch))
            updates = self._updates()
            program, threads = self._program(min(batch, len(order)), updates), self._team.threads()
            for dropout in self.dropouts:
                dropout.step[0] = dropout.layer.step
            called = time.perf_counter()
            done, correct = program.run(rows, batch, losses, threads, _MOST_SECONDS)
            ended = time.perf_counter()
            taken = min(done * batch, len(rows))
            self._team.took(threads, ended - called, taken)
            for _, state, _ in updates or ():
                state.steps += done - (not np.isfinite(losses[done - 1]))
            for dropout in self.dropouts:
                dropout.layer.step += done
            if not every_step:
                steps = self._steps[batch] = max(1, min(2 * steps, int(_SECONDS_PER_CALL / (ended - began) * taken / batch)))
            start += taken
            yield losses[:done].tolist(), self._correct(correct)


def engine(model: Module, loss: Loss, optimizer: Optimizer | None, rows: Rows, targets: Array, team: Team) -> Loop | Compiled:
    """The faster way that these can be run; `team` remembers from one call to the next how many threads are best."""
    net = lower(model, loss, optimizer, rows.row_shape)
    if net is None:
        return Loop(model, loss, optimizer, rows, targets)
    return Compiled(net, model, loss, optimizer, rows, targets, team)  # type: ignore[arg-type] # lower has seen to it
