# Activations by element, on arrays of any shape seen as one row, and softmax by row.

RELU, LEAKY_RELU, TANH, SIGMOID, ELU = CNET_RELU, CNET_LEAKY_RELU, CNET_TANH, CNET_SIGMOID, CNET_ELU
GELU, GELU_TANH = CNET_GELU, CNET_GELU_TANH


cdef void _activate(Py_ssize_t n, real *y, const real *x, int kind, real slope) noexcept nogil:
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, ALL), ith
    for ith in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _activate_chunk(n, 1, ith, threads, y, x, kind, slope)


cdef void _activate_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *y, const real *x, int kind, real slope
) noexcept nogil:
    """The chunk of a thread, of m rows of n elements."""
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * n, end = _chunk_begin(m, ith + 1, nth) * n
    kernels().activation(kind, end - start, x + start, y + start, slope)


cdef void _derive(
    Py_ssize_t n, real *dx, const real *dy, const real *y, int kind, real slope
) noexcept nogil:
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, ALL), ith
    for ith in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _derive_chunk(n, 1, ith, threads, dx, dy, y, kind, slope)


cdef void _derive_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *dx, const real *dy, const real *y,
    int kind, real slope
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * n, end = _chunk_begin(m, ith + 1, nth) * n
    kernels().activation_backward(kind, end - start, y + start, dy + start, dx + start, slope)


cdef void _softmax(Py_ssize_t m, Py_ssize_t n, real *y, const real *x) noexcept nogil:
    cdef int threads = threads_for(<double> m * n, ELEMENTS_PER_THREAD, ALL), ith
    for ith in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _softmax_chunk(m, n, ith, threads, y, x)


cdef void _softmax_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *y, const real *x
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth)
    kernels().softmax(_chunk_begin(m, ith + 1, nth) - start, n, x + start * n, y + start * n)


def activation_forward(real[::1] out, const real[::1] x, int kind, real slope=0):
    """Write f(x) to out, f being one of the kinds above; slope is the negative slope of
    LEAKY_RELU, or alpha of ELU.
    """
    _check1("out", out.shape[0], x.shape[0])
    with nogil:
        _activate(x.shape[0], _out1(out), _in1(x), kind, slope)


def activation_backward(
    real[::1] dx, const real[::1] dout, const real[::1] out, int kind, real slope=0
):
    """Write dout * f'(x) to dx, from the output of the forward pass, or for GELU and GELU_TANH
    its input; dx may be dout.
    """
    _check1("dout", dout.shape[0], out.shape[0])
    _check1("dx", dx.shape[0], out.shape[0])
    with nogil:
        _derive(out.shape[0], _out1(dx), _in1(dout), _in1(out), kind, slope)


def softmax_forward(real[:, ::1] out, const real[:, ::1] x):
    """Write the softmax of each row of x to out."""
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    if m and n:
        with nogil:
            _softmax(m, n, _out2(out), _in2(x))


def softmax_backward(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] out):
    """Write to dx the gradient of the input of a softmax, from its output."""
    cdef Py_ssize_t m = out.shape[0], n = out.shape[1]
    _check2("dout", dout.shape[0], dout.shape[1], m, n)
    _check2("dx", dx.shape[0], dx.shape[1], m, n)
    if m and n:
        with nogil:
            kernels().softmax_backward(m, n, _in2(out), _in2(dout), _out2(dx))


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
    _activate_chunk(block.m, e.n, ith, nth, e.out, _input(block, e.x), e.kind, e.slope)


cdef void _run_derivative(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    _derive_chunk(block.m, e.n, ith, nth, e.out, e.x, e.y, e.kind, e.slope)


cdef void _run_softmax(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Elementwise *e = <const Elementwise *> arguments
    _softmax_chunk(block.m, e.n, ith, nth, e.out, _input(block, e.x))


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


cdef int _append_elementwise(
    Program program, Run run, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] y,
    int kind, real slope
) except -1:
    program.check_capacity(out.shape[0])
    _check2("x", x.shape[0], x.shape[1], out.shape[0], out.shape[1])
    _check2("y", y.shape[0], y.shape[1], out.shape[0], out.shape[1])
    cdef Elementwise e = Elementwise(out.shape[1], _in2(x), _in2(y), _out2(out), kind, slope)
    program.append(PER_SAMPLE, run, &e, sizeof(e), (out, x, y))
    return 0


def program_activation(
    Program program, real[:, ::1] out, const real[:, ::1] x, int kind, real slope
):
    """Add: out = f(x)."""
    _append_elementwise(program, _run_activation, out, x, x, kind, slope)


def program_derivative(
    Program program, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] output, int kind,
    real slope
):
    """Add: dx = dout * f'(x), from the output of f; dx may be dout."""
    _append_elementwise(program, _run_derivative, dx, dout, output, kind, slope)


def program_softmax(Program program, real[:, ::1] out, const real[:, ::1] x):
    """Add: out = the softmax of each row of x."""
    _append_elementwise(program, _run_softmax, out, x, x, NONE, 0)


def program_softmax_backward(
    Program program, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] output
):
    """Add: dx = the gradient of a softmax's input, from its output."""
    _append_elementwise(program, _run_softmax_backward, dx, dout, output, NONE, 0)


def program_sum(Program program, real[:, ::1] total, const real[:, ::1] x):
    """Add: total += x."""
    _append_elementwise(program, _run_sum, total, x, total, NONE, 0)
