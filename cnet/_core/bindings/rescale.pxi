# The layer Rescale by element, on arrays of any shape seen as one row: out = scale * x + offset.


cdef void _rescale_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *out, const real *x, real scale,
    real offset
) noexcept nogil:
    """The chunk of a thread, of m rows of n elements."""
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * n, end = _chunk_begin(m, ith + 1, nth) * n
    kernels().rescale(end - start, x + start, scale, offset, out + start)


def rescale(real[::1] out, const real[::1] x, real scale, real offset):
    """Write scale * x + offset to out, which may be x."""
    cdef Py_ssize_t n = x.shape[0]
    _check1("out", out.shape[0], n)
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, ALL), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _rescale_chunk(n, 1, ith, threads, _out1(out), _in1(x), scale, offset)


cdef struct Rescaling:
    Py_ssize_t n  # elements of a row
    const real *x
    real *out
    real scale, offset


cdef void _run_rescale(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Rescaling *r = <const Rescaling *> arguments
    _rescale_chunk(block.m, r.n, ith, nth, r.out, _input(block, r.x), r.scale, r.offset)


def program_rescale(
    Program program, real[:, ::1] out, const real[:, ::1] x, real scale, real offset
):
    """Add: out = scale * x + offset; out may be x."""
    program.check_capacity(out.shape[0])
    _check2("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    cdef Rescaling r = Rescaling(out.shape[1], _in2(x), _out2(out), scale, offset)
    program.append(PER_SAMPLE, _run_rescale, &r, sizeof(r), (out, x))
