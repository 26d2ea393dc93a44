# Sparse data sets: only nonzero elements are stored (kernels/csr.h).


cdef class Sparse:
    """The nonzero elements of samples (rows, width), in packed CSR; `compress` returns one."""

    cdef readonly tuple shape
    cdef cnet_csr_packed data
    cdef int64_t[::1] starts
    cdef uint8_t[::1] records


cdef struct Compression:
    Py_ssize_t rows, width
    const real *x
    const uint8_t *bytes  # or these
    double most           # maximum fraction of nonzero elements, of the samples of a thread
    Py_ssize_t size       # of an element in a record
    int64_t *starts       # of the records of rows
    uint8_t *records
    int64_t *longest      # record of each thread, or 0 if it has too many elements


cdef inline Py_ssize_t _first_place(
    const Compression *c, Py_ssize_t row, Py_ssize_t ith
) noexcept nogil:
    """The byte at which thread `ith`, whose first sample is `row`, begins to write: beyond the
    maximum size of the samples before.
    """
    cdef Py_ssize_t beside = row * (
        cnet_block_count(c.width) + 2 * sizeof(real)
    ) + ith * cnet_csr_row_bytes(c.width)
    cdef Py_ssize_t most = <Py_ssize_t> (c.most * row * c.width) * c.size + beside
    return (most + sizeof(real) - 1) // sizeof(real) * sizeof(real)


cdef void _run_compress(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const Compression *c = <const Compression *> arguments
    cdef int64_t *longest = c.longest + ith
    cdef const cnet_kernels *k = kernels()
    cdef Py_ssize_t start = _chunk_begin(c.rows, ith, nth), end = _chunk_begin(c.rows, ith + 1, nth)
    cdef Py_ssize_t row
    cdef Py_ssize_t bytes
    cdef Py_ssize_t at = _first_place(c, start, ith), most = _first_place(c, end, ith)
    longest[0] = 0
    for row in range(start, end):
        if at > most:
            longest[0] = 0
            return
        c.starts[row] = at
        if c.bytes != NULL:
            bytes = k.csr_row_from_dense_uint8(
                c.width, c.bytes + row * c.width, &c.records[at]
            )
        else:
            bytes = k.csr_row_from_dense(c.width, c.x + row * c.width, &c.records[at])
        longest[0] = max(longest[0], <int64_t> bytes)
        at += bytes
    if ith == nth - 1:
        c.starts[c.rows] = at


def compress(x, double most, empty) -> object:
    """The `Sparse` of x (rows, width), real or uint8; None if more than a fraction `most` of its
    elements, or of the elements of a thread's samples, are nonzero.

    `empty` allocates an array of a size and dtype. Its pages take no memory until they are written.
    """
    cdef const real[:, ::1] x_real
    cdef const uint8_t[:, ::1] x_uint8
    cdef Compression c
    memset(&c, 0, sizeof(c))
    c.rows, c.width, c.most, c.size = x.shape[0], x.shape[1], most, 1 + sizeof(real)
    if c.rows == 0 or c.width == 0:
        return None
    if x.dtype == "uint8":
        x_uint8 = x
        c.bytes, c.size = &x_uint8[0, 0], 2
    else:
        x_real = x
        c.x = &x_real[0, 0]
    cdef int nth = threads_for(ELEMENT_FLOPS * c.rows * c.width, FLOPS_PER_THREAD, ALL)
    cdef int64_t[::1] longest = empty(nth, "int64")
    cdef Sparse sparse = Sparse()
    sparse.shape = c.rows, c.width
    sparse.starts = empty(c.rows + 1, "int64")
    sparse.records = empty(_first_place(&c, c.rows, nth), "uint8")
    c.starts, c.records, c.longest = &sparse.starts[0], &sparse.records[0], &longest[0]
    cdef Block block = _whole_batch(c.rows)
    with nogil:
        _run_on_threads(_run_compress, &c, &block, nth)
    if min(longest) == 0:
        return None
    sparse.data = cnet_csr_packed(
        cnet_block_count(c.width), max(longest), &sparse.starts[0], &sparse.records[0],
        c.bytes != NULL
    )
    return sparse
