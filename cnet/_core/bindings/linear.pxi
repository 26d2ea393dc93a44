# The dense layer: x (B, I), w (I, O), b (O,), out = x @ w + b, and the gradient of x.
#
# A product may have an epilogue, computed while its result is in the cache of the thread: an
# activation (forward), the derivative of one (backward), or an optimizer step with the gradient
# (linear_params.pxi). The arithmetic is that of the separate kernels, so results are bitwise
# identical.


# A grid of threads, over the rows and columns of an output.
cdef struct Partition:
    int rows
    int cols


cdef struct GemmTask:
    cnet_gemm gemm
    int activation      # RELU and so on, or NONE
    real slope
    # Output of the activation, laid out like gemm.c: multiply by its derivative instead. Or NULL.
    const real *output
    # With a rule: its arrays are laid out like the gradient, and gemm.c is scratch.
    Update update
    const cnet_update *coefficients
    Py_ssize_t scratch  # elements for each thread
    const cnet_csr_batch *csr  # gemm.a as CSR, or NULL
    real *sums          # partial sums of a split over K, or NULL
    Py_ssize_t sums_stride

cdef int NONE = -1
NO_ACTIVATION = NONE


cdef Partition _choose_partition(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t lanes, int threads
) noexcept nogil:
    """The partition of an (m, n) output among threads.

    It is by rows, unless columns are clearly more even, or need fewer factors to be read.
    """
    cdef Partition best = Partition(threads, 1), partition
    cdef double min_cost = _partition_cost(best, m, n, lanes), cost
    cdef int cols
    for cols in range(2, threads + 1):
        partition = Partition(threads // cols, cols)
        cost = _partition_cost(partition, m, n, lanes)
        if cost < 0.95 * min_cost:
            best, min_cost = partition, cost
    return best


cdef inline double _partition_cost(
    Partition partition, Py_ssize_t m, Py_ssize_t n, Py_ssize_t lanes
) noexcept nogil:
    """Cost of a term of the sum for a thread: rows * vectors multiplications, and reading
    rows + columns numbers, half of which another thread has just written.
    """
    cdef Py_ssize_t rows = (m + partition.rows - 1) // partition.rows
    cdef Py_ssize_t vectors = ((n + lanes - 1) // lanes + partition.cols - 1) // partition.cols
    return rows * vectors + READ_COST * (rows + min(n, vectors * lanes))


# Of a number, beside a multiplication of vectors: a line of the cache takes some tens of
# nanoseconds from core to core, if several are on the way.
cdef double READ_COST = 0.5

cdef enum:
    ROWS_PER_CHECK = 128  # or a multiple: a product copies the other factor once for so many
    # Outputs of a layer from which on samples of a prediction are converted to CSR.
    MIN_CSR_OUTPUTS = 32


cdef void _multiply_chunk(
    const cnet_kernels *k, const GemmTask *task, Partition partition, int ith, const Block *block
) noexcept nogil:
    """The chunk of a thread. Columns are cut at full vectors, so that only one thread has a
    tail.
    """
    cdef Py_ssize_t m = task.gemm.m, n = task.gemm.n, vectors = (n + k.lanes - 1) // k.lanes
    if ith < partition.rows * partition.cols:
        _multiply_piece(
            k,
            task,
            _chunk_begin(m, ith // partition.cols, partition.rows),
            _chunk_begin(m, ith // partition.cols + 1, partition.rows),
            min(n, _chunk_begin(vectors, ith % partition.cols, partition.cols) * k.lanes),
            min(n, _chunk_begin(vectors, ith % partition.cols + 1, partition.cols) * k.lanes),
            ith,
            block,
        )


cdef void _multiply_piece(
    const cnet_kernels *k, const GemmTask *task, Py_ssize_t row, Py_ssize_t row_end, Py_ssize_t col,
    Py_ssize_t col_end, int ith, const Block *block
) noexcept nogil:
    """Some rows at a time, where an interrupt is looked for; block may be NULL."""
    cdef Py_ssize_t end
    if block == NULL or block.watch == NULL:
        _multiply_rows(k, task, row, row_end, col, col_end, ith)
        return
    cdef Py_ssize_t rows = _count_between_checks(
        2.0 * (col_end - col) * task.gemm.k, ROWS_PER_CHECK
    )
    while row < row_end and not _is_aborted(block, ith):
        end = min(row_end, row + rows)
        _multiply_rows(k, task, row, end, col, col_end, ith)
        row = end


cdef void _multiply_rows(
    const cnet_kernels *k, const GemmTask *task, Py_ssize_t row, Py_ssize_t row_end, Py_ssize_t col,
    Py_ssize_t col_end, int ith
) noexcept nogil:
    cdef cnet_gemm p = task.gemm
    p.m = row_end - row
    p.n = col_end - col
    p.b += col * p.cs_b
    p.a += row * p.rs_a
    if p.m == 0 or p.n == 0:
        return
    if task.coefficients != NULL:
        p.c += ith * task.scratch
        _update(k, task, &p, row * p.rs_c + col)
        return
    if p.bias != NULL:
        p.bias += col
    p.c += row * p.rs_c + col * p.cs_c
    if task.csr != NULL:
        k.spmm(task.csr, row, 0, &p)
    else:
        k.gemm(&p)
    if task.activation != NONE:
        _activate_product(k, task, &p)


cdef void _activate_product(
    const cnet_kernels *k, const GemmTask *task, const cnet_gemm *p
) noexcept nogil:
    cdef Py_ssize_t rows = p.m, width = p.n, i
    cdef real *c = p.c
    if width == p.rs_c:  # rows without a gap are one row
        rows, width = 1, p.m * p.n
    for i in range(rows):
        if task.output == NULL:
            k.activation(task.activation, width, c, c, task.slope)
        else:
            k.activation_backward(
                task.activation, width, task.output + (c - task.gemm.c), c, c, task.slope
            )
        c += p.rs_c


cdef inline GemmTask _gemm_task(
    Py_ssize_t m, Py_ssize_t n, Py_ssize_t k, const real *a, Py_ssize_t rs_a, Py_ssize_t cs_a,
    const real *b, Py_ssize_t rs_b, Py_ssize_t cs_b, real *c
) noexcept nogil:
    cdef GemmTask task
    memset(&task, 0, sizeof(task))
    task.gemm.m, task.gemm.n, task.gemm.k = m, n, k
    task.gemm.a, task.gemm.rs_a, task.gemm.cs_a = a, rs_a, cs_a
    task.gemm.b, task.gemm.rs_b, task.gemm.cs_b = b, rs_b, cs_b
    task.gemm.c, task.gemm.rs_c, task.gemm.cs_c = c, n, 1
    task.activation = NONE
    return task


cdef void _run_split_k(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    """Partial sums of the columns of a thread. The first thread adds up its blocks. The others
    store theirs one by one, so that all are added in order.
    """
    cdef const GemmTask *task = <const GemmTask *> arguments
    cdef cnet_gemm p = task.gemm
    cdef Py_ssize_t length = cnet_block_length(p.k)
    p.m, p.k, p.block = block.m, block.end - block.first, length
    p.a, p.rs_a = block.local_x, block.local_ldx
    p.b += block.first * p.rs_b
    p.bias = NULL
    p.c = task.sums
    if ith:
        p.c += (
            1 + block.first // length - _chunk_begin(cnet_block_count(task.gemm.k), 1, nth)
        ) * task.sums_stride
        p.split_k_stride = task.sums_stride
    if block.csr != NULL:
        kernels().spmm(block.csr, 0, block.first // length, &p)
    else:
        kernels().gemm(&p)


cdef void _reduce_split_k(
    const GemmTask *task, Py_ssize_t start, Py_ssize_t end, int nth
) noexcept nogil:
    """Reduce the partial sums of the rows of a thread, and add the bias."""
    cdef const cnet_kernels *k = kernels()
    cdef cnet_gemm p = task.gemm
    cdef Py_ssize_t blocks = 1 + cnet_block_count(p.k) - _chunk_begin(cnet_block_count(p.k), 1, nth)
    cdef Py_ssize_t i
    p.m = end - start
    p.c += start * p.n
    if p.bias != NULL:
        for i in range(p.m):
            memcpy(p.c + i * p.n, p.bias, p.n * sizeof(real))
    k.column_sums(
        blocks, p.m * p.n, task.sums + start * p.n, task.sums_stride, p.c, blocks,
        p.bias != NULL
    )
    if task.activation != NONE:
        _activate_product(k, task, &p)


cdef void _run_rows(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    """The rows of the batch are those of the product."""
    cdef GemmTask task = (<const GemmTask *> arguments)[0]
    cdef const cnet_kernels *k = kernels()
    if block.use_split_k and task.sums != NULL:
        _reduce_split_k(
            &task, _chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth), nth
        )
        return
    if task.gemm.a == block.x_batch:
        task.csr = block.csr
    task.gemm.a = _input(block, task.gemm.a)
    task.gemm.m = block.m
    if block.data_parallel:
        _multiply_piece(
            k, &task, _chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth), 0,
            task.gemm.n, ith, block
        )
    else:
        _multiply_chunk(
            k, &task, _choose_partition(task.gemm.m, task.gemm.n, k.lanes, nth), ith, block
        )


def linear_forward(
    real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b,
    int activation=NO_ACTIVATION, real slope=0, Program program=None
):
    """out = f(x @ w + b); b may be None, and there need not be an activation f."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = w.shape[1]
    _check2("w", w.shape[0], O, I, O)
    _check2("out", out.shape[0], out.shape[1], B, O)
    if b is not None:
        _check1("b", b.shape[0], O)
    cdef GemmTask task = _gemm_task(B, O, I, _in2(x), I, 1, _in2(w), O, 1, _out2(out))
    task.gemm.bias = _in1(b)
    task.activation, task.slope = activation, slope
    if _runs_now(program, _run_rows, &task, B, 2.0 * B * I * O, ALL, 2.0 * I * O):
        return
    if task.gemm.a == program.data.batch:
        task.sums = program.split_k_sums(O)
        task.sums_stride = program.data.split_k_capacity * O
        if O >= MIN_CSR_OUTPUTS:
            program.use_csr()
    if task.sums != NULL:
        program.append(SPLIT_K, _run_split_k, &task, sizeof(task), ())
    program.append(PER_SAMPLE, _run_rows, &task, sizeof(task), (out, x, w, b))


def linear_backward_input(
    real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w, const real[:, ::1] y=None,
    int activation=NO_ACTIVATION, real slope=0, Program program=None
):
    """dx = dout @ w.T, times the derivative of an activation with output y, if there is one."""
    cdef Py_ssize_t B = dout.shape[0], I = w.shape[0], O = w.shape[1]
    _check2("dout", B, dout.shape[1], B, O)
    _check2("dx", dx.shape[0], dx.shape[1], B, I)
    if activation != NONE:
        _check2("y", y.shape[0], y.shape[1], B, I)
    cdef GemmTask task = _gemm_task(B, I, O, _in2(dout), O, 1, _in2(w), 1, O, _out2(dx))
    task.gemm.dots = cnet_use_dot_kernel(I, O)
    task.activation, task.slope, task.output = activation, slope, _in2(y)
    if not _runs_now(program, _run_rows, &task, B, 2.0 * B * I * O, ALL, 2.0 * I * O):
        program.append(PER_SAMPLE, _run_rows, &task, sizeof(task), (dx, dout, w, y))
