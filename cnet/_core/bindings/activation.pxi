# Activations by element, and softmax by row: x (m, n), out (m, n).


cdef struct Elementwise:
    Py_ssize_t n  # elements of a row
    const real *x
    const real *y
    real *out
    int kind
    real slope


cdef void _run_activation(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * e.n
    cdef Py_ssize_t size = _chunk_begin(block.m, ith + 1, nth) * e.n - start
    kernels().activation(e.kind, size, _input(block, e.x) + start, e.out + start, e.slope)


cdef void _run_activation_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * e.n
    cdef Py_ssize_t size = _chunk_begin(block.m, ith + 1, nth) * e.n - start
    kernels().activation_backward(
        e.kind, size, e.y + start, e.x + start, e.out + start, e.slope
    )


cdef void _run_softmax(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start
    kernels().softmax(rows, e.n, _input(block, e.x) + start * e.n, e.out + start * e.n)


cdef void _run_softmax_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start
    kernels().softmax_backward(rows, e.n, e.y + start * e.n, e.x + start * e.n, e.out + start * e.n)


cdef void _run_sum(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    cdef Py_ssize_t i
    for i in range(
        _chunk_begin(block.m, ith, nth) * e.n, _chunk_begin(block.m, ith + 1, nth) * e.n
    ):
        e.out[i] = e.y[i] + e.x[i]


cdef int _apply(
    Program program, Run run, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] y,
    int kind, real slope
) except -1:
    """Append or run out = f(x, y), of arrays whose shapes have been checked."""
    cdef Py_ssize_t m = out.shape[0], n = out.shape[1]
    cdef Elementwise e = Elementwise(n, _in2(x), _in2(y), _out2(out), kind, slope)
    if not _runs_now(program, run, &e, m, ELEMENT_FLOPS * m * n):
        program.append(PER_SAMPLE, run, &e, sizeof(e), (out, x, y))
    return 0


def activation_forward(
    real[:, ::1] out, const real[:, ::1] x, int kind, real slope=0, Program program=None
):
    """out = f(x), with f an activation; slope is its setting, if it has one."""
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    _apply(program, _run_activation, out, x, x, kind, slope)


def activation_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] y, int kind, real slope=0,
    Program program=None
):
    """dx = dout * f'(x), from the output y of f, or from its input if f' needs that; dx may be
    dout.
    """
    _check2("dout", dout.shape[0], dout.shape[1], y.shape[0], y.shape[1])
    _check2("dx", dx.shape[0], dx.shape[1], y.shape[0], y.shape[1])
    _apply(program, _run_activation_backward, dx, dout, y, kind, slope)


def softmax_forward(real[:, ::1] out, const real[:, ::1] x, Program program=None):
    """out = the softmax of each row of x."""
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    if x.shape[1]:
        _apply(program, _run_softmax, out, x, x, NONE, 0)


def softmax_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] out, Program program=None
):
    """dx = the gradient of the input of a softmax, from its output."""
    _check2("dout", dout.shape[0], dout.shape[1], out.shape[0], out.shape[1])
    _check2("dx", dx.shape[0], dx.shape[1], out.shape[0], out.shape[1])
    if out.shape[1]:
        _apply(program, _run_softmax_backward, dx, dout, out, NONE, 0)


def add(real[:, ::1] total, const real[:, ::1] x, Program program=None):
    """total += x."""
    _check2("x", x.shape[0], x.shape[1], total.shape[0], total.shape[1])
    _apply(program, _run_sum, total, x, total, NONE, 0)
