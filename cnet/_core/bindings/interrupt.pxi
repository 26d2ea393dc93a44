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
cdef double LEAST_WATCHED = 500_000_000
# Steps of so many operations, about a tenth of a second, make all gradients before they change any
# weight, so that they can be given up until then. With fewer rows that takes time: a gradient is
# written to memory, and read again.
cdef double LEAST_DEFERRED = 5_000_000_000
cdef enum:
    LEAST_DEFERRED_ROWS = 512
cdef double SECONDS_BETWEEN_LOOKS = 0.02
# What an operation does between two looks: some milliseconds of work.
cdef double FLOPS_BETWEEN_LOOKS = 200_000_000


cdef inline bint _given_up(const Block *block, int part) noexcept nogil:
    """Whether the work at hand is in vain."""
    if block.watch == NULL:
        return False
    if part == 0 and cnet_seconds() > block.watch.look_at:
        _look(block.watch, block.moment)
    return cnet_get(&block.watch.given_up) == block.moment


cdef void _look(Watch *watch, Py_ssize_t moment) noexcept nogil:
    """Whether there was an interrupt; only Python's main thread can tell."""
    with gil:
        if PyOS_InterruptOccurred():
            cnet_set(&watch.given_up, moment)
    watch.look_at = cnet_seconds() + SECONDS_BETWEEN_LOOKS


cdef inline Py_ssize_t _between_looks(double flops, Py_ssize_t multiple) noexcept nogil:
    """How many times to do a work of so many operations before the next look: a multiple of a
    number.
    """
    return max(
        <Py_ssize_t> 1, <Py_ssize_t> (FLOPS_BETWEEN_LOOKS / max(flops, 1.0)) // multiple
    ) * multiple


def _is_main_thread():
    return threading.get_ident() == threading.main_thread().ident


def _answer_interrupt():
    """What Python does when it finds an interrupt."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, sys._getframe())
