# The dense layer: x (B, I), w (I, O), b (O,), out = x @ w + b, and the gradient of x.
#
# A product may carry work on its result that is done while the result is still in the cache of the
# thread that made it: an activation (forward), the derivative of one (backward), or a step of the
# optimiser with the gradient (linear_params.pxi). The arithmetic is that of the separate kernels,
# so the bits are the same.


cdef struct Cut:
    int rows
    int cols


cdef struct Product:
    cnet_gemm gemm
    int activation      # one of RELU, ...; NONE for none
    real slope
    # of the activation, laid out like gemm.c: multiply by the derivative there instead of
    # activating
    const real *output
    # where it has a rule, its arrays are laid out like the gradient, and gemm.c is scratch
    Update update
    const cnet_update *now
    Py_ssize_t scratch  # elements of it for each part
    const cnet_csr_batch *lists  # gemm.a as lists, where not NULL
    real *sums          # of blocks of inputs, where they are shared out, or NULL
    Py_ssize_t sums_next

cdef int NONE = -1


cdef Cut _cut(Py_ssize_t m, Py_ssize_t n, Py_ssize_t lanes, int threads) noexcept nogil:
    """How to cut an (m, n) output among threads: by rows, unless columns come out clearly more
    even, or with fewer factors for each to read.
    """
    cdef Cut best = Cut(threads, 1), cut
    cdef double least = _cost(best, m, n, lanes), cost
    cdef int cols
    for cols in range(2, threads + 1):
        cut = Cut(threads // cols, cols)
        cost = _cost(cut, m, n, lanes)
        if cost < 0.95 * least:
            best, least = cut, cost
    return best


cdef inline double _cost(Cut cut, Py_ssize_t m, Py_ssize_t n, Py_ssize_t lanes) noexcept nogil:
    """For each term, a thread multiplies `rows * vectors` times, and reads `rows + cols`
    numbers, half of which another has just written.
    """
    cdef Py_ssize_t rows = (m + cut.rows - 1) // cut.rows
    cdef Py_ssize_t vectors = ((n + lanes - 1) // lanes + cut.cols - 1) // cut.cols
    return rows * vectors + READING * (rows + min(n, vectors * lanes))


# Of a number, beside a multiplication of vectors: a line of the cache takes some tens of
# nanoseconds from core to core, if several are on the way.
cdef double READING = 0.5

cdef enum:
    ROWS_AT_A_TIME = 128  # or a multiple: a product copies the other factor once for so many
    # outputs of a layer for which rows to predict are made into lists of what is not 0
    LEAST_LISTED = 32


cdef void _multiply_part(
    const cnet_kernels *k, const Product *whole, Cut cut, int part, const Block *block
) noexcept nogil:
    """Columns are cut at whole vectors, so that only the last part has a narrow tile."""
    cdef Py_ssize_t m = whole.gemm.m, n = whole.gemm.n, vectors = (n + k.lanes - 1) // k.lanes
    if part < cut.rows * cut.cols:
        _multiply_piece(
            k,
            whole,
            _start(m, part // cut.cols, cut.rows),
            _start(m, part // cut.cols + 1, cut.rows),
            min(n, _start(vectors, part % cut.cols, cut.cols) * k.lanes),
            min(n, _start(vectors, part % cut.cols + 1, cut.cols) * k.lanes),
            part,
            block,
        )


cdef void _multiply_piece(
    const cnet_kernels *k, const Product *whole, Py_ssize_t row, Py_ssize_t row_end, Py_ssize_t col,
    Py_ssize_t col_end, int part, const Block *block
) noexcept nogil:
    """Some rows at a time, where an interrupt is looked for; block may be NULL."""
    cdef Py_ssize_t end
    if block == NULL or block.watch == NULL:
        _multiply_rows(k, whole, row, row_end, col, col_end, part)
        return
    cdef Py_ssize_t rows = _between_looks(2.0 * (col_end - col) * whole.gemm.k, ROWS_AT_A_TIME)
    while row < row_end and not _given_up(block, part):
        end = min(row_end, row + rows)
        _multiply_rows(k, whole, row, end, col, col_end, part)
        row = end


cdef void _multiply_rows(
    const cnet_kernels *k, const Product *whole, Py_ssize_t row, Py_ssize_t row_end, Py_ssize_t col,
    Py_ssize_t col_end, int part
) noexcept nogil:
    cdef cnet_gemm p = whole.gemm
    p.m = row_end - row
    p.n = col_end - col
    p.b += col * p.cs_b
    p.a += row * p.rs_a
    if p.m == 0 or p.n == 0:
        return
    if whole.now != NULL:
        p.c += part * whole.scratch
        _update(k, whole, &p, row * p.rs_c + col)
        return
    if p.bias != NULL:
        p.bias += col
    p.c += row * p.rs_c + col * p.cs_c
    if whole.lists != NULL:
        k.spmm(whole.lists, row, 0, &p)
    else:
        k.gemm(&p)
    if whole.activation != NONE:
        _activate_product(k, whole, &p)


cdef void _activate_product(
    const cnet_kernels *k, const Product *whole, const cnet_gemm *p
) noexcept nogil:
    cdef Py_ssize_t rows = p.m, width = p.n, i
    cdef real *c = p.c
    if width == p.rs_c:  # rows without a gap are one row
        rows, width = 1, p.m * p.n
    for i in range(rows):
        if whole.output == NULL:
            k.activation(whole.activation, width, c, c, whole.slope)
        else:
            k.activation_backward(
                whole.activation, width, whole.output + (c - whole.gemm.c), c, c, whole.slope
            )
        c += p.rs_c


cdef void _multiply(const Product *product) noexcept nogil:
    cdef const cnet_kernels *k = kernels()
    cdef int threads = threads_for(
        2.0 * product.gemm.m * product.gemm.n * product.gemm.k, FLOPS_PER_THREAD, ALL
    )
    cdef int part
    cdef Cut cut = _cut(product.gemm.m, product.gemm.n, k.lanes, threads)
    for part in prange(
        cut.rows * cut.cols, schedule="static", num_threads=threads, use_threads_if=threads > 1
    ):
        _multiply_part(k, product, cut, part, NULL)


cdef inline Product _product(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real *a, Py_ssize_t rs_a, Py_ssize_t cs_a,
    const real *b, Py_ssize_t rs_b, Py_ssize_t cs_b, real *c
) noexcept nogil:
    cdef Product product
    memset(&product, 0, sizeof(product))
    product.gemm.m, product.gemm.n, product.gemm.k = m, n, k
    product.gemm.a, product.gemm.rs_a, product.gemm.cs_a = a, rs_a, cs_a
    product.gemm.b, product.gemm.rs_b, product.gemm.cs_b = b, rs_b, cs_b
    product.gemm.c, product.gemm.rs_c, product.gemm.cs_c = c, n, 1
    product.activation = NONE
    return product


cdef Product _forward(
    real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b
) except *:
    """The product x @ w + b."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    _check2("w", w.shape[0], O, I, O)
    _check2("out", out.shape[0], out.shape[1], B, O)
    if b is not None:
        _check1("b", b.shape[0], O)
    cdef Product product = _product(B, O, I, _in2(x), I, 1, _in2(w), O, 1, _out2(out))
    product.gemm.bias = _in1(b)
    return product


cdef Product _backward_input(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w
) except *:
    """The product dout @ w.T."""
    cdef Py_ssize_t B = dout.shape[0], I = w.shape[0], O = w.shape[1]
    _check2("dout", B, dout.shape[1], B, O)
    _check2("dx", dx.shape[0], dx.shape[1], B, I)
    cdef Product product = _product(B, I, O, _in2(dout), O, 1, _in2(w), 1, O, _out2(dx))
    product.gemm.dots = cnet_use_dot_kernel(I, O)
    return product


def linear_forward(real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b):
    """Write x @ w + b to out; b may be None."""
    cdef Product product = _forward(out, x, w, b)
    with nogil:
        _multiply(&product)


def linear_backward_input(real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w):
    """Write dout @ w.T to dx."""
    cdef Product product = _backward_input(dx, dout, w)
    with nogil:
        _multiply(&product)


cdef void _run_columns(
    const void *arguments, const Block *block, int part, int parts
) noexcept nogil:
    """What a part's columns add to the sums: the first adds up its blocks, the others keep
    theirs apart, so that all are added in order.
    """
    cdef const Product *product = <const Product *> arguments
    cdef cnet_gemm p = product.gemm
    cdef Py_ssize_t length = cnet_block_length(p.k)
    p.m, p.k, p.block = block.m, block.end - block.first, length
    p.a, p.rs_a = block.own, block.own_row
    p.b += block.first * p.rs_b
    p.bias = NULL
    p.c = product.sums
    if part:
        p.c += (
            1 + block.first // length - _start(cnet_block_count(product.gemm.k), 1, parts)
        ) * product.sums_next
        p.split_k_stride = product.sums_next
    if block.lists != NULL:
        kernels().spmm(block.lists, 0, block.first // length, &p)
    else:
        kernels().gemm(&p)


cdef void _add_columns(
    const Product *product, Py_ssize_t start, Py_ssize_t end, int parts
) noexcept nogil:
    """A part's rows of the product: what the blocks add up to, and the bias; rows without a gap
    are one row.
    """
    cdef const cnet_kernels *k = kernels()
    cdef cnet_gemm p = product.gemm
    cdef Py_ssize_t blocks = 1 + cnet_block_count(p.k) - _start(cnet_block_count(p.k), 1, parts), i
    p.m = end - start
    p.c += start * p.n
    if p.bias != NULL:
        for i in range(p.m):
            memcpy(p.c + i * p.n, p.bias, p.n * sizeof(real))
    k.column_sums(
        blocks, p.m * p.n, product.sums + start * p.n, product.sums_next, p.c, blocks,
        p.bias != NULL
    )
    if product.activation != NONE:
        _activate_product(k, product, &p)


cdef void _run_rows(const void *arguments, const Block *block, int part, int parts) noexcept nogil:
    """The rows of the batch are those of the product."""
    cdef Product product = (<const Product *> arguments)[0]
    cdef const cnet_kernels *k = kernels()
    if block.by_columns and product.sums != NULL:
        _add_columns(
            &product, _start(block.m, part, parts), _start(block.m, part + 1, parts), parts
        )
        return
    if product.gemm.a == block.x_batch:
        product.lists = block.lists
    product.gemm.a = _input(block, product.gemm.a)
    product.gemm.m = block.m
    if block.by_rows:
        _multiply_piece(
            k, &product, _start(block.m, part, parts), _start(block.m, part + 1, parts), 0,
            product.gemm.n, part, block
        )
    else:
        _multiply_part(
            k, &product, _cut(product.gemm.m, product.gemm.n, k.lanes, parts), part, block
        )


def program_linear(
    Program program, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w,
    const real[::1] b, int activation, real slope
):
    """Add: out = f(x @ w + b), with f an activation or NONE."""
    program.check_room(x.shape[0])
    cdef Product product = _forward(out, x, w, b)
    product.activation = activation
    product.slope = slope
    if product.gemm.a == program.data.batch:
        product.sums = program.sums_by_columns(w.shape[1])
        product.sums_next = program.data.column_rows * w.shape[1]
        if w.shape[1] >= LEAST_LISTED:
            program.list_rows()
    if product.sums != NULL:
        program.append(COLUMNS, _run_columns, &product, sizeof(product), ())
    program.flops_per_row += 2.0 * w.shape[0] * w.shape[1]
    program.append(ROWS, _run_rows, &product, sizeof(product), (out, x, w, b))


def program_linear_input(
    Program program, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w,
    const real[:, ::1] output, int activation, real slope
):
    """Add: dx = dout @ w.T, times the derivative of the activation that gave `output`."""
    program.check_room(dout.shape[0])
    cdef Product product = _backward_input(dx, dout, w)
    if activation != NONE:
        _check2("output", output.shape[0], output.shape[1], dx.shape[0], dx.shape[1])
    product.activation = activation
    product.slope = slope
    product.output = _in2(output)
    program.flops_per_row += 2.0 * w.shape[0] * w.shape[1]
    program.append(ROWS, _run_rows, &product, sizeof(product), (dx, dout, w, output))
