# The two uses of an operation. The functions of the files below take a program, and append their
# operation to it; without one, they run it at once, as the eager engine does. The operation and its
# arguments are the same, so results are bitwise identical.

# Operations that take as long as one element of an elementwise function.
cdef double ELEMENT_FLOPS = 25


cdef Block _whole_batch(Py_ssize_t m) noexcept nogil:
    """A batch of m samples, as one block."""
    cdef Block block
    memset(&block, 0, sizeof(block))
    block.m = block.batch = m
    block.step = 1
    block.factor = 1
    return block


cdef void _run_on_threads(
    Run run, const void *arguments, const Block *block, int threads
) noexcept nogil:
    """Run an operation on a block, on so many threads."""
    cdef int ith
    if threads == 1:
        run(arguments, block, 0, 1)
        return
    for ith in prange(threads, schedule="static", num_threads=threads):
        run(arguments, block, ith, threads)


cdef void _run_now(
    Run run, const void *arguments, Py_ssize_t m, double flops, int limit
) noexcept nogil:
    """Run an operation on m samples, on at most `limit` threads."""
    cdef Block block = _whole_batch(m)
    _run_on_threads(run, arguments, &block, threads_for(flops, FLOPS_PER_THREAD, limit))


cdef int _runs_now(
    Program program, Run run, const void *arguments, Py_ssize_t m, double flops, int limit=ALL,
    double flops_per_row=0
) except -1:
    """Without a program, run the operation on m samples. Returns 0 if there is a program, to which
    the caller is to append it; flops_per_row is added to that of the program.
    """
    if program is not None:
        program.check_capacity(m)
        program.flops_per_row += flops_per_row
        return 0
    with nogil:
        _run_now(run, arguments, m, flops, limit)
    return 1
