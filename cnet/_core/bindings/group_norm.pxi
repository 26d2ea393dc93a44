# Group normalization: x (m * pixels, n), out alike, w and b (n,). The n channels of a sample form
# `groups` groups of consecutive channels; each group of each sample is normalized by its own mean
# and variance, over its channels and all pixels (Wu and He 2018):
#
#   xhat = (x - mean) * rstd, rstd = 1 / sqrt(var + eps), out = w * xhat + b
#
# moments (m, 2 * n) holds the mean and rstd of each channel's group. A thread processes samples by
# itself, with its own scratch.


cdef struct GroupNorm:
    Py_ssize_t n, groups, pixels
    Py_ssize_t scratch_size  # elements for each thread
    int limit                # threads that there is scratch for
    real eps
    const real *x            # or dout
    const real *w
    const real *b
    real *out                # or dx
    real *xhat
    real *moments
    real *scratch


def group_norm_scratch(Py_ssize_t pixels, Py_ssize_t n) -> int:
    """Elements of scratch for each thread."""
    return 2 * n * (_blocks(pixels) + 2)


cdef void _run_group_norm(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const GroupNorm *a = <const GroupNorm *> arguments
    cdef Py_ssize_t n = a.n, width = n // a.groups, blocks = _blocks(a.pixels), i, g, j, at
    cdef real *sums = a.scratch + ith * a.scratch_size
    cdef const real *x
    cdef real *mean
    cdef real *rstd
    cdef double average, variance
    for i in range(_chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth)):
        at = i * a.pixels * n
        x, mean = _input(block, a.x) + at, a.moments + i * 2 * n
        rstd = mean + n
        _block_moments(a.pixels, n, 0, blocks, x, sums)
        kernels().merge_moments(a.pixels, n, sums, mean, rstd)
        # The variance of a group is the mean of its channels' variances, plus the variance of
        # their means.
        for g in range(a.groups):
            average = variance = 0
            for j in range(g * width, (g + 1) * width):
                average += mean[j]
            average /= width
            for j in range(g * width, (g + 1) * width):
                variance += rstd[j] + (mean[j] - average) * (mean[j] - average)
            for j in range(g * width, (g + 1) * width):
                mean[j], rstd[j] = <real> average, <real> (1 / sqrt(variance / width + a.eps))
        kernels().norm_columns(
            a.pixels, n, x, mean, rstd, a.w, a.b, a.out + at,
            a.xhat + at if a.xhat != NULL else NULL
        )


cdef void _run_group_norm_backward(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    """dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = w * dout, and means over a
    group.
    """
    cdef const GroupNorm *a = <const GroupNorm *> arguments
    cdef Py_ssize_t n = a.n, width = n // a.groups, blocks = _blocks(a.pixels), i, g, j, at
    cdef real *zeros = a.scratch + ith * a.scratch_size
    cdef real *sums = zeros + 2 * n
    cdef real *block_sums = sums + 2 * n
    cdef const real *dout
    cdef double total, products, w
    memset(zeros, 0, n * sizeof(real))
    for i in range(_chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth)):
        at = i * a.pixels * n
        dout = a.x + at
        _block_products(a.pixels, n, 0, blocks, dout, a.xhat + at, block_sums)
        kernels().column_sums(blocks, 2 * n, block_sums, 2 * n, sums, 0, False)
        for g in range(a.groups):
            total = products = 0
            for j in range(g * width, (g + 1) * width):
                w = a.w[j] if a.w != NULL else 1
                total += w * sums[j]
                products += w * sums[n + j]
            for j in range(g * width, (g + 1) * width):
                sums[j], sums[n + j] = <real> total, <real> products
        if a.w != NULL:
            kernels().norm_columns(a.pixels, n, dout, zeros, a.w, NULL, NULL, a.out + at, NULL)
            dout = a.out + at
        kernels().norm_columns_backward(
            a.pixels, n, a.pixels * width, dout, a.xhat + at, a.moments + i * 2 * n + n, NULL, sums,
            a.out + at
        )


cdef GroupNorm _group_norm(
    Program program, const real[:, ::1] x, const real[:, ::1] out, const real[:, ::1] xhat,
    const real[:, ::1] moments, Py_ssize_t groups, const real[::1] w, const real[::1] b,
    real[::1] scratch
) except *:
    cdef GroupNorm a
    cdef Py_ssize_t m = moments.shape[0], rows = x.shape[0]
    cdef int threads = program.threads if program is not None else 1
    memset(&a, 0, sizeof(a))
    a.n, a.groups, a.pixels = x.shape[1], groups, rows // max(m, <Py_ssize_t> 1)
    if groups < 1 or a.n % groups:
        raise ValueError(f"{a.n} channels do not make {groups} groups of one size")
    _check2("x", rows, x.shape[1], m * a.pixels, a.n)
    _check2("out", out.shape[0], out.shape[1], rows, a.n)
    _check2("moments", m, moments.shape[1], m, 2 * a.n)
    if xhat is not None:
        _check2("xhat", xhat.shape[0], xhat.shape[1], rows, a.n)
    if w is not None:
        _check1("w", w.shape[0], a.n)
    if b is not None:
        _check1("b", b.shape[0], a.n)
    a.scratch_size = group_norm_scratch(a.pixels, a.n)
    if scratch.shape[0] < threads * a.scratch_size:
        raise ValueError(
            f"scratch has {scratch.shape[0]} elements, expected {a.scratch_size} for each of "
            f"{threads} threads"
        )
    a.limit = <int> min(
        scratch.shape[0] // max(a.scratch_size, <Py_ssize_t> 1), <Py_ssize_t> ALL
    )
    a.x, a.w, a.b, a.out = _in2(x), _in1(w), _in1(b), <real *> _in2(out)
    a.xhat, a.moments, a.scratch = <real *> _in2(xhat), <real *> _in2(moments), _out1(scratch)
    return a


def group_norm_forward(
    real[:, ::1] out, real[:, ::1] xhat, real[:, ::1] moments, const real[:, ::1] x,
    Py_ssize_t groups, const real[::1] w, const real[::1] b, real eps, real[::1] scratch,
    Program program=None
):
    """out = w * xhat + b; xhat, w and b may be None."""
    cdef GroupNorm a = _group_norm(program, x, out, xhat, moments, groups, w, b, scratch)
    a.eps = eps
    cdef Py_ssize_t m = moments.shape[0], size = a.pixels * a.n
    if not _runs_now(
        program, _run_group_norm, &a, m, ELEMENT_FLOPS * m * size, a.limit, NORM_FLOPS * size
    ):
        program.append(
            PER_SAMPLE, _run_group_norm, &a, sizeof(a), (out, xhat, moments, x, w, b, scratch)
        )


def group_norm_backward(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] xhat,
    const real[:, ::1] moments, Py_ssize_t groups, const real[::1] w, real[::1] scratch,
    Program program=None
):
    """dx = the gradient of the input; w may be None."""
    cdef GroupNorm a = _group_norm(program, dout, dx, xhat, moments, groups, w, None, scratch)
    cdef Py_ssize_t m = moments.shape[0], size = a.pixels * a.n
    if not _runs_now(
        program, _run_group_norm_backward, &a, m, ELEMENT_FLOPS * m * size, a.limit,
        NORM_FLOPS * size
    ):
        program.append(
            PER_SAMPLE, _run_group_norm_backward, &a, sizeof(a),
            (dx, dout, xhat, moments, w, scratch)
        )
