"""How many threads to compute on: all that are allowed, or one.

Threads wait for each other several times in a step. That is quick where each has a processor to
itself. Where other programs use the processors too, a thread may have to wait for milliseconds
until the system lets it run, and one thread can be many times faster than two. So both are timed.
What was seen is remembered for the process: in a search that trains hundreds of small networks,
each network begins with what the ones before have found.

Results do not depend on the number of threads, so it may change at any time.
"""

import math
import os
from typing import NamedTuple

from cnet._core import _threads
from cnet._utils.threads import get_num_threads

_LEAST_SHARED = 1e7
"""Operations of a step that is computed on all threads from the beginning; fewer take some tens of
microseconds.
"""
_LEAST_SHARED_IF_BUSY = 1e9
"""The same on a machine that is known to be busy: some ten milliseconds."""
_FIRST_WAIT = 0.05
"""Seconds of work before the first trial."""
_FIRST_WAIT_IF_BUSY = 0.25
"""The same on a machine that is known to be busy: there, a trial of all threads may take tens of
milliseconds.
"""
_FIRST_STEPS = 3
"""Steps before the first trial, at least."""
_LONG_WAIT = 1.28
"""Seconds of work between two trials, if nothing changes."""
_WORK_PER_TRIAL = 64
"""Seconds of work between two trials, at least, for each second of a trial."""
_LONG_STEP = 0.02
"""Seconds of a step for which a trial of one thread may be very expensive."""
_LEAST_TIMED = 0.001
"""Seconds of work in a timing. The first steps of a `fit` find nothing in the cache, and say little
about those that follow.
"""
_FASTEST = 2e11
"""Operations a second, more than one thread computes."""
_REMEMBERED = 3
"""How many timings of a kind of work are remembered, for each number of threads."""
_MOST_WORKS = 1000
"""How many are remembered; then all are forgotten."""


class Work(NamedTuple):
    """A kind of work. Only timings of the same kind are compared with each other."""

    kind: str
    flops: float
    """Arithmetic operations of a step, about."""
    allowed: int
    """Threads."""
    busy: bool
    """Whether the machine was known to be busy."""


class Choice(NamedTuple):
    """A number of threads for a call."""

    threads: int
    trial: bool = False
    """Whether this is to find out how long it takes: a short call will do."""
    work: Work | None = None
    """What it was chosen for, or None if there was nothing to choose."""


_ONE = Choice(1)


class _Seen:
    """The last timings of something, by the number of threads."""

    def __init__(self) -> None:
        self.best = 0
        """What was chosen last, or 0."""
        self._timings: dict[int, tuple[float, ...]] = {}
        self._pending: dict[int, tuple[float, float]] = {}
        """Seconds and amount of work of calls that were too short for a timing."""

    def add(self, threads: int, seconds: float, amount: float) -> bool:
        """So much work took so long; returns whether this completes a timing."""
        pending = self._pending.get(threads, (0.0, 0.0))
        seconds, amount = pending[0] + seconds, pending[1] + amount
        complete = seconds >= _LEAST_TIMED
        if complete:
            self._timings[threads] = (*self._timings.get(threads, ()), seconds / amount)[
                -_REMEMBERED:
            ]
        self._pending[threads] = (0.0, 0.0) if complete else (seconds, amount)
        return complete

    def usual(self, threads: int) -> float | None:
        """The median, as a single timing says little on a busy machine."""
        timings = self._timings.get(threads)
        return None if timings is None else sorted(timings)[(len(timings) - 1) // 2]

    def better(self, allowed: int) -> int | None:
        """The number of threads that takes less time; None before both were seen."""
        one, all_ = self.usual(1), self.usual(allowed)
        return None if one is None or all_ is None else 1 if one < all_ else allowed


class _Size(_Seen):
    """All work of about one size: seconds of an operation, and when to try the other number of
    threads.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.best = (
            work.allowed
            if work.flops >= (_LEAST_SHARED_IF_BUSY if work.busy else _LEAST_SHARED)
            else 1
        )
        self.steps = 0.0
        self.first_wait = _FIRST_WAIT_IF_BUSY if work.busy else _FIRST_WAIT
        self.worked, self.wait = 0.0, self.first_wait
        """Seconds of work since the last trial, and until the next."""


class ThreadAutotuner:
    """Chooses between one thread and all, by the time that each was seen to take.

    It is asked before each call of a program, and told how long the call took. Now and then it
    chooses the number that is not in use, to see whether that has become the better one.

    Several threads may use it, without a lock, which an interrupt or a fork could leave locked:
    each change is of one value, and a timing that is lost does no harm.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, int, bool], _Size] = {}
        self._works: dict[Work, _Seen] = {}
        """Seconds of a step."""

    def choose(self, kind: str, flops: float) -> Choice:
        """The number of threads for the next call, with steps of so many operations."""
        allowed = get_num_threads()
        if allowed == 1:
            return _ONE
        if _threads.always():
            return Choice(allowed)
        work = Work(kind, max(flops, 1.0), allowed, _threads.busy())
        size, seen = self._size(work), self._seen(work)
        size.best = size.better(allowed) or size.best
        best, on_all = seen.better(allowed) or size.best, seen.usual(allowed)
        if (
            best != seen.best and seen.best
        ):  # what keeps processors busy may be short: the other number is tried again soon
            size.worked, size.wait = 0.0, size.first_wait
        seen.best = best
        expensive = (
            best == allowed
            and on_all is not None
            and on_all >= _LONG_STEP
            and flops > _FASTEST * on_all
        )
        if size.worked < size.wait or size.steps < _FIRST_STEPS or expensive:
            return Choice(best, False, work)
        size.worked = 0.0  # so that no other thread tries it, too
        return Choice(1 + allowed - best, True, work)

    def record(self, choice: Choice, seconds: float, steps: float) -> None:
        """The call took so long for so many steps."""
        if (work := choice.work) is None:
            return
        size = self._size(work)
        self._seen(work).add(choice.threads, seconds, steps)
        complete = size.add(choice.threads, seconds, steps * work.flops)
        size.steps += steps
        if not choice.trial:
            size.worked += seconds
        elif complete:
            size.worked, size.wait = (
                0.0,
                max(min(2 * size.wait, _LONG_WAIT), _WORK_PER_TRIAL * seconds),
            )
        else:
            size.worked = size.wait  # the trial continues

    def _size(self, work: Work) -> _Size:
        """What is known of all work that rounds to the same power of two."""
        key = round(math.log2(work.flops)), work.allowed, work.busy
        return self._sizes.get(key) or self._sizes.setdefault(key, _Size(work))

    def _seen(self, work: Work) -> _Seen:
        """What is known of this very work."""
        if len(self._works) >= _MOST_WORKS:
            self._works.clear()
        return self._works.get(work) or self._works.setdefault(work, _Seen())


autotuner = ThreadAutotuner()
"""That of the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=autotuner.__init__)  # type: ignore[misc] # a child may be one of many
