# The convolutional layer: x (B, H, W, C), w (kernel width, kernel height, C, O), b (O,), out (B,
# OH, OW, O), and its gradients.
#
# Threads share out the images, or for the gradients of the parameters, which are sums over all
# images, the parameters. Each needs its own scratch; there are no more of them than there is
# scratch for.


cdef enum:
    IMAGES_AT_A_TIME = 128  # or a multiple: the largest power of 2 that CNET_KC holds


cdef inline double _conv_flops(const cnet_window *g) noexcept nogil:
    """Of an image."""
    return 2.0 * g.kernel_height * g.kernel_width * g.channels * _out_image(g)


cdef void _conv_forward_images(
    const cnet_window *g, Py_ssize_t start, Py_ssize_t n, int ith, real *out, const real *x,
    const real *w, const real *b, char *scratch
) noexcept nogil:
    kernels().conv_forward(
        g, n, x + start * _image(g), w, b, out + start * _out_image(g),
        scratch + ith * kernels().conv_scratch(g)
    )


cdef void _conv_backward_input_images(
    const cnet_window *g, Py_ssize_t start, Py_ssize_t n, int ith, real *dx, const real *dout,
    const real *w, char *scratch
) noexcept nogil:
    kernels().conv_backward_input(
        g, n, dout + start * _out_image(g), w, dx + start * _image(g),
        scratch + ith * kernels().conv_scratch(g)
    )


cdef void _conv_backward_params_chunk(
    const cnet_window *g, Py_ssize_t n, int ith, int nth, real *dw, real *db, const real *x,
    const real *dout, bint accumulate, char *scratch
) noexcept nogil:
    kernels().conv_backward_params(
        g, n, x, dout, dw, db, accumulate, ith, nth, scratch + ith * kernels().conv_scratch(g)
    )


cdef cnet_window _conv_window(
    const real[:, :, :, ::1] x, const real[:, :, :, ::1] w, const real[:, :, :, ::1] out,
    tuple sizes
) except *:
    cdef cnet_window g = _window_of(x, out, sizes)
    _check4("w", w, g.kernel_width, g.kernel_height, g.channels, g.filters)
    return g


cdef int _conv_threads(const cnet_window *g, Py_ssize_t n, char[::1] scratch) except -1:
    cdef Py_ssize_t capacity = scratch.shape[0] // kernels().conv_scratch(g)
    if capacity == 0:
        raise ValueError(
            f"scratch has {scratch.shape[0]} bytes, expected at least {kernels().conv_scratch(g)}"
        )
    return threads_for(n * _conv_flops(g), FLOPS_PER_THREAD, <int> min(capacity, <Py_ssize_t> ALL))


def conv_scratch_size(Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t O, tuple sizes):
    """Bytes of scratch that each thread needs to convolve images (H, W, C) to O channels."""
    cdef cnet_window g = _window(H, W, C, O, sizes)
    return kernels().conv_scratch(&g)


def conv_forward(
    real[:, :, :, ::1] out, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w,
    const real[::1] b, tuple sizes, char[::1] scratch
):
    """Write the convolution of x with w, plus b, to out; b may be None."""
    cdef cnet_window g = _conv_window(x, w, out, sizes)
    cdef Py_ssize_t n = x.shape[0], start
    if b is not None:
        _check1("b", b.shape[0], g.filters)
    cdef int threads = _conv_threads(&g, n, scratch), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            start = _chunk_begin(n, ith, threads)
            _conv_forward_images(
                &g, start, _chunk_begin(n, ith + 1, threads) - start, ith, _out4(out), _in4(x),
                _in4(w), _in1(b), &scratch[0]
            )


def conv_backward_input(
    real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout, const real[:, :, :, ::1] w, tuple sizes,
    char[::1] scratch
):
    """Write the gradient of the input to dx."""
    cdef cnet_window g = _conv_window(dx, w, dout, sizes)
    cdef Py_ssize_t n = dx.shape[0], start
    cdef int threads = _conv_threads(&g, n, scratch), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            start = _chunk_begin(n, ith, threads)
            _conv_backward_input_images(
                &g, start, _chunk_begin(n, ith + 1, threads) - start, ith, _out4(dx), _in4(dout),
                _in4(w), &scratch[0]
            )


def conv_backward_params(
    real[:, :, :, ::1] dw, real[::1] db, const real[:, :, :, ::1] x, const real[:, :, :, ::1] dout,
    tuple sizes, char[::1] scratch
):
    """Write the gradients of the parameters to dw and db; db may be None."""
    cdef cnet_window g = _conv_window(x, dw, dout, sizes)
    cdef Py_ssize_t n = x.shape[0]
    if db is not None:
        _check1("db", db.shape[0], g.filters)
    cdef int threads = _conv_threads(&g, n, scratch), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _conv_backward_params_chunk(
                &g, n, ith, threads, _out4(dw), _out1(db), _in4(x), _in4(dout), False, &scratch[0]
            )


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


cdef void _run_conv(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t end = _chunk_begin(block.m, ith + 1, nth)
    cdef Py_ssize_t images = _images_between_looks(c, block, end - start), n
    while start < end and not _is_aborted(block, ith):
        n = min(images, end - start)
        _conv_forward_images(&c.g, start, n, ith, c.out, _input(block, c.x), c.w, c.b, c.scratch)
        start += n
    if c.activation != NONE:
        _activate_chunk(block.m, _out_image(&c.g), ith, nth, c.out, c.out, c.activation, c.slope)


cdef void _run_conv_input(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t end = _chunk_begin(block.m, ith + 1, nth)
    cdef Py_ssize_t images = _images_between_looks(c, block, end - start), n
    while start < end and not _is_aborted(block, ith):
        n = min(images, end - start)
        _conv_backward_input_images(&c.g, start, n, ith, c.out, c.dout, c.w, c.scratch)
        start += n


cdef void _run_conv_params(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Convolution *c = <const Convolution *> arguments
    cdef Py_ssize_t start = 0, images = _images_between_looks(c, block, block.m), n
    cdef const real *x = _input(block, c.x)
    while start < block.m and not _is_aborted(block, ith):
        n = min(images, block.m - start)
        _conv_backward_params_chunk(
            &c.g, n, ith, nth, c.dw, c.db, x + start * _image(&c.g),
            c.dout + start * _out_image(&c.g), block.start + start > 0, c.scratch
        )
        start += n


cdef Py_ssize_t _images_between_looks(
    const Convolution *c, const Block *block, Py_ssize_t n
) noexcept nogil:
    """How many of n images to take at a time: all where no interrupt is looked for. Sums are
    over groups of up to IMAGES_AT_A_TIME.
    """
    return n if block.watch == NULL else _count_between_checks(_conv_flops(&c.g), IMAGES_AT_A_TIME)


cdef Convolution _convolution(
    Program program, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w,
    const real[:, :, :, ::1] out, tuple sizes, char[::1] scratch
) except *:
    """One between x and out, or their gradients, with scratch for each thread of the program."""
    cdef Convolution c
    memset(&c, 0, sizeof(c))
    c.g = _conv_window(x, w, out, sizes)
    program.check_capacity(x.shape[0])
    if scratch.shape[0] < program.threads * kernels().conv_scratch(&c.g):
        raise ValueError(
            f"scratch has {scratch.shape[0]} bytes, expected {kernels().conv_scratch(&c.g)} "
            f"for each of {program.threads} threads"
        )
    c.scratch = &scratch[0]
    c.activation = NONE
    program.flops_per_row += _conv_flops(&c.g)
    return c


def program_conv(
    Program program, real[:, :, :, ::1] out, const real[:, :, :, ::1] x, const real[:, :, :, ::1] w,
    const real[::1] b, tuple sizes, char[::1] scratch, int activation, real slope
):
    """Add: out = f(the convolution of x with w, plus b), with f an activation or NONE; b may be
    None.
    """
    cdef Convolution c = _convolution(program, x, w, out, sizes, scratch)
    if b is not None:
        _check1("b", b.shape[0], c.g.filters)
    c.x, c.w, c.b, c.out = _in4(x), _in4(w), _in1(b), _out4(out)
    c.activation, c.slope = activation, slope
    program.append(PER_SAMPLE, _run_conv, &c, sizeof(c), (out, x, w, b, scratch))


def program_conv_input(
    Program program, real[:, :, :, ::1] dx, const real[:, :, :, ::1] dout,
    const real[:, :, :, ::1] w, tuple sizes, char[::1] scratch
):
    """Add: dx = the gradient of the input."""
    cdef Convolution c = _convolution(program, dx, w, dout, sizes, scratch)
    c.dout, c.w, c.out = _in4(dout), _in4(w), _out4(dx)
    program.append(PER_SAMPLE, _run_conv_input, &c, sizeof(c), (dx, dout, w, scratch))


def program_conv_params(
    Program program, real[:, :, :, ::1] dw, real[::1] db, const real[:, :, :, ::1] x,
    const real[:, :, :, ::1] dout, tuple sizes, char[::1] scratch
):
    """Add: dw and db = the gradients of the parameters, for `program_update`; db may be None."""
    cdef Convolution c = _convolution(program, x, dw, dout, sizes, scratch)
    if db is not None:
        _check1("db", db.shape[0], c.g.filters)
    c.x, c.dout, c.dw, c.db = _in4(x), _in4(dout), _out4(dw), _out1(db)
    program.append(WEIGHT_GRADS, _run_conv_params, &c, sizeof(c), (dw, db, x, dout, scratch))
