"""The number of threads that the compiled loops may use, and whether there are threads at all.

How many are worth using is decided for each loop by `threads_for`; how many are allowed is decided in
``cnet/_threads.py``. A process forked from one that has run a thread team stays on one thread: the child has the
team's book-keeping but not its threads, and GNU's OpenMP runtime would wait for them for ever.
"""

cdef extern from *:
    """
    #ifdef _OPENMP
    #define CNET_OPENMP 1
    #else
    #define CNET_OPENMP 0
    #endif
    """
    const bint CNET_OPENMP

cdef int _allowed = 1
cdef bint _always = False
cdef bint _team_started = False
cdef bint _forked = False


cdef int threads_for(double work, double per_thread, int limit) noexcept nogil:
    """Threads for `work` (in any unit), at most `limit`, so that each gets at least `per_thread` of it."""
    global _team_started
    cdef int most = min(_allowed, limit)
    if not CNET_OPENMP or _forked or most < 2 or (work < 2 * per_thread and not _always):
        return 1
    _team_started = True
    return most if _always else <int> min(<double> most, work / per_thread)


def openmp():
    """Whether this build was compiled with OpenMP."""
    return bool(CNET_OPENMP)


def allowed():
    """The number of threads that loops may use in this process now."""
    return 1 if _forked or not CNET_OPENMP else _allowed


def allow(int n, bint always=False):
    """Let loops use up to `n` threads; with `always`, even where there is little to do (for tests)."""
    global _allowed, _always
    _allowed = n
    _always = always


def after_fork_in_child():
    """Stay serial in a child whose parent had started a team."""
    global _forked
    _forked = _forked or _team_started
