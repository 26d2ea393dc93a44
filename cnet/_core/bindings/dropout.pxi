# Dropout of arrays of any shape, as flat arrays. The key, the step and the index of an element
# decide whether it is dropped.


cdef cnet_dropout _dropout_settings(double p, uint64_t key, uint64_t step) noexcept nogil:
    """The threshold is p * 2^32, and the scale 1 / (1 - p), 0 <= p <= 1.

    With p = 1, the largest threshold keeps a few elements: they are multiplied by 0.
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
    """Write x to out: elements become 0 with probability p, the others are divided by 1 - p.

    With the same key and step and dout for x, it computes the gradient.
    """
    cdef Py_ssize_t n = x.shape[0]
    _check1("out", out.shape[0], n)
    _check_probability(p)
    cdef cnet_dropout d = _dropout_settings(p, key, step)
    # Random numbers cost ten times as much as an activation.
    cdef int threads = threads_for(10.0 * n, ELEMENTS_PER_THREAD, ALL), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _dropout_chunk(n, ith, threads, _out1(out), _in1(x), &d)


cdef struct Drop:
    Py_ssize_t n  # elements of a sample
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
    """Add: out = dropout of x; out may be x.

    step[0] is the step of the layer at the start of a call.
    """
    program.check_capacity(out.shape[0])
    _check2("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    _check1("step", step.shape[0], 1)
    _check_probability(p)
    cdef Drop drop = Drop(out.shape[1], _in2(x), _out2(out), p, key, &step[0])
    program.append(PER_SAMPLE, _run_dropout, &drop, sizeof(drop), (out, x, step))
