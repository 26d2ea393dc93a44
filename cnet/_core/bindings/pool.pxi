# Pooling: out (B, OH, OW, C) is the maximum or the mean of each window of x (B, H, W, C). Each
# thread gets a chunk of the images.


cdef void _max_pool_chunk(
    const cnet_window *g, Py_ssize_t n, int ith, int nth, real *out, const real *x
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(n, ith, nth)
    kernels().max_pool(
        g, _chunk_begin(n, ith + 1, nth) - start, x + start * _image(g), out + start * _out_image(g)
    )


cdef void _max_pool_backward_chunk(
    const cnet_window *g, Py_ssize_t n, int ith, int nth, real *dx, const real *dout,
    const real *out, const real *x
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(n, ith, nth), offset = start * _out_image(g)
    kernels().max_pool_backward(
        g, _chunk_begin(n, ith + 1, nth) - start, x + start * _image(g), out + offset,
        dout + offset, dx + start * _image(g)
    )


cdef void _avg_pool_chunk(
    const cnet_window *g, Py_ssize_t n, int ith, int nth, real *out, const real *x
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(n, ith, nth)
    kernels().avg_pool(
        g, _chunk_begin(n, ith + 1, nth) - start, x + start * _image(g), out + start * _out_image(g)
    )


cdef void _avg_pool_backward_chunk(
    const cnet_window *g, Py_ssize_t n, int ith, int nth, real *dx, const real *dout
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(n, ith, nth)
    kernels().avg_pool_backward(
        g, _chunk_begin(n, ith + 1, nth) - start, dout + start * _out_image(g),
        dx + start * _image(g)
    )


cdef cnet_window _pool_window(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] out, tuple sizes
) except *:
    cdef cnet_window g = _window_of(x, out, sizes)
    if g.pad_y >= g.kernel_height or g.pad_x >= g.kernel_width:
        raise ValueError(
            f"a window of sizes {sizes} may lie outside the images: "
            "pads must be smaller than the kernel"
        )
    _check4("out", out, x.shape[0], g.out_height, g.out_width, g.channels)
    return g


cdef inline int _pool_threads(const cnet_window *g, Py_ssize_t n) noexcept nogil:
    return threads_for(<double> n * _image(g), ELEMENTS_PER_THREAD, ALL)


def max_pool_forward(real[:, :, :, ::1] out, const real[:, :, :, ::1] x, tuple sizes):
    """Write the maximum of each window of x to out."""
    cdef cnet_window g = _pool_window(x, out, sizes)
    cdef Py_ssize_t n = x.shape[0]
    cdef int threads = _pool_threads(&g, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _max_pool_chunk(&g, n, ith, threads, _out4(out), _in4(x))


def max_pool_backward(
    real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout, const real[:, :, :, ::1] out,
    const real[:, :, :, ::1] x, tuple sizes
):
    """Write to dx the gradient of the input of a max pooling, from its input and output.

    The gradient of a window goes to its first maximum.
    """
    cdef cnet_window g = _pool_window(x, out, sizes)
    cdef Py_ssize_t n = x.shape[0]
    _check4("dout", dout, n, g.out_height, g.out_width, g.channels)
    _check4("dx", dx, n, g.height, g.width, g.channels)
    cdef int threads = _pool_threads(&g, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _max_pool_backward_chunk(&g, n, ith, threads, _out4(dx), _in4(dout), _in4(out), _in4(x))


def avg_pool_forward(real[:, :, :, ::1] out, const real[:, :, :, ::1] x, tuple sizes):
    """Write the mean of each window of x to out; padding counts as zeros."""
    cdef cnet_window g = _pool_window(x, out, sizes)
    cdef Py_ssize_t n = x.shape[0]
    cdef int threads = _pool_threads(&g, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _avg_pool_chunk(&g, n, ith, threads, _out4(out), _in4(x))


def avg_pool_backward(real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout, tuple sizes):
    """Write to dx the gradient of the input of an average pooling."""
    cdef cnet_window g = _pool_window(dx, dout, sizes)
    cdef Py_ssize_t n = dx.shape[0]
    cdef int threads = _pool_threads(&g, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _avg_pool_backward_chunk(&g, n, ith, threads, _out4(dx), _in4(dout))


cdef struct Pool:
    cnet_window g
    bint maximum  # else the mean
    const real *x
    const real *dout
    const real *result
    real *out     # or dx


cdef void _run_pool(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Pool *p = <const Pool *> arguments
    if p.maximum:
        _max_pool_chunk(&p.g, block.m, ith, nth, p.out, _input(block, p.x))
    else:
        _avg_pool_chunk(&p.g, block.m, ith, nth, p.out, _input(block, p.x))


cdef void _run_pool_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Pool *p = <const Pool *> arguments
    if p.maximum:
        _max_pool_backward_chunk(
            &p.g, block.m, ith, nth, p.out, p.dout, p.result, _input(block, p.x)
        )
    else:
        _avg_pool_backward_chunk(&p.g, block.m, ith, nth, p.out, p.dout)


def program_pool(
    Program program, real[:, :, :, ::1] out, const real[:, :, :, ::1] x, tuple sizes, bint maximum
):
    """Add: out = the maximum of each window of x if maximum, else the mean."""
    program.check_capacity(x.shape[0])
    cdef Pool p
    memset(&p, 0, sizeof(p))
    p.g, p.maximum = _pool_window(x, out, sizes), maximum
    p.x, p.out = _in4(x), _out4(out)
    program.append(PER_SAMPLE, _run_pool, &p, sizeof(p), (out, x))


def program_pool_backward(
    Program program, real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout,
    const real[:, :, :, ::1] out, const real[:, :, :, ::1] x, tuple sizes, bint maximum
):
    """Add: dx = the gradient of the input of a pooling."""
    program.check_capacity(x.shape[0])
    cdef Pool p
    p.g, p.maximum = _pool_window(x, out, sizes), maximum
    p.x, p.dout, p.result, p.out = _in4(x), _in4(dout), _in4(out), _out4(dx)
    _check4("dout", dout, x.shape[0], p.g.out_height, p.g.out_width, p.g.channels)
    _check4("dx", dx, x.shape[0], p.g.height, p.g.width, p.g.channels)
    program.append(PER_SAMPLE, _run_pool_backward, &p, sizeof(p), (dx, dout, out, x))
