# The convolutional layer: x (B, H, W, C), w (kernel width, kernel height, C, O), b (O,), out (B,
# OH, OW, O), and its gradients.
#
# Threads process different images. The gradients of the parameters are sums over all images: there,
# threads process different parameters. Each thread has its own scratch.


cdef enum:
    IMAGES_AT_A_TIME = 128  # or a multiple: the largest power of 2 that CNET_KC holds


cdef inline double _conv_flops(const cnet_window *g) noexcept nogil:
    """Operations of an image."""
    return 2.0 * g.kernel_height * g.kernel_width * g.channels * _out_image(g)


cdef cnet_window _conv_window(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] w, const real[:, :, :, ::1] out,
    tuple sizes
) except *:
    cdef cnet_window g = _window_of(x, out, sizes)
    _check4("w", w, g.kernel_width, g.kernel_height, g.channels, g.filters)
    return g


def conv_scratch_size(Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t O, tuple sizes) -> int:
    """Bytes of scratch that each thread needs to convolve images (H, W, C) to O channels."""
    cdef cnet_window g = _window(H, W, C, O, sizes)
    return kernels().conv_scratch(&g)


cdef struct Convolution:
    cnet_window g
    const real *x
    const real *w
    const real *b
    const real *dout
    real *out   # or dx
    real *dw
    real *db
    char *scratch
    int activation  # of out, or NONE
    real slope
    int limit       # threads that there is scratch for


cdef void _run_conv(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t first = _chunk_begin(block.m, ith, nth), start = first
    cdef Py_ssize_t end = _chunk_begin(block.m, ith + 1, nth)
    cdef Py_ssize_t images = _images_between_checks(c, block, end - start), n
    cdef real *out = c.out + first * _out_image(&c.g)
    while start < end and not _is_aborted(block, ith):
        n = min(images, end - start)
        kernels().conv_forward(
            &c.g, n, _input(block, c.x) + start * _image(&c.g), c.w, c.b,
            c.out + start * _out_image(&c.g), c.scratch + ith * kernels().conv_scratch(&c.g)
        )
        start += n
    if c.activation != NONE:
        kernels().activation(
            c.activation, (end - first) * _out_image(&c.g), out, out, c.slope
        )


cdef void _run_conv_input(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t end = _chunk_begin(block.m, ith + 1, nth)
    cdef Py_ssize_t images = _images_between_checks(c, block, end - start), n
    while start < end and not _is_aborted(block, ith):
        n = min(images, end - start)
        kernels().conv_backward_input(
            &c.g, n, c.dout + start * _out_image(&c.g), c.w, c.out + start * _image(&c.g),
            c.scratch + ith * kernels().conv_scratch(&c.g)
        )
        start += n


cdef void _run_conv_params(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    """A batch without images has gradients, too: zeros."""
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t start = 0, images = _images_between_checks(c, block, block.m), n
    cdef const real *x = _input(block, c.x)
    while True:
        n = min(images, block.m - start)
        kernels().conv_backward_params(
            &c.g, n, x + start * _image(&c.g), c.dout + start * _out_image(&c.g), c.dw, c.db,
            block.start + start > 0, ith, nth, c.scratch + ith * kernels().conv_scratch(&c.g)
        )
        start += n
        if start == block.m or _is_aborted(block, ith):
            break


cdef Py_ssize_t _images_between_checks(
    const Convolution *c, const Block *block, Py_ssize_t n
) noexcept nogil:
    """Images of n between two checks for an interrupt: all if there are no checks. Sums are over
    groups of up to IMAGES_AT_A_TIME.
    """
    return n if block.watch == NULL else _count_between_checks(_conv_flops(&c.g), IMAGES_AT_A_TIME)


cdef Convolution _convolution(
    Program program, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w, const real[::1] b,
    const real[:, :, :, ::1] out, tuple sizes, char[::1] scratch
) except *:
    """The convolution that gives out (m, OH, OW, O) of x (m, H, W, C), or its gradients. A program
    needs scratch for each of its threads; without one, there are as many threads as scratch.
    """
    cdef Convolution c
    memset(&c, 0, sizeof(c))
    c.g = _conv_window(x, w, out, sizes)
    if b is not None:
        _check1("b", b.shape[0], c.g.filters)
    cdef Py_ssize_t each = kernels().conv_scratch(&c.g)
    cdef int threads = program.threads if program is not None else 1
    if scratch.shape[0] < threads * each:
        raise ValueError(
            f"scratch has {scratch.shape[0]} bytes, expected {each} for each of {threads} threads"
        )
    c.scratch, c.limit = &scratch[0], <int> min(scratch.shape[0] // each, <Py_ssize_t> ALL)
    c.activation = NONE
    return c


def conv_forward(
    real[:, :, :, ::1] out, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w,
    const real[::1] b, tuple sizes, char[::1] scratch, int activation=NO_ACTIVATION, real slope=0,
    Program program=None
):
    """out = f(the convolution of x with w, plus b); b may be None, and there need not be an
    activation f.
    """
    cdef Convolution c = _convolution(program, x, w, b, out, sizes, scratch)
    cdef double flops = _conv_flops(&c.g)
    c.x, c.w, c.b, c.out = _in4(x), _in4(w), _in1(b), _out4(out)
    c.activation, c.slope = activation, slope
    if not _runs_now(
        program, _run_conv, &c, x.shape[0], x.shape[0] * flops, c.limit, flops
    ):
        program.append(PER_SAMPLE, _run_conv, &c, sizeof(c), (out, x, w, b, scratch))


def conv_backward_input(
    real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout, const real[:, :, :, ::1] w, tuple sizes,
    char[::1] scratch, Program program=None
):
    """dx = the gradient of the input."""
    cdef Convolution c = _convolution(program, dx, w, None, dout, sizes, scratch)
    cdef double flops = _conv_flops(&c.g)
    c.dout, c.w, c.out = _in4(dout), _in4(w), _out4(dx)
    if not _runs_now(
        program, _run_conv_input, &c, dx.shape[0], dx.shape[0] * flops, c.limit, flops
    ):
        program.append(PER_SAMPLE, _run_conv_input, &c, sizeof(c), (dx, dout, w, scratch))


def conv_backward_params(
    real[:, :, :, ::1] dw, real[::1] db, const real[:, :, :, ::1] x, const real[:, :, :, ::1] dout,
    tuple sizes, char[::1] scratch, Program program=None
):
    """dw and db = the gradients of the parameters; db may be None."""
    cdef Convolution c = _convolution(program, x, dw, db, dout, sizes, scratch)
    cdef double flops = _conv_flops(&c.g)
    c.x, c.dout, c.dw, c.db = _in4(x), _in4(dout), _out4(dw), _out1(db)
    if not _runs_now(
        program, _run_conv_params, &c, x.shape[0], x.shape[0] * flops, c.limit, flops
    ):
        program.append(WEIGHT_GRADS, _run_conv_params, &c, sizeof(c), (dw, db, x, dout, scratch))
