"""The maximum number of threads of the compiled core.

In order of precedence: `set_num_threads`; ``CNET_NUM_THREADS``; ``OMP_NUM_THREADS`` (which joblib
sets in its workers); the processors that this process may run on, by its affinity mask and by its
control group's quota. An operation with
little work uses fewer.
"""

import math
import os
import threading

from cnet._core import _threads, inherited_openmp
from cnet._utils.validation import integer, integer_text

MAX_THREADS = 4096
_CGROUP = "/sys/fs/cgroup"


def set_num_threads(n: int) -> None:
    """Set the largest number of threads that a computation may use. Results do not depend on it.

    Parameters
    ----------
    n : int
        At least 1. More threads than processors are allowed, and slow.

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer.

    Examples
    --------
    >>> import cnet
    >>> cnet.set_num_threads(1)
    >>> cnet.get_num_threads()
    1
    """
    _threads.allow(integer("the number of threads", n, 1, MAX_THREADS))


def get_num_threads() -> int:
    """Return the largest number of threads that a computation may use.

    It is 1 in a build without OpenMP, and in a process forked from one in which cnet had used
    threads. Start worker processes with the ``spawn`` or ``forkserver`` method to have threads
    there.

    Examples
    --------
    >>> import cnet
    >>> cnet.get_num_threads() >= 1
    True
    """
    return _threads.allowed()


def _from_environment(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    first = text.split(",")[0].strip()  # OMP_NUM_THREADS may list a number per level of nesting
    if not (first.isascii() and first.isdigit() and 1 <= int(first) <= MAX_THREADS):
        if name == "CNET_NUM_THREADS":
            raise ValueError(f"{name} is {text!r}, expected {integer_text(1, MAX_THREADS)}")
        return None  # another library's variable: not ours to reject
    return int(first)


def _quota(root: str | os.PathLike[str] = _CGROUP) -> int | None:
    """Processors granted by the control group, rounded up; None without a limit. Versions 2 and 1
    of the interface.
    """

    def text(*name: str) -> str:
        with open(os.path.join(root, *name), encoding="ascii") as file:
            return file.read().strip()

    try:
        limit, period = text("cpu.max").split()
    except (OSError, ValueError):
        try:
            limit, period = (text("cpu", f"cpu.cfs_{what}_us") for what in ("quota", "period"))
        except OSError:
            return None
    if not (limit.isdigit() and period.isdigit() and int(period)):
        return None
    return max(1, math.ceil(int(limit) / int(period)))


def _default() -> int:
    for name in ("CNET_NUM_THREADS", "OMP_NUM_THREADS"):
        n = _from_environment(name)
        if n is not None:
            return n
    processors = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return min(processors, _quota() or processors)


set_num_threads(_default())
if inherited_openmp:
    _threads.imported_after_fork(threading.current_thread() is threading.main_thread())
