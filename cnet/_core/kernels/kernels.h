/* The table of kernels: the contract between the Cython loops above and the kernels below.

   kernels.c fills one table for each instruction set and type. A kernel is a leaf: it runs on one
   thread, allocates nothing, calls nothing back and decides nothing about threads.

   The order of summation is part of the contract. A reduction over k terms is cut into equal blocks
   of at most CNET_KC terms (cnet_block_length). A block is summed from zero in the order of k, and
   the sums of blocks are added in order. (cnet_use_dot_kernel names products that are summed by
   lanes.) No result depends on how rows, columns or threads were cut. Nor does it depend on how
   many terms there were in a call, since a sum may continue over several calls. */
#ifndef CNET_KERNELS_H
#define CNET_KERNELS_H

#include "arguments.h"

typedef struct cnet_kernels {
    ptrdiff_t lanes;   /* of a vector: columns of a product are best cut at multiples of this */
    ptrdiff_t spmm_nr; /* columns of a panel of a sparse product, see cnet_spmm_cols */

    void (*gemm)(const cnet_gemm *g);
    /* out[j] = sum over i of x[i, j]; x (m, n); block and accumulate as in cnet_gemm */
    void (*column_sums)(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, real *out,
                        ptrdiff_t block, int accumulate);

    /* Convolution of n images (conv.h). w (kernel width, kernel height, channels, filters); bias
       and db (filters) may be NULL. The gradient of the weights sums over images: each call reads
       all images, and writes part `part` of `parts` of dw and db, or adds to it with accumulate.
       conv_scratch: bytes of workspace that each of them needs, a multiple of a cache line. */
    ptrdiff_t (*conv_scratch)(const cnet_window *g);
    void (*conv_forward)(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
                         const real *bias, real *out, void *scratch);
    void (*conv_backward_input)(const cnet_window *g, ptrdiff_t n, const real *dout, const real *w,
                                real *dx, void *scratch);
    void (*conv_backward_params)(const cnet_window *g, ptrdiff_t n, const real *x, const real *dout,
                                 real *dw, real *db, int accumulate, int part, int parts,
                                 void *scratch);

    /* y[i] = transpose of x[i], for n matrices x (rows, cols): NHWC from NCHW, or back */
    void (*transpose)(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t cols, const real *x, real *y);

    /* Pooling of n images (pool.h). The first of equal maxima gets the gradient. The mean counts
       padding as zeros. */
    void (*max_pool)(const cnet_window *g, ptrdiff_t n, const real *x, real *out);
    void (*max_pool_backward)(const cnet_window *g, ptrdiff_t n, const real *x, const real *out,
                              const real *dout, real *dx);
    void (*avg_pool)(const cnet_window *g, ptrdiff_t n, const real *x, real *out);
    void (*avg_pool_backward)(const cnet_window *g, ptrdiff_t n, const real *dout, real *dx);

    /* y[i] = f(x[i]) and dx[i] = dy[i] * f'(x[i]) of n elements. slope: negative slope of
       CNET_LEAKY_RELU, alpha of CNET_ELU. In the second, y is the output of the first, or its input
       for CNET_GELU and CNET_GELU_TANH. dx may be dy. */
    void (*activation)(int kind, ptrdiff_t n, const real *x, real *y, real slope);
    void (*activation_backward)(int kind, ptrdiff_t n, const real *y, const real *dy, real *dx,
                                real slope);

    /* Elements first to first + n of a batch, of which x and y are the first (dropout.h). The same
       call computes the gradient. */
    void (*dropout)(ptrdiff_t first, ptrdiff_t n, const real *x, real *y, const cnet_dropout *d);

    /* Layer normalization (norm.h): each row by itself */
    void (*norm_rows)(ptrdiff_t m, ptrdiff_t n, const real *x, const real *w, const real *b,
                      real eps, real *out, real *xhat, real *rstd);
    void (*norm_rows_backward)(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat,
                               const real *rstd, const real *w, real *dx);
    /* Batch normalization: moments of columns for each block of cnet_block_length(m) rows, which
       are then merged; the sums for the gradients likewise */
    void (*column_moments)(ptrdiff_t m, ptrdiff_t n, const real *x, real *sums);
    void (*merge_moments)(ptrdiff_t m, ptrdiff_t n, const real *blocks, real *mean, real *var);
    void (*track_moments)(ptrdiff_t m, ptrdiff_t n, const real *mean, const real *var,
                          real momentum, real *running_mean, real *running_var);
    void (*inverse_deviation)(ptrdiff_t n, const real *var, real eps, real *rstd);
    void (*norm_columns)(ptrdiff_t m, ptrdiff_t n, const real *x, const real *mean,
                         const real *rstd, const real *w, const real *b, real *out, real *xhat);
    void (*column_products)(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat, real *sums);
    void (*norm_columns_backward)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t rows, const real *dy,
                                  const real *xhat, const real *rstd, const real *w,
                                  const real *sums, real *dx);

    /* y[i] = exp(x[i]) / sum exp(x[i]) of each row of x (m, n) */
    void (*softmax)(ptrdiff_t m, ptrdiff_t n, const real *x, real *y);
    void (*softmax_backward)(ptrdiff_t m, ptrdiff_t n, const real *y, const real *dy, real *dx);

    /* The number of rows whose first maximum is at their label */
    ptrdiff_t (*count_correct)(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels);

    /* Losses: row_loss (m), and dx (m, n) = scale * its gradient; either may be NULL. Targets are
       labels (m), which the caller has checked to be in [0, n), or t (m, n) where labels is NULL.
       Cross-entropy takes weights * ((1 - smoothing) * t + smoothing / n) for t; weights (n) may be
       NULL for ones. */
    void (*softmax_cross_entropy)(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels,
                                  const real *t, const real *weights, real smoothing,
                                  real *row_loss, real *dx, real scale);
    void (*nll)(ptrdiff_t m, ptrdiff_t n, const real *p, const int64_t *labels, const real *t,
                real *row_loss, real *dp, real scale);
    void (*elementwise_loss)(int kind, ptrdiff_t m, ptrdiff_t n, const real *x, const real *t,
                             real setting, real *row_loss, real *dx, real scale);

    /* One optimizer step on w (m, n) with gradient g (m, n). The cnet_state_count(u->kind) arrays
       of state are laid out like w, state_stride elements apart. */
    void (*update)(ptrdiff_t m, ptrdiff_t n, real *w, real *state, ptrdiff_t state_stride,
                   ptrdiff_t ldw, const real *g, ptrdiff_t ldg, const cnet_update *u);

    /* Clamp n elements to [-bound, bound]; returns the sum of their squares */
    double (*clip)(ptrdiff_t n, real *g, real bound);
    /* x[i] *= factor */
    void (*scale)(ptrdiff_t n, real *x, real factor);
    /* sum of x[i]^2 */
    double (*square_sum)(ptrdiff_t n, const real *x);
    int (*all_finite)(ptrdiff_t n, const real *x);

    /* out[i] = scale * x[i] + offset of n elements; out may be x */
    void (*rescale)(ptrdiff_t n, const real *x, real scale, real offset, real *out);
    /* out[i] = x[rows[i]] for m rows of n elements; the second rescales them too. rows has
       prefetch_distance elements more, which are prefetched for a later call. */
    void (*gather)(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, const int64_t *rows,
                   ptrdiff_t prefetch_distance, real *out);
    void (*gather_uint8)(ptrdiff_t m, ptrdiff_t n, const uint8_t *x, ptrdiff_t ldx,
                         const int64_t *rows, ptrdiff_t prefetch_distance, real scale, real offset,
                         real *out);

    /* Pack the nonzero elements of x (n); returns the bytes written. packed has space for
       cnet_csr_row_bytes(n), which is needed meanwhile. */
    ptrdiff_t (*csr_row_from_dense)(ptrdiff_t n, const real *x, uint8_t *packed);
    ptrdiff_t (*csr_row_from_dense_uint8)(ptrdiff_t n, const uint8_t *x, uint8_t *packed);
    /* Column blocks first to end of m rows of x become rows `row` and on of a batch. Elements stay
       where they are, but uint8 values are converted, times scale, to workspace. */
    void (*csr_gather_rows)(const cnet_csr_packed *x, ptrdiff_t m, const int64_t *rows,
                            ptrdiff_t prefetch_distance, ptrdiff_t first, ptrdiff_t end,
                            const cnet_csr_batch *to, ptrdiff_t row, real scale, real *workspace);
    /* The product g whose a is x, from row `row` and column block `block` on */
    void (*spmm)(const cnet_csr_batch *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g);
    /* The product g whose a is the transpose of one column block of rows 0 to k of x. With scratch,
       c has space for the columns that cnet_spmm_cols names, and they are written. */
    void (*spmm_transposed)(const cnet_csr_batch *x, ptrdiff_t block, const cnet_gemm *g,
                            int scratch);
    /* One column block of rows 0 to m, as CSC */
    void (*csr_to_csc)(const cnet_csr_batch *x, ptrdiff_t block, ptrdiff_t m, ptrdiff_t cols,
                       const cnet_csc_block *to);
    /* c = x.T @ b for x (m, cols), b (m, n); or, with sgd_update, a step on c with that gradient */
    void (*spmm_columns)(const cnet_csc_block *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t rs_b, real *c, ptrdiff_t rs_c,
                         const cnet_update *sgd_update);

    /* out = image, or bytes where that is not NULL, augmented for an epoch; row: its number in the
       data set. scratch has cnet_augment_scratch elements, 0 before the first image. */
    void (*augment)(const cnet_augment *a, int64_t row, uint32_t epoch, const real *image,
                    const uint8_t *bytes, real *out, real *scratch);
} cnet_kernels;

#endif
