# The functions that Python calls, for `real`: float or double, as the file that includes this one
# says.
#
# A function takes C-contiguous memoryviews, outputs first. It checks their sizes, since a wrong
# size would crash the kernel. Then it appends its operation to a program, or runs it (run.pxi). A
# thread computes a chunk of the operation, by kernels (kernels/kernels.h) and without the GIL. Each
# element of an output is written by one thread, and the order of sums does not depend on chunks. So
# results are bitwise identical for any number of threads.
#
# The files are included for each type. Fused types would find the type of every argument in each
# call, which takes longer than a small kernel.

cimport cython
from cython.parallel cimport prange
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from cnet._core._threads cimport begins_regions, members_for, run_region, threads_for


cdef extern from "kernels/constants.h":
    ctypedef struct cnet_constant:
        const char *name
        int value

    const cnet_constant cnet_constants[]
    enum:
        CNET_CONSTANT_COUNT


cdef extern from "kernels/kernels.h":
    enum:
        CNET_KC
        CNET_MC_PACKED
        CNET_LOSS_COUNT, CNET_MSE, CNET_CROSS_ENTROPY, CNET_NLL, CNET_BCE
        CNET_OPTIMIZER_COUNT, CNET_SGD

    int cnet_state_count(int) noexcept nogil

    ctypedef struct cnet_rule:
        int kind, decoupled, summed, inner
        double lr, weight_decay, beta1, beta2, eps, setting
        int64_t steps

    ctypedef struct cnet_update:
        int kind
        real l2, decay_factor

    cnet_update cnet_update_at(const cnet_rule *, int64_t, double) noexcept nogil

    ctypedef struct cnet_gemm:
        Py_ssize_t m, n, k
        const real *a
        Py_ssize_t rs_a, cs_a
        const real *b
        Py_ssize_t rs_b, cs_b
        real *c
        Py_ssize_t rs_c, cs_c
        const real *bias
        Py_ssize_t block
        int accumulate
        Py_ssize_t split_k_stride
        int dots

    bint cnet_use_dot_kernel(Py_ssize_t, Py_ssize_t) noexcept nogil

    ctypedef struct cnet_csr_packed:
        Py_ssize_t n_blocks, max_row_bytes
        const int64_t *row_start
        const uint8_t *data
        int is_uint8

    ctypedef struct cnet_csr_row:
        pass

    ctypedef struct cnet_csr_batch:
        Py_ssize_t block_length, capacity
        cnet_csr_row *rows

    Py_ssize_t cnet_csr_row_bytes(Py_ssize_t) noexcept nogil
    Py_ssize_t cnet_csr_max_nnz(Py_ssize_t) noexcept nogil
    Py_ssize_t cnet_block_length(Py_ssize_t) noexcept nogil
    Py_ssize_t cnet_block_count(Py_ssize_t) noexcept nogil

    ctypedef struct cnet_csc_block:
        uint8_t *col_nnz
        uint8_t *row_idx
        real *values

    ctypedef struct cnet_augment:
        Py_ssize_t channels, height, width
        uint32_t key[2]
        int warp, flip
        double shift, rotation, scale, shear
        Py_ssize_t nodes_y, nodes_x
        const real *basis_y
        const real *basis_x
        real noise
        const real *quantiles
        const real *mean
        const real *factor

    Py_ssize_t cnet_augment_span(Py_ssize_t) noexcept nogil
    Py_ssize_t cnet_augment_scratch(const cnet_augment *) noexcept nogil

    ctypedef struct cnet_window:
        Py_ssize_t height, width, channels, out_height, out_width, filters
        Py_ssize_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x

    ctypedef struct cnet_dropout:
        uint64_t key, step
        uint32_t threshold
        real scale

    ctypedef struct cnet_kernels:
        Py_ssize_t lanes, spmm_nr
        void (*gemm)(const cnet_gemm *) noexcept nogil
        void (*column_sums)(
            Py_ssize_t, Py_ssize_t, const real *, Py_ssize_t, real *, Py_ssize_t, int
        ) noexcept nogil
        Py_ssize_t (*conv_scratch)(const cnet_window *) noexcept nogil
        void (*conv_forward)(
            const cnet_window *, Py_ssize_t, const real *, const real *, const real *, real *,
            void *
        ) noexcept nogil
        void (*conv_backward_input)(
            const cnet_window *, Py_ssize_t, const real *, const real *, real *, void *
        ) noexcept nogil
        void (*conv_backward_params)(
            const cnet_window *, Py_ssize_t, const real *, const real *, real *, real *, int, int,
            int, void *
        ) noexcept nogil
        void (*transpose)(Py_ssize_t, Py_ssize_t, Py_ssize_t, const real *, real *) noexcept nogil
        void (*max_pool)(const cnet_window *, Py_ssize_t, const real *, real *) noexcept nogil
        void (*max_pool_backward)(
            const cnet_window *, Py_ssize_t, const real *, const real *, const real *, real *
        ) noexcept nogil
        void (*avg_pool)(const cnet_window *, Py_ssize_t, const real *, real *) noexcept nogil
        void (*avg_pool_backward)(
            const cnet_window *, Py_ssize_t, const real *, real *
        ) noexcept nogil
        void (*activation)(int, Py_ssize_t, const real *, real *, real) noexcept nogil
        void (*activation_backward)(
            int, Py_ssize_t, const real *, const real *, real *, real
        ) noexcept nogil
        void (*dropout)(
            Py_ssize_t, Py_ssize_t, const real *, real *, const cnet_dropout *
        ) noexcept nogil
        void (*norm_rows)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, const real *, real, real *, real *,
            real *
        ) noexcept nogil
        void (*norm_rows_backward)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, const real *, const real *, real *
        ) noexcept nogil
        void (*column_moments)(Py_ssize_t, Py_ssize_t, const real *, real *) noexcept nogil
        void (*merge_moments)(Py_ssize_t, Py_ssize_t, const real *, real *, real *) noexcept nogil
        void (*track_moments)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, real, real *, real *
        ) noexcept nogil
        void (*inverse_deviation)(Py_ssize_t, const real *, real, real *) noexcept nogil
        void (*norm_columns)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, const real *, const real *,
            const real *, real *, real *
        ) noexcept nogil
        void (*column_products)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, real *
        ) noexcept nogil
        void (*norm_columns_backward)(
            Py_ssize_t, Py_ssize_t, Py_ssize_t, const real *, const real *, const real *,
            const real *, const real *, real *
        ) noexcept nogil
        void (*softmax)(Py_ssize_t, Py_ssize_t, const real *, real *) noexcept nogil
        void (*softmax_backward)(
            Py_ssize_t, Py_ssize_t, const real *, const real *, real *
        ) noexcept nogil
        Py_ssize_t (*count_correct)(
            Py_ssize_t, Py_ssize_t, const real *, const int64_t *
        ) noexcept nogil
        void (*softmax_cross_entropy)(
            Py_ssize_t, Py_ssize_t, const real *, const int64_t *, const real *, const real *, real,
            real *, real *, real
        ) noexcept nogil
        void (*nll)(
            Py_ssize_t, Py_ssize_t, const real *, const int64_t *, const real *, real *, real *,
            real
        ) noexcept nogil
        void (*elementwise_loss)(
            int, Py_ssize_t, Py_ssize_t, const real *, const real *, real, real *, real *, real
        ) noexcept nogil
        void (*update)(
            Py_ssize_t, Py_ssize_t, real *, real *, Py_ssize_t, Py_ssize_t, const real *,
            Py_ssize_t, const cnet_update *
        ) noexcept nogil
        double (*clip)(Py_ssize_t, real *, real) noexcept nogil
        void (*scale)(Py_ssize_t, real *, real) noexcept nogil
        double (*square_sum)(Py_ssize_t, const real *) noexcept nogil
        int (*all_finite)(Py_ssize_t, const real *) noexcept nogil
        void (*rescale)(Py_ssize_t, const real *, real, real, real *) noexcept nogil
        void (*gather)(
            Py_ssize_t, Py_ssize_t, const real *, Py_ssize_t, const int64_t *, Py_ssize_t, real *
        ) noexcept nogil
        void (*gather_uint8)(
            Py_ssize_t, Py_ssize_t, const uint8_t *, Py_ssize_t, const int64_t *, Py_ssize_t, real,
            real, real *
        ) noexcept nogil
        Py_ssize_t (*csr_row_from_dense)(Py_ssize_t, const real *, uint8_t *) noexcept nogil
        Py_ssize_t (*csr_row_from_dense_uint8)(
            Py_ssize_t, const uint8_t *, uint8_t *
        ) noexcept nogil
        void (*csr_gather_rows)(
            const cnet_csr_packed *, Py_ssize_t, const int64_t *, Py_ssize_t, Py_ssize_t,
            Py_ssize_t, const cnet_csr_batch *, Py_ssize_t, real, real *
        ) noexcept nogil
        void (*spmm)(
            const cnet_csr_batch *, Py_ssize_t, Py_ssize_t, const cnet_gemm *
        ) noexcept nogil
        void (*spmm_transposed)(
            const cnet_csr_batch *, Py_ssize_t, const cnet_gemm *, int
        ) noexcept nogil
        void (*csr_to_csc)(
            const cnet_csr_batch *, Py_ssize_t, Py_ssize_t, Py_ssize_t, const cnet_csc_block *
        ) noexcept nogil
        void (*spmm_columns)(
            const cnet_csc_block *, Py_ssize_t, Py_ssize_t, Py_ssize_t, const real *, Py_ssize_t,
            real *, Py_ssize_t, const cnet_update *
        ) noexcept nogil
        void (*augment)(
            const cnet_augment *, int64_t, uint32_t, const real *, const uint8_t *, real *, real *
        ) noexcept nogil

    Py_ssize_t cnet_spmm_cols(Py_ssize_t, Py_ssize_t, Py_ssize_t) noexcept nogil


# A parallel region costs about 2 us; this is about 5 us of work on one core of 2020s hardware.
cdef double FLOPS_PER_THREAD = 500_000
cdef int ALL = 1 << 30  # threads: as many as are allowed


CODES = {
    cnet_constants[i].name.decode(): cnet_constants[i].value for i in range(CNET_CONSTANT_COUNT)
}
"""Codes of the activations, losses and optimizers, by name."""


cdef inline const cnet_kernels *kernels() noexcept nogil:
    return <const cnet_kernels *> table()


# Addresses of first elements; an empty array has none.
cdef inline const real *_in1(const real[::1] a) noexcept nogil:
    return &a[0] if a is not None and a.shape[0] else NULL


cdef inline real *_out1(real[::1] a) noexcept nogil:
    return &a[0] if a is not None and a.shape[0] else NULL


cdef inline const real *_in2(const real[:, ::1] a) noexcept nogil:
    return &a[0, 0] if a is not None and a.shape[0] and a.shape[1] else NULL


cdef inline real *_out2(real[:, ::1] a) noexcept nogil:
    return &a[0, 0] if a is not None and a.shape[0] and a.shape[1] else NULL


cdef inline const real *_in3(const real[:, :, ::1] a) noexcept nogil:
    return &a[0, 0, 0] if a.shape[0] and a.shape[1] and a.shape[2] else NULL


cdef inline real *_out3(real[:, :, ::1] a) noexcept nogil:
    return &a[0, 0, 0] if a.shape[0] and a.shape[1] and a.shape[2] else NULL


cdef inline const real *_in4(const real[:, :, :, ::1] a) noexcept nogil:
    return &a[0, 0, 0, 0] if a.shape[0] and a.shape[1] and a.shape[2] and a.shape[3] else NULL


cdef inline real *_out4(real[:, :, :, ::1] a) noexcept nogil:
    return &a[0, 0, 0, 0] if a.shape[0] and a.shape[1] and a.shape[2] and a.shape[3] else NULL


cdef inline Py_ssize_t _chunk_begin(Py_ssize_t n, int ith, int nth) noexcept nogil:
    """Begin of chunk `ith` of `nth` even chunks of range(n)."""
    return n // nth * ith + min(n % nth, <Py_ssize_t> ith)


cdef int _check1(str name, Py_ssize_t got, Py_ssize_t expected) except -1:
    if got != expected:
        raise ValueError(f"{name} has {got} elements, expected {expected}")
    return 0


cdef int _check2(
    str name, Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t expected_rows, Py_ssize_t expected_cols
) except -1:
    if rows != expected_rows or cols != expected_cols:
        raise ValueError(
            f"{name} has shape ({rows}, {cols}), expected ({expected_rows}, {expected_cols})"
        )
    return 0


include "gather.pxi"
include "op.pxi"
include "interrupt.pxi"
include "data.pxi"
include "targets.pxi"
include "penalty.pxi"
include "team.pxi"
include "program.pxi"
include "steps.pxi"
include "predict.pxi"
include "run.pxi"
include "sparse.pxi"
include "finite.pxi"
include "augment.pxi"
include "optim.pxi"
include "clip.pxi"
include "linear.pxi"
include "linear_params.pxi"
include "window.pxi"
include "conv.pxi"
include "pool.pxi"
include "activation.pxi"
include "rescale.pxi"
include "dropout.pxi"
include "norm.pxi"
include "group_norm.pxi"
include "loss.pxi"
