# Dropout: x (m, n), out (m, n). The random number of an element depends on the key, the step, and
# the index of the element in the batch.


cdef struct Dropout:
    Py_ssize_t n  # elements of a row
    const real *x
    real *out
    double p
    uint64_t key
    const int64_t *step


cdef cnet_dropout _dropout_settings(double p, uint64_t key, uint64_t step) noexcept nogil:
    """p is from 0 to 1. At 1 the largest threshold spares a few elements; they are multiplied by
    0.
    """
    cdef double words = 4294967296.0
    return cnet_dropout(
        key, step, <uint32_t> min(p * words, words - 1), 1 / (1 - p) if p < 1 else 0
    )


cdef void _run_dropout(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Dropout *a = <const Dropout *> arguments
    cdef cnet_dropout d = _dropout_settings(a.p, a.key, a.step[0] + block.step - 1)
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start
    kernels().dropout(
        (block.start + start) * a.n, rows * a.n, _input(block, a.x) + start * a.n,
        a.out + start * a.n, &d
    )


def dropout(
    real[:, ::1] out, const real[:, ::1] x, double p, uint64_t key, const int64_t[::1] step,
    Program program=None
):
    """out = x / (1 - p), or 0 with probability p; out may be x. The gradient is the same function
    of dout. `step` holds the step of the layer; in a program, that of the first batch of a call.
    """
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    _check1("step", step.shape[0], 1)
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}, expected a probability")
    cdef Dropout a = Dropout(n, _in2(x), _out2(out), p, key, &step[0])
    # A random number costs as much as ten elements of an activation.
    if not _runs_now(program, _run_dropout, &a, m, 10 * ELEMENT_FLOPS * m * n):
        program.append(PER_SAMPLE, _run_dropout, &a, sizeof(a), (out, x, step))
