/* Arguments of the kernels: structs, constants, and the sizes that follow from them.

   `real` is float, or double where CNET_F64 is defined. Matrices are row-major. A leading dimension
   (ldx) is the distance between rows, in elements; rs_a and cs_a are the strides between rows and
   between columns, as in BLIS. */
#ifndef CNET_ARGUMENTS_H
#define CNET_ARGUMENTS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef CNET_F64
typedef double real;
#else
typedef float real;
#endif

/* KC: the most terms of a sum that are added up before the sum of the block joins the total.
   A row of a CSR matrix is cut at blocks, and each cut is a branch that the processor mispredicts:
   blocks are as long as a column index of one byte and a panel in a level-1 cache of 48 KiB allow.
   Measured with 784 terms: 10 to 15 % less time than with 128, and no more for dense products. */
#define CNET_KC 200
/* Rows of a product whose left factor is transposed: they are packed so many at a time. */
#define CNET_MC_PACKED (384 / (ptrdiff_t)sizeof(real))

/* Terms of a block of a sum over k terms. There is an even number of blocks, unless there is one.
 */
static inline ptrdiff_t cnet_block_length(ptrdiff_t k) {
    ptrdiff_t blocks = (k + CNET_KC - 1) / CNET_KC;
    blocks += blocks > 1 && blocks % 2;
    return blocks ? (k + blocks - 1) / blocks : 0;
}

static inline ptrdiff_t cnet_block_count(ptrdiff_t k) {
    const ptrdiff_t length = cnet_block_length(k);
    return k ? (k + length - 1) / length : 0;
}

/* The constants of activations, losses and optimizers. Each of these files begins with its list;
   the kernels that follow are compiled only where there are vectors (simd.h). */
#include "activations.h"
#include "losses.h"
#include "optimizers.h"

/* c[i, j] = sum over k of a[i, k] * b[k, j], plus bias[j] unless bias is NULL; a (m, k), b (k, n),
   c (m, n). Element (i, k) of a is a[i * rs_a + k * cs_a], likewise in b and c. Each matrix has a
   unit stride along one axis. */
typedef struct {
    ptrdiff_t m, n, k;
    const real *a;
    ptrdiff_t rs_a, cs_a;
    const real *b;
    ptrdiff_t rs_b, cs_b;
    real *c;
    ptrdiff_t rs_c, cs_c;
    const real *bias;
    ptrdiff_t block;          /* terms of a block of the sum, or 0 for cnet_block_length(k) */
    int accumulate;           /* c += instead of c = */
    ptrdiff_t split_k_stride; /* elements between the sums of two blocks in c, which are then not
                                 added up; or 0 */
    int dots;                 /* use the dot kernel: no bias, block, accumulate or split_k_stride */
} cnet_gemm;

/* Whether a product with n columns and k terms may be summed lane by lane (dot_kernel.h): a and b
   are contiguous along the sum, all terms are in one call, there are few columns, and terms enough,
   but not thousands for a lane. The answer is that for the whole product: a part of its columns
   must be summed the same way. */
static inline int cnet_use_dot_kernel(ptrdiff_t n, ptrdiff_t k) {
    return n <= 16 && k >= 128 && k <= 8192;
}

/* CSR. Columns are cut into blocks of cnet_block_length(columns), so that the elements of a row in
   a block are one block of a sum, and a column index within it fits into a byte. The elements of a
   row in a block are padded with zeros to a multiple of CNET_NNZ_ALIGN. */
#define CNET_NNZ_ALIGN 4
#define CNET_NNZ_SLACK 16 /* elements that may be written beyond the last of a row */

static inline ptrdiff_t cnet_pad_nnz(ptrdiff_t nnz) {
    return (nnz + CNET_NNZ_ALIGN - 1) / CNET_NNZ_ALIGN * CNET_NNZ_ALIGN;
}

/* The most elements of a row of n columns, padding included. */
static inline ptrdiff_t cnet_csr_max_nnz(ptrdiff_t n) {
    return n + cnet_block_count(n) * (CNET_NNZ_ALIGN - 1);
}

/* The most bytes of a packed row of n columns. */
static inline ptrdiff_t cnet_csr_row_bytes(ptrdiff_t n) {
    return cnet_block_count(n) +
           (cnet_csr_max_nnz(n) + CNET_NNZ_SLACK) * (1 + (ptrdiff_t)sizeof(real)) +
           2 * (ptrdiff_t)sizeof(real);
}

/* A data set. Row i is packed in bytes row_start[i] to row_start[i + 1] of data: the number of
   elements of each block, values, column indices (csr_row_from_dense). */
typedef struct {
    ptrdiff_t n_blocks;       /* of columns */
    ptrdiff_t max_row_bytes;  /* of any row */
    const int64_t *row_start; /* rows + 1 */
    const uint8_t *data;
    int is_uint8; /* values are uint8, else real */
} cnet_csr_packed;

/* The elements of a row in one block of columns; column indices ascend, and begin with the block.
 */
typedef struct {
    const uint8_t *col_idx;
    const real *values;
    ptrdiff_t nnz; /* without padding */
} cnet_csr_row;

/* A mini-batch: row i in block b is rows[b * capacity + i]. */
typedef struct {
    ptrdiff_t block_length, capacity;
    cnet_csr_row *rows;
} cnet_csr_batch;

/* One block of columns, of at most CNET_KC rows: column k has col_nnz[k] elements, from k * m on
   for m rows. */
typedef struct {
    uint8_t *col_nnz, *row_idx;
    real *values;
} cnet_csc_block;

/* Columns of c that a sparse product computes at a time, of n that are left: spmm_nr of them, or up
   to four vectors. */
static inline ptrdiff_t cnet_spmm_cols(ptrdiff_t spmm_nr, ptrdiff_t lanes, ptrdiff_t n) {
    return n >= spmm_nr ? spmm_nr : n < 4 * lanes ? n : 4 * lanes;
}

/* Augmentation of images (channels, height, width). shift (pixels), rotation and shear (radians)
   and scale (fraction) are the largest of values that are uniform in both directions. warp: pixels
   move at all. */
typedef struct {
    ptrdiff_t channels, height, width;
    uint32_t key[2]; /* of the random numbers */
    int warp, flip;
    double shift, rotation, scale, shear;
    /* Elastic displacements are basis_y (height, nodes_y) @ noise (nodes_y, nodes_x) @
       basis_x (nodes_x, cnet_augment_span(width)). */
    ptrdiff_t nodes_y, nodes_x;
    const real *basis_y, *basis_x;
    real noise;                /* standard deviation */
    const real *quantiles;     /* 257, of the normal distribution */
    const real *mean, *factor; /* by element, or NULL: y = (y - mean) * factor */
} cnet_augment;

/* Width of a row of displacements, padded to whole vectors. */
static inline ptrdiff_t cnet_augment_span(ptrdiff_t width) { return (width + 15) / 16 * 16; }

/* Elements of workspace that an augmentation needs. */
static inline ptrdiff_t cnet_augment_scratch(const cnet_augment *a) {
    return a->channels * (a->height + 3) * (a->width + 3) +
           (3 + 2 * a->nodes_y) * cnet_augment_span(a->width) + 2 * a->nodes_y * a->nodes_x + 3;
}

/* A window that slides over images (height, width, channels), which are padded by pad_y and pad_x.
   filters: channels of an output image; for pooling, those of the input. Every window covers at
   least one pixel that is not padding. */
typedef struct {
    ptrdiff_t height, width, channels, out_height, out_width, filters;
    ptrdiff_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x;
} cnet_window;

/* An element is dropped if its word of 32 random bits is below the threshold, and is multiplied by
   scale if not. */
typedef struct {
    uint64_t key, step;
    uint32_t threshold;
    real scale;
} cnet_dropout;

#endif
