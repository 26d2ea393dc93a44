# Normalization: x (m, n), w and b (n,), out (m, n), and the gradients.
#
# Layer normalization is over each row, batch normalization over each column. xhat (m, n) is the
# normalized x, rstd the reciprocal standard deviation of each row or column; the gradients need
# both. w and b may be None: 1 and 0.
#
# Sums along columns are computed for blocks of rows, into scratch (norm_blocks(m), 2 * n). One
# thread adds them in the order of blocks. A sample has `group` rows: those of an image are its
# pixels.


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


# Operations of a program for each element of a normalization.
cdef double NORM_FLOPS = 10


cdef inline Py_ssize_t _blocks(Py_ssize_t m) noexcept nogil:
    cdef Py_ssize_t block = cnet_block_length(m)
    return (m + block - 1) // block if block else 0


def norm_blocks(Py_ssize_t m) -> int:
    """Rows of scratch for m rows."""
    return _blocks(m)


cdef void _run_layer_norm(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * a.group
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) * a.group - start
    kernels().norm_rows(
        rows, a.n, _input(block, a.x) + start * a.n, a.w, a.b, a.eps, a.out + start * a.n,
        a.xhat + start * a.n if a.xhat != NULL else NULL, a.rstd + start if a.rstd != NULL else NULL
    )


cdef void _run_layer_norm_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * a.group
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) * a.group - start
    kernels().norm_rows_backward(
        rows, a.n, a.x + start * a.n, a.xhat + start * a.n, a.rstd + start, a.w,
        a.out + start * a.n
    )


cdef void _block_products(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t begin, Py_ssize_t end, const real *dout,
    const real *xhat, real *sums
) noexcept nogil:
    """The column sums of dout (m, n) and dout * xhat, of these blocks of rows; sums (blocks, 2,
    n).
    """
    cdef Py_ssize_t length = cnet_block_length(m), i
    for i in range(begin, end):
        kernels().column_products(
            min(length, m - i * length), n, dout + i * length * n, xhat + i * length * n,
            sums + i * 2 * n
        )


cdef void _block_moments(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t begin, Py_ssize_t end, const real *x, real *sums
) noexcept nogil:
    """The moments of the columns of x (m, n), of these blocks of rows; sums (blocks, 2, n)."""
    cdef Py_ssize_t length = cnet_block_length(m), i
    for i in range(begin, end):
        kernels().column_moments(
            min(length, m - i * length), n, x + i * length * n, sums + i * 2 * n
        )


cdef void _run_column_products(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t m = block.m * a.group, blocks = _blocks(m)
    _block_products(
        m, a.n, _chunk_begin(blocks, ith, nth), _chunk_begin(blocks, ith + 1, nth), a.x, a.xhat,
        a.scratch
    )


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
    cdef Py_ssize_t m = block.m * a.group, blocks = _blocks(m)
    _block_moments(
        m, a.n, _chunk_begin(blocks, ith, nth), _chunk_begin(blocks, ith + 1, nth),
        _input(block, a.x), a.scratch
    )


cdef void _run_merge_moments(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    if ith == 0:
        kernels().merge_moments(block.m * a.group, a.n, a.scratch, a.mean, a.var)
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
    """Without a mean: by the running moments. A thread computes rstd for itself, since the running
    variance may have changed since the last call.
    """
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * a.group
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) * a.group - start
    cdef const real *mean = a.mean
    cdef real *rstd = a.rstd
    if mean == NULL:
        mean, rstd = a.running_mean, a.scratch + ith * a.n
        kernels().inverse_deviation(a.n, a.running_var, a.eps, rstd)
    kernels().norm_columns(
        rows, a.n, _input(block, a.x) + start * a.n, mean, rstd, a.w, a.b, a.out + start * a.n,
        a.xhat + start * a.n if a.xhat != NULL else NULL
    )


cdef void _run_batch_norm_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Norm *a = <const Norm *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth) * a.group
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) * a.group - start
    kernels().norm_columns_backward(
        rows, a.n, block.m * a.group, a.x + start * a.n, a.xhat + start * a.n, a.rstd, a.w, a.sums,
        a.out + start * a.n
    )


cdef Norm _norm(
    Program program, const real[:, ::1] x, const real[:, ::1] xhat, const real[::1] w,
    const real[::1] b
) except *:
    """Arguments for x, or for the gradient dout; xhat, w and b may be None."""
    cdef Norm a
    memset(&a, 0, sizeof(a))
    a.n, a.group = x.shape[1], 1
    if program is not None:
        a.group = max(x.shape[0] // program.capacity, <Py_ssize_t> 1)
    if xhat is not None:
        _check2("xhat", xhat.shape[0], xhat.shape[1], x.shape[0], x.shape[1])
    if w is not None:
        _check1("w", w.shape[0], a.n)
    if b is not None:
        _check1("b", b.shape[0], a.n)
    a.x, a.xhat, a.w, a.b = _in2(x), <real *> _in2(xhat), _in1(w), _in1(b)
    return a


cdef int _norm_runs_now(
    Program program, Run run, const Norm *a, Py_ssize_t rows, int limit=ALL
) except -1:
    return _runs_now(
        program, run, a, rows // a.group, ELEMENT_FLOPS * rows * a.n, limit,
        NORM_FLOPS * a.group * a.n
    )


def layer_norm_forward(
    real[:, ::1] out, real[:, ::1] xhat, real[::1] rstd, const real[:, ::1] x, const real[::1] w,
    const real[::1] b, real eps, Program program=None
):
    """out = w * xhat + b, with xhat the rows of x, normalized; xhat and rstd may be None."""
    cdef Norm a = _norm(program, x, xhat, w, b)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    if rstd is not None:
        _check1("rstd", rstd.shape[0], x.shape[0])
    a.out, a.rstd, a.eps = _out2(out), _out1(rstd), eps
    if not _norm_runs_now(program, _run_layer_norm, &a, x.shape[0]):
        program.append(PER_SAMPLE, _run_layer_norm, &a, sizeof(a), (out, xhat, rstd, x, w, b))


def layer_norm_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat, const real[::1] rstd,
    const real[::1] w, Program program=None
):
    """dx = the gradient of the input of layer normalization."""
    cdef Norm a = _norm(program, dout, xhat, w, None)
    _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
    _check1("rstd", rstd.shape[0], dout.shape[0])
    a.out, a.rstd = _out2(dx), <real *> _in1(rstd)
    if not _norm_runs_now(program, _run_layer_norm_backward, &a, dout.shape[0]):
        program.append(
            PER_SAMPLE, _run_layer_norm_backward, &a, sizeof(a), (dx, dout, xhat, rstd, w)
        )


def norm_backward_params(
    real[:, ::1] sums, const real[:, ::1] dout, const real[:, ::1] xhat, real[:, ::1] scratch,
    Program program=None
):
    """sums (2, n) = the gradients of b and of w, for either kind of normalization."""
    cdef Norm a = _norm(program, dout, xhat, None, None)
    _check2("sums", sums.shape[0], sums.shape[1], 2, a.n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(dout.shape[0]), 2 * a.n)
    a.sums, a.scratch = _out2(sums), _out2(scratch)
    if _norm_runs_now(program, _run_column_products, &a, dout.shape[0]):
        _run_now(_run_column_sums, &a, dout.shape[0], 0, 1)
        return
    program.append(
        PER_SAMPLE, _run_column_products, &a, sizeof(a), (sums, dout, xhat, scratch),
        needs_barrier=True
    )
    program.append(PER_SAMPLE, _run_column_sums, &a, sizeof(a), (), needs_barrier=True)


def inverse_deviation(real[::1] rstd, const real[::1] var, real eps):
    """rstd = 1 / sqrt(var + eps)."""
    _check1("var", var.shape[0], rstd.shape[0])
    kernels().inverse_deviation(rstd.shape[0], _in1(var), eps, _out1(rstd))


def batch_norm_moments(
    real[::1] mean, real[::1] var, real[::1] rstd, const real[:, ::1] x, real eps,
    real[:, ::1] scratch, Program program=None
):
    """mean and var (over m, not m - 1) of each column of x; rstd = 1 / sqrt(var + eps)."""
    cdef Norm a = _norm(program, x, None, None, None)
    _check1("mean", mean.shape[0], a.n)
    _check1("var", var.shape[0], a.n)
    _check1("rstd", rstd.shape[0], a.n)
    _check2("scratch", scratch.shape[0], scratch.shape[1], _blocks(x.shape[0]), 2 * a.n)
    a.mean, a.var, a.rstd, a.eps = _out1(mean), _out1(var), _out1(rstd), eps
    a.scratch = _out2(scratch)
    if _runs_now(
        program, _run_column_moments, &a, x.shape[0] // a.group, ELEMENT_FLOPS * x.shape[0] * a.n
    ):
        _run_now(_run_merge_moments, &a, x.shape[0], 0, 1)
        return
    program.append(
        PER_SAMPLE, _run_column_moments, &a, sizeof(a), (mean, var, rstd, x, scratch),
        needs_barrier=True
    )
    program.append(PER_SAMPLE, _run_merge_moments, &a, sizeof(a), (), needs_barrier=True)


def batch_norm_track(
    real[::1] running_mean, real[::1] running_var, int64_t[::1] tracked, const real[:, ::1] x,
    const real[::1] mean, const real[::1] var, double momentum, Program program=None
):
    """running = (1 - momentum) * running + momentum * moments of a batch x, and tracked += 1. A
    momentum below 0 takes the mean over all batches.
    """
    cdef Norm a = _norm(program, x, None, None, None)
    _check1("running_mean", running_mean.shape[0], a.n)
    _check1("running_var", running_var.shape[0], a.n)
    _check1("tracked", tracked.shape[0], 1)
    _check1("mean", mean.shape[0], a.n)
    _check1("var", var.shape[0], a.n)
    a.mean, a.var, a.momentum = <real *> _in1(mean), <real *> _in1(var), momentum
    a.running_mean, a.running_var = _out1(running_mean), _out1(running_var)
    a.tracked = &tracked[0]
    if not _runs_now(program, _run_track_moments, &a, x.shape[0] // a.group, 0, 1):
        program.append(
            TRACK, _run_track_moments, &a, sizeof(a),
            (running_mean, running_var, tracked, mean, var)
        )


def batch_norm_forward(
    real[:, ::1] out, real[:, ::1] xhat, const real[:, ::1] x, const real[::1] mean,
    const real[::1] rstd, const real[::1] w, const real[::1] b, Program program=None
):
    """out = w * xhat + b, with xhat = (x - mean) * rstd; xhat may be None."""
    cdef Norm a = _norm(program, x, xhat, w, b)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    _check1("mean", mean.shape[0], a.n)
    _check1("rstd", rstd.shape[0], a.n)
    a.out, a.mean, a.rstd = _out2(out), <real *> _in1(mean), <real *> _in1(rstd)
    if not _norm_runs_now(program, _run_batch_norm, &a, x.shape[0]):
        program.append(
            PER_SAMPLE, _run_batch_norm, &a, sizeof(a), (out, xhat, x, mean, rstd, w, b),
            needs_barrier=True
        )


def batch_norm_inference(
    real[:, ::1] out, const real[:, ::1] x, const real[::1] running_mean,
    const real[::1] running_var, const real[::1] w, const real[::1] b, real eps,
    real[:, ::1] scratch, Program program=None
):
    """out = w * (x - running_mean) / sqrt(running_var + eps) + b. scratch (threads, n) bounds the
    number of threads.
    """
    cdef Norm a = _norm(program, x, None, w, b)
    _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
    _check1("running_mean", running_mean.shape[0], a.n)
    _check1("running_var", running_var.shape[0], a.n)
    _check2(
        "scratch", scratch.shape[0], scratch.shape[1],
        program.threads if program is not None else max(scratch.shape[0], <Py_ssize_t> 1), a.n
    )
    a.out, a.eps, a.scratch = _out2(out), eps, _out2(scratch)
    # These are only read.
    a.running_mean, a.running_var = <real *> _in1(running_mean), <real *> _in1(running_var)
    if not _norm_runs_now(
        program, _run_batch_norm, &a, x.shape[0], <int> min(scratch.shape[0], <Py_ssize_t> ALL)
    ):
        program.append(
            PER_SAMPLE, _run_batch_norm, &a, sizeof(a),
            (out, x, running_mean, running_var, w, b, scratch)
        )


def batch_norm_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat, const real[::1] rstd,
    const real[::1] w, const real[:, ::1] sums, Program program=None
):
    """dx = the gradient of the input of batch normalization; sums is the result of
    `norm_backward_params`.
    """
    cdef Norm a = _norm(program, dout, xhat, w, None)
    _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
    _check2("sums", sums.shape[0], sums.shape[1], 2, a.n)
    _check1("rstd", rstd.shape[0], a.n)
    a.out, a.rstd, a.sums = _out2(dx), <real *> _in1(rstd), <real *> _in2(sums)
    if not _norm_runs_now(program, _run_batch_norm_backward, &a, dout.shape[0]):
        program.append(
            PER_SAMPLE, _run_batch_norm_backward, &a, sizeof(a), (dx, dout, xhat, rstd, w, sums),
            needs_barrier=True
        )
