# What a program (program.pxi) is made of: an operation is a function that gets its arguments, the
# rows at hand, and which part of how many it is to do.


cdef extern from "kernels/shared.h":
    ctypedef struct cnet_shared:
        pass
    Py_ssize_t cnet_get(const cnet_shared *) noexcept nogil
    void cnet_set(cnet_shared *, Py_ssize_t) noexcept nogil
    ctypedef struct cnet_claim:
        pass
    bint cnet_take(cnet_claim *) noexcept nogil
    void cnet_release(cnet_claim *) noexcept nogil


cdef extern from "kernels/team.h":
    double cnet_seconds() noexcept nogil


cdef enum Phase:
    SPLIT_K  # where the block is by columns: a part takes its columns of the data, of all rows
    PER_SAMPLE     # a part takes its rows of the batch, and reads those rows alone
    # when all rows are done: a part takes its share of some parameters, and reads all rows
    WEIGHT_GRADS
    # when nothing can stop the step any more, before weights change: the first part updates running
    # statistics
    TRACK
    CLIP     # when all blocks are done: a part limits its share of some gradients
    UPDATE   # when gradients are what they shall be: a part takes its share of some parameters


# See interrupt.pxi.
cdef struct Watch:
    double check_at         # the time
    cnet_shared aborted   # the moment, or 0


cdef struct Block:
    Py_ssize_t batch      # rows of the batch that this is a block of
    Py_ssize_t start      # the block's first row in the batch
    Py_ssize_t m          # rows of the block; they lie at the beginning of all buffers
    Py_ssize_t step       # of the call, from 1
    Watch *watch          # NULL where nobody looks for an interrupt
    Py_ssize_t interval     # see Watch
    double factor         # of gradients, before an UPDATE
    double weight         # of the batch's rows together, for penalties that are summed
    # parts keep to their rows in phase PER_SAMPLE; else all wait for each other before each
    # operation
    bint data_parallel
    bint use_split_k       # parts collect their columns of all rows, for phase SPLIT_K
    # those of a part, for which `x` is not read; their rows lie local_ldx apart
    const real *local_x
    Py_ssize_t local_ldx
    Py_ssize_t first, end  # which they are
    const int64_t *rows   # of the data set: those of the batch
    # rows beyond the block's that are in `rows`, and to be fetched while its own are collected: as
    # many, or none
    Py_ssize_t prefetch_rows
    # the block's rows of the data set, for operations that were told to read x_batch
    const real *x
    const real *x_batch
    const cnet_csr_batch *csr  # the block's rows, or a part's columns of them, instead; or NULL


ctypedef void (*Run)(const void *, const Block *, int, int) noexcept nogil


cdef struct Op:
    Phase phase
    Run run
    void *arguments
    # it reads rows of others, or what they summed: they wait for each other before it
    bint needs_barrier


cdef inline const real *_input(const Block *block, const real *x) noexcept nogil:
    """What an operation reads that was told to read x."""
    return block.x if x == block.x_batch else x
