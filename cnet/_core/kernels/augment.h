/* Random distortions of an image: an affine map, an elastic field, noise; and standardization.

   The counter of philox.h is here that of what is drawn, for which row, in which epoch: an image
   comes out the same whichever thread or batch it meets.

   A pixel of the output is read from between four pixels of the input (bilinear interpolation).
   Beyond its edges the input is 0: it is copied into a frame of zeros, of 1 pixel before and 2
   after. */
#include <math.h>

enum { DRAW_AFFINE, DRAW_ELASTIC, DRAW_NOISE };

/* The n-th four words that are drawn for a purpose. */
INLINE void draw(const cnet_augment *a, int64_t row, uint32_t epoch, int purpose, ptrdiff_t n,
                 uint32_t words[4]) {
    uint32_t k0 = a->key[0], k1 = a->key[1];
    words[0] = (uint32_t)purpose << 28 | (uint32_t)n;
    words[1] = (uint32_t)row;
    words[2] = (uint32_t)((uint64_t)row >> 32);
    words[3] = epoch;
    UNROLL for (int round = 0; round < PHILOX_ROUNDS; round++, philox_next_key(&k0, &k1))
        philox_round(1, &words[0], &words[1], &words[2], &words[3], k0, k1);
}

/* Uniform from -1 to 1. */
INLINE real uniform(uint32_t word) { return (real)(int32_t)word * (real)(1.0 / 2147483648.0); }

/* Standard normal by inversion, from 16 bits: linear between the quantiles of 0/256, 1/256, ... */
INLINE real normal(const real *quantiles, uint32_t bits) {
    const real *q = quantiles + (bits >> 8);
    return q[0] + ((real)(bits & 255) + (real)0.5) * (real)(1.0 / 256) * (q[1] - q[0]);
}

/* The place in the input of pixel (x, y) of the output: start + x * along_x + y * along_y, its x
   before its y. */
typedef struct {
    real start[2], along_x[2], along_y[2];
} affine;

/* The inverse of: scale, shear along x, rotate, shift; about the center of the image. Then,
   perhaps, mirror. */
static affine random_affine(const cnet_augment *a, int64_t row, uint32_t epoch) {
    uint32_t w[8];
    draw(a, row, epoch, DRAW_AFFINE, 0, w);
    draw(a, row, epoch, DRAW_AFFINE, 1, w + 4);
    const double shift_x = a->shift * uniform(w[0]), shift_y = a->shift * uniform(w[1]);
    const double angle = a->rotation * uniform(w[2]), scale = 1 + a->scale * uniform(w[3]),
                 shear = tan(a->shear * uniform(w[4]));
    const double mirror = a->flip && w[5] >> 31 ? -1 : 1;
    const double sine = sin(angle), cosine = cos(angle);
    const double along_x[2] = {mirror * (cosine + shear * sine) / scale, -sine / scale};
    const double along_y[2] = {mirror * (sine - shear * cosine) / scale, cosine / scale};
    const double center[2] = {0.5 * (double)(a->width - 1), 0.5 * (double)(a->height - 1)};
    affine map;
    for (int i = 0; i < 2; i++) {
        map.start[i] = (real)(center[i] - along_x[i] * (center[0] + shift_x) -
                              along_y[i] * (center[1] + shift_y));
        map.along_x[i] = (real)along_x[i];
        map.along_y[i] = (real)along_y[i];
    }
    return map;
}

/* out = weights @ rows, each row of `span` elements. */
INLINE void weighted_rows(ptrdiff_t terms, ptrdiff_t span, const real *weights, const real *rows,
                          real *out) {
    for (ptrdiff_t j = 0; j < span; j += VL) {
        vec sum = v_set1(0);
        for (ptrdiff_t k = 0; k < terms; k++)
            sum = v_fma(v_set1(weights[k]), v_load(rows + k * span + j), sum);
        v_store(out + j, sum);
    }
}

/* The noise of the two fields of displacements, along x and along y, smoothed along x: 2 * nodes_y
   rows. */
static void half_smoothed(const cnet_augment *a, int64_t row, uint32_t epoch, real *field,
                          real *noise) {
    const ptrdiff_t span = cnet_augment_span(a->width), nodes = 2 * a->nodes_y * a->nodes_x;
    for (ptrdiff_t i = 0; i < nodes; i += 4) {
        uint32_t words[4];
        draw(a, row, epoch, DRAW_ELASTIC, i / 4, words);
        for (int w = 0; w < 4; w++)
            noise[i + w] = uniform(words[w]);
    }
    for (ptrdiff_t i = 0; i < 2 * a->nodes_y; i++)
        weighted_rows(a->nodes_x, span, noise + i * a->nodes_x, a->basis_x, field + i * span);
}

/* Right from 0 to 2^22. */
INLINE vec v_floor(vec x) {
    const vec nearest = v_sub(v_add(x, v_set1(MAGIC)), v_set1(MAGIC));
    return v_select_lt(x, nearest, v_sub(nearest, v_set1(1)), nearest);
}

/* Where the pixels of row i of the output lie in a framed image: the number of the pixel before and
   above, and the parts of a pixel beyond it, which overwrite the displacements. Places outside the
   frame are drawn into it. */
INLINE void find_places(const cnet_augment *a, ptrdiff_t i, const affine *map, real *x, real *y,
                        real *place) {
    static const real ramp[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const vec right = v_set1((real)(a->width + 1)), bottom = v_set1((real)(a->height + 1)),
              stride = v_set1((real)(a->width + 3));
    const vec start_x = v_set1(map->start[0] + (real)i * map->along_y[0] + 1),
              start_y = v_set1(map->start[1] + (real)i * map->along_y[1] + 1);
    for (ptrdiff_t j = 0; j < a->width; j += VL) {
        const vec column = v_add(v_load(ramp), v_set1((real)j));
        vec at_x = v_add(v_fma(column, v_set1(map->along_x[0]), start_x), v_load(x + j));
        vec at_y = v_add(v_fma(column, v_set1(map->along_x[1]), start_y), v_load(y + j));
        at_x = v_min(v_max(at_x, v_set1(0)), right);
        at_y = v_min(v_max(at_y, v_set1(0)), bottom);
        const vec left = v_floor(at_x), top = v_floor(at_y);
        v_store(x + j, v_sub(at_x, left));
        v_store(y + j, v_sub(at_y, top));
        v_store(place + j, v_fma(top, stride, left));
    }
}

INLINE void interpolate(ptrdiff_t n, const real *framed, ptrdiff_t stride, const real *place,
                        const real *x, const real *y, real *out) {
    for (ptrdiff_t j = 0; j < n; j++) {
        const real *p = framed + (int32_t)place[j], *q = p + stride;
        const real above = p[0] + x[j] * (p[1] - p[0]), below = q[0] + x[j] * (q[1] - q[0]);
        out[j] = above + y[j] * (below - above);
    }
}

static void warp(const cnet_augment *a, int64_t row, uint32_t epoch, const real *image,
                 const uint8_t *bytes, real *out, real *scratch) {
    const ptrdiff_t height = a->height, width = a->width, span = cnet_augment_span(width),
                    stride = width + 3, frame = (height + 3) * stride;
    real *x = scratch, *y = x + span, *place = y + span, *field = place + span,
         *framed = field + 2 * a->nodes_y * span, *noise = framed + a->channels * frame;
    for (ptrdiff_t c = 0; c < a->channels; c++)
        for (ptrdiff_t i = 0; i < height; i++) {
            const ptrdiff_t from = (c * height + i) * width;
            real *to = framed + c * frame + (i + 1) * stride + 1;
            if (bytes)
                rescale_bytes(width, bytes + from, 1, 0, to);
            else
                memcpy(to, image + from, (size_t)width * sizeof(real));
        }
    const affine map = random_affine(a, row, epoch);
    half_smoothed(a, row, epoch, field, noise);
    for (ptrdiff_t i = 0; i < height; i++) {
        const real *weights = a->nodes_y ? a->basis_y + i * a->nodes_y : NULL;
        weighted_rows(a->nodes_y, span, weights, field, x);
        weighted_rows(a->nodes_y, span, weights, field + a->nodes_y * span, y);
        find_places(a, i, &map, x, y, place);
        for (ptrdiff_t c = 0; c < a->channels; c++)
            interpolate(width, framed + c * frame, stride, place, x, y,
                        out + (c * height + i) * width);
    }
}

static void augment(const cnet_augment *a, int64_t row, uint32_t epoch, const real *image,
                    const uint8_t *bytes, real *out, real *scratch) {
    const ptrdiff_t n = a->channels * a->height * a->width;
    if (a->warp)
        warp(a, row, epoch, image, bytes, out, scratch);
    else if (bytes)
        rescale_bytes(n, bytes, 1, 0, out);
    else
        memcpy(out, image, (size_t)n * sizeof(real));
    if (a->noise > 0)
        for (ptrdiff_t i = 0; i < n; i += 8) {
            uint32_t words[4];
            draw(a, row, epoch, DRAW_NOISE, i / 8, words);
            for (ptrdiff_t j = 0; j < 8 && i + j < n; j++)
                out[i + j] +=
                    a->noise * normal(a->quantiles, words[j / 2] >> 16 * (j % 2) & 0xffff);
        }
    if (a->mean)
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = (out[i] - a->mean[i]) * a->factor[i];
}
