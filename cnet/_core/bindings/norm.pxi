# Layer and batch normalization: x (m, n), w and b (n,), out (m, n), and their gradients.
#
# Layer normalization is over each row, batch normalization over each column. w and b may be None:
# 1 and 0. The gradients need xhat (m, n), the normalized x, and rstd, the reciprocal deviation of
# each row or column.
#
# Sums along columns are computed for blocks of rows, into scratch (norm_blocks(m), 2 * n), by all
# threads. One thread merges them in the order of blocks. In a program, a sample may be several rows
# here: an image has one for each pixel.


cdef inline Py_ssize_t _blocks(Py_ssize_t m) noexcept nogil:
    cdef Py_ssize_t block = cnet_block_length(m)
    return (m + block - 1) // block if block else 0


def norm_blocks(Py_ssize_t m):
    """Number of rows of scratch for m rows of x."""
    return _blocks(m)


cdef inline int _norm_threads(Py_ssize_t m, Py_ssize_t n) noexcept nogil:
    return threads_for(<double> m * n, ELEMENTS_PER_THREAD, ALL)


# The functions below compute the chunk of a thread. Some get m groups of `group` rows each, and do
# not split a group.


cdef void _norm_rows_chunk(
    Py_ssize_t m, Py_ssize_t group, Py_ssize_t n, int ith, int nth, real *out, real *xhat,
    real *rstd, const real *x, const real *w, const real *b, real eps
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * group
    cdef Py_ssize_t rows = _chunk_begin(m, ith + 1, nth) * group - start
    kernels().norm_rows(
        rows, n, x + start * n, w, b, eps, out + start * n,
        xhat + start * n if xhat != NULL else NULL, rstd + start if rstd != NULL else NULL
    )


cdef void _norm_rows_backward_chunk(
    Py_ssize_t m, Py_ssize_t group, Py_ssize_t n, int ith, int nth, real *dx, const real *dout,
    const real *xhat, const real *rstd, const real *w
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * group
    cdef Py_ssize_t rows = _chunk_begin(m, ith + 1, nth) * group - start
    kernels().norm_rows_backward(
        rows, n, dout + start * n, xhat + start * n, rstd + start, w, dx + start * n
    )


cdef void _column_moments_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *scratch, const real *x
) noexcept nogil:
    cdef Py_ssize_t block = cnet_block_length(m), i
    for i in range(_chunk_begin(_blocks(m), ith, nth), _chunk_begin(_blocks(m), ith + 1, nth)):
        kernels().column_moments(
            min(block, m - i * block), n, x + i * block * n, scratch + i * 2 * n
        )


cdef void _column_products_chunk(
    Py_ssize_t m, Py_ssize_t n, int ith, int nth, real *scratch, const real *dout,
    const real *xhat
) noexcept nogil:
    cdef Py_ssize_t block = cnet_block_length(m), i
    for i in range(_chunk_begin(_blocks(m), ith, nth), _chunk_begin(_blocks(m), ith + 1, nth)):
        kernels().column_products(
            min(block, m - i * block), n, dout + i * block * n, xhat + i * block * n,
            scratch + i * 2 * n
        )


cdef void _norm_columns_chunk(
    Py_ssize_t m, Py_ssize_t group, Py_ssize_t n, int ith, int nth, real *out, real *xhat,
    const real *x, const real *mean, const real *rstd, const real *w, const real *b
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * group
    cdef Py_ssize_t rows = _chunk_begin(m, ith + 1, nth) * group - start
    kernels().norm_columns(rows, n, x + start * n, mean, rstd, w, b, out + start * n,
                           xhat + start * n if xhat != NULL else NULL)


cdef void _norm_columns_backward_chunk(
    Py_ssize_t m, Py_ssize_t group, Py_ssize_t n, int ith, int nth, real *dx, const real *dout,
    const real *xhat, const real *rstd, const real *w, const real *sums
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth) * group
    cdef Py_ssize_t rows = _chunk_begin(m, ith + 1, nth) * group - start
    kernels().norm_columns_backward(
        rows, n, m * group, dout + start * n, xhat + start * n, rstd, w, sums, dx + start * n
    )


cdef int _check_params(const real[::1] w, const real[::1] b, Py_ssize_t n) except -1:
    if w is not None:
        _check1("w", w.shape[0], n)
    if b is not None:
        _check1("b", b.shape[0], n)
    return 0


def layer_norm_forward(
    real[:, ::1] out, real[:, ::1] xhat, real[::1] rstd, const real[:, ::1] x, const real[::1] w,
    const real[::1] b, real eps
):
    """Write xhat * w + b to out, with xhat the normalized rows of x.

    xhat (m, n) and rstd (m,) get the normalized x and the reciprocal deviations, which the gradient
    needs. Both may be None.
    """
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    if xhat is not None:
        _check2("xhat", xhat.shape[0], xhat.shape[1], m, n)
    if rstd is not None:
        _check1("rstd", rstd.shape[0], m)
    _check_params(w, b, n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _norm_rows_chunk(
                m, 1, n, ith, threads, _out2(out), _out2(xhat), _out1(rstd), _in2(x), _in1(w),
                _in1(b), eps
            )


def layer_norm_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat, const real[::1] rstd,
    const real[::1] w
):
    """Write to dx the gradient of the input of a layer normalization."""
    cdef Py_ssize_t m = xhat.shape[0], n = xhat.shape[1]
    _check2("dx", dx.shape[0], dx.shape[1], m, n)
    _check2("dout", dout.shape[0], dout.shape[1], m, n)
    _check1("rstd", rstd.shape[0], m)
    _check_params(w, None, n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _norm_rows_backward_chunk(
                m, 1, n, ith, threads, _out2(dx), _in2(dout), _in2(xhat), _in1(rstd), _in1(w)
            )


def norm_backward_params(
    real[:, ::1] sums, const real[:, ::1] dout, const real[:, ::1] xhat, real[:, ::1] scratch
):
    """Write db and dw, the gradients of b and w of either normalization, to sums (2, n)."""
    cdef Py_ssize_t m = xhat.shape[0], n = xhat.shape[1]
    _check2("sums", sums.shape[0], sums.shape[1], 2, n)
    _check2("dout", dout.shape[0], dout.shape[1], m, n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(m), 2 * n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _column_products_chunk(m, n, ith, threads, _out2(scratch), _in2(dout), _in2(xhat))
        kernels().column_sums(_blocks(m), 2 * n, _in2(scratch), 2 * n, _out2(sums), 0, False)


def batch_norm_moments(real[::1] mean, real[::1] var, const real[:, ::1] x, real[:, ::1] scratch):
    """Write the mean and the variance (divided by m, not m - 1) of each column of x."""
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check1("mean", mean.shape[0], n)
    _check1("var", var.shape[0], n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(m), 2 * n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _column_moments_chunk(m, n, ith, threads, _out2(scratch), _in2(x))
        kernels().merge_moments(m, n, _in2(scratch), _out1(mean), _out1(var))


def batch_norm_track(
    real[::1] running_mean, real[::1] running_var, const real[::1] mean, const real[::1] var,
    real loss_weight, Py_ssize_t m
):
    """Move the running mean and variance by a fraction toward those of m rows, m >= 2."""
    cdef Py_ssize_t n = mean.shape[0]
    _check1("var", var.shape[0], n)
    _check1("running_mean", running_mean.shape[0], n)
    _check1("running_var", running_var.shape[0], n)
    with nogil:
        kernels().track_moments(
            m, n, _in1(mean), _in1(var), loss_weight, _out1(running_mean), _out1(running_var)
        )


def batch_norm_forward(
    real[:, ::1] out, real[:, ::1] xhat, real[::1] rstd, const real[:, ::1] x, const real[::1] mean,
    const real[::1] var, const real[::1] w, const real[::1] b, real eps
):
    """Write xhat * w + b to out, with xhat the columns of x, normalized by mean and var.

    xhat (m, n) and rstd (n,) get the normalized x and the reciprocal deviations, which the gradient
    needs. xhat may be None.
    """
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    _check2("out", out.shape[0], out.shape[1], m, n)
    if xhat is not None:
        _check2("xhat", xhat.shape[0], xhat.shape[1], m, n)
    _check1("rstd", rstd.shape[0], n)
    _check1("mean", mean.shape[0], n)
    _check1("var", var.shape[0], n)
    _check_params(w, b, n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        kernels().inverse_deviation(n, _in1(var), eps, _out1(rstd))
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _norm_columns_chunk(
                m, 1, n, ith, threads, _out2(out), _out2(xhat), _in2(x), _in1(mean), _in1(rstd),
                _in1(w), _in1(b)
            )


def batch_norm_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat, const real[::1] rstd,
    const real[::1] w, const real[:, ::1] sums
):
    """Write to dx the gradient of the input of a batch normalization.

    sums (2, n) comes from norm_backward_params.
    """
    cdef Py_ssize_t m = xhat.shape[0], n = xhat.shape[1]
    _check2("dx", dx.shape[0], dx.shape[1], m, n)
    _check2("dout", dout.shape[0], dout.shape[1], m, n)
    _check2("sums", sums.shape[0], sums.shape[1], 2, n)
    _check1("rstd", rstd.shape[0], n)
    _check_params(w, None, n)
    cdef int threads = _norm_threads(m, n), ith
    with nogil:
        for ith in prange(
            threads, schedule="static", num_threads=threads, use_threads_if=threads > 1
        ):
            _norm_columns_backward_chunk(
                m, 1, n, ith, threads, _out2(dx), _in2(dout), _in2(xhat), _in1(rstd), _in1(w),
                _in2(sums)
            )


cdef struct Norm:
    Py_ssize_t n, group  # elements of a row, rows of a sample
    real eps
    const real *x        # or dout
    const real *w
    const real *b
    real *out            # or dx
    real *xhat
    real *rstd
    real *scratch
    real *sums
    # Batch normalization
    real *mean
    real *var
    real *running_mean
    real *running_var
    int64_t *tracked
    double momentum      # below 0: average over all batches


cdef void _run_layer_norm(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    _norm_rows_chunk(
        block.m, a.group, a.n, ith, nth, a.out, a.xhat, a.rstd, _input(block, a.x), a.w, a.b,
        a.eps
    )


cdef void _run_layer_norm_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    _norm_rows_backward_chunk(block.m, a.group, a.n, ith, nth, a.out, a.x, a.xhat, a.rstd, a.w)


cdef void _run_column_products(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    _column_products_chunk(block.m * a.group, a.n, ith, nth, a.scratch, a.x, a.xhat)


cdef void _run_column_sums(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    if ith == 0:
        kernels().column_sums(
            _blocks(block.m * a.group), 2 * a.n, a.scratch, 2 * a.n, a.sums, 0, False
        )


cdef void _run_column_moments(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    _column_moments_chunk(block.m * a.group, a.n, ith, nth, a.scratch, _input(block, a.x))


cdef void _run_merge_moments(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t m = block.m * a.group
    if ith == 0:
        kernels().merge_moments(m, a.n, a.scratch, a.mean, a.var)
        kernels().inverse_deviation(a.n, a.var, a.eps, a.rstd)


cdef void _run_track_moments(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    if ith == 0:
        a.tracked[0] += 1
        kernels().track_moments(
            block.m * a.group, a.n, a.mean, a.var,
            <real> (a.momentum if a.momentum >= 0 else 1 / <double> a.tracked[0]), a.running_mean,
            a.running_var
        )


cdef void _run_batch_norm(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    """With the moments of the batch; or, if mean is NULL, with the running moments.

    The running moments may have changed, so each thread computes their rstd, in its own row of
    scratch.
    """
    cdef const Norm *a = <const Norm *> arguments
    cdef const real *mean = a.mean
    cdef real *rstd = a.rstd
    if mean == NULL:
        mean, rstd = a.running_mean, a.scratch + ith * a.n
        kernels().inverse_deviation(a.n, a.running_var, a.eps, rstd)
    _norm_columns_chunk(
        block.m, a.group, a.n, ith, nth, a.out, a.xhat, _input(block, a.x), mean, rstd, a.w, a.b
    )


cdef void _run_batch_norm_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    _norm_columns_backward_chunk(
        block.m, a.group, a.n, ith, nth, a.out, a.x, a.xhat, a.rstd, a.w, a.sums
    )


cdef Norm _norm(Program program, const real[:, ::1] x, const real[:, ::1] xhat) except *:
    """The fields of Norm that all calls need. x may be the gradient dout; xhat may be None."""
    cdef Norm a
    memset(&a, 0, sizeof(a))
    a.n, a.group = x.shape[1], x.shape[0] // program.capacity
    program.check_capacity(x.shape[0] // max(a.group, <Py_ssize_t> 1))
    if xhat is not None:
        _check2("xhat", xhat.shape[0], xhat.shape[1], x.shape[0], x.shape[1])
    a.x, a.xhat = _in2(x), <real *> _in2(xhat)
    program.flops_per_row += 10.0 * a.group * a.n
    return a


def program_layer_norm(
    Program program, real[:, ::1] out, real[:, ::1] xhat, real[::1] rstd, const real[:, ::1] x,
    const real[::1] w, const real[::1] b, real eps
):
    """Add: out = xhat * w + b, with xhat the normalized rows of x.

    xhat and rstd are as in `layer_norm_forward`.
    """
    cdef Norm a = _norm(program, x, xhat)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    if rstd is not None:
        _check1("rstd", rstd.shape[0], x.shape[0])
    _check_params(w, b, a.n)
    a.out, a.rstd, a.w, a.b, a.eps = _out2(out), _out1(rstd), _in1(w), _in1(b), eps
    program.append(PER_SAMPLE, _run_layer_norm, &a, sizeof(a), (out, xhat, rstd, x, w, b))


def program_layer_norm_backward(
    Program program, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat,
    real[::1] rstd, const real[::1] w
):
    """Add: dx = the gradient of the input of a layer normalization."""
    cdef Norm a = _norm(program, dout, xhat)
    _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
    _check1("rstd", rstd.shape[0], dout.shape[0])
    _check_params(w, None, a.n)
    a.out, a.rstd, a.w = _out2(dx), _out1(rstd), _in1(w)
    program.append(PER_SAMPLE, _run_layer_norm_backward, &a, sizeof(a), (dx, dout, xhat, rstd, w))


def program_norm_params(
    Program program, real[:, ::1] sums, const real[:, ::1] dout, const real[:, ::1] xhat,
    real[:, ::1] scratch
):
    """Add: sums (2, n) = db and dw, the gradients of b and w of either normalization."""
    cdef Norm a = _norm(program, dout, xhat)
    _check2("sums", sums.shape[0], sums.shape[1], 2, a.n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(dout.shape[0]), 2 * a.n)
    a.sums, a.scratch = _out2(sums), _out2(scratch)
    program.append(
        PER_SAMPLE, _run_column_products, &a, sizeof(a), (sums, dout, xhat, scratch),
        needs_barrier=True
    )
    program.append(PER_SAMPLE, _run_column_sums, &a, sizeof(a), (), needs_barrier=True)


def program_batch_norm(
    Program program, real[:, ::1] out, const real[:, ::1] x, const real[::1] running_mean,
    const real[::1] running_var, const real[::1] w, const real[::1] b, real eps,
    real[:, ::1] scratch
):
    """Add: out = xhat * w + b, with xhat the columns of x, normalized by the running moments.

    scratch is (threads, n).
    """
    cdef Norm a = _norm(program, x, None)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    _check1("running_mean", running_mean.shape[0], a.n)
    _check1("running_var", running_var.shape[0], a.n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], program.threads, a.n)
    _check_params(w, b, a.n)
    a.out, a.w, a.b, a.eps, a.scratch = _out2(out), _in1(w), _in1(b), eps, _out2(scratch)
    # These are only read.
    a.running_mean, a.running_var = <real *> _in1(running_mean), <real *> _in1(running_var)
    program.append(
        PER_SAMPLE, _run_batch_norm, &a, sizeof(a),
        (out, x, running_mean, running_var, w, b, scratch)
    )


def program_batch_norm_training(
    Program program, real[:, ::1] out, real[:, ::1] xhat, real[:, ::1] moments,
    const real[:, ::1] x, real[::1] running_mean, real[::1] running_var, int64_t[::1] tracked,
    const real[::1] w, const real[::1] b, real eps, double momentum, real[:, ::1] scratch
):
    """Add: out = xhat * w + b, with xhat the normalized columns of x; update the running moments.

    moments (3, n) gets mean, variance and reciprocal deviation; the gradient needs the last, and
    xhat. With a momentum below 0, the running moments are averages over all batches, whose number
    is in tracked.
    """
    cdef Norm a = _norm(program, x, xhat)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    _check2("moments", moments.shape[0], moments.shape[1], 3, a.n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(x.shape[0]), 2 * a.n)
    _check1("running_mean", running_mean.shape[0], a.n)
    _check1("running_var", running_var.shape[0], a.n)
    _check1("tracked", tracked.shape[0], 1)
    _check_params(w, b, a.n)
    a.mean, a.var, a.rstd = &moments[0, 0], &moments[1, 0], &moments[2, 0]
    a.running_mean, a.running_var = _out1(running_mean), _out1(running_var)
    a.tracked, a.momentum = &tracked[0], momentum
    a.out, a.w, a.b, a.eps, a.scratch = _out2(out), _in1(w), _in1(b), eps, _out2(scratch)
    program.append(
        PER_SAMPLE, _run_column_moments, &a, sizeof(a),
        (out, xhat, moments, x, running_mean, running_var, tracked, w, b, scratch),
        needs_barrier=True
    )
    program.append(PER_SAMPLE, _run_merge_moments, &a, sizeof(a), (), needs_barrier=True)
    program.append(PER_SAMPLE, _run_batch_norm, &a, sizeof(a), (), needs_barrier=True)
    program.append(TRACK, _run_track_moments, &a, sizeof(a), ())


def program_batch_norm_backward(
    Program program, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat,
    real[:, ::1] moments, const real[::1] w, real[:, ::1] sums
):
    """Add: dx = the gradient of the input of a batch normalization.

    sums (2, n) comes from `program_norm_params`.
    """
    cdef Norm a = _norm(program, dout, xhat)
    _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
    _check2("moments", moments.shape[0], moments.shape[1], 3, a.n)
    _check2("sums", sums.shape[0], sums.shape[1], 2, a.n)
    _check_params(w, None, a.n)
    a.out, a.rstd, a.w, a.sums = _out2(dx), &moments[2, 0], _in1(w), _out2(sums)
    program.append(
        PER_SAMPLE, _run_batch_norm_backward, &a, sizeof(a), (dx, dout, xhat, moments, w, sums),
        needs_barrier=True
    )
