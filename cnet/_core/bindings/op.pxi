# Operations of a program (program.pxi): a function that gets its arguments, the block of samples,
# the index of its thread, and the number of threads.


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
    # A thread computes with its columns of the data, of all samples, if the layer is split over K.
    SPLIT_K
    # A thread computes with its samples, and reads no others.
    PER_SAMPLE
    # All samples are done. A thread computes its slice of weight gradients from all of them.
    WEIGHT_GRADS
    # The step can no longer be aborted. The first thread updates running statistics.
    TRACK
    # All blocks are done. A thread clips its slice of the gradients.
    CLIP
    # Gradients are final. A thread updates its slice of the weights.
    UPDATE


# The check for interrupts of a call, see interrupt.pxi.
cdef struct Watch:
    double check_at       # time of the next check
    cnet_shared aborted   # the interval in which the step was aborted, or 0


# Samples that are processed together: a batch, or a part of one.
cdef struct Block:
    Py_ssize_t batch      # samples of the whole batch
    Py_ssize_t start      # index in the batch of the first sample
    Py_ssize_t m          # samples; they are the first rows of all buffers
    Py_ssize_t step       # of the call, from 1
    Watch *watch          # NULL if interrupts are not checked
    Py_ssize_t interval   # between two barriers, counted by each thread
    double factor         # of gradients, before an UPDATE
    double weight         # total sample weight of the batch, for penalties that are summed
    # Threads keep to their samples in phase PER_SAMPLE; else there is a barrier before each
    # operation.
    bint data_parallel
    bint use_split_k      # threads gather their columns of all samples, for phase SPLIT_K
    # The columns first to end of a thread, with leading dimension local_ldx, in place of x.
    const real *local_x
    Py_ssize_t local_ldx
    Py_ssize_t first, end
    const int64_t *rows   # indices of the samples of the batch
    # Indices in `rows` beyond the block's, to be prefetched: as many as m, or none.
    Py_ssize_t prefetch_rows
    const real *x         # the samples; stands for x_batch in operations
    const real *x_batch
    const cnet_csr_batch *csr  # the samples, or a thread's columns of them, as CSR; or NULL


ctypedef void (*Run)(const void *, const Block *, int, int) noexcept nogil


cdef struct Op:
    Phase phase
    Run run
    void *arguments
    # It reads samples of other threads, or their sums.
    bint needs_barrier


cdef inline const real *_input(const Block *block, const real *x) noexcept nogil:
    """The buffer that stands for x in this block."""
    return block.x if x == block.x_batch else x
