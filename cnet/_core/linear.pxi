# The dense layer: x (B, I), w (I, O), b (O,), out = x @ w + b, and its gradients.


cdef struct Cut:
    int rows
    int cols


cdef Cut _cut(Py_ssize_t m, Py_ssize_t n, Py_ssize_t lanes, int threads) noexcept nogil:
    """How to cut an (m, n) output among threads: by columns, unless rows come out clearly more even.

    Columns of w then stay with one core from the forward product to the update.
    """
    cdef Cut best = Cut(threads, 1), cut
    cdef double biggest, smallest_biggest = (m + threads - 1) // threads * <double> n
    cdef Py_ssize_t vectors = (n + lanes - 1) // lanes
    cdef int cols
    for cols in range(2, threads + 1):
        cut = Cut(threads // cols, cols)
        biggest = <double> ((m + cut.rows - 1) // cut.rows) * min(n, (vectors + cols - 1) // cols * lanes)
        if biggest <= 1.05 * smallest_biggest:
            smallest_biggest = min(biggest, smallest_biggest)
            best = cut
    return best


cdef void _gemm_part(const cnet_kernels *k, const cnet_gemm *g, Cut cut, int part) noexcept nogil:
    """Columns are cut at whole vectors, so that only the last part has a narrow tile."""
    cdef Py_ssize_t vectors = (g.n + k.lanes - 1) // k.lanes
    cdef Py_ssize_t row = _start(g.m, part // cut.cols, cut.rows)
    cdef Py_ssize_t row_end = _start(g.m, part // cut.cols + 1, cut.rows)
    cdef Py_ssize_t col = min(g.n, _start(vectors, part % cut.cols, cut.cols) * k.lanes)
    cdef Py_ssize_t col_end = min(g.n, _start(vectors, part % cut.cols + 1, cut.cols) * k.lanes)
    cdef cnet_gemm p = g[0]
    p.m = row_end - row
    p.n = col_end - col
    p.a += row * g.a_row
    p.b += col * g.b_col
    p.c += row * g.c_row + col * g.c_col
    if p.bias != NULL:
        p.bias += col
    if p.m and p.n:
        k.gemm(&p)


cdef void _gemm(const cnet_gemm *g) noexcept nogil:
    cdef const cnet_kernels *k = kernels()
    cdef int threads = threads_for(2.0 * g.m * g.n * g.k, FLOPS_PER_THREAD), part
    cdef Cut cut = _cut(g.m, g.n, k.lanes, threads)
    for part in prange(cut.rows * cut.cols, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _gemm_part(k, g, cut, part)


def linear_forward(real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b):
    """Write x @ w + b to out; b may be None."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    _check2("w", w.shape[0], O, I, O)
    _check2("out", out.shape[0], out.shape[1], B, O)
    if b is not None:
        _check1("b", b.shape[0], O)
    cdef cnet_gemm g = cnet_gemm(B, O, I, _in2(x), I, 1, _in2(w), O, 1, _out2(out), O, 1, _in1(b))
    if B and O:
        with nogil:
            _gemm(&g)


def linear_backward_input(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w):
    """Write dout @ w.T to dx."""
    cdef Py_ssize_t B = dout.shape[0], I = w.shape[0], O = w.shape[1]
    _check2("dout", B, dout.shape[1], B, O)
    _check2("dx", dx.shape[0], dx.shape[1], B, I)
    cdef cnet_gemm g
    # The product wants rows of its second factor contiguous, and neither w.T nor dout.T is: either w is transposed as
    # it is packed, or dout is and dx is written transposed. Both sum over O in the same order; the cheaper one is taken.
    if 2 * B * (I + O) < I * O:
        g = cnet_gemm(I, B, O, _in2(w), O, 1, _in2(dout), 1, O, _out2(dx), 1, I, NULL)
    else:
        g = cnet_gemm(B, I, O, _in2(dout), O, 1, _in2(w), 1, O, _out2(dx), I, 1, NULL)
    if B and I:
        with nogil:
            _gemm(&g)


def linear_backward_params(real[:, ::1] dw, real[::1] db, const real[:, ::1] x, const real[:, ::1] dout):
    """Write x.T @ dout to dw and the column sums of dout to db; db may be None."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = dout.shape[1]
    _check2("dout", dout.shape[0], O, B, O)
    _check2("dw", dw.shape[0], dw.shape[1], I, O)
    if db is not None:
        _check1("db", db.shape[0], O)
    cdef cnet_gemm g = cnet_gemm(I, O, B, _in2(x), 1, I, _in2(dout), O, 1, _out2(dw), O, 1, NULL)
    with nogil:
        if I and O:
            _gemm(&g)
        if db is not None and O:
            kernels().column_sums(B, O, _in2(dout), O, _out1(db))
