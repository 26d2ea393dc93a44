# Interrupts within a step: how a step that takes long is given up when Ctrl-C is pressed, unless it
# has begun to change weights.
#
# The first part looks for an interrupt now and then, between operations and within those that take
# long. All parts skip the operations that are left, and leave the step together at the next point
# where they have all met. Between two such points is a moment: a part that is behind is not misled
# when the step is given up in a later moment than the one that it is in.

import signal
import sys
import threading


cdef extern from "Python.h":
    int PyOS_InterruptOccurred()


# Steps of so many operations, a few milliseconds of work, are given up when Ctrl-C is pressed.
cdef double MIN_WATCHED_FLOPS = 500_000_000
# Steps of so many operations, about a tenth of a second, make all gradients before they change any
# weight, so that they can be given up until then. With fewer rows that takes time: a gradient is
# written to memory, and read again.
cdef double MIN_DEFERRED_FLOPS = 5_000_000_000
cdef enum:
    MIN_DEFERRED_ROWS = 512
cdef double SECONDS_BETWEEN_CHECKS = 0.02
# What an operation does between two looks: some milliseconds of work.
cdef double FLOPS_BETWEEN_CHECKS = 200_000_000


cdef inline bint _is_aborted(const Block *block, int ith) noexcept nogil:
    """Whether the work at hand is in vain."""
    if block.watch == NULL:
        return False
    if ith == 0 and cnet_seconds() > block.watch.check_at:
        _check_interrupt(block.watch, block.interval)
    return cnet_get(&block.watch.aborted) == block.interval


cdef void _check_interrupt(Watch *watch, Py_ssize_t interval) noexcept nogil:
    """Whether there was an interrupt; only Python's main thread can tell."""
    with gil:
        if PyOS_InterruptOccurred():
            cnet_set(&watch.aborted, interval)
    watch.check_at = cnet_seconds() + SECONDS_BETWEEN_CHECKS


cdef inline Py_ssize_t _count_between_checks(double flops, Py_ssize_t multiple) noexcept nogil:
    """How many times to do a work of so many operations before the next look: a multiple of a
    number.
    """
    return max(
        <Py_ssize_t> 1, <Py_ssize_t> (FLOPS_BETWEEN_CHECKS / max(flops, 1.0)) // multiple
    ) * multiple


def _is_main_thread():
    return threading.get_ident() == threading.main_thread().ident


def _call_interrupt_handler():
    """What Python does when it finds an interrupt."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, sys._getframe())
