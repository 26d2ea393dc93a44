# Where a program's batches come from, and where they are collected: rows of a data set, as they are
# or as lists of what is not 0 in them.
#
# A part collects rows, all of whose columns it will multiply; or, where a block goes by columns,
# whole blocks of columns of all rows. What parts collect in one way or the other lies apart, so
# that they hardly share a line of the cache.


cdef enum:
    # bytes: beside what a step works on, they are to stay in a level-2 cache
    MAX_PREFETCH_BYTES = 1 << 17


cdef struct Data:
    Py_ssize_t n_rows, width
    double row_bytes           # as they lie in memory
    const real *x
    const uint8_t *x_uint8     # or these
    const cnet_csr_packed *sparse  # or these
    real scale, offset         # batches are scale * rows + offset
    bint rescales              # whether that is not the rows themselves
    real *batch                # (room, width)
    cnet_csr_batch csr           # of a batch
    # of lists whose elements are bytes; room for as many as there may be, or as much for the
    # columns of each part
    real *values
    # rows to predict, with room for each, where they may be made into lists
    cnet_csr_packed packed
    int64_t *order             # of these, and their `starts`
    Py_ssize_t split_k_capacity     # of a block that may go by columns


cdef int _allocate_csr(Data *data, Py_ssize_t capacity, int threads) except -1:
    """Room for the lists of a batch: of `sparse`, or of what is given."""
    cdef Py_ssize_t i, record
    cdef int64_t *starts
    data.csr.block_length, data.csr.capacity = cnet_block_length(data.width), capacity
    data.csr.rows = <cnet_csr_row *> malloc(
        cnet_block_count(data.width) * capacity * sizeof(cnet_csr_row)
    )
    if data.csr.rows == NULL:
        raise MemoryError
    if data.sparse == NULL:
        record = (cnet_csr_row_bytes(data.width) + sizeof(real) - 1) // sizeof(real) * sizeof(real)
        data.order = <int64_t *> malloc((2 * capacity + 1) * sizeof(int64_t))
        starts = data.order + capacity
        data.packed = cnet_csr_packed(
            cnet_block_count(data.width), record, starts, <uint8_t *> malloc(capacity * record), 0
        )
        if data.order == NULL or data.packed.data == NULL:
            raise MemoryError
        for i in range(capacity + 1):
            starts[i] = i * record
        for i in range(capacity):
            data.order[i] = i
    elif data.sparse.is_uint8:
        data.values = <real *> malloc(
            max(
                capacity, threads * data.split_k_capacity
            ) * cnet_csr_max_nnz(data.width) * sizeof(real)
        )
        if data.values == NULL:
            raise MemoryError
    return 0


cdef void _free_csr(const Data *data) noexcept:
    free(data.csr.rows)
    free(data.values)
    free(data.order)
    free(<void *> data.packed.data)


cdef void _gather_rows(const Data *data, Block *block, int ith, int nth) noexcept nogil:
    """A part's share of a block's rows. Rows in their own order are read in place."""
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t count = _chunk_begin(block.m, ith + 1, nth) - start
    cdef const int64_t *rows = block.rows + block.start
    cdef real *values
    block.x = block.x_batch
    if data.sparse != NULL:
        block.csr = &data.csr
        values = data.values + start * cnet_csr_max_nnz(data.width)
        kernels().csr_gather_rows(
            data.sparse, count, rows + start, block.prefetch_rows, 0, data.sparse.n_blocks,
            &data.csr, start, data.scale, values
        )
    elif data.x != NULL and not data.rescales and _consecutive(block.m, rows):
        block.x = data.x + rows[0] * data.width
    else:
        _gather(
            data, count, rows + start, block.prefetch_rows, 0, data.width,
            data.batch + start * data.width
        )


cdef void _gather_columns(const Data *data, Block *block, int ith, int nth) noexcept nogil:
    """A part's columns of all rows of a block, whole blocks of a sum."""
    cdef Py_ssize_t length = cnet_block_length(data.width), blocks = cnet_block_count(data.width)
    cdef Py_ssize_t first = _chunk_begin(blocks, ith, nth), end = _chunk_begin(blocks, ith + 1, nth)
    cdef const int64_t *rows = block.rows + block.start
    cdef real *at
    block.first, block.end = first * length, min(data.width, end * length)
    if data.sparse != NULL:
        block.csr = &data.csr
        at = data.values + ith * data.split_k_capacity * cnet_csr_max_nnz(data.width)
        kernels().csr_gather_rows(
            data.sparse, block.m, rows, block.prefetch_rows, first, end, &data.csr, 0, data.scale,
            at
        )
    elif data.x != NULL and not data.rescales and _consecutive(block.m, rows):
        block.local_x, block.local_ldx = data.x + rows[0] * data.width + block.first, data.width
    else:
        # for any block.m: others may still read theirs
        at = data.batch + data.split_k_capacity * block.first
        block.local_x, block.local_ldx = at, block.end - block.first
        _gather(data, block.m, rows, block.prefetch_rows, block.first, block.local_ldx, at)


cdef void _gather(
    const Data *data, Py_ssize_t m, const int64_t *rows, Py_ssize_t prefetch_rows, Py_ssize_t first,
    Py_ssize_t n, real *out
) noexcept nogil:
    if data.x_uint8 != NULL:
        kernels().gather_uint8(
            m, n, data.x_uint8 + first, data.width, rows, prefetch_rows, data.scale, data.offset,
            out
        )
    elif data.x != NULL:
        kernels().gather(m, n, data.x + first, data.width, rows, prefetch_rows, out)
        if data.rescales:
            kernels().rescale(m * n, out, data.scale, data.offset, out)


cdef bint _consecutive(Py_ssize_t m, const int64_t *rows) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, m):
        if rows[i] != rows[i - 1] + 1:
            return False
    return True


cdef void _rows_to_csr(const Data *data, Block *block, int ith, int nth) noexcept nogil:
    """A part's share of the rows at block.x as lists, unless too many elements are not 0 for
    that to be quicker.
    """
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t end = _chunk_begin(block.m, ith + 1, nth), i
    cdef Py_ssize_t bytes = 0
    cdef double most = MAX_CSR_DENSITY * (end - start) * data.width * (1 + sizeof(real))
    block.csr = NULL
    for i in range(start, end):
        bytes += kernels().csr_row_from_dense(
            data.width, block.x + i * data.width,
            <uint8_t *> data.packed.data + data.packed.row_start[i]
        )
        if bytes > most:
            return
    kernels().csr_gather_rows(
        &data.packed, end - start, data.order + start, 0, 0, data.packed.n_blocks, &data.csr, start,
        1, NULL
    )
    block.csr = &data.csr
