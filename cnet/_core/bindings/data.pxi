# Where a program's batches come from, and where they are collected: rows of a data set, as they are
# or as lists of what is not 0 in them.
#
# A part collects rows, all of whose columns it will multiply; or, where a block goes by columns,
# whole blocks of columns of all rows. What parts collect in one way or the other lies apart, so
# that they hardly share a line of the cache.


cdef enum:
    MOST_AHEAD = 1 << 17  # bytes: beside what a step works on, they are to stay in a level-2 cache


cdef struct Data:
    Py_ssize_t n_rows, width
    double row_bytes           # as they lie in memory
    const real *x
    const uint8_t *x_uint8     # or these
    const cnet_csr_packed *sparse  # or these
    real scale, offset         # batches are scale * rows + offset
    bint rescales              # whether that is not the rows themselves
    real *batch                # (room, width)
    cnet_csr_batch lists           # of a batch
    # of lists whose elements are bytes; room for as many as there may be, or as much for the
    # columns of each part
    real *values
    # rows to predict, with room for each, where they may be made into lists
    cnet_csr_packed given
    int64_t *order             # of these, and their `starts`
    Py_ssize_t column_rows     # of a block that may go by columns


cdef int _make_lists(Data *data, Py_ssize_t room, int threads) except -1:
    """Room for the lists of a batch: of `sparse`, or of what is given."""
    cdef Py_ssize_t i, record
    cdef int64_t *starts
    data.lists.block_length, data.lists.capacity = cnet_block_length(data.width), room
    data.lists.rows = <cnet_csr_row *> malloc(
        cnet_block_count(data.width) * room * sizeof(cnet_csr_row)
    )
    if data.lists.rows == NULL:
        raise MemoryError
    if data.sparse == NULL:
        record = (cnet_csr_row_bytes(data.width) + sizeof(real) - 1) // sizeof(real) * sizeof(real)
        data.order = <int64_t *> malloc((2 * room + 1) * sizeof(int64_t))
        starts = data.order + room
        data.given = cnet_csr_packed(
            cnet_block_count(data.width), record, starts, <uint8_t *> malloc(room * record), 0
        )
        if data.order == NULL or data.given.data == NULL:
            raise MemoryError
        for i in range(room + 1):
            starts[i] = i * record
        for i in range(room):
            data.order[i] = i
    elif data.sparse.is_uint8:
        data.values = <real *> malloc(
            max(room, threads * data.column_rows) * cnet_csr_max_nnz(data.width) * sizeof(real)
        )
        if data.values == NULL:
            raise MemoryError
    return 0


cdef void _free_lists(const Data *data) noexcept:
    free(data.lists.rows)
    free(data.values)
    free(data.order)
    free(<void *> data.given.data)


cdef void _collect_rows(const Data *data, Block *block, int part, int parts) noexcept nogil:
    """A part's share of a block's rows. Rows in their own order are read in place."""
    cdef Py_ssize_t start = _start(block.m, part, parts)
    cdef Py_ssize_t count = _start(block.m, part + 1, parts) - start
    cdef const int64_t *rows = block.rows + block.start
    cdef real *values
    block.x = block.x_batch
    if data.sparse != NULL:
        block.lists = &data.lists
        values = data.values + start * cnet_csr_max_nnz(data.width)
        kernels().csr_gather_rows(
            data.sparse, count, rows + start, block.ahead, 0, data.sparse.n_blocks, &data.lists,
            start, data.scale, values
        )
    elif data.x != NULL and not data.rescales and _consecutive(block.m, rows):
        block.x = data.x + rows[0] * data.width
    else:
        _gather(
            data, count, rows + start, block.ahead, 0, data.width, data.batch + start * data.width
        )


cdef void _collect_columns(const Data *data, Block *block, int part, int parts) noexcept nogil:
    """A part's columns of all rows of a block, whole blocks of a sum."""
    cdef Py_ssize_t length = cnet_block_length(data.width), blocks = cnet_block_count(data.width)
    cdef Py_ssize_t first = _start(blocks, part, parts), end = _start(blocks, part + 1, parts)
    cdef const int64_t *rows = block.rows + block.start
    cdef real *at
    block.first, block.end = first * length, min(data.width, end * length)
    if data.sparse != NULL:
        block.lists = &data.lists
        at = data.values + part * data.column_rows * cnet_csr_max_nnz(data.width)
        kernels().csr_gather_rows(
            data.sparse, block.m, rows, block.ahead, first, end, &data.lists, 0, data.scale, at
        )
    elif data.x != NULL and not data.rescales and _consecutive(block.m, rows):
        block.own, block.own_row = data.x + rows[0] * data.width + block.first, data.width
    else:
        # for any block.m: others may still read theirs
        at = data.batch + data.column_rows * block.first
        block.own, block.own_row = at, block.end - block.first
        _gather(data, block.m, rows, block.ahead, block.first, block.own_row, at)


cdef void _gather(
    const Data *data, Py_ssize_t m, const int64_t *rows, Py_ssize_t ahead, Py_ssize_t first,
    Py_ssize_t n, real *out
) noexcept nogil:
    if data.x_uint8 != NULL:
        kernels().gather_uint8(
            m, n, data.x_uint8 + first, data.width, rows, ahead, data.scale, data.offset, out
        )
    elif data.x != NULL:
        kernels().gather(m, n, data.x + first, data.width, rows, ahead, out)
        if data.rescales:
            kernels().rescale(m * n, out, data.scale, data.offset, out)


cdef bint _consecutive(Py_ssize_t m, const int64_t *rows) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(1, m):
        if rows[i] != rows[i - 1] + 1:
            return False
    return True


cdef void _list_rows(const Data *data, Block *block, int part, int parts) noexcept nogil:
    """A part's share of the rows at block.x as lists, unless too many elements are not 0 for
    that to be quicker.
    """
    cdef Py_ssize_t start = _start(block.m, part, parts), end = _start(block.m, part + 1, parts), i
    cdef Py_ssize_t bytes = 0
    cdef double most = MOST_LISTED * (end - start) * data.width * (1 + sizeof(real))
    block.lists = NULL
    for i in range(start, end):
        bytes += kernels().csr_row_from_dense(
            data.width, block.x + i * data.width,
            <uint8_t *> data.given.data + data.given.row_start[i]
        )
        if bytes > most:
            return
    kernels().csr_gather_rows(
        &data.given, end - start, data.order + start, 0, 0, data.given.n_blocks, &data.lists, start,
        1, NULL
    )
    block.lists = &data.lists
