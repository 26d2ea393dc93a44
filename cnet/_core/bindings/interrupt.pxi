# Interrupts within a step: Ctrl-C aborts a long step, unless it has begun to change weights.
#
# The first thread checks for an interrupt between operations, and within long ones. All threads
# then skip the remaining operations, and leave the step together after the next barrier. An
# interval is the time between two barriers: a thread that is behind does not see an abort of a
# later interval.

import signal
import sys
import threading


cdef extern from "Python.h":
    int PyOS_InterruptOccurred()


# Operations of a step that Ctrl-C can abort: a few milliseconds of work.
cdef double MIN_WATCHED_FLOPS = 500_000_000
# Operations of a step that computes all gradients before it changes a weight, so that it can be
# aborted until then: about a tenth of a second. With fewer samples that would be slow, since a
# gradient is written to memory and read again.
cdef double MIN_DEFERRED_FLOPS = 5_000_000_000
cdef enum:
    MIN_DEFERRED_ROWS = 512
cdef double SECONDS_BETWEEN_CHECKS = 0.02
# Operations between two checks: some milliseconds of work.
cdef double FLOPS_BETWEEN_CHECKS = 200_000_000


cdef inline bint _is_aborted(const Block *block, int ith) noexcept nogil:
    """Whether the step has been aborted."""
    if block.watch == NULL:
        return False
    if ith == 0 and cnet_seconds() > block.watch.check_at:
        _check_interrupt(block.watch, block.interval)
    return cnet_get(&block.watch.aborted) == block.interval


cdef void _check_interrupt(Watch *watch, Py_ssize_t interval) noexcept nogil:
    """Abort the step if there was an interrupt, which only Python's main thread can tell."""
    with gil:
        if PyOS_InterruptOccurred():
            cnet_set(&watch.aborted, interval)
    watch.check_at = cnet_seconds() + SECONDS_BETWEEN_CHECKS


cdef inline Py_ssize_t _count_between_checks(double flops, Py_ssize_t multiple) noexcept nogil:
    """The number of repetitions of a work of so many operations between two checks, a multiple of
    `multiple`.
    """
    return max(
        <Py_ssize_t> 1, <Py_ssize_t> (FLOPS_BETWEEN_CHECKS / max(flops, 1.0)) // multiple
    ) * multiple


def _is_main_thread():
    return threading.get_ident() == threading.main_thread().ident


def _call_interrupt_handler():
    """Call the handler of SIGINT, as Python does."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, sys._getframe())
