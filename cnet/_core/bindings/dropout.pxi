# Dropout, on arrays of any shape seen as one row: an element's place in it decides, with the key
# and the step.


cdef cnet_dropout _dropout_settings(double p, uint64_t key, uint64_t step) noexcept nogil:
    """p from 0 to 1; at 1 the few elements that the largest threshold spares are scaled to
    nothing.
    """
    cdef double words = 4294967296.0
    return cnet_dropout(
        key, step, <uint32_t> min(p * words, words - 1), 1 / (1 - p) if p < 1 else 0
    )


cdef int _check_probability(double p) except -1:
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}, expected a probability")
    return 0


cdef void _dropout_chunk(
    Py_ssize_t n, int ith, int nth, real *out, const real *x, const cnet_dropout *d
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(n, ith, nth)
    kernels().dropout(start, _chunk_begin(n, ith + 1, nth) - start, x + start, out + start, d)


def dropout(real[::1] out, const real[::1] x, double p, uint64_t key, uint64_t step):
    """Write to out the elements of x that are kept, times 1 / (1 - p), and 0 for the others: one
    in 1 / p. The gradient is made likewise.
    """
    cdef Py_ssize_t n = x.shape[0]
    _check1("out", out.shape[0], n)
    _check_probability(p)
    cdef cnet_dropout d = _dropout_settings(p, key, step)
    # random numbers cost ten times as much as an activation
    cdef int threads = threads_for(10.0 * n, ELEMENTS_PER_THREAD, ALL), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _dropout_chunk(n, ith, threads, _out1(out), _in1(x), &d)


cdef struct Drop:
    Py_ssize_t n  # elements of a row
    const real *x
    real *out
    double p
    uint64_t key
    const int64_t *step


cdef void _run_dropout(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Drop *drop = <const Drop *> arguments
    cdef cnet_dropout d = _dropout_settings(drop.p, drop.key, drop.step[0] + block.step - 1)
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start
    kernels().dropout(
        (block.start + start) * drop.n, rows * drop.n, _input(block, drop.x) + start * drop.n,
        drop.out + start * drop.n, &d
    )


def program_dropout(
    Program program, real[:, ::1] out, const real[:, ::1] x, double p, uint64_t key,
    const int64_t[::1] step
):
    """Add: out = x with elements dropped, out may be x; `step` holds the layer's step at the
    beginning of a call.
    """
    program.check_capacity(out.shape[0])
    _check2("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    _check1("step", step.shape[0], 1)
    _check_probability(p)
    cdef Drop drop = Drop(out.shape[1], _in2(x), _out2(out), p, key, &step[0])
    program.append(PER_SAMPLE, _run_dropout, &drop, sizeof(drop), (out, x, step))
