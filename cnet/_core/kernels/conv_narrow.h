/* Gradient of the input of a convolution with few channels. A product into `channels` columns fills
   a part of a vector; here the columns of the kernel lie side by side in one product:

     s (output pixels, kernel columns * channels) = dout (output pixels, terms) @ w (terms, kernel
     columns * channels); terms: (row of the kernel, filter)

     dx[x, :] += s[x + pad_x - kx, kx, :], kx in ascending order

   All sums have the order of one product for each column (conv.h): the bits are the same. */

/* Whether the product side by side has at most two thirds of the vectors of one for each column. It
   is one block of terms, and its rows are whole rows of the output. The shape alone decides. */
static int has_narrow_input(const cnet_window *g) {
    return g->stride_x == 1 && g->out_width <= CNET_KC && g->channels < VL &&
           g->kernel_height * g->filters <= CNET_KC &&
           3 * round_up(g->kernel_width * g->channels, VL) <= 2 * g->kernel_width * VL;
}

/* Elements of a row of s. */
static ptrdiff_t narrow_row(const cnet_window *g) {
    return round_up(g->kernel_width * g->channels, VL);
}

/* Elements of the workspace for s; a vector behind it is read. */
static ptrdiff_t narrow_sums(const cnet_window *g) {
    return has_narrow_input(g) ? CNET_KC * narrow_row(g) + VL : 0;
}

/* Rows k to k + filters of panels: w[:, ky], transposed; w (kernel width, kernel height, channels,
   filters), panels (columns / NR, terms, NR) */
static void pack_side_by_side(const cnet_window *g, const real *w, ptrdiff_t ky, ptrdiff_t k,
                              real *panels) {
    const ptrdiff_t terms = g->kernel_height * g->filters;
    for (ptrdiff_t kx = 0, j = 0; kx < g->kernel_width; kx++)
        for (ptrdiff_t c = 0; c < g->channels; c++, j++) {
            const real *row = w + ((kx * g->kernel_height + ky) * g->channels + c) * g->filters;
            for (ptrdiff_t f = 0; f < g->filters; f++)
                panels[j / NR * terms * NR + (k + f) * NR + j % NR] = row[f];
        }
}

/* dx[x, :] += sums of one output row; s (output width, row), dx (width, channels) */
static void add_side_by_side(const cnet_window *g, const real *s, ptrdiff_t row, real *dx) {
    const vmask mask = v_mask(g->channels);
    for (ptrdiff_t x = 0; x < g->width; x++, dx += g->channels) {
        const ptrdiff_t last = x + g->pad_x, end = min_size(g->kernel_width, last + 1);
        vec sum = v_load_m(dx, mask);
        for (ptrdiff_t kx = last < g->out_width ? 0 : last - g->out_width + 1; kx < end; kx++)
            sum = v_add(sum, v_load(s + (last - kx) * row + kx * g->channels));
        v_store_m(dx, sum, mask);
    }
}

/* dx += what `rows` rows of each image get from `terms` terms. Row i of image b is at input row
   first_row + i * stride_y, and its first term in output row out_row + i. panels: w of these terms;
   panel_rows: distance between panels, in rows of NR elements. */
static void add_narrow_rows(const cnet_window *g, ptrdiff_t images, ptrdiff_t rows,
                            ptrdiff_t out_row, ptrdiff_t first_row, ptrdiff_t terms,
                            const real *dout, const ptrdiff_t *a_col_offset, const real *panels,
                            ptrdiff_t panel_rows, real *s, real *dx) {
    ptrdiff_t a_row_offset[CNET_KC], c_row_offset[CNET_KC];
    const ptrdiff_t row = narrow_row(g), cols = g->kernel_width * g->channels;
    const ptrdiff_t rows_at_a_time = CNET_KC / g->out_width;
    for (ptrdiff_t first = 0; first < images * rows; first += rows_at_a_time) {
        const ptrdiff_t count = min_size(rows_at_a_time, images * rows - first);
        for (ptrdiff_t i = 0, p = 0; i < count; i++)
            for (ptrdiff_t x = 0; x < g->out_width; x++, p++) {
                const ptrdiff_t image = (first + i) / rows, y = out_row + (first + i) % rows;
                a_row_offset[p] = ((image * g->out_height + y) * g->out_width + x) * g->filters;
                c_row_offset[p] = p * row;
            }
        for (ptrdiff_t j = 0; j < cols; j += NR) {
            const igemm_args t = {
                .a = dout,
                .a_row_offset = a_row_offset,
                .a_col_offset = a_col_offset,
                .b = panels + j * panel_rows,
                .rs_b = NR,
                .k = terms,
                .c = s + j,
                .c_row_offset = c_row_offset,
                .first = 1,
            };
            igemm(count * g->out_width, min_size(NR, cols - j), t);
        }
        for (ptrdiff_t i = 0; i < count; i++) {
            const ptrdiff_t y =
                (first + i) / rows * g->height + first_row + (first + i) % rows * g->stride_y;
            add_side_by_side(g, s + i * g->out_width * row, row, dx + y * g->width * g->channels);
        }
    }
}
