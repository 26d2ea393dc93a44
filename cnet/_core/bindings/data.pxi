# The samples of a program: a data set, and the buffer in which a mini-batch of it is gathered.
#
# A thread gathers either its samples (data-parallel) or its columns of all samples (split over K).
# Buffers of both are disjoint, to avoid false sharing.


cdef enum:
    # Bytes that may be prefetched: they share a level-2 cache with the data of a step.
    MAX_PREFETCH_BYTES = 1 << 17


cdef struct Data:
    Py_ssize_t n_rows, width
    double row_bytes           # mean bytes of a sample in memory
    # One of these three is the data set.
    const real *x
    const uint8_t *x_uint8
    const cnet_csr_packed *sparse
    real scale, offset         # a batch is scale * samples + offset
    bint rescales              # whether scale and offset change anything
    real *batch                # (capacity, width)
    cnet_csr_batch csr         # the batch as CSR
    # Values of the batch that are converted from uint8: for all samples, or for the columns of
    # each thread.
    real *values
    # Samples of a prediction, packed, if they are converted to CSR; their indices.
    cnet_csr_packed packed
    int64_t *order
    Py_ssize_t split_k_capacity  # samples of a block that may be split over K


cdef int _allocate_csr(Data *data, Py_ssize_t capacity, int threads) except -1:
    """Allocate the CSR form of a batch: of `sparse`, or of the samples of a prediction."""
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
    """Gather the samples of a thread. Samples in the order of the data set are read in place."""
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
    """Gather the columns of a thread, whole blocks of a sum, of all samples of a block."""
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
    """Convert the samples of a thread to CSR, unless too many elements are nonzero."""
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
