# The layer Rescale, by element: x (m, n), out (m, n).


cdef struct Rescaling:
    Py_ssize_t n  # elements of a row
    const real *x
    real *out
    real scale, offset


cdef void _rescale_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *out, const real *x, real scale,
    real offset
) noexcept nogil:
    """The chunk of a thread, of m rows of n elements."""
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * n, end = _chunk_begin(m, ith + 1, nth) * n
    kernels().rescale(end - start, x + start, scale, offset, out + start)


cdef void _run_rescale(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Rescaling *r = <const Rescaling *> arguments
    _rescale_chunk(block.m, r.n, ith, nth, r.out, _input(block, r.x), r.scale, r.offset)


def rescale(
    real[:, ::1] out, const real[:, ::1] x, real scale, real offset, Program program=None
):
    """out = scale * x + offset; out may be x."""
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    cdef Rescaling r = Rescaling(n, _in2(x), _out2(out), scale, offset)
    if not _runs_now(program, _run_rescale, &r, m, ELEMENT_FLOPS * m * n):
        program.append(PER_SAMPLE, _run_rescale, &r, sizeof(r), (out, x))
