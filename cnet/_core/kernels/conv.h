/* clang-format off */
/* Convolution by indirect GEMM, with channels last: x (n, height, width, channels),
   w (kernel width, kernel height, channels, filters), out (n, out height, out width, filters).

   Nothing is unfolded (no im2col). The three passes are products of matrices whose elements are
   addressed by offsets: element (i, k) of A is a[a_row_offset[i] + a_col_offset[k]], and row i of C
   begins at c + c_row_offset[i].

     pass               rows of C          terms of a sum
     forward            output pixels      taps: positions of the kernel times channels
     gradient of x      output pixels      filters times rows of the kernel, per column of it
     gradient of w      taps               output pixels

   Images of a group are copied with zero padding, if there is padding. The gradient of x skips
   pixels outside of an image instead. Pixels are processed in blocks of at most CNET_KC: a part of
   an image, or a group of small images, counted from the first image of a batch. Sums run block by
   block, in the order of pixels, taps or filters (kernels.h). */
/* clang-format on */
#include <string.h>

typedef struct {
    const real *a;
    const ptrdiff_t *a_row_offset, *a_col_offset;
    const real *b;
    ptrdiff_t rs_b, k;
    real *c;
    const ptrdiff_t *c_row_offset;
    const real *bias;
    int first; /* overwrite c instead of adding to it */
} igemm_args;

/* As ukernel of gemm.h, with rows and columns of a, and rows of c, at offsets. */
INLINE void igemm_ukernel(const int rows, const int vecs, const int tail, const igemm_args *t,
                          ptrdiff_t cols) {
    const ptrdiff_t *a_col_offset = t->a_col_offset, rs_b = t->rs_b, depth = t->k;
    const real *b = t->b, *a[MR];
    const vmask mask = v_mask(tail ? cols - (vecs - 1) * VL : VL);
    vec acc[MR][NR_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        a[r] = t->a + t->a_row_offset[r];
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < depth; k++, b += rs_b) {
        const ptrdiff_t offset = a_col_offset[k];
        vec bv[NR_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            bv[v] = tail && v == vecs - 1 ? v_load_m(b + v * VL, mask) : v_load(b + v * VL);
        UNROLL for (int r = 0; r < rows; r++) {
            vec av = v_set1(a[r][offset]);
            UNROLL for (int v = 0; v < vecs; v++)
                acc[r][v] = v_fma(av, bv[v], acc[r][v]);
        }
    }
    real *c[MR];
    UNROLL for (int r = 0; r < rows; r++)
        c[r] = t->c + t->c_row_offset[r];
    if (!t->first) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                acc[r][v] = v_add(tail && v == vecs - 1 ? v_load_m(c[r] + v * VL, mask)
                                                        : v_load(c[r] + v * VL),
                                  acc[r][v]);
        }
    }
    if (t->bias) {
        UNROLL for (int v = 0; v < vecs; v++) {
            const vec bias =
                tail && v == vecs - 1 ? v_load_m(t->bias + v * VL, mask) : v_load(t->bias + v * VL);
            UNROLL for (int r = 0; r < rows; r++)
                acc[r][v] = v_add(acc[r][v], bias);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vecs; v++) {
            if (tail && v == vecs - 1)
                v_store_m(c[r] + v * VL, acc[r][v], mask);
            else
                v_store(c[r] + v * VL, acc[r][v]);
        }
    }
}

static void dispatch_igemm(int rows, ptrdiff_t cols, const igemm_args *t) {
    DISPATCH_TILE(igemm_ukernel, MR)
}

static void igemm(ptrdiff_t m, ptrdiff_t cols, igemm_args t) {
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = tile_height(m, MR, tile);
        dispatch_igemm(rows, cols, &t);
        t.a_row_offset += rows;
        t.c_row_offset += rows;
        i += rows;
    }
}

/* Sizes of a convolution's blocks and workspace. */
typedef struct {
    ptrdiff_t taps, pixels; /* of the kernel, times channels; of an output image */
    ptrdiff_t group, block; /* images in a group; most pixels in a block */
    ptrdiff_t row, image;   /* elements of an input row and an input image, with padding */
    /* Elements of the workspace: offsets of taps and of rows of the weights; packed weights in
       panels of NR columns; a group of padded images. */
    ptrdiff_t offsets, panels, padded;
} conv_plan;

static ptrdiff_t round_up_to_panel(ptrdiff_t cols) { return (cols + NR - 1) / NR * NR; }

static conv_plan conv_plan_of(const cnet_window *g) {
    const ptrdiff_t positions = g->kernel_width * g->kernel_height;
    const ptrdiff_t forward = g->channels * round_up_to_panel(g->filters),
                    backward = g->filters * round_up_to_panel(g->channels);
    conv_plan f;
    f.taps = positions * g->channels;
    f.pixels = g->out_height * g->out_width;
    for (f.group = 1; f.group < CNET_KC && 2 * f.group * f.pixels <= CNET_KC;)
        f.group *= 2;
    f.block = f.group == 1 ? cnet_block_length(f.pixels) : CNET_KC;
    f.row = (g->width + 2 * g->pad_x) * g->channels;
    f.image = (g->height + 2 * g->pad_y) * f.row;
    f.offsets =
        2 * f.taps > g->kernel_height * g->filters ? 2 * f.taps : g->kernel_height * g->filters;
    f.panels = positions * (forward > backward ? forward : backward);
    f.padded = g->pad_y || g->pad_x ? f.group * f.image : 0;
    return f;
}

static ptrdiff_t conv_scratch(const cnet_window *g) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t bytes = f.offsets * (ptrdiff_t)sizeof(ptrdiff_t) +
                            (f.panels + f.padded) * (ptrdiff_t)sizeof(real),
                    line = 64;
    return (bytes + line - 1) / line * line;
}

static void tap_offsets(const cnet_window *g, const conv_plan *f, ptrdiff_t *offset,
                        ptrdiff_t *weight_row) {
    for (ptrdiff_t kx = 0; kx < g->kernel_width; kx++)
        for (ptrdiff_t ky = 0; ky < g->kernel_height; ky++)
            for (ptrdiff_t c = 0; c < g->channels; c++)
                *offset++ = ky * f->row + kx * g->channels + c;
    for (ptrdiff_t i = 0; i < f->taps; i++)
        weight_row[i] = i * g->filters;
}

/* A pixel of a batch of images of equal size. */
typedef struct {
    ptrdiff_t image, y, x;
} pixel;

static pixel pixel_at(ptrdiff_t number, ptrdiff_t height, ptrdiff_t width) {
    const ptrdiff_t row = number / width;
    const pixel p = {row / height, row % height, number % width};
    return p;
}

INLINE void advance(pixel *p, ptrdiff_t height, ptrdiff_t width) {
    if (++p->x < width)
        return;
    p->x = 0;
    if (++p->y < height)
        return;
    p->y = 0;
    p->image++;
}

/* offset[i] = the first input element under the kernel, for output pixels first to first + n. */
static void pixel_offsets(const cnet_window *g, const conv_plan *f, ptrdiff_t first, ptrdiff_t n,
                          ptrdiff_t *offset) {
    pixel p = pixel_at(first, g->out_height, g->out_width);
    for (ptrdiff_t i = 0; i < n; i++, advance(&p, g->out_height, g->out_width))
        offset[i] =
            p.image * f->image + p.y * g->stride_y * f->row + p.x * g->stride_x * g->channels;
}

/* x (n, height, width, channels) with zero padding, written to `padded`; x itself without padding.
 */
static const real *pad_input(const cnet_window *g, const conv_plan *f, ptrdiff_t n, const real *x,
                             real *padded) {
    const ptrdiff_t row = g->width * g->channels, side = g->pad_x * g->channels;
    if (!f->padded)
        return x;
    memset(padded, 0, n * f->image * sizeof(real));
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t y = 0; y < g->height; y++, x += row)
            memcpy(padded + i * f->image + (y + g->pad_y) * f->row + side, x, row * sizeof(real));
    return padded;
}

static void conv_forward(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
                         const real *bias, real *out, void *scratch) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t block = cnet_block_length(f.taps);
    ptrdiff_t *tap = scratch, a_row_offset[CNET_KC], c_row_offset[CNET_KC];
    real *panels = (real *)(tap + f.offsets);
    tap_offsets(g, &f, tap, tap + f.taps);
    for (ptrdiff_t j = 0; j < g->filters; j += NR)
        pack_b(f.taps, min_size(NR, g->filters - j), w + j, g->filters, 1, panels + j * f.taps);
    for (ptrdiff_t i = 0; i < CNET_KC; i++)
        c_row_offset[i] = i * g->filters;

    for (ptrdiff_t i = 0; i < n; i += f.group) {
        const ptrdiff_t images = min_size(f.group, n - i);
        const real *a =
            pad_input(g, &f, images, x + i * g->height * g->width * g->channels, panels + f.panels);
        for (ptrdiff_t p = 0; p < images * f.pixels; p += f.block) {
            const ptrdiff_t pixels = min_size(f.block, images * f.pixels - p);
            real *c = out + (i * f.pixels + p) * g->filters;
            pixel_offsets(g, &f, p, pixels, a_row_offset);
            for (ptrdiff_t k = 0; k < f.taps; k += block) {
                const ptrdiff_t depth = min_size(block, f.taps - k);
                for (ptrdiff_t j = 0; j < g->filters; j += NR) {
                    const igemm_args t = {
                        a,
                        a_row_offset,
                        tap + k,
                        panels + j * f.taps + k * NR,
                        NR,
                        depth,
                        c + j,
                        c_row_offset,
                        bias && k + depth == f.taps ? bias + j : NULL,
                        k == 0,
                    };
                    igemm(pixels, min_size(NR, g->filters - j), t);
                }
            }
        }
    }
}

/* Input rows that the same rows of the kernel reach. Kernel row first_ky + t * stride_y, for t from
   t to t_end, connects input row q * stride_y + first_ky - pad_y with output row q - t. */
typedef struct {
    ptrdiff_t first_ky, t, t_end, q, q_end;
} reached_rows;

/* The next such rows from q on; t_end <= t if no row of the kernel reaches them. */
static reached_rows rows_reached(const cnet_window *g, ptrdiff_t first_ky, ptrdiff_t q) {
    const ptrdiff_t steps = (g->kernel_height - first_ky + g->stride_y - 1) / g->stride_y;
    reached_rows r = {first_ky, 0, 0, q, q};
    for (; r.q_end * g->stride_y + first_ky - g->pad_y < g->height; r.q_end++) {
        const ptrdiff_t t = r.q_end < g->out_height ? 0 : r.q_end - g->out_height + 1,
                        t_end = min_size(steps, r.q_end + 1);
        if (r.q_end > q && (t != r.t || t_end != r.t_end))
            break;
        r.t = t;
        r.t_end = t_end;
    }
    return r;
}

static ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

/* dx += the contribution of column kx of the kernel to these rows; panels: packed weights (kernel
   rows, filters, channels). */
static void add_column(const cnet_window *g, ptrdiff_t images, const reached_rows *r, ptrdiff_t kx,
                       const real *dout, const ptrdiff_t *a_col_offset, const real *panels,
                       ptrdiff_t panel, real *dx) {
    ptrdiff_t a_row_offset[CNET_KC], c_row_offset[CNET_KC];
    const ptrdiff_t terms = (r->t_end - r->t) * g->filters, block = cnet_block_length(terms);
    const ptrdiff_t x = ceil_div(g->pad_x - kx, g->stride_x),
                    x_end = min_size(g->out_width, ceil_div(g->width + g->pad_x - kx, g->stride_x));
    const ptrdiff_t rows = r->q_end - r->q, cols = x_end - x,
                    pixels = cols > 0 ? images * rows * cols : 0;
    for (ptrdiff_t p = 0; p < pixels; p += CNET_KC) {
        const ptrdiff_t count = min_size(CNET_KC, pixels - p);
        pixel at = pixel_at(p, rows, cols);
        for (ptrdiff_t i = 0; i < count; i++, advance(&at, rows, cols)) {
            const ptrdiff_t q = r->q + at.y, out_x = x + at.x;
            const ptrdiff_t row = at.image * g->height + q * g->stride_y + r->first_ky - g->pad_y;
            a_row_offset[i] =
                ((at.image * g->out_height + q - r->t) * g->out_width + out_x) * g->filters;
            c_row_offset[i] = (row * g->width + out_x * g->stride_x + kx - g->pad_x) * g->channels;
        }
        for (ptrdiff_t k = 0; k < terms; k += block)
            for (ptrdiff_t j = 0; j < g->channels; j += NR) {
                const igemm_args t = {dout,
                                      a_row_offset,
                                      a_col_offset + k,
                                      panels + j * panel + k * NR,
                                      NR,
                                      min_size(block, terms - k),
                                      dx + j,
                                      c_row_offset,
                                      NULL,
                                      0};
                igemm(count, min_size(NR, g->channels - j), t);
            }
    }
}

static void conv_backward_input(const cnet_window *g, ptrdiff_t n, const real *dout, const real *w,
                                real *dx, void *scratch) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t image = g->height * g->width * g->channels,
                    terms = g->kernel_height * g->filters,
                    column = terms * round_up_to_panel(g->channels);
    ptrdiff_t *a_col_offset = scratch;
    real *panels = (real *)(a_col_offset + f.offsets);
    for (ptrdiff_t i = 0; i < terms; i++)
        a_col_offset[i] = i % g->filters - i / g->filters * g->out_width * g->filters;

    /* Rows of the kernel that reach the same rows of the input are packed side by side. */
    for (ptrdiff_t kx = 0; kx < g->kernel_width; kx++)
        for (ptrdiff_t first_ky = 0, k = 0; first_ky < min_size(g->stride_y, g->kernel_height);
             first_ky++)
            for (ptrdiff_t ky = first_ky; ky < g->kernel_height; ky += g->stride_y, k += g->filters)
                for (ptrdiff_t j = 0; j < g->channels; j += NR)
                    pack_b(g->filters, min_size(NR, g->channels - j),
                           w + ((kx * g->kernel_height + ky) * g->channels + j) * g->filters, 1,
                           g->filters, panels + kx * column + j * terms + k * NR);

    for (ptrdiff_t i = 0; i < n; i += f.group) {
        const ptrdiff_t images = min_size(f.group, n - i);
        memset(dx + i * image, 0, images * image * sizeof(real));
        for (ptrdiff_t first_ky = 0, k = 0; first_ky < min_size(g->stride_y, g->kernel_height);
             first_ky++) {
            reached_rows r = {0, 0, 0, 0, ceil_div(g->pad_y - first_ky, g->stride_y)};
            for (;;) {
                r = rows_reached(g, first_ky, r.q_end);
                if (r.q == r.q_end)
                    break;
                for (ptrdiff_t kx = 0; kx < g->kernel_width && r.t < r.t_end; kx++)
                    add_column(g, images, &r, kx, dout + i * f.pixels * g->filters, a_col_offset,
                               panels + kx * column + (k + r.t * g->filters) * NR, terms,
                               dx + i * image);
            }
            k += (g->kernel_height - first_ky + g->stride_y - 1) / g->stride_y * g->filters;
        }
    }
}

/* db[j] (+)= sum over i of b[i, j]; b (n, cols) */
static void bias_sums(ptrdiff_t n, ptrdiff_t cols, const real *b, ptrdiff_t rs_b, real *db,
                      int first) {
    for (ptrdiff_t j = 0; j < cols; j += VL) {
        const vmask mask = v_mask(min_size(VL, cols - j));
        const vec sum = sum_along_column(OF_VALUES, n, b + j, NULL, rs_b, v_set1(0), mask);
        v_store_m(db + j, first ? sum : v_add(v_load_m(db + j, mask), sum), mask);
    }
}

static void conv_backward_params(const cnet_window *g, ptrdiff_t n, const real *x, const real *dout,
                                 real *dw, real *db, int accumulate, int part, int parts,
                                 void *scratch) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t row_tiles = (f.taps + MR - 1) / MR,
                    tiles = row_tiles * (round_up_to_panel(g->filters) / NR);
    const ptrdiff_t first_tile = tiles * part / parts, end_tile = tiles * (part + 1) / parts;
    ptrdiff_t *tap = scratch, *weight_row = tap + f.taps, a_col_offset[CNET_KC];
    real *padded = (real *)(tap + f.offsets) + f.panels, panel[CNET_KC * NR];
    tap_offsets(g, &f, tap, weight_row);

    for (ptrdiff_t i = 0; i < n || i == 0; i += f.group) {
        const ptrdiff_t images = min_size(f.group, n - i);
        const real *a =
            pad_input(g, &f, images, x + i * g->height * g->width * g->channels, padded);
        for (ptrdiff_t p = 0; p < images * f.pixels || p == 0; p += f.block) {
            const ptrdiff_t pixels = min_size(f.block, images * f.pixels - p);
            const int first = i == 0 && p == 0 && !accumulate;
            pixel_offsets(g, &f, p, pixels, a_col_offset);
            for (ptrdiff_t tile = first_tile; tile < end_tile;) {
                const ptrdiff_t j = tile / row_tiles * NR, cols = min_size(NR, g->filters - j);
                const ptrdiff_t end = min_size(end_tile, (tile / row_tiles + 1) * row_tiles);
                const real *b = dout + (i * f.pixels + p) * g->filters + j;
                ptrdiff_t rs_b = g->filters;
                if (end - tile >= PACK_TILES) {
                    pack_b(pixels, cols, b, rs_b, 1, panel);
                    b = panel;
                    rs_b = NR;
                }
                if (db && tile % row_tiles == 0)
                    bias_sums(pixels, cols, b, rs_b, db + j, first);
                for (; tile < end; tile++) {
                    const ptrdiff_t r = tile % row_tiles, row = r * (f.taps / row_tiles) +
                                                                min_size(r, f.taps % row_tiles);
                    const igemm_args t = {a,      tap + row, a_col_offset,     b,    rs_b,
                                          pixels, dw + j,    weight_row + row, NULL, first};
                    dispatch_igemm(tile_height(f.taps, MR, r), cols, &t);
                }
            }
        }
    }
}
