# Activations by element, on arrays of any shape seen as one row, and softmax by row.

RELU, LEAKY_RELU, TANH, SIGMOID, ELU = CNET_RELU, CNET_LEAKY_RELU, CNET_TANH, CNET_SIGMOID, CNET_ELU
GELU, GELU_TANH = CNET_GELU, CNET_GELU_TANH


cdef void _activate(Py_ssize_t n, real *y, const real *x, int kind, real slope, int limit) noexcept nogil:
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, limit), part
    for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _activate_part(n, part, threads, y, x, kind, slope)


cdef void _activate_part(Py_ssize_t n, int part, int parts, real *y, const real *x, int kind, real slope) noexcept nogil:
    cdef Py_ssize_t start = _start(n, part, parts)
    kernels().activation(kind, _start(n, part + 1, parts) - start, x + start, y + start, slope)


cdef void _derive(Py_ssize_t n, real *dx, const real *dy, const real *y, int kind, real slope, int limit) noexcept nogil:
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, limit), part
    for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _derive_part(n, part, threads, dx, dy, y, kind, slope)


cdef void _derive_part(Py_ssize_t n, int part, int parts, real *dx, const real *dy, const real *y, int kind, real slope) noexcept nogil:
    cdef Py_ssize_t start = _start(n, part, parts)
    kernels().activation_backward(kind, _start(n, part + 1, parts) - start, y + start, dy + start, dx + start, slope)


cdef void _softmax(Py_ssize_t m, Py_ssize_t n, real *y, const real *x, int limit) noexcept nogil:
    cdef int threads = threads_for(<double> m * n, ELEMENTS_PER_THREAD, limit), part
    for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _softmax_part(m, n, part, threads, y, x)


cdef void _softmax_part(Py_ssize_t m, Py_ssize_t n, int part, int parts, real *y, const real *x) noexcept nogil:
    cdef Py_ssize_t start = _start(m, part, parts)
    kernels().softmax(_start(m, part + 1, parts) - start, n, x + start * n, y + start * n)


def activation_forward(real[::1] out, const real[::1] x, int kind, real slope=0):
    """Write f(x) to out, f being one of the kinds above; slope is the negative slope of LEAKY_RELU, or alpha of ELU."""
    _check1("out", out.shape[0], x.shape[0])
    with nogil:
        _activate(x.shape[0], _out1(out), _in1(x), kind, slope, ALL)


def activation_backward(real[::1] dx, const real[::1] dout, const real[::1] out, int kind, real slope=0):
    """Write dout * f'(x) to dx, from the output of the forward pass, or for GELU and GELU_TANH its input; dx may be dout."""
    _check1("dout", dout.shape[0], out.shape[0])
    _check1("dx", dx.shape[0], out.shape[0])
    with nogil:
        _derive(out.shape[0], _out1(dx), _in1(dout), _in1(out), kind, slope, ALL)


def softmax_forward(real[:, ::1] out, const real[:, ::1] x):
    """Write the softmax of each row of x to out."""
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    if m and n:
        with nogil:
            _softmax(m, n, _out2(out), _in2(x), ALL)


def softmax_backward(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] out):
    """Write to dx the gradient of the input of a softmax, from its output."""
    cdef Py_ssize_t m = out.shape[0], n = out.shape[1]
    _check2("dout", dout.shape[0], dout.shape[1], m, n)
    _check2("dx", dx.shape[0], dx.shape[1], m, n)
    if m and n:
        with nogil:
            kernels().softmax_backward(m, n, _in2(out), _in2(dout), _out2(dx))
