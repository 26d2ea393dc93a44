/* clang-format off */
/* Convolution with kernels of 3 x 3 and a stride of 1 by Winograd's minimal filtering
   F(2 x 2, 3 x 3): 16 multiplications for 4 output pixels instead of 36. Lavin and Gray, Fast
   algorithms for convolutional neural networks, CVPR 2016.

   An output tile y of 2 x 2 pixels depends on an input tile d of 4 x 4 pixels:

     y = A^T ((G g G^T) * (B^T d B)) A        *: element by element; g: kernel, 3 x 3

           1  0 -1  0         1    0    0            1  1  1  0
     B^T = 0  1  1  0     G = 1/2  1/2  1/2    A^T = 0  1 -1 -1
           0 -1  1  0         1/2 -1/2  1/2
           0  1  0 -1         0    0    1

   The sum over channels is taken before A, so each of the 16 elements is a matrix product:

     pass                product                                            (16 times)
     forward             M (tiles, filters) = V (tiles, channels) @ U (channels, filters)
     gradient of input   the same for the gradient of the output, with channels and filters swapped,
                         turned kernels, and a padding of 2 - pad
     gradient of w       dU (channels, filters) = V^T (channels, tiles) @ W (tiles, filters)

   where U = G g G^T, V = B^T d B, y = A^T M A, W = A dy A^T, dg = G^T dU G. The transforms run
   along channels or filters, which are contiguous.

   Tiles are counted from the first of the first image. Those that reach beyond an image read zeros
   there, and write nothing. Sums over channels go block by block (kernels.h), so a result does not
   depend on the tiles that are processed with it. Sums over tiles are cut at WINOGRAD_SUMMED tiles
   and at groups of images, both counted from the first image of the batch.

   Factors of A, B and G are 0, 1 and 1/2, so that rounding errors grow little. */
/* clang-format on */

/* Tiles that are processed at a time: V and M are then in a level-2 cache beside U. */
#define WINOGRAD_TILES 24
/* Tiles of a block of a sum over tiles, and of a group of small images at least. */
#define WINOGRAD_SUMMED 48
#define WINOGRAD_GROUP 128

/* The most channels times filters, and for each tile of an image. */
#define WINOGRAD_WEIGHTS (256 * 256)
#define WINOGRAD_WEIGHTS_PER_TILE 512

#define WINOGRAD_LINE (64 / (ptrdiff_t)sizeof(real))

static ptrdiff_t tiles_along(ptrdiff_t pixels) { return (pixels + 1) / 2; }

/* Whether the convolution g is computed this way: by its shape alone, never by the batch. Not where
   it was slower in one of the passes, with batches of 1 to 64 images: few tiles do not pay for the
   transform of the weights, and in narrow layers the transforms of tiles that reach beyond the
   image cost more than is saved. */
static int use_winograd(const cnet_window *g) {
    const ptrdiff_t pixels = g->out_height * g->out_width,
                    tiles = tiles_along(g->out_height) * tiles_along(g->out_width);
    if (sizeof(real) != sizeof(float) || g->kernel_height != 3 || g->kernel_width != 3 ||
        g->stride_y != 1 || g->stride_x != 1 || g->out_height < 8 || g->out_width < 8 ||
        g->channels < 16 || g->filters < 16)
        return 0;
    if ((g->channels < 32 || g->filters < 32) && pixels / 9 < 4 * tiles / 10)
        return 0;
    return g->channels <= WINOGRAD_WEIGHTS / g->filters &&
           g->channels * g->filters / WINOGRAD_WEIGHTS_PER_TILE <= tiles;
}

/* The convolution that gives the gradient of the input from that of the output. */
static cnet_window turned_window(const cnet_window *g) {
    cnet_window t = *g;
    t.height = g->out_height;
    t.width = g->out_width;
    t.channels = g->filters;
    t.out_height = g->height;
    t.out_width = g->width;
    t.filters = g->channels;
    t.pad_y = 2 - g->pad_y;
    t.pad_x = 2 - g->pad_x;
    return t;
}

/* The workspace: U or dU, V, M or W, and a pixel of zeros. Each of the first three is 16 matrices.
   A line between two of them keeps the 16 elements of a tile in different sets of a cache. */
typedef struct {
    ptrdiff_t u, v, m; /* elements from one matrix to the next */
    real *weights, *inputs, *products, *zeros;
} winograd_space;

static winograd_space winograd_space_of(const cnet_window *g, void *scratch) {
    const ptrdiff_t u = g->channels * round_up(g->filters, NR),
                    turned = g->filters * round_up(g->channels, NR),
                    wide = g->channels > g->filters ? g->channels : g->filters;
    winograd_space s;
    s.u = (u > turned ? u : turned) + WINOGRAD_LINE;
    s.v = WINOGRAD_SUMMED * round_up(wide, WINOGRAD_LINE) + WINOGRAD_LINE;
    s.m = WINOGRAD_SUMMED * NR + WINOGRAD_LINE;
    s.weights = (real *)(((uintptr_t)scratch + 63) / 64 * 64);
    s.inputs = s.weights + 16 * s.u;
    s.products = s.inputs + 16 * s.v;
    s.zeros = s.products + 16 * s.m;
    return s;
}

/* Bytes of the workspace, with those that align it. */
static ptrdiff_t winograd_scratch(const cnet_window *g) {
    const winograd_space s = winograd_space_of(g, NULL);
    const ptrdiff_t wide = g->channels > g->filters ? g->channels : g->filters;
    return (16 * (s.u + s.v + s.m) + round_up(wide, WINOGRAD_LINE)) * (ptrdiff_t)sizeof(real) + 64;
}

enum { WEIGHTS, INPUT, OUTPUT, OUTPUT_GRADIENT, WEIGHT_GRADIENT };

/* d = G d, B^T d, A^T d, A d or G^T d for a column d, whose elements are `step` vectors apart. */
INLINE void transform_column(const int kind, vec *d, const int step) {
    const vec a = d[0], b = d[step], c = d[2 * step], e = d[3 * step], half = v_set1((real)0.5);
    if (kind == WEIGHTS) {
        const vec ends = v_mul(half, v_add(a, c)), middle = v_mul(half, b);
        d[step] = v_add(ends, middle);
        d[2 * step] = v_sub(ends, middle);
        d[3 * step] = c;
    } else if (kind == INPUT) {
        d[0] = v_sub(a, c);
        d[step] = v_add(b, c);
        d[2 * step] = v_sub(c, b);
        d[3 * step] = v_sub(b, e);
    } else if (kind == OUTPUT) {
        d[0] = v_add(a, v_add(b, c));
        d[step] = v_sub(v_sub(b, c), e);
    } else if (kind == OUTPUT_GRADIENT) {
        d[step] = v_add(a, b);
        d[2 * step] = v_sub(a, b);
        d[3 * step] = v_sub(v_set1(0), b);
    } else {
        const vec sum = v_mul(half, v_add(b, c));
        d[0] = v_add(a, sum);
        d[step] = v_mul(half, v_sub(b, c));
        d[2 * step] = v_add(sum, e);
    }
}

/* The transform of d, from both sides. rows, cols: of the result, and of d, in that order. */
INLINE void transform_tile(const int kind, const int rows, const int cols, vec d[16]) {
    UNROLL for (int j = 0; j < cols; j++)
        transform_column(kind, d + j, 4);
    UNROLL for (int i = 0; i < rows; i++)
        transform_column(kind, d + 4 * i, 1);
}

/* at[i, j] = pixel (y + i, x + j) of an image (height, width, channels), or zeros outside of it;
   at (size, size) */
INLINE void pixels_of_tile(const int size, const real *image, ptrdiff_t height, ptrdiff_t width,
                           ptrdiff_t channels, ptrdiff_t y, ptrdiff_t x, const real *zeros,
                           const real **at) {
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++)
            *at++ = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width
                        ? image + ((y + i) * width + x + j) * channels
                        : zeros;
}

/* to[i] = transform of a tile of pixels at[i, j]; n channels, to (16 matrices); rows of `to` are
   whole vectors. */
INLINE void transform_pixels(const int kind, const int size, const real *const *at, ptrdiff_t n,
                             real *to, ptrdiff_t matrix) {
    for (ptrdiff_t c = 0; c < n; c += VL) {
        const vmask mask = v_mask(min_size(VL, n - c));
        vec d[16];
        UNROLL for (int i = 0; i < 16; i++)
            d[i] = i / 4 < size && i % 4 < size ? v_load_m(at[i / 4 * size + i % 4] + c, mask)
                                                : v_set1(0);
        transform_tile(kind, 4, size, d);
        UNROLL for (int i = 0; i < 16; i++)
            v_store(to + i * matrix + c, d[i]);
    }
}

/* U of the convolution g in panels of NR columns: (channels, filters), or (filters, channels) of
   the turned kernels. Kernels are packed first, and then transformed in place. */
static void transform_weights(const cnet_window *g, const real *w, int turned,
                              const winograd_space *s) {
    const ptrdiff_t k = turned ? g->filters : g->channels, n = turned ? g->channels : g->filters,
                    position = g->channels * g->filters;
    for (ptrdiff_t j = 0; j < n; j += NR) {
        const ptrdiff_t cols = min_size(NR, n - j);
        real *panel = s->weights + j * k;
        for (int i = 0; i < 9; i++) {
            const real *from = w + (turned ? 8 - i : i) * position;
            if (turned)
                pack_b(k, cols, from + j * k, 1, k, panel + i * s->u);
            else
                pack_b(k, cols, from + j, n, 1, panel + i * s->u);
        }
        for (ptrdiff_t r = 0; r < k; r++, panel += NR)
            for (ptrdiff_t c = 0; c < cols; c += VL) {
                vec d[16];
                UNROLL for (int i = 0; i < 16; i++)
                    d[i] = i / 4 < 3 && i % 4 < 3 ? v_load(panel + (i % 4 * 3 + i / 4) * s->u + c)
                                                  : v_set1(0);
                transform_tile(WEIGHTS, 4, 3, d);
                UNROLL for (int i = 0; i < 16; i++)
                    v_store(panel + i * s->u + c, d[i]);
            }
    }
}

/* c[i] (+)= a[i] @ b[i] for 16 matrices a (m, k), b (k, cols), c (m, cols), which are `a_matrix`
   elements apart, and so on; b and c have rows of NR elements. */
static void multiply_tiles(ptrdiff_t m, ptrdiff_t k, ptrdiff_t cols, const real *a, ptrdiff_t rs_a,
                           ptrdiff_t cs_a, ptrdiff_t a_matrix, const real *b, ptrdiff_t b_matrix,
                           real *c, ptrdiff_t c_matrix, int accumulate) {
    const ptrdiff_t block = cnet_block_length(k);
    for (int i = 0; i < 16; i++)
        for (ptrdiff_t p = 0; p < k || p == 0; p += block) {
            ukernel_args t = {
                .a = a + i * a_matrix + p * cs_a,
                .rs_a = rs_a,
                .cs_a = cs_a,
                .b = b + i * b_matrix + p * NR,
                .rs_b = NR,
                .k = min_size(block, k - p),
                .c = c + i * c_matrix,
                .rs_c = NR,
                .cs_c = 1,
                .first = p == 0 && !accumulate,
            };
            gemm_macro_kernel(m, cols, &t, 0);
            if (!block)
                break;
        }
}

/* out (2, 2, cols) = A^T m A + bias. rows, columns: those of the tile in the image. */
INLINE void store_tile(const real *m, ptrdiff_t matrix, ptrdiff_t cols, const real *bias, real *out,
                       ptrdiff_t row, ptrdiff_t pixel, ptrdiff_t rows, ptrdiff_t columns) {
    for (ptrdiff_t c = 0; c < cols; c += VL) {
        const vmask mask = v_mask(min_size(VL, cols - c));
        vec d[16];
        UNROLL for (int i = 0; i < 16; i++)
            d[i] = v_load(m + i * matrix + c);
        transform_tile(OUTPUT, 2, 4, d);
        const vec b = bias ? v_load_m(bias + c, mask) : v_set1(0);
        UNROLL for (int i = 0; i < 2; i++) {
            UNROLL for (int j = 0; j < 2; j++)
                if (i < rows && j < columns)
                    v_store_m(out + i * row + j * pixel + c,
                              bias ? v_add(d[4 * i + j], b) : d[4 * i + j], mask);
        }
    }
}

/* out = convolution of n images x (height, width, channels) with the weights U of the workspace,
   plus bias unless it is NULL */
static void convolve_tiles(const cnet_window *g, ptrdiff_t n, const real *x, const real *bias,
                           real *out, const winograd_space *s) {
    const ptrdiff_t height = tiles_along(g->out_height), width = tiles_along(g->out_width),
                    ldv = round_up(g->channels, VL), total = n * height * width;
    for (ptrdiff_t first = 0; first < total; first += WINOGRAD_TILES) {
        const ptrdiff_t count = min_size(WINOGRAD_TILES, total - first);
        const pixel start = pixel_at(first, height, width);
        pixel p = start;
        for (ptrdiff_t t = 0; t < count; t++, advance(&p, height, width)) {
            const real *at[16];
            pixels_of_tile(4, x + p.image * g->height * g->width * g->channels, g->height, g->width,
                           g->channels, 2 * p.y - g->pad_y, 2 * p.x - g->pad_x, s->zeros, at);
            transform_pixels(INPUT, 4, at, g->channels, s->inputs + t * ldv, s->v);
        }
        for (ptrdiff_t j = 0; j < g->filters; j += NR) {
            const ptrdiff_t cols = min_size(NR, g->filters - j), row = g->out_width * g->filters;
            multiply_tiles(count, g->channels, cols, s->inputs, ldv, 1, s->v,
                           s->weights + j * g->channels, s->u, s->products, s->m, 0);
            p = start;
            for (ptrdiff_t t = 0; t < count; t++, advance(&p, height, width))
                store_tile(s->products + t * NR, s->m, cols, bias ? bias + j : NULL,
                           out + (p.image * g->out_height + 2 * p.y) * row + 2 * p.x * g->filters +
                               j,
                           row, g->filters, g->out_height - 2 * p.y, g->out_width - 2 * p.x);
        }
    }
}

static void winograd_forward(const cnet_window *g, ptrdiff_t n, const real *x, const real *w,
                             const real *bias, real *out, void *scratch) {
    const winograd_space s = winograd_space_of(g, scratch);
    memset(s.zeros, 0, g->channels * sizeof(real));
    transform_weights(g, w, 0, &s);
    convolve_tiles(g, n, x, bias, out, &s);
}

static void winograd_backward_input(const cnet_window *g, ptrdiff_t n, const real *dout,
                                    const real *w, real *dx, void *scratch) {
    const winograd_space s = winograd_space_of(g, scratch);
    const cnet_window turned = turned_window(g);
    memset(s.zeros, 0, g->filters * sizeof(real));
    transform_weights(g, w, 1, &s);
    convolve_tiles(&turned, n, dout, NULL, dx, &s);
}

/* dw[:, :, channel, :] (+)= G^T dU G for channels first to first + n; dU (n, filters) in panels */
static void transform_weight_gradients(const cnet_window *g, ptrdiff_t first, ptrdiff_t n, real *dw,
                                       int accumulate, const winograd_space *s) {
    for (ptrdiff_t j = 0; j < g->filters; j += NR)
        for (ptrdiff_t r = 0; r < n; r++)
            for (ptrdiff_t c = 0; c < min_size(NR, g->filters - j); c += VL) {
                const vmask mask = v_mask(min_size(VL, g->filters - j - c));
                const real *from = s->weights + j * n + r * NR + c;
                real *to = dw + (first + r) * g->filters + j + c;
                vec d[16];
                UNROLL for (int i = 0; i < 16; i++)
                    d[i] = v_load(from + i * s->u);
                transform_tile(WEIGHT_GRADIENT, 3, 4, d);
                for (int i = 0; i < 9; i++, to += g->channels * g->filters) {
                    const vec sum = d[i % 3 * 4 + i / 3];
                    v_store_m(to, accumulate ? v_add(v_load_m(to, mask), sum) : sum, mask);
                }
            }
}

/* dw[:, :, channel, :] (+)= its gradient, for channels first to end */
static void winograd_backward_weights(const cnet_window *g, ptrdiff_t n, const real *x,
                                      const real *dout, real *dw, int accumulate, ptrdiff_t first,
                                      ptrdiff_t end, void *scratch) {
    const ptrdiff_t height = tiles_along(g->out_height), width = tiles_along(g->out_width),
                    channels = end - first, ldv = round_up(channels, VL);
    const winograd_space s = winograd_space_of(g, scratch);
    ptrdiff_t group = 1;
    if (!channels)
        return;
    while (2 * group <= CNET_KC && group * height * width < WINOGRAD_GROUP)
        group *= 2;
    memset(s.zeros, 0, (g->channels > g->filters ? g->channels : g->filters) * sizeof(real));
    for (ptrdiff_t i = 0; i < n || i == 0; i += group) {
        const ptrdiff_t total = min_size(group, n - i) * height * width;
        for (ptrdiff_t tile = 0; tile < total || tile == 0; tile += WINOGRAD_SUMMED) {
            const ptrdiff_t count = min_size(WINOGRAD_SUMMED, total - tile);
            const pixel start = pixel_at(tile, height, width);
            const real *at[16];
            pixel p = start;
            for (ptrdiff_t t = 0; t < count; t++, advance(&p, height, width)) {
                pixels_of_tile(4, x + (i + p.image) * g->height * g->width * g->channels + first,
                               g->height, g->width, g->channels, 2 * p.y - g->pad_y,
                               2 * p.x - g->pad_x, s.zeros, at);
                transform_pixels(INPUT, 4, at, channels, s.inputs + t * ldv, s.v);
            }
            for (ptrdiff_t j = 0; j < g->filters; j += NR) {
                const ptrdiff_t cols = min_size(NR, g->filters - j);
                p = start;
                for (ptrdiff_t t = 0; t < count; t++, advance(&p, height, width)) {
                    pixels_of_tile(
                        2, dout + (i + p.image) * g->out_height * g->out_width * g->filters + j,
                        g->out_height, g->out_width, g->filters, 2 * p.y, 2 * p.x, s.zeros, at);
                    transform_pixels(OUTPUT_GRADIENT, 2, at, cols, s.products + t * NR, s.m);
                }
                multiply_tiles(channels, count, cols, s.inputs, 1, ldv, s.v, s.products, s.m,
                               s.weights + j * channels, s.u, tile > 0);
            }
        }
        transform_weight_gradients(g, first, channels, dw, accumulate || i > 0, &s);
    }
}
