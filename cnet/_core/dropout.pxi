# Dropout, on arrays of any shape seen as one row: an element's place in it decides, with the key and the step.


cdef cnet_dropout _dropout_settings(double p, uint64_t key, uint64_t step) noexcept nogil:
    """p from 0 to 1; at 1 the few elements that the largest threshold spares are scaled to nothing."""
    cdef double words = 4294967296.0
    return cnet_dropout(key, step, <uint32_t> min(p * words, words - 1), 1 / (1 - p) if p < 1 else 0)


cdef void _dropout_part(Py_ssize_t n, int part, int parts, real *out, const real *x, const cnet_dropout *d) noexcept nogil:
    cdef Py_ssize_t start = _start(n, part, parts)
    kernels().dropout(start, _start(n, part + 1, parts) - start, x + start, out + start, d)


def dropout(real[::1] out, const real[::1] x, double p, uint64_t key, uint64_t step):
    """Write to out the elements of x that are kept, times 1 / (1 - p), and 0 for the others: one in 1 / p. The gradient is made likewise."""
    cdef Py_ssize_t n = x.shape[0]
    cdef cnet_dropout d = _dropout_settings(p, key, step)
    _check1("out", out.shape[0], n)
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}, expected a probability")
    cdef int threads = threads_for(10.0 * n, ELEMENTS_PER_THREAD, ALL), part  # random numbers cost ten times as much as an activation
    with nogil:
        for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
            _dropout_part(n, part, threads, _out1(out), _in1(x), &d)
