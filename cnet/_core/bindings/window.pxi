# The window that convolution and pooling slide over images, and transposes to channels last.
#
# x is (B, H, W, C), out (B, OH, OW, O). The sizes of a window are a tuple (kernel height, kernel
# width, stride y, stride x, pad y, pad x). OH = (H + 2 * pad y - kernel height) // stride y + 1,
# and OW likewise.


cdef cnet_window _window(
    Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t O, tuple sizes
) except *:
    cdef cnet_window g
    g.height, g.width, g.channels, g.filters = H, W, C, O
    g.kernel_height, g.kernel_width, g.stride_y, g.stride_x, g.pad_y, g.pad_x = sizes
    if min(
        g.kernel_height, g.kernel_width, g.stride_y, g.stride_x
    ) < 1 or min(g.pad_y, g.pad_x) < 0:
        raise ValueError(
            f"a window has sizes {sizes}, expected at least 1, and at least 0 for pads"
        )
    if H + 2 * g.pad_y < g.kernel_height or W + 2 * g.pad_x < g.kernel_width:
        raise ValueError(f"a window of sizes {sizes} is larger than padded images of {H} x {W}")
    g.out_height = (H + 2 * g.pad_y - g.kernel_height) // g.stride_y + 1
    g.out_width = (W + 2 * g.pad_x - g.kernel_width) // g.stride_x + 1
    return g


cdef cnet_window _window_of(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] out, tuple sizes
) except *:
    """The window of an operation from x to out."""
    cdef cnet_window g = _window(x.shape[1], x.shape[2], x.shape[3], out.shape[3], sizes)
    _check4("out", out, x.shape[0], g.out_height, g.out_width, g.filters)
    return g


cdef int _check4(
    str name, const real[:, :, :, ::1] a, Py_ssize_t s0, Py_ssize_t s1, Py_ssize_t s2, Py_ssize_t s3
) except -1:
    if a.shape[0] != s0 or a.shape[1] != s1 or a.shape[2] != s2 or a.shape[3] != s3:
        raise ValueError(
            f"{name} has shape ({a.shape[0]}, {a.shape[1]}, {a.shape[2]}, {a.shape[3]}), "
            f"expected ({s0}, {s1}, {s2}, {s3})"
        )
    return 0


cdef inline Py_ssize_t _image(const cnet_window *g) noexcept nogil:
    """Number of elements of an input image."""
    return g.height * g.width * g.channels


cdef inline Py_ssize_t _out_image(const cnet_window *g) noexcept nogil:
    """Number of elements of an output image."""
    return g.out_height * g.out_width * g.filters


cdef struct Transpose:
    Py_ssize_t rows, cols
    const real *x
    real *out


cdef void _run_transpose(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Transpose *t = <const Transpose *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth), size = t.rows * t.cols
    kernels().transpose(
        _chunk_begin(block.m, ith + 1, nth) - start, t.rows, t.cols,
        _input(block, t.x) + start * size, t.out + start * size
    )


def transpose(real[:, :, ::1] out, const real[:, :, ::1] x, Program program=None):
    """out[i] = the transpose of x[i]. With pixels as one axis, that is channels last from channels
    first, or the reverse.
    """
    cdef Py_ssize_t m = x.shape[0], rows = x.shape[1], cols = x.shape[2]
    if out.shape[0] != m or out.shape[1] != cols or out.shape[2] != rows:
        raise ValueError(
            f"out has shape ({out.shape[0]}, {out.shape[1]}, {out.shape[2]}), "
            f"expected ({m}, {cols}, {rows})"
        )
    cdef Transpose t = Transpose(rows, cols, _in3(x), _out3(out))
    if not _runs_now(program, _run_transpose, &t, m, ELEMENT_FLOPS * m * rows * cols):
        program.append(PER_SAMPLE, _run_transpose, &t, sizeof(t), (out, x))
