/* Random augmentation of an image: affine map, elastic displacements, noise, standardization.

   Random numbers are those of philox.h. Their counter is the purpose, the index of the sample in
   the data set and the epoch: the result does not depend on the thread or the mini-batch.

   Output pixels are interpolated bilinearly between four input pixels. Outside of the image the
   input is 0: it is copied into a frame of zeros, 1 pixel wide before and 2 pixels wide after the
   image. */
#include <math.h>

enum { DRAW_AFFINE, DRAW_ELASTIC, DRAW_NOISE };

/* words (4) = Philox4x32-10 of the counter (purpose, n; row; epoch) with a->key. row: index of the
   sample in the data set. n < 2^28. */
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

/* word / 2^31, word taken as signed: uniform in [-1, 1]. */
INLINE real uniform(uint32_t word) { return (real)(int32_t)word * (real)(1.0 / 2147483648.0); }

/* The quantile of (bits + 1/2) / 2^16, bits < 2^16: standard normal, by inversion. The quantile
   function is linear between those of 0/256, 1/256, ..., 256/256; quantiles (257). */
INLINE real normal(const real *quantiles, uint32_t bits) {
    const real *q = quantiles + (bits >> 8);
    return q[0] + ((real)(bits & 255) + (real)0.5) * (real)(1.0 / 256) * (q[1] - q[0]);
}

/* source(x, y) = start + x * along_x + y * along_y: the point of the input from which output pixel
   (x, y) is read. Component 0 is x, component 1 is y. */
typedef struct {
    real start[2], along_x[2], along_y[2];
} affine;

/* source(p) = center + F @ inv(S) @ inv(R) @ (p - center - shift) / scale, with the random rotation
   R, shear S = [[1, t], [0, 1]], and F = diag(-1, 1) or the identity. The inverse is used because
   each output pixel looks for its source. */
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

/* out[j] = sum over k of weights[k] * rows[k, j]; weights (terms), rows (terms, span), out (span);
   span is a multiple of VL. */
INLINE void weighted_rows(ptrdiff_t terms, ptrdiff_t span, const real *weights, const real *rows,
                          real *out) {
    for (ptrdiff_t j = 0; j < span; j += VL) {
        vec sum = v_set1(0);
        for (ptrdiff_t k = 0; k < terms; k++)
            sum = v_fma(v_set1(weights[k]), v_load(rows + k * span + j), sum);
        v_store(out + j, sum);
    }
}

/* field[d, i, :] = sum over k of noise[d, i, k] * basis_x[k, :]; field (2, nodes_y, span), noise
   (2, nodes_y, nodes_x), basis_x (nodes_x, span). d = 0: displacements along x, d = 1: along y.

   noise is drawn here, four elements at a time: it has space for 3 more. The product with basis_y
   follows in warp, row by row. */
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

/* The largest integer <= x, for 0 <= x <= 2^22. Adding MAGIC rounds to the nearest integer. */
INLINE vec v_floor(vec x) {
    const vec nearest = v_sub(v_add(x, v_set1(MAGIC)), v_set1(MAGIC));
    return v_select_lt(x, nearest, v_sub(nearest, v_set1(1)), nearest);
}

/* With s = source(j, i) + (x[j], y[j]) + 1, clamped to the framed image, for pixels j of output
   row i:

     place[j] = floor(s.y) * (width + 3) + floor(s.x)
     (x[j], y[j]) = s - floor(s)

   x, y, place (span); x and y hold the displacements on entry. */
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

/* out[j] = (1 - y[j]) * above + y[j] * below, with p = place[j] and
   above = (1 - x[j]) * framed[p] + x[j] * framed[p + 1], below the same for p + stride.
   place, x, y, out (n). */
INLINE void interpolate(ptrdiff_t n, const real *framed, ptrdiff_t stride, const real *place,
                        const real *x, const real *y, real *out) {
    for (ptrdiff_t j = 0; j < n; j++) {
        const real *p = framed + (int32_t)place[j], *q = p + stride;
        const real above = p[0] + x[j] * (p[1] - p[0]), below = q[0] + x[j] * (q[1] - q[0]);
        out[j] = above + y[j] * (below - above);
    }
}

/* out[c, i, j] = image[c] at source(j, i) + displacement[:, i, j], with
   displacement[d] = basis_y (height, nodes_y) @ field[d] (nodes_y, span). image or bytes, and out
   (channels, height, width); bytes is read unless it is NULL.

   scratch holds, in this order: x, y, place (span each), field, the framed image, noise. The frame
   must be 0 on entry, and stays 0. */
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

/* out = (warp(image) + noise * z - mean) * factor, element by element, with z standard normal;
   image or bytes, out, mean, factor (channels * height * width). Steps that `a` does not ask for
   are left out. bytes is read unless it is NULL. scratch (cnet_augment_scratch(a)). */
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
