/* The contract between the Cython loops above and the kernels below.

   `real` is float, or double where CNET_F64 is defined; the table of either type is filled once per
   instruction set by kernels.c. Kernels are leaves: they run on one thread, allocate nothing, call
   back nothing and decide nothing about threads. Matrices are row-major; "row stride" counts
   elements.

   Summation order is part of the contract. A reduction over k terms is cut into equal blocks of at
   most CNET_BLOCK terms (cnet_block_length), an even number of them unless it is one; a block is
   summed from zero in the order of k, and block sums are added in order. (Some products are summed
   by lanes: cnet_by_dots.) No result depends on how rows, columns or threads were cut, nor, since a
   sum may go on over several calls, on how many terms there were in each. */
#ifndef CNET_KERNELS_H
#define CNET_KERNELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef CNET_F64
typedef double real;
#else
typedef float real;
#endif

/* Each list (sparse.h) ends with its block, where the processor has to guess: blocks are as long as
   positions in a byte and panels in a level-1 cache (of 48 KiB, for those of AVX-512) allow.
   Measured with 784 terms: 10 to 15 % less time than for blocks of 128, and no more in products
   without lists. */
#define CNET_BLOCK 200
#define CNET_LIST_SLACK 16
/* and is filled up to a multiple of so many with zeros, at the last position. */
#define CNET_LIST_UNIT 4
/* A product with a transposed is best given this many rows at a time, or all. */
#define CNET_PACKED_ROWS (384 / (ptrdiff_t)sizeof(real))

static inline ptrdiff_t cnet_block_length(ptrdiff_t k) {
    ptrdiff_t blocks = (k + CNET_BLOCK - 1) / CNET_BLOCK;
    blocks += blocks > 1 && blocks % 2;
    return blocks ? (k + blocks - 1) / blocks : 0;
}

static inline ptrdiff_t cnet_block_count(ptrdiff_t k) {
    const ptrdiff_t length = cnet_block_length(k);
    return k ? (k + length - 1) / length : 0;
}

static inline ptrdiff_t cnet_filled_up(ptrdiff_t n) {
    return (n + CNET_LIST_UNIT - 1) / CNET_LIST_UNIT * CNET_LIST_UNIT;
}

/* Of elements in the lists of a row of n, at most. */
static inline ptrdiff_t cnet_most_listed(ptrdiff_t n) {
    return n + cnet_block_count(n) * (CNET_LIST_UNIT - 1);
}

/* Bytes for the elements of a row of n that are not 0, whatever they are. */
static inline ptrdiff_t cnet_record_room(ptrdiff_t n) {
    return cnet_block_count(n) +
           (cnet_most_listed(n) + CNET_LIST_SLACK) * (1 + (ptrdiff_t)sizeof(real)) +
           2 * (ptrdiff_t)sizeof(real);
}

enum { CNET_RELU, CNET_LEAKY_RELU, CNET_TANH, CNET_SIGMOID, CNET_ELU, CNET_GELU, CNET_GELU_TANH };

/* Losses. Those of each element alone begin with CNET_MSE; a setting is Huber's delta, the
   quantile, or what is added to means before their logarithm is taken. Of CNET_CROSS_ENTROPY it is
   how much labels are smoothed. Of this one and CNET_BCE, a setting below 0 bounds the loss of each
   label, not its gradient: a probability counts as at least the machine epsilon, and at most 1 less
   that. */
enum {
    CNET_CROSS_ENTROPY,
    CNET_NLL,
    CNET_MSE,
    CNET_L1,
    CNET_HUBER,
    CNET_QUANTILE,
    CNET_POISSON,
    CNET_POISSON_LOG,
    CNET_BCE
};

/* How optimisers follow the gradient. They remember 0 to 3 arrays between steps: a kind that
   remembers more than another of its name has the other's first, so that settings may change on the
   way. */
enum {
    CNET_SGD,
    CNET_MOMENTUM,
    CNET_NESTEROV,
    CNET_ADAM,
    CNET_AMSGRAD,
    CNET_RMSPROP,
    CNET_RMSPROP_MOMENTUM,
    CNET_RMSPROP_CENTERED
};

static inline int cnet_states(int kind) {
    static const int states[] = {0, 1, 1, 2, 3, 1, 2, 3};
    return states[kind];
}

/* An optimiser's settings; beta1 is of means of gradients (momentum), beta2 of means of their
   squares. Decay is decoupled from the gradient (AdamW), or an L2 penalty; where it is `summed`, it
   belongs to the sum of the losses of a batch, and is divided by the weight of its rows. Where eps
   is `inner`, Adam adds it to the root of the mean of squares before it corrects that. */
typedef struct {
    int kind, decoupled, summed, inner;
    double lr, weight_decay, beta1, beta2, eps;
    int64_t steps; /* taken so far */
} cnet_rule;

/* The numbers of one step, rounded from double once. */
typedef struct {
    int kind;
    real rate, penalty, shrink, beta1, gain1, beta2, gain2, unbias, eps;
} cnet_update;

/* Those of step `step`, from 1, on a batch whose rows weigh so much. Means that began at zero are
   too small by a factor that Adam corrects. */
static inline cnet_update cnet_update_at(const cnet_rule *r, int64_t step, double weight) {
    const int adam = r->kind == CNET_ADAM || r->kind == CNET_AMSGRAD;
    const double lr = adam ? r->lr / (1 - pow(r->beta1, (double)step)) : r->lr;
    const double unbias = adam ? 1 / sqrt(1 - pow(r->beta2, (double)step)) : 1;
    const double decay = !r->summed ? r->weight_decay : weight > 0 ? r->weight_decay / weight : 0;
    const cnet_update u = {
        .kind = r->kind,
        .rate = (real)lr,
        .penalty = (real)(r->decoupled ? 0 : decay),
        .shrink = (real)(r->decoupled ? 1 - r->lr * decay : 1),
        .beta1 = (real)r->beta1,
        .gain1 = (real)(1 - r->beta1),
        .beta2 = (real)r->beta2,
        .gain2 = (real)(1 - r->beta2),
        .unbias = (real)unbias,
        .eps = (real)(r->inner ? r->eps * unbias : r->eps),
    };
    return u;
}

/* c[i, j] = sum over k of a[i, k] * b[k, j], plus bias[j] where there is one.
   a: element (i, k) at a[i*a_row + k*a_col]; likewise b and c, each with a unit stride along one
   axis. */
typedef struct {
    ptrdiff_t m, n, k;
    const real *a;
    ptrdiff_t a_row, a_col;
    const real *b;
    ptrdiff_t b_row, b_col;
    real *c;
    ptrdiff_t c_row, c_col;
    const real *bias;
    /* A sum over more terms than are here: the length of its blocks (0: that of k), and whether to
       go on from c. */
    ptrdiff_t block;
    int accumulate;
    /* Elements from one block's sums to the next's, where they are not to be added up, or 0. */
    ptrdiff_t c_block;
    /* See cnet_by_dots; then there is neither bias, block, accumulate nor c_block. */
    int dots;
} cnet_gemm;

/* Whether a product of n columns and k terms, all of them in one call, of which a and b are
   contiguous along the sum, may be summed in as many sums as a vector has lanes (dots.h): few
   columns, and terms enough, but not so many that a lane would sum thousands. It is for the whole
   product to say, not for a part of its columns. */
static inline int cnet_by_dots(ptrdiff_t n, ptrdiff_t k) {
    return n <= 16 && k >= 128 && k <= 8192;
}

/* Rows of a data set of which few elements are not 0, those alone: a record for each, from byte
   starts[i] on, as compress_row makes them. */
typedef struct {
    ptrdiff_t blocks, longest; /* of columns; the most bytes of a record */
    const int64_t *starts;     /* and one more */
    const uint8_t *records;
    int bytes; /* whether values are bytes */
} cnet_sparse;

/* Elements of a row that are not 0: ascending positions in a block of columns, as long as those of
   a sum, and values; and zeros up to cnet_filled_up(n). */
typedef struct {
    const uint8_t *positions;
    const real *values;
    ptrdiff_t n;
} cnet_list;

/* Of a batch, with room for `rows`: that of row i in block b is b * rows + i. */
typedef struct {
    ptrdiff_t length, rows;
    cnet_list *lists;
} cnet_lists;

/* One block of columns of at most CNET_BLOCK rows: column k has counts[k] elements, from k * m on
   if there are m rows. */
typedef struct {
    uint8_t *counts, *rows; /* of the elements */
    real *values;
} cnet_columns;

/* What is done to images of (channels, height, width): each number is the largest of a uniform one
   of either sign, in pixels, radians or as a share; `warp` tells whether pixels move at all. */
typedef struct {
    ptrdiff_t channels, height, width;
    uint32_t key[2]; /* of the random numbers */
    int warp, flip;
    double shift, rotation, scale, shear;
    /* Displacements are basis_y (height, nodes_y) @ noise (nodes_y, nodes_x) @ basis_x (nodes_x,
       cnet_augment_span(width)). */
    ptrdiff_t nodes_y, nodes_x;
    const real *basis_y, *basis_x;
    real noise;                /* a standard deviation */
    const real *quantiles;     /* 257, of the normal distribution */
    const real *mean, *factor; /* by element, or NULL: y = (y - mean) * factor */
} cnet_augment;

/* Rows of fields are padded to whole vectors. */
static inline ptrdiff_t cnet_augment_span(ptrdiff_t width) { return (width + 15) / 16 * 16; }

static inline ptrdiff_t cnet_augment_scratch(const cnet_augment *a) {
    return a->channels * (a->height + 3) * (a->width + 3) +
           (3 + 2 * a->nodes_y) * cnet_augment_span(a->width) + 2 * a->nodes_y * a->nodes_x + 3;
}

/* A window that slides over images (height, width, channels), one after another in memory, whose
   border is pad_y and pad_x wide. Filters are the channels of an output image: for pooling, those
   of the input. Every window holds a pixel that is not border. */
typedef struct {
    ptrdiff_t height, width, channels, out_height, out_width, filters;
    ptrdiff_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x;
} cnet_window;

/* An element is dropped if its word of 32 random bits is below the threshold, and else scaled. */
typedef struct {
    uint64_t key, step;
    uint32_t threshold;
    real scale;
} cnet_dropout;

typedef struct cnet_kernels {
    ptrdiff_t lanes; /* columns of a product are best cut at multiples of this */
    ptrdiff_t panel; /* see cnet_panel */

    void (*gemm)(const cnet_gemm *g);
    /* out[j] = sum over i of x[i, j], for x (m, n) with row stride x_row; block and accumulate as
       in cnet_gemm */
    void (*column_sums)(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, real *out,
                        ptrdiff_t block, int accumulate);

    /* Convolution of n images (conv.h); w is (kernel width, kernel height, channels, filters), bias
       and db (filters) may be NULL. The gradient of the weights is a sum over images, of which each
       call makes its part of parts: all images are read, and a part of dw and db is written, or
       added to with accumulate. */
    /* Bytes that any of them needs, a multiple of a cache line; aligned like a pointer. */
    ptrdiff_t (*conv_scratch)(const cnet_window *g);
    void (*conv_forward)(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
                         const real *bias, real *out, void *scratch);
    void (*conv_backward_input)(const cnet_window *g, ptrdiff_t n, const real *dout, const real *w,
                                real *dx, void *scratch);
    void (*conv_backward_params)(const cnet_window *g, ptrdiff_t n, const real *x, const real *dout,
                                 real *dw, real *db, int accumulate, int part, int parts,
                                 void *scratch);

    /* y[i] = the transpose of x[i], for n matrices (rows, cols): images with channels last from
       such with channels first */
    void (*transpose)(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t cols, const real *x, real *y);

    /* Pooling of n images (pool.h). The largest value: the first of equal ones gets the gradient.
       The mean counts the border as zeros. */
    void (*max_pool)(const cnet_window *g, ptrdiff_t n, const real *x, real *out);
    void (*max_pool_backward)(const cnet_window *g, ptrdiff_t n, const real *x, const real *out,
                              const real *dout, real *dx);
    void (*avg_pool)(const cnet_window *g, ptrdiff_t n, const real *x, real *out);
    void (*avg_pool_backward)(const cnet_window *g, ptrdiff_t n, const real *dout, real *dx);

    /* kind: one of the enum above; slope: the negative slope of CNET_LEAKY_RELU, alpha of CNET_ELU.
       y is the output of the forward pass, but for CNET_GELU and CNET_GELU_TANH its input. dx may
       be dy. */
    void (*activation)(int kind, ptrdiff_t n, const real *x, real *y, real slope);
    void (*activation_backward)(int kind, ptrdiff_t n, const real *y, const real *dy, real *dx,
                                real slope);

    /* Elements first to first + n of a batch, which x and y begin with (dropout.h); the same call
       makes the gradient. */
    void (*dropout)(ptrdiff_t first, ptrdiff_t n, const real *x, real *y, const cnet_dropout *d);

    /* Normalisation (norm.h), of rows: each by itself */
    void (*norm_rows)(ptrdiff_t m, ptrdiff_t n, const real *x, const real *w, const real *b,
                      real eps, real *out, real *xhat, real *rstd);
    void (*norm_rows_backward)(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat,
                               const real *rstd, const real *w, real *dx);
    /* and of columns: moments of each block of cnet_block_length(m) rows, which are merged; sums
       for the gradients likewise */
    void (*column_moments)(ptrdiff_t m, ptrdiff_t n, const real *x, real *sums);
    void (*merge_moments)(ptrdiff_t m, ptrdiff_t n, const real *blocks, real *mean, real *var);
    void (*track_moments)(ptrdiff_t m, ptrdiff_t n, const real *mean, const real *var, real share,
                          real *running_mean, real *running_var);
    void (*inverse_deviation)(ptrdiff_t n, const real *var, real eps, real *rstd);
    void (*norm_columns)(ptrdiff_t m, ptrdiff_t n, const real *x, const real *mean,
                         const real *rstd, const real *w, const real *b, real *out, real *xhat);
    void (*column_products)(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat, real *sums);
    void (*norm_columns_backward)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t rows, const real *dy,
                                  const real *xhat, const real *rstd, const real *w,
                                  const real *sums, real *dx);

    void (*softmax)(ptrdiff_t m, ptrdiff_t n, const real *x, real *y);
    void (*softmax_backward)(ptrdiff_t m, ptrdiff_t n, const real *y, const real *dy, real *dx);

    /* Rows whose first largest element is at their label */
    ptrdiff_t (*count_correct)(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels);

    /* Losses: each writes what it is given room for, row_loss (m) and dx (m, n) times scale; either
       may be NULL. Where labels (m) is NULL the targets are t (m, n). Labels are in [0, n): the
       caller has looked. */
    /* Targets t are taken as weights * ((1 - smoothing) * t + smoothing / n); weights (n) may be
       NULL for ones. */
    void (*softmax_cross_entropy)(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels,
                                  const real *t, const real *weights, real smoothing,
                                  real *row_loss, real *dx, real scale);
    void (*nll)(ptrdiff_t m, ptrdiff_t n, const real *p, const int64_t *labels, const real *t,
                real *row_loss, real *dp, real scale);
    void (*elementwise_loss)(int kind, ptrdiff_t m, ptrdiff_t n, const real *x, const real *t,
                             real setting, real *row_loss, real *dx, real scale);

    /* A step on m rows of n elements; the cnet_states(u->kind) arrays of v are laid out like w,
       v_next elements apart */
    void (*update)(ptrdiff_t m, ptrdiff_t n, real *w, real *v, ptrdiff_t v_next, ptrdiff_t w_row,
                   const real *g, ptrdiff_t g_row, const cnet_update *u);

    /* Limits n elements to [-bound, bound], and returns the sum of their squares */
    double (*clip)(ptrdiff_t n, real *g, real bound);
    void (*scale)(ptrdiff_t n, real *x, real factor);
    double (*square_sum)(ptrdiff_t n, const real *x);

    int (*all_finite)(ptrdiff_t n, const real *x);

    /* out = scale * x + offset, for n elements; out may be x */
    void (*rescale)(ptrdiff_t n, const real *x, real scale, real offset, real *out);

    /* out[i] = x[rows[i]], for m rows of n elements, which lie x_row apart in x; the second
       rescales them too. Where ahead is not 0, `rows` has so many more, and rows[i + ahead] is one
       that will be needed later. */
    void (*gather)(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, const int64_t *rows,
                   ptrdiff_t ahead, real *out);
    void (*gather_uint8)(ptrdiff_t m, ptrdiff_t n, const uint8_t *x, ptrdiff_t x_row,
                         const int64_t *rows, ptrdiff_t ahead, real scale, real offset, real *out);

    /* Writes the record of a row; returns its bytes. It needs room for cnet_record_room(n)
       meanwhile. */
    ptrdiff_t (*compress_row)(ptrdiff_t n, const real *x, uint8_t *record);
    ptrdiff_t (*compress_row_uint8)(ptrdiff_t n, const uint8_t *x, uint8_t *record);
    /* Lists of blocks first to end of m rows, as rows `row` and on of a batch. They stay where they
       are; but bytes become reals times `scale`, in `room`. */
    void (*gather_lists)(const cnet_sparse *x, ptrdiff_t m, const int64_t *rows, ptrdiff_t ahead,
                         ptrdiff_t first, ptrdiff_t end, const cnet_lists *to, ptrdiff_t row,
                         real scale, real *room);
    /* The product g where a is rows `row` and on of x, from column block `block` on; */
    void (*spmm)(const cnet_lists *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g);
    /* and where a is the transpose of one block of columns, of rows 0 to k. Where c is scratch for
       what cnet_panel says, it is written beyond n columns: its rows are whole vectors, or have no
       gaps and room for that. */
    void (*spmm_transposed)(const cnet_lists *x, ptrdiff_t block, const cnet_gemm *g, int scratch);

    /* The columns of a block, of rows 0 to m, and the product of their transpose with b: c, or with
       `descent` (of plain SGD) a step on c with it. */
    void (*list_columns)(const cnet_lists *x, ptrdiff_t block, ptrdiff_t m, ptrdiff_t cols,
                         const cnet_columns *to);
    void (*spmm_columns)(const cnet_columns *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t b_row, real *c, ptrdiff_t c_row,
                         const cnet_update *descent);

    /* out = the image, or the bytes where there are bytes, as it shall look in this epoch, `row`
       being its number in the data set; scratch has cnet_augment_scratch elements, which are 0
       before the first image. */
    void (*augment)(const cnet_augment *a, int64_t row, uint32_t epoch, const real *image,
                    const uint8_t *bytes, real *out, real *scratch);
} cnet_kernels;

/* Columns of a product with lists that are made at a time, of n that are left: `panel` of them, or
   up to four vectors. */
static inline ptrdiff_t cnet_panel(ptrdiff_t panel, ptrdiff_t lanes, ptrdiff_t n) {
    return n >= panel ? panel : n < 4 * lanes ? n : 4 * lanes;
}

#endif
