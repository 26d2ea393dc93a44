# Data sets of which few elements are not 0, as lists of those (csrc/sparse.h).


cdef class Sparse:
    """The elements of rows (rows, width) that are not 0; `compress` makes one."""

    cdef readonly tuple shape
    cdef cnet_sparse data
    cdef Py_ssize_t elements  # the most of a row
    cdef int64_t[::1] starts
    cdef uint8_t[::1] records
    cdef int64_t[::1] longest  # record of each part; 0 where it had too many elements


cdef struct Compression:
    Py_ssize_t rows, width, blocks
    const real *x
    const uint8_t *bytes  # or these
    Py_ssize_t size       # of an element in a record
    double most


cdef inline Py_ssize_t _first_place(const Compression *c, Py_ssize_t row, Py_ssize_t part) noexcept nogil:
    """Where the records of a part begin whose first row is this. There is room for a share of its elements, and for one more row."""
    return <Py_ssize_t> (c.most * row * c.width) * c.size + row * c.blocks + part * (c.blocks + (c.width + CNET_LIST_SLACK) * c.size)


cdef void _compress_part(const Compression *c, Sparse sparse, int part, int parts) noexcept nogil:
    cdef const cnet_kernels *k = kernels()
    cdef Py_ssize_t start = _start(c.rows, part, parts), end = _start(c.rows, part + 1, parts), row, n, longest = 0
    cdef Py_ssize_t at = _first_place(c, start, part), most = _first_place(c, end, part)
    cdef uint8_t *counts
    cdef uint8_t *positions
    cdef void *values = malloc((c.width + CNET_LIST_SLACK) * sizeof(real))
    sparse.longest[part] = 0
    if values == NULL:
        return
    for row in range(start, end):
        if at > most:
            free(values)
            return
        sparse.starts[row] = at
        counts = &sparse.records[at]
        positions = counts + c.blocks
        if c.bytes != NULL:
            n = k.list_nonzero_uint8(c.width, c.bytes + row * c.width, counts, positions, <uint8_t *> values)
        else:
            n = k.list_nonzero(c.width, c.x + row * c.width, counts, positions, <real *> values)
        memcpy(positions + n, values, n * (c.size - 1))
        longest = max(longest, c.blocks + n * c.size)
        at += c.blocks + n * c.size
    free(values)
    sparse.longest[part] = longest
    if part == parts - 1:
        sparse.starts[c.rows] = at


def compress(x, double most, empty):
    """The `Sparse` of x (rows, width), real or uint8; None where more than a share `most` of its elements, or of a thread's rows, are not 0.

    `empty` allocates an array of a size and dtype. Pages of it that are not written take no memory.
    """
    cdef const real[:, ::1] x_real
    cdef const uint8_t[:, ::1] x_uint8
    cdef Compression c = Compression(x.shape[0], x.shape[1], cnet_block_count(x.shape[1]), NULL, NULL, 1 + sizeof(real), most)
    if c.rows == 0 or c.width == 0:
        return None
    if x.dtype == "uint8":
        x_uint8 = x
        c.bytes = &x_uint8[0, 0]
        c.size = 2
    else:
        x_real = x
        c.x = &x_real[0, 0]
    cdef int parts = threads_for(<double> c.rows * c.width, ELEMENTS_PER_THREAD, ALL), part
    cdef Sparse sparse = Sparse()
    sparse.shape = c.rows, c.width
    sparse.starts = empty(c.rows + 1, "int64")
    sparse.records = empty(_first_place(&c, c.rows, parts), "uint8")
    sparse.longest = empty(parts, "int64")
    with nogil:
        for part in prange(parts, schedule="static", num_threads=parts, use_threads_if=parts > 1):
            _compress_part(&c, sparse, part, parts)
    sparse.data = cnet_sparse(c.blocks, 0, &sparse.starts[0], &sparse.records[0], c.bytes != NULL)
    for part in range(parts):
        if sparse.longest[part] == 0:
            return None
        sparse.data.longest = max(sparse.data.longest, <Py_ssize_t> sparse.longest[part])
    sparse.elements = (sparse.data.longest - c.blocks) // c.size
    return sparse
