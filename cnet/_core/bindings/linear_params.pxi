# The gradients of the parameters of a dense layer: that of w (I, O) is x.T @ dout, that of b (O,)
# the column sums of dout.
#
# Where the optimizer's step goes with the gradient, this is made piece by piece in a thread's
# scratch, and never written to memory as a whole.


cdef enum:
    SCRATCH_COLS = 256
    MAX_PANEL_COLS = 64
    LINE = 16  # elements, at least a cache line
    BLOCKS_PER_CHECK = 5  # of a sum
    # Outputs of a layer from which on CSR is converted to CSC for the weight gradient.
    MIN_CSC_OUTPUTS = 48


cdef inline Py_ssize_t _scratch_rows(Py_ssize_t n) noexcept nogil:
    """Rows of a gradient with n columns that a thread finishes before it begins others: few, so
    that their sums stay in the level-1 cache, unless n is so large that the product copies its
    factors into another order, which pays for many rows.
    """
    return 64 if n <= 64 else 48 if n < SCRATCH_COLS else CNET_MC_PACKED


cdef inline Py_ssize_t _sums_size(Py_ssize_t n, bint csr) noexcept nogil:
    """Elements of scratch for the sums of a gradient with n columns; with CSR, for one block of
    inputs and one panel of outputs.
    """
    cdef Py_ssize_t size = _scratch_rows(n) * min(n, <Py_ssize_t> SCRATCH_COLS)
    return _whole_lines(
        max(size, CNET_KC * min(_whole_lines(n), <Py_ssize_t> MAX_PANEL_COLS)) if csr else size
    )


cdef inline Py_ssize_t _scratch_size(Py_ssize_t n, bint csr) noexcept nogil:
    """Elements of scratch of a thread, for a gradient with n columns: sums, and a CSC block."""
    cdef Py_ssize_t size = _sums_size(n, csr)
    if csr and n >= MIN_CSC_OUTPUTS:
        size += CNET_KC * CNET_KC + (CNET_KC + 1) * CNET_KC // <Py_ssize_t> sizeof(real)
    return size


cdef inline Py_ssize_t _whole_lines(Py_ssize_t n) noexcept nogil:
    return (n + LINE - 1) // LINE * LINE


cdef void _update(
    const cnet_kernels *k, const GemmTask *task, const cnet_gemm *part, Py_ssize_t offset
) noexcept nogil:
    """A piece of the gradient at a time, and the optimizer's step with it while it is in the
    cache.
    """
    cdef cnet_gemm p = part[0]
    cdef Py_ssize_t rows = _scratch_rows(task.gemm.n), i, j = 0, at
    while j < part.n:
        p.n = min(<Py_ssize_t> SCRATCH_COLS, part.n - j)
        p.rs_c = p.n
        p.b = part.b + j * p.cs_b
        i = 0
        while i < part.m:
            p.m = min(rows, part.m - i)
            p.a = part.a + i * p.rs_a
            k.gemm(&p)
            at = offset + i * part.rs_c + j
            _update_rows(k, &task.update, task.coefficients, p.m, p.n, at, part.rs_c, p.c, p.rs_c)
            i += p.m
        j += p.n


cdef GemmTask _backward_weight(real *dw, const real[:, ::1] x, const real[:, ::1] dout) except *:
    """The product x.T @ dout."""
    cdef Py_ssize_t B = x.shape[0], I = x.shape[1], O = dout.shape[1]
    _check2("dout", dout.shape[0], O, B, O)
    return _gemm_task(I, O, B, _in2(x), 1, I, _in2(dout), O, 1, dw)


cdef void _run_weights(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    """The sum runs over the rows of the batch."""
    cdef GemmTask task = (<const GemmTask *> arguments)[0]
    cdef const cnet_kernels *k = kernels()
    cdef cnet_update coefficients
    cdef bint of_data = task.gemm.a == block.x_batch
    task.gemm.k = block.m
    task.gemm.block = cnet_block_length(block.batch)
    task.gemm.accumulate = block.start > 0
    if task.update.rule != NULL:
        coefficients = cnet_update_at(
            task.update.rule, task.update.rule.steps + block.step, block.weight
        )
        task.coefficients = &coefficients
    if of_data and block.csr != NULL:
        task.csr = block.csr
        _multiply_csr(k, &task, block, ith, nth)
    elif of_data and block.use_split_k:
        _restrict_to_columns(&task, block)
        _multiply_piece(k, &task, 0, task.gemm.m, 0, task.gemm.n, ith, block)
    else:
        task.gemm.a = _input(block, task.gemm.a)
        _multiply_blocks(
            k, &task, _choose_partition(task.gemm.m, task.gemm.n, k.lanes, nth), block, ith
        )


cdef void _multiply_blocks(
    const cnet_kernels *k, const GemmTask *whole, Partition partition, const Block *block, int ith
) noexcept nogil:
    """Multiply, a few blocks of the sum at a time, with a check for interrupts between them."""
    cdef GemmTask task = whole[0]
    cdef Py_ssize_t rows = BLOCKS_PER_CHECK * whole.gemm.block, start = 0
    if block.watch == NULL:
        _multiply_chunk(k, whole, partition, ith, block)
        return
    while start < whole.gemm.k and not _is_aborted(block, ith):
        task.gemm.k = min(rows, whole.gemm.k - start)
        _multiply_chunk(k, &task, partition, ith, block)
        start += task.gemm.k
        task.gemm.a += task.gemm.k * task.gemm.cs_a
        task.gemm.b += task.gemm.k * task.gemm.rs_b
        task.gemm.accumulate = True


cdef void _restrict_to_columns(GemmTask *task, const Block *block) noexcept nogil:
    """Restrict the task to the weights of the columns of a thread."""
    cdef Py_ssize_t before = block.first * task.gemm.n
    task.gemm.a, task.gemm.cs_a = block.local_x, block.local_ldx
    task.gemm.m = block.end - block.first
    if task.update.rule == NULL:
        task.gemm.c += before
        return
    task.update.w += before
    if task.update.state != NULL:
        task.update.state += before


cdef void _multiply_csr(
    const cnet_kernels *k, const GemmTask *task, const Block *block, int ith, int nth
) noexcept nogil:
    """The gradient of weights whose inputs are CSR, one block of columns at a time.

    A thread has its own columns (split over K), or a chunk of all, or some outputs of a chunk.
    """
    cdef Py_ssize_t length = task.csr.block_length, blocks = cnet_block_count(task.gemm.m)
    cdef Py_ssize_t n = task.gemm.n
    cdef Py_ssize_t vectors = (n + k.lanes - 1) // k.lanes, first, end, col = 0, col_end = n, b, j
    cdef Py_ssize_t at
    cdef cnet_gemm p = task.gemm
    cdef Partition partition
    if block.use_split_k:
        first, end = block.first // length, (block.end + length - 1) // length
    else:
        partition = _choose_partition(blocks, n, k.lanes, nth)
        if ith >= partition.rows * partition.cols:
            return
        first, end = _chunk_begin(blocks, ith // partition.cols, partition.rows), _chunk_begin(
            blocks, ith // partition.cols + 1, partition.rows
        )
        col = min(n, _chunk_begin(vectors, ith % partition.cols, partition.cols) * k.lanes)
        col_end = min(n, _chunk_begin(vectors, ith % partition.cols + 1, partition.cols) * k.lanes)
    cdef real *sums = task.gemm.c + ith * task.scratch
    cdef cnet_csc_block columns
    cdef bint sorted = n >= MIN_CSC_OUTPUTS and task.coefficients != NULL and p.k <= p.block
    cdef bint descends = sorted and task.coefficients.kind == CNET_SGD
    if sorted:
        columns.values = sums + _sums_size(n, True)
        columns.row_idx = <uint8_t *> (columns.values + CNET_KC * CNET_KC)
        columns.col_nnz = columns.row_idx + CNET_KC * CNET_KC
    for b in range(first, end):
        if _is_aborted(block, ith):
            return
        p.m = min(length, task.gemm.m - b * length)
        if sorted:
            k.csr_to_csc(task.csr, b, p.k, p.m, &columns)
        if descends:
            k.spmm_columns(
                &columns, p.k, p.m, col_end - col, task.gemm.b + col, p.rs_b,
                task.update.w + b * length * n + col, n, task.coefficients
            )
            continue
        j = col
        while j < col_end:
            p.n = cnet_spmm_cols(k.spmm_nr, k.lanes, col_end - j)
            p.b = task.gemm.b + j
            at = b * length * n + j
            if task.coefficients == NULL:
                p.c = task.gemm.c + at
                k.spmm_transposed(task.csr, b, &p, False)
            else:
                p.c = sums
                p.rs_c = n if p.n == n else (p.n + k.lanes - 1) // k.lanes * k.lanes
                if sorted:
                    k.spmm_columns(&columns, p.k, p.m, p.n, p.b, p.rs_b, p.c, p.rs_c, NULL)
                else:
                    k.spmm_transposed(task.csr, b, &p, True)
                _update_rows(k, &task.update, task.coefficients, p.m, p.n, at, n, p.c, p.rs_c)
            j += p.n


cdef struct Bias:
    Py_ssize_t n
    const real *dout
    real *db
    Update update


cdef void _run_bias(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    """By columns; whole cache lines, so that no two threads write to one."""
    cdef const Bias *bias = <const Bias *> arguments
    cdef Py_ssize_t lines = (bias.n + LINE - 1) // LINE
    cdef Py_ssize_t start = min(bias.n, _chunk_begin(lines, ith, nth) * LINE)
    cdef Py_ssize_t end = min(bias.n, _chunk_begin(lines, ith + 1, nth) * LINE)
    if start == end:
        return
    kernels().column_sums(
        block.m, end - start, bias.dout + start, bias.n, bias.db + start,
        cnet_block_length(block.batch), block.start > 0
    )
    cdef cnet_update coefficients
    if bias.update.rule != NULL:
        coefficients = cnet_update_at(
            bias.update.rule, bias.update.rule.steps + block.step, block.weight
        )
        _update_rows(
            kernels(), &bias.update, &coefficients, 1, end - start, start, 0, bias.db + start, 0
        )


def linear_backward_weight(
    real[:, ::1] dw, const real[:, ::1] x, const real[:, ::1] dout, Program program=None
):
    """dw = x.T @ dout, over all blocks of a batch."""
    cdef GemmTask task = _backward_weight(_out2(dw), x, dout)
    cdef Py_ssize_t B = x.shape[0]
    _check2("dw", dw.shape[0], dw.shape[1], task.gemm.m, task.gemm.n)
    cdef double flops = 2.0 * task.gemm.m * task.gemm.n
    if not _runs_now(program, _run_weights, &task, B, B * flops, ALL, flops):
        program.append(WEIGHT_GRADS, _run_weights, &task, sizeof(task), (dw, x, dout))


def linear_backward_bias(real[::1] db, const real[:, ::1] dout, Program program=None):
    """db = the column sums of dout, over all blocks of a batch."""
    cdef Bias bias = _bias(db, dout)
    if not _runs_now(program, _run_bias, &bias, dout.shape[0], 0, 1):
        program.append(WEIGHT_GRADS, _run_bias, &bias, sizeof(bias), (db, dout))


def linear_update_weight(
    Program program, int rule, real[::1] w, real[:, ::1] state, real[::1] scratch,
    const real[:, ::1] x, const real[:, ::1] dout
):
    """A step on w, seen as one row, with the gradient x.T @ dout as the epilogue."""
    program.check_capacity(x.shape[0])
    cdef GemmTask task = _backward_weight(_out1(scratch), x, dout)
    _check1("w", w.shape[0], task.gemm.m * task.gemm.n)
    task.scratch = scratch.shape[0] // program.threads
    cdef Py_ssize_t expected = scratch_size(program, x, dout.shape[1])
    if task.scratch < expected:
        raise ValueError(
            f"scratch has {scratch.shape[0]} elements, expected {expected} "
            f"for each of {program.threads} threads"
        )
    task.update = _update_of(program.rule(rule), w, state)
    program.flops_per_row += 2.0 * w.shape[0]
    program.fuse_update = True
    program.append(WEIGHT_GRADS, _run_weights, &task, sizeof(task), (w, state, scratch, x, dout))


def linear_update_bias(
    Program program, int rule, real[::1] b, real[:, ::1] state, real[::1] db,
    const real[:, ::1] dout
):
    """A step on b with the gradient db = the column sums of dout."""
    program.check_capacity(dout.shape[0])
    cdef Bias bias = _bias(db, dout)
    _check1("b", b.shape[0], db.shape[0])
    bias.update = _update_of(program.rule(rule), b, state)
    program.fuse_update = True
    program.append(WEIGHT_GRADS, _run_bias, &bias, sizeof(bias), (b, state, db, dout))


cdef Bias _bias(real[::1] db, const real[:, ::1] dout) except *:
    cdef Bias bias
    memset(&bias, 0, sizeof(bias))
    _check1("db", db.shape[0], dout.shape[1])
    bias.n, bias.dout, bias.db = dout.shape[1], _in2(dout), _out1(db)
    return bias


def scratch_size(Program program, const real[:, ::1] x, Py_ssize_t n) -> int:
    """Elements of scratch that `linear_update_weight` needs for each thread, for weights with n
    outputs and the inputs x.
    """
    return _scratch_size(n, program.data.sparse != NULL and _in2(x) == program.data.batch)
