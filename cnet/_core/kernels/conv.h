/* clang-format off */
/* Convolution with channels last: x (n, height, width, channels), w (kernel width, kernel height,
   channels, filters), out (n, out height, out width, filters).

   The shape decides between Winograd's algorithm (winograd.h) and the direct way of this file.
   There all three passes are indirect matrix products (igemm.h); nothing is unfolded:

     pass                rows            sum over k
     forward             output pixels   taps: (position in the kernel, channel)
     gradient of input   output pixels   (row of the kernel, filter); one product for each column of
                                         the kernel, added up
     gradient of w       taps            output pixels

   Padding: the first and the third pass read a copy of the images with a border of zeros. The
   second needs none: it skips the pixels outside of the image.

   Output pixels are processed in blocks of at most KC: a part of an image, or a group of small
   images. Blocks are counted from the first image of the batch. Sums go block by block in the order
   of pixels, taps or filters (kernels.h), wherever threads cut the work. */
/* clang-format on */
#include <string.h>

/* Sizes that follow from those of a convolution. The workspace holds, in this order: offsets of the
   taps and of the rows of w; w in panels of NR columns, and the sums of conv_narrow.h; a group of
   padded images. */
typedef struct {
    ptrdiff_t taps;    /* kernel_width * kernel_height * channels */
    ptrdiff_t pixels;  /* of an output image */
    ptrdiff_t group;   /* images that are processed together */
    ptrdiff_t block;   /* maximum number of pixels of a block */
    ptrdiff_t row;     /* elements of a row of a padded input image */
    ptrdiff_t image;   /* elements of a padded input image */
    ptrdiff_t offsets; /* entries of the workspace for offsets */
    ptrdiff_t panels;  /* elements of the workspace for panels */
    ptrdiff_t padded;  /* elements of the workspace for padded images; 0 without padding */
} conv_plan;

/* Small images are grouped, by powers of two, as long as the pixels of a group fit into one
   block. */
static conv_plan conv_plan_of(const cnet_window *g) {
    const ptrdiff_t positions = g->kernel_width * g->kernel_height;
    const ptrdiff_t forward = g->channels * round_up(g->filters, NR),
                    backward = g->filters * round_up(g->channels, NR);
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
    f.panels = positions * (forward > backward ? forward : backward) + narrow_sums(g);
    f.padded = g->pad_y || g->pad_x ? f.group * f.image : 0;
    return f;
}

/* Bytes of the workspace, rounded up to a cache line: threads have neighboring ones. */
static ptrdiff_t direct_scratch(const cnet_window *g) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t bytes =
        f.offsets * (ptrdiff_t)sizeof(ptrdiff_t) + (f.panels + f.padded) * (ptrdiff_t)sizeof(real);
    return round_up(bytes, 64);
}

/* offset[k]: tap k in a padded image, relative to the first pixel under the kernel.
   weight_row[k] = k * filters: row k of w (taps, filters). */
static void tap_offsets(const cnet_window *g, const conv_plan *f, ptrdiff_t *offset,
                        ptrdiff_t *weight_row) {
    for (ptrdiff_t kx = 0; kx < g->kernel_width; kx++)
        for (ptrdiff_t ky = 0; ky < g->kernel_height; ky++)
            for (ptrdiff_t c = 0; c < g->channels; c++)
                *offset++ = ky * f->row + kx * g->channels + c;
    for (ptrdiff_t i = 0; i < f->taps; i++)
        weight_row[i] = i * g->filters;
}

/* offset[i]: first input element under the kernel, for output pixels first to first + n of
   padded images. */
static void pixel_offsets(const cnet_window *g, const conv_plan *f, ptrdiff_t first, ptrdiff_t n,
                          ptrdiff_t *offset) {
    pixel p = pixel_at(first, g->out_height, g->out_width);
    for (ptrdiff_t i = 0; i < n; i++, advance(&p, g->out_height, g->out_width))
        offset[i] =
            p.image * f->image + p.y * g->stride_y * f->row + p.x * g->stride_x * g->channels;
}

/* padded (n, height + 2 pad_y, width + 2 pad_x, channels) = x with a border of zeros; returns x
   itself if there is no padding. */
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

/* out[p, f] = bias[f] + sum over taps k of x[offset[p] + offset[k]] * w[k, f]; p: output pixel */
static void direct_forward(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
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
                const ptrdiff_t kc = min_size(block, f.taps - k);
                for (ptrdiff_t j = 0; j < g->filters; j += NR) {
                    const igemm_args t = {
                        .a = a,
                        .a_row_offset = a_row_offset,
                        .a_col_offset = tap + k,
                        .b = panels + j * f.taps + k * NR,
                        .rs_b = NR,
                        .k = kc,
                        .c = c + j,
                        .c_row_offset = c_row_offset,
                        .bias = bias && k + kc == f.taps ? bias + j : NULL,
                        .first = k == 0,
                    };
                    igemm(pixels, min_size(NR, g->filters - j), t);
                }
            }
        }
    }
}

/* Rows q to q_end of input rows (in units of stride_y) that receive gradient through the same
   kernel rows. Kernel row ky = first_ky + t * stride_y, t in [t, t_end), adds output row q - t
   to input row q * stride_y + first_ky - pad_y. */
typedef struct {
    ptrdiff_t first_ky, t, t_end, q, q_end;
} reached_rows;

/* The longest such range that starts at row q. If no kernel row reaches these rows, t_end <= t. */
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

/* dx[q, x] += sum over kernel rows t and filters f of dout[q - t, x'] * w[kx, ky, :, f] for the
   rows of r, where column kx of the kernel connects input column x to output column x'. panels:
   w of these kernel rows, (terms, channels) in panels of NR columns; panel_rows: distance
   between panels, in rows of NR elements. */
static void add_kernel_column(const cnet_window *g, ptrdiff_t images, const reached_rows *r,
                              ptrdiff_t kx, const real *dout, const ptrdiff_t *a_col_offset,
                              const real *panels, ptrdiff_t panel_rows, real *dx) {
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
                const igemm_args t = {
                    .a = dout,
                    .a_row_offset = a_row_offset,
                    .a_col_offset = a_col_offset + k,
                    .b = panels + j * panel_rows + k * NR,
                    .rs_b = NR,
                    .k = min_size(block, terms - k),
                    .c = dx + j,
                    .c_row_offset = c_row_offset,
                };
                igemm(count, min_size(NR, g->channels - j), t);
            }
    }
}

/* dx[y, x, :] = sum over kernel positions and filters f of dout[..., f] * w[kx, ky, :, f]; dx
   (n, height, width, channels) */
static void direct_backward_input(const cnet_window *g, ptrdiff_t n, const real *dout,
                                  const real *w, real *dx, void *scratch) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t image = g->height * g->width * g->channels,
                    terms = g->kernel_height * g->filters,
                    column = terms * round_up(g->channels, NR);
    const int narrow = has_narrow_input(g);
    ptrdiff_t *a_col_offset = scratch;
    real *panels = (real *)(a_col_offset + f.offsets), *sums = panels + f.panels - narrow_sums(g);
    for (ptrdiff_t i = 0; i < terms; i++)
        a_col_offset[i] = i % g->filters - i / g->filters * g->out_width * g->filters;

    /* Kernel rows that reach the same input rows differ by a multiple of stride_y: they are
       packed side by side. */
    for (ptrdiff_t first_ky = 0, k = 0; first_ky < min_size(g->stride_y, g->kernel_height);
         first_ky++)
        for (ptrdiff_t ky = first_ky; ky < g->kernel_height; ky += g->stride_y, k += g->filters) {
            if (narrow) {
                pack_side_by_side(g, w, ky, k, panels);
                continue;
            }
            for (ptrdiff_t kx = 0; kx < g->kernel_width; kx++)
                for (ptrdiff_t j = 0; j < g->channels; j += NR)
                    pack_b(g->filters, min_size(NR, g->channels - j),
                           w + ((kx * g->kernel_height + ky) * g->channels + j) * g->filters, 1,
                           g->filters, panels + kx * column + j * terms + k * NR);
        }

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
                if (r.t >= r.t_end)
                    continue;
                if (narrow) {
                    add_narrow_rows(g, images, r.q_end - r.q, r.q - r.t,
                                    r.q * g->stride_y + first_ky - g->pad_y,
                                    (r.t_end - r.t) * g->filters, dout + i * f.pixels * g->filters,
                                    a_col_offset, panels + (k + r.t * g->filters) * NR, terms, sums,
                                    dx + i * image);
                    continue;
                }
                for (ptrdiff_t kx = 0; kx < g->kernel_width; kx++)
                    add_kernel_column(
                        g, images, &r, kx, dout + i * f.pixels * g->filters, a_col_offset,
                        panels + kx * column + (k + r.t * g->filters) * NR, terms, dx + i * image);
            }
            k += (g->kernel_height - first_ky + g->stride_y - 1) / g->stride_y * g->filters;
        }
    }
}

/* db[j] = sum over i of b[i, j] if first, else db[j] += that sum; b (n, cols), db (cols) */
static void bias_sums(ptrdiff_t n, ptrdiff_t cols, const real *b, ptrdiff_t rs_b, real *db,
                      int first) {
    for (ptrdiff_t j = 0; j < cols; j += VL) {
        const vmask mask = v_mask(min_size(VL, cols - j));
        const vec sum = sum_along_column(OF_VALUES, n, b + j, NULL, rs_b, v_set1(0), mask);
        v_store_m(db + j, first ? sum : v_add(v_load_m(db + j, mask), sum), mask);
    }
}

/* db[f] (+)= sum over output pixels p of dout[p, f], by the same blocks as below */
static void bias_gradient(const cnet_window *g, ptrdiff_t n, const real *dout, real *db,
                          int accumulate) {
    const conv_plan f = conv_plan_of(g);
    for (ptrdiff_t i = 0; i < n || i == 0; i += f.group) {
        const ptrdiff_t total = min_size(f.group, n - i) * f.pixels;
        for (ptrdiff_t p = 0; p < total || p == 0; p += f.block)
            bias_sums(min_size(f.block, total - p), g->filters,
                      dout + (i * f.pixels + p) * g->filters, g->filters, db,
                      i == 0 && p == 0 && !accumulate);
    }
}

/* dw[k, f] (+)= sum over output pixels p of x[offset[p] + offset[k]] * dout[p, f]; db[f] (+)=
   sum over p of dout[p, f]; dw (taps, filters), db (filters). This call computes part `part` of
   `parts` of the tiles. */
static void direct_backward_params(const cnet_window *g, ptrdiff_t n, const real *x,
                                   const real *dout, real *dw, real *db, int accumulate, int part,
                                   int parts, void *scratch) {
    const conv_plan f = conv_plan_of(g);
    const ptrdiff_t row_tiles = (f.taps + MR - 1) / MR,
                    tiles = row_tiles * (round_up(g->filters, NR) / NR);
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
                    const igemm_args t = {
                        .a = a,
                        .a_row_offset = tap + row,
                        .a_col_offset = a_col_offset,
                        .b = b,
                        .rs_b = rs_b,
                        .k = pixels,
                        .c = dw + j,
                        .c_row_offset = weight_row + row,
                        .first = first,
                    };
                    dispatch_igemm(tile_height(f.taps, MR, r), cols, &t);
                }
            }
        }
    }
}

/* ---- the kernels of the table: Winograd's algorithm (winograd.h), or the direct way above ---- */

static ptrdiff_t conv_scratch(const cnet_window *g) {
    const cnet_window turned = turned_window(g);
    const ptrdiff_t direct = direct_scratch(g);
    if (!use_winograd(g) && !use_winograd(&turned))
        return direct;
    const ptrdiff_t winograd = round_up(winograd_scratch(g), 64);
    return winograd > direct ? winograd : direct;
}

static void conv_forward(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
                         const real *bias, real *out, void *scratch) {
    if (use_winograd(g))
        winograd_forward(g, n, x, w, bias, out, scratch);
    else
        direct_forward(g, n, x, w, bias, out, scratch);
}

static void conv_backward_input(const cnet_window *g, ptrdiff_t n, const real *dout, const real *w,
                                real *dx, void *scratch) {
    const cnet_window turned = turned_window(g);
    if (use_winograd(&turned))
        winograd_backward_input(g, n, dout, w, dx, scratch);
    else
        direct_backward_input(g, n, dout, w, dx, scratch);
}

static void conv_backward_params(const cnet_window *g, ptrdiff_t n, const real *x, const real *dout,
                                 real *dw, real *db, int accumulate, int part, int parts,
                                 void *scratch) {
    if (!use_winograd(g)) {
        direct_backward_params(g, n, x, dout, dw, db, accumulate, part, parts, scratch);
        return;
    }
    winograd_backward_weights(g, n, x, dout, dw, accumulate, g->channels * part / parts,
                              g->channels * (part + 1) / parts, scratch);
    if (db && part == 0)
        bias_gradient(g, n, dout, db, accumulate);
}
