"""The choice of the number of threads of a step: all that are allowed, or one.

Threads wait for each other several times in a step. That is fast if each has a processor to itself.
If other programs use the processors, too, a thread may wait for milliseconds until the system runs
it, and one thread can be many times faster than two. So both are timed. Timings are kept for the
process: in a search that trains hundreds of small networks, each network begins with the timings of
the networks before.

Results do not depend on the number of threads, so it may change at any time.
"""

import math
import os
from typing import NamedTuple

from cnet._core import _threads
from cnet._utils.threads import get_num_threads

_MIN_SHARED = 1e7
"""Operations from which on a step uses all threads at first: some tens of microseconds."""
_MIN_SHARED_IF_BUSY = 1e9
"""The same on a busy machine: a step of some ten milliseconds."""
_FIRST_WAIT = 0.05
"""Seconds of work before the first trial."""
_FIRST_WAIT_IF_BUSY = 0.25
"""The same on a busy machine, on which a trial of all threads may take tens of milliseconds."""
_FIRST_STEPS = 3
"""Minimum number of steps before the first trial."""
_LONG_WAIT = 1.28
"""Seconds of work between two trials, if nothing changes."""
_WORK_PER_TRIAL = 64
"""Minimum seconds of work between two trials, for each second of a trial."""
_LONG_STEP = 0.02
"""Seconds of a step for which a trial of one thread may be very expensive."""
_MIN_TIMED = 0.001
"""Minimum seconds of work in a timing. The first steps of a `fit` find nothing in the cache, and
are slower than the others.
"""
_FASTEST = 2e11
"""Upper bound on the operations per second of one thread."""
_REMEMBERED = 3
"""Number of timings that are kept for a kind of work and a number of threads."""
_MAX_WORKS = 1000
"""Maximum number of kinds of work that are kept. Beyond it, all are dropped."""


class Work(NamedTuple):
    """A kind of work. Only timings of the same kind are compared with each other."""

    kind: str
    flops: float
    """Approximate number of arithmetic operations of a step."""
    allowed: int
    """Number of threads that are allowed."""
    busy: bool
    """Whether the machine was busy."""


class Choice(NamedTuple):
    """A number of threads for a call."""

    threads: int
    trial: bool = False
    """Whether the call is a trial, which may be short."""
    work: Work | None = None
    """Work of the call; None if there was no choice."""


_ONE = Choice(1)


class _Timings:
    """The last timings of some work, by the number of threads."""

    def __init__(self) -> None:
        self.best = 0
        """Number of threads of the last choice, or 0."""
        self._timings: dict[int, tuple[float, ...]] = {}
        self._pending: dict[int, tuple[float, float]] = {}
        """Seconds and amount of work of calls that are not yet enough for a timing."""

    def add(self, threads: int, seconds: float, amount: float) -> bool:
        """Add the duration of some work; returns whether this completes a timing."""
        pending = self._pending.get(threads, (0.0, 0.0))
        seconds, amount = pending[0] + seconds, pending[1] + amount
        complete = seconds >= _MIN_TIMED
        if complete:
            self._timings[threads] = (*self._timings.get(threads, ()), seconds / amount)[
                -_REMEMBERED:
            ]
        self._pending[threads] = (0.0, 0.0) if complete else (seconds, amount)
        return complete

    def usual(self, threads: int) -> float | None:
        """Return the median of the timings. On a busy machine, a single timing says little."""
        timings = self._timings.get(threads)
        return None if timings is None else sorted(timings)[(len(timings) - 1) // 2]

    def better(self, allowed: int) -> int | None:
        """Return the faster number of threads; None before both were timed."""
        one, all_ = self.usual(1), self.usual(allowed)
        return None if one is None or all_ is None else 1 if one < all_ else allowed


class _Size(_Timings):
    """Timings of all work of about one size, in seconds per operation, and the time of the next
    trial of the other number of threads.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.best = (
            work.allowed if work.flops >= (_MIN_SHARED_IF_BUSY if work.busy else _MIN_SHARED) else 1
        )
        self.steps = 0.0
        self.first_wait = _FIRST_WAIT_IF_BUSY if work.busy else _FIRST_WAIT
        self.worked, self.wait = 0.0, self.first_wait
        """Seconds of work since the last trial, and until the next."""


class ThreadAutotuner:
    """Chooses between one thread and all threads, by their timings.

    `choose` is called before each call of a program, and `record` after it. From time to time, the
    choice is the other number of threads, which may have become the faster one.

    Several threads may use it without a lock, which an interrupt or a fork could leave locked. Each
    change is of one value, and a lost timing does no harm.
    """

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, int, bool], _Size] = {}
        self._works: dict[Work, _Timings] = {}
        """Timings of each kind of work, in seconds per step."""

    def choose(self, kind: str, flops: float) -> Choice:
        """Return the number of threads for the next call, with steps of so many operations."""
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
        ):  # the load of the machine may end soon: the other number is tried again early
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
        """Record the duration of a call and its number of steps."""
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
        """Return the timings of all work that rounds to the same power of two."""
        key = round(math.log2(work.flops)), work.allowed, work.busy
        return self._sizes.get(key) or self._sizes.setdefault(key, _Size(work))

    def _seen(self, work: Work) -> _Timings:
        """Return the timings of this kind of work."""
        if len(self._works) >= _MAX_WORKS:
            self._works.clear()
        return self._works.get(work) or self._works.setdefault(work, _Timings())


autotuner = ThreadAutotuner()
"""The autotuner of the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=autotuner.__init__)  # type: ignore[misc] # a child may be one of many
