# Pooling: x (B, H, W, C), out (B, OH, OW, C): the maximum of each window, or its mean. Threads
# process different images.


cdef struct Pool:
    cnet_window g
    bint maximum  # else the mean
    const real *x
    const real *dout
    const real *result
    real *out     # or dx


cdef void _run_pool(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Pool *p = <const Pool *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t count = _chunk_begin(block.m, ith + 1, nth) - start
    cdef const real *x = _input(block, p.x) + start * _image(&p.g)
    cdef real *out = p.out + start * _out_image(&p.g)
    if p.maximum:
        kernels().max_pool(&p.g, count, x, out)
    else:
        kernels().avg_pool(&p.g, count, x, out)


cdef void _run_pool_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Pool *p = <const Pool *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t count = _chunk_begin(block.m, ith + 1, nth) - start
    cdef Py_ssize_t offset = start * _out_image(&p.g)
    cdef real *dx = p.out + start * _image(&p.g)
    if p.maximum:
        kernels().max_pool_backward(
            &p.g, count, _input(block, p.x) + start * _image(&p.g), p.result + offset,
            p.dout + offset, dx
        )
    else:
        kernels().avg_pool_backward(&p.g, count, p.dout + offset, dx)


cdef Pool _pool(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] out, tuple sizes, bint maximum
) except *:
    cdef Pool p
    memset(&p, 0, sizeof(p))
    p.g, p.maximum = _window_of(x, out, sizes), maximum
    if p.g.pad_y >= p.g.kernel_height or p.g.pad_x >= p.g.kernel_width:
        raise ValueError(
            f"a window of sizes {sizes} may lie outside the images: "
            "pads must be smaller than the kernel"
        )
    _check4("out", out, x.shape[0], p.g.out_height, p.g.out_width, p.g.channels)
    return p


def pool_forward(
    real[:, :, :, ::1] out, const real[:, :, :, ::1] x, tuple sizes, bint maximum,
    Program program=None
):
    """out = the maximum of each window of x, or its mean, in which padding counts as zeros."""
    cdef Py_ssize_t m = x.shape[0]
    cdef Pool p = _pool(x, out, sizes, maximum)
    p.x, p.out = _in4(x), _out4(out)
    if not _runs_now(program, _run_pool, &p, m, ELEMENT_FLOPS * m * _image(&p.g)):
        program.append(PER_SAMPLE, _run_pool, &p, sizeof(p), (out, x))


def pool_backward(
    real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout, const real[:, :, :, ::1] out,
    const real[:, :, :, ::1] x, tuple sizes, bint maximum, Program program=None
):
    """dx = the gradient of the input. The first of equal maxima of a window gets its gradient."""
    cdef Py_ssize_t m = x.shape[0]
    cdef Pool p = _pool(x, out, sizes, maximum)
    p.x, p.dout, p.result, p.out = _in4(x), _in4(dout), _in4(out), _out4(dx)
    _check4("dout", dout, m, p.g.out_height, p.g.out_width, p.g.channels)
    _check4("dx", dx, m, p.g.height, p.g.width, p.g.channels)
    if not _runs_now(program, _run_pool_backward, &p, m, ELEMENT_FLOPS * m * _image(&p.g)):
        program.append(PER_SAMPLE, _run_pool_backward, &p, sizeof(p), (dx, dout, out, x))
