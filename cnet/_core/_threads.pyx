"""The number of threads that the compiled loops may use, and whether there are threads at all.

How many are worth using is decided for each loop by `threads_for`; how many are allowed is decided
in ``cnet/_utils/threads.py``. kernels/fork.h says what is different in a process made by fork.
"""

cdef extern from "kernels/fork.h":
    """
    #ifdef _OPENMP
    #define CNET_OPENMP 1
    #else
    #define CNET_OPENMP 0
    #endif
    """
    const bint CNET_OPENMP
    ctypedef struct cnet_shared:
        pass
    Py_ssize_t cnet_get(const cnet_shared *) noexcept nogil
    void cnet_set(cnet_shared *, Py_ssize_t) noexcept nogil
    cnet_shared cnet_threaded, cnet_serial
    bint cnet_is_busy() noexcept nogil
    void cnet_watch_forks() noexcept nogil
    void cnet_set_forked_thread() noexcept nogil
    bint cnet_in_forked_thread() noexcept nogil
    bint cnet_run_region(void (*)(void *) noexcept nogil, void *) noexcept nogil

cdef cnet_shared _allowed, _always
cnet_set(&_allowed, 1)

# How much more work threads must have to do in a parallel region on a busy machine: some
# milliseconds.
cdef double BUSY = 200


cdef int members_for(double work, double per_thread, int limit) noexcept nogil:
    """Threads for `work` (in any unit), at most `limit`, so that each gets at least `per_thread` of
    it; for `run_region`.

    A process counts as one that uses threads from now on, even if other programs keep it from doing
    so.
    """
    cdef int most = min(<int> cnet_get(&_allowed), limit)
    cdef bint always = cnet_get(&_always)
    if not CNET_OPENMP or most < 2 or (
        work < 2 * per_thread and not always
    ) or cnet_get(&cnet_serial):
        return 1
    cnet_set(&cnet_threaded, 1)
    return most if always else <int> min(<double> most, work / per_thread)


cdef int threads_for(double work, double per_thread, int limit) noexcept nogil:
    """As `members_for`, for a parallel region that the calling thread begins at once; fewer on a
    busy machine.
    """
    cdef int threads = members_for(work, per_thread, limit)
    if threads == 1 or cnet_in_forked_thread():
        return 1
    if work < 2 * BUSY * per_thread and not cnet_get(&_always) and cnet_is_busy():
        return 1
    return threads


cdef bint run_region(void (*run)(void *) noexcept nogil, void *arguments) noexcept nogil:
    """Call a function that begins a parallel region, in this thread or, where this one must not,
    in another. False if it cannot be called.
    """
    return cnet_run_region(run, arguments)


cdef bint begins_regions() noexcept nogil:
    """Whether `run_region` calls in this thread."""
    return not cnet_in_forked_thread()


def openmp():
    """Whether this build was compiled with OpenMP."""
    return bool(CNET_OPENMP)


def allowed():
    """The number of threads that loops may use in this process now."""
    return 1 if not CNET_OPENMP or cnet_get(&cnet_serial) else cnet_get(&_allowed)


def busy():
    """Whether other programs keep the processors busy, as far as that can be seen."""
    return bool(cnet_is_busy())


def always():
    """Whether loops use all threads, even where there is little to do."""
    return bool(cnet_get(&_always))


def allow(int n, bint always=False):
    """Let loops use up to `n` threads; with `always`, even where there is little to do (for
    tests).
    """
    cnet_set(&_allowed, n)
    cnet_set(&_always, always)


def imported_after_fork(bint in_main_thread):
    """Tell that this process was forked, by one that may have used threads, before it imported
    cnet. The thread that forked is its main thread.
    """
    if in_main_thread:
        cnet_set_forked_thread()
    else:
        cnet_set(&cnet_serial, 1)


cnet_watch_forks()
