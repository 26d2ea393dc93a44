# The dense layer: x (B, I), w (I, O), b (O,), out = x @ w + b, and its gradients.
#
# A product may carry work on its result that is done while the result is still in the cache of the thread that made it:
# an activation (forward), the derivative of one (backward), or a step of SGD with the gradient, which then is never
# written to memory as a whole. The arithmetic is that of the separate kernels, so the bits are the same.


cdef struct Cut:
    int rows
    int cols


cdef struct Product:
    cnet_gemm gemm
    int activation  # one of RELU, ...; NONE for none
    real slope
    const real *output  # of the activation, laid out like gemm.c: multiply by the derivative there instead of activating
    const cnet_sgd *sgd  # or NULL; else gemm.c is scratch (see _scratch_size), and w and v are laid out like the gradient
    real *w
    real *v             # may be NULL
    int most_parts      # that the scratch has room for

cdef int NONE = -1


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


cdef enum:
    SCRATCH_COLS = 256


cdef inline Py_ssize_t _scratch_rows(Py_ssize_t n) noexcept nogil:
    """Rows of a gradient with n columns that a thread makes before it uses them up: few, to stay in the level-1 cache,
    unless n is so large that the product copies its factors into another order, which pays for many rows only."""
    return 48 if n < SCRATCH_COLS else CNET_PACKED_ROWS


cdef inline Py_ssize_t _scratch_size(Py_ssize_t n) noexcept nogil:
    """Elements of scratch for each part of a gradient with n columns."""
    return _scratch_rows(n) * min(n, <Py_ssize_t> SCRATCH_COLS)


cdef void _multiply_part(const cnet_kernels *k, const Product *whole, Cut cut, int part) noexcept nogil:
    """Columns are cut at whole vectors, so that only the last part has a narrow tile."""
    cdef cnet_gemm p = whole.gemm
    cdef Py_ssize_t vectors = (p.n + k.lanes - 1) // k.lanes
    cdef Py_ssize_t row = _start(p.m, part // cut.cols, cut.rows)
    cdef Py_ssize_t row_end = _start(p.m, part // cut.cols + 1, cut.rows)
    cdef Py_ssize_t col = min(p.n, _start(vectors, part % cut.cols, cut.cols) * k.lanes)
    cdef Py_ssize_t col_end = min(p.n, _start(vectors, part % cut.cols + 1, cut.cols) * k.lanes)
    p.m = row_end - row
    p.n = col_end - col
    p.a += row * p.a_row
    p.b += col * p.b_col
    if p.m == 0 or p.n == 0:
        return
    if whole.sgd != NULL:
        _update_part(k, whole, &p, row, col, part)
        return
    if p.bias != NULL:
        p.bias += col
    p.c += row * p.c_row + col * p.c_col
    k.gemm(&p)
    if whole.activation != NONE:
        _activate_product(k, whole, &p)


cdef void _update_part(const cnet_kernels *k, const Product *whole, const cnet_gemm *part, Py_ssize_t row, Py_ssize_t col, int number) noexcept nogil:
    """A piece of the gradient at a time, and the step of SGD with it while it is in the cache."""
    cdef cnet_gemm p = part[0]
    cdef Py_ssize_t rows = _scratch_rows(whole.gemm.n), i, j = 0, r, offset, height, width
    p.c += number * _scratch_size(whole.gemm.n)
    while j < part.n:
        p.n = min(<Py_ssize_t> SCRATCH_COLS, part.n - j)
        p.c_row = p.n
        p.b = part.b + j * p.b_col
        i = 0
        while i < part.m:
            p.m = min(rows, part.m - i)
            p.a = part.a + i * p.a_row
            k.gemm(&p)
            height, width = p.m, p.n
            if width == whole.gemm.c_row:  # rows without a gap are one row
                height, width = 1, p.m * p.n
            for r in range(height):
                offset = (row + i + r) * whole.gemm.c_row + col + j
                k.sgd(width, whole.w + offset, p.c + r * p.c_row, whole.v + offset if whole.v != NULL else NULL, whole.sgd)
            i += p.m
        j += p.n


cdef void _activate_product(const cnet_kernels *k, const Product *whole, const cnet_gemm *p) noexcept nogil:
    """By rows of memory, whichever way the product is laid out."""
    cdef Py_ssize_t rows = p.m, width = p.n, stride = p.c_row, i
    cdef real *c = p.c
    cdef const real *output
    if p.c_col != 1:
        rows, width, stride = p.n, p.m, p.c_col
    for i in range(rows):
        if whole.output == NULL:
            k.activation(whole.activation, width, c, c, whole.slope)
        else:
            output = whole.output + (c - whole.gemm.c)
            k.activation_backward(whole.activation, width, output, c, c, whole.slope)
        c += stride


cdef void _multiply(const Product *product, int limit) noexcept nogil:
    cdef const cnet_kernels *k = kernels()
    if product.sgd != NULL:
        limit = min(limit, product.most_parts)
    cdef int threads = threads_for(2.0 * product.gemm.m * product.gemm.n * product.gemm.k, FLOPS_PER_THREAD, limit), part
    cdef Cut cut = _cut(product.gemm.m, product.gemm.n, k.lanes, threads)
    for part in prange(cut.rows * cut.cols, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _multiply_part(k, product, cut, part)


cdef Product _forward(real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b) except *:
    """The product x @ w + b."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    _check2("w", w.shape[0], O, I, O)
    _check2("out", out.shape[0], out.shape[1], B, O)
    if b is not None:
        _check1("b", b.shape[0], O)
    return Product(cnet_gemm(B, O, I, _in2(x), I, 1, _in2(w), O, 1, _out2(out), O, 1, _in1(b), 0, False), NONE, 0, NULL, NULL, NULL, NULL, 0)


cdef Product _backward_input(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w) except *:
    """The product dout @ w.T."""
    cdef Py_ssize_t B = dout.shape[0], I = w.shape[0], O = w.shape[1]
    _check2("dout", B, dout.shape[1], B, O)
    _check2("dx", dx.shape[0], dx.shape[1], B, I)
    cdef cnet_gemm g
    # The product wants rows of its second factor contiguous, and neither w.T nor dout.T is: either w is transposed as
    # it is packed, or dout is and dx is written transposed. Both sum over O in the same order; the cheaper one is taken.
    if 2 * B * (I + O) < I * O:
        g = cnet_gemm(I, B, O, _in2(w), O, 1, _in2(dout), 1, O, _out2(dx), 1, I, NULL, 0, False)
    else:
        g = cnet_gemm(B, I, O, _in2(dout), O, 1, _in2(w), 1, O, _out2(dx), I, 1, NULL, 0, False)
    return Product(g, NONE, 0, NULL, NULL, NULL, NULL, 0)


cdef Product _backward_weight(real *dw, const real[:, ::1] x, const real[:, ::1] dout) except *:
    """The product x.T @ dout."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = dout.shape[1]
    _check2("dout", dout.shape[0], O, B, O)
    return Product(cnet_gemm(I, O, B, _in2(x), 1, I, _in2(dout), O, 1, dw, O, 1, NULL, 0, False), NONE, 0, NULL, NULL, NULL, NULL, 0)


def linear_forward(real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b):
    """Write x @ w + b to out; b may be None."""
    cdef Product product = _forward(out, x, w, b)
    with nogil:
        _multiply(&product, ALL)


def linear_backward_input(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w):
    """Write dout @ w.T to dx."""
    cdef Product product = _backward_input(dx, dout, w)
    with nogil:
        _multiply(&product, ALL)


def linear_backward_params(real[:, ::1] dw, real[::1] db, const real[:, ::1] x, const real[:, ::1] dout):
    """Write x.T @ dout to dw and the column sums of dout to db; db may be None."""
    cdef Py_ssize_t B = x.shape[0], O = dout.shape[1]
    _check2("dw", dw.shape[0], dw.shape[1], x.shape[1], O)
    if db is not None:
        _check1("db", db.shape[0], O)
    cdef Product product = _backward_weight(_out2(dw), x, dout)
    with nogil:
        _multiply(&product, ALL)
        if db is not None:
            kernels().column_sums(B, O, _in2(dout), _out1(db), 0, False)
