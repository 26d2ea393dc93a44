# Samples of a data set, gathered into a mini-batch. uint8 is converted to real.


cdef int _check_rows(const int64_t[::1] rows, Py_ssize_t n) except -1:
    cdef Py_ssize_t i
    for i in range(rows.shape[0]):
        if not 0 <= rows[i] < n:
            raise IndexError(f"sample {rows[i]} is outside a data set of {n} samples")
    return 0


def gather(real[:, ::1] out, const real[:, ::1] x, const int64_t[::1] rows):
    """Write x[rows] to out."""
    cdef Py_ssize_t m = rows.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    _check_rows(rows, x.shape[0])
    if m and n:
        with nogil:
            kernels().gather(m, n, _in2(x), n, &rows[0], 0, _out2(out))


def gather_uint8(real[:, ::1] out, const uint8_t[:, ::1] x, const int64_t[::1] rows):
    """Write x[rows] to out, converted to real."""
    cdef Py_ssize_t m = rows.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    _check_rows(rows, x.shape[0])
    if m and n:
        with nogil:
            kernels().gather_uint8(m, n, &x[0, 0], n, &rows[0], 0, 1, 0, _out2(out))
