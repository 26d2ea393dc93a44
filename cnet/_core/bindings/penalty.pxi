# The sum of the squares of weights before each step: the L2 penalty in the loss of a batch.
#
# Each chunk is summed by one thread, and the sums of chunks are added in order.

cdef enum:
    PENALTY_CHUNK = 4096


cdef struct WeightChunk:
    const real *w
    Py_ssize_t n


cdef struct Penalty:
    WeightChunk *chunks
    double *sums
    Py_ssize_t n  # chunks


cdef int _penalize(Penalty *penalty, const real[::1] w) except -1:
    """Add the weights w to the penalty. The caller keeps them alive."""
    cdef Py_ssize_t size = w.shape[0]
    cdef Py_ssize_t total = penalty.n + (size + PENALTY_CHUNK - 1) // PENALTY_CHUNK, start
    cdef WeightChunk *chunks = <WeightChunk *> realloc(penalty.chunks, total * sizeof(WeightChunk))
    if total and chunks == NULL:
        raise MemoryError
    penalty.chunks = chunks
    cdef double *sums = <double *> realloc(penalty.sums, total * sizeof(double))
    if total and sums == NULL:
        raise MemoryError
    penalty.sums = sums
    for start in range(0, size, PENALTY_CHUNK):
        chunks[penalty.n] = WeightChunk(&w[start], min(<Py_ssize_t> PENALTY_CHUNK, size - start))
        penalty.n += 1
    return 0


cdef void _sum_squares(const Penalty *penalty, int ith, int nth) noexcept nogil:
    """Sum the squares of the chunks of a thread."""
    cdef Py_ssize_t i
    for i in range(_chunk_begin(penalty.n, ith, nth), _chunk_begin(penalty.n, ith + 1, nth)):
        penalty.sums[i] = kernels().square_sum(penalty.chunks[i].n, penalty.chunks[i].w)


def square_sum(const real[::1] w, double total) -> float:
    """`total` plus the sum of the squares of w."""
    cdef Py_ssize_t start
    for start in range(0, w.shape[0], PENALTY_CHUNK):
        total += kernels().square_sum(
            min(<Py_ssize_t> PENALTY_CHUNK, w.shape[0] - start), &w[start]
        )
    return total


def weight_sum(const real[::1] weights) -> float:
    """The sum of sample weights, bitwise identical to that of a program for a batch of them."""
    cdef Loss plain = _loss_of(CNET_MSE, 0, None, 1)
    return _total_weight(&plain, weights.shape[0], NULL, _in1(weights), NULL)
