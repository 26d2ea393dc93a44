/* Reductions of an array, and what is done to gradients before a step: clipping and scaling. */

/* Whether all of n elements are finite: sums of x[i] * 0 are 0 only then. */
static int all_finite(ptrdiff_t n, const real *x) {
    const vec zero = v_set1(0);
    vec sum[4] = {zero, zero, zero, zero};
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        UNROLL for (int s = 0; s < 4; s++)
            sum[s] = v_fma(v_load(x + i + s * VL), zero, sum[s]);
    }
    for (; i < n; i += VL)
        sum[0] = v_fma(v_load_m(x + i, v_mask(min_size(n - i, VL))), zero, sum[0]);
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]))) == 0;
}

/* g[i] clipped to [-bound, bound]; a NaN stays one. */
INLINE vec limited(vec g, vec bound) { return v_min(bound, v_max(v_sub(v_set1(0), bound), g)); }

/* g[i] clipped to [-bound, bound], of n elements; returns the sum of their squares. */
static double clip(ptrdiff_t n, real *g, real bound) {
    const vec b = v_set1(bound);
    vec sum = v_set1(0);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) {
        const vec x = limited(v_load(g + i), b);
        v_store(g + i, x);
        sum = v_fma(x, x, sum);
    }
    if (i < n) {
        const vmask mask = v_mask(n - i);
        const vec x = limited(v_load_m(g + i, mask), b);
        v_store_m(g + i, x, mask);
        sum = v_fma(x, x, sum);
    }
    return (double)v_sum(sum);
}

/* y[i] *= factor, of n elements */
INLINE void scale_row(ptrdiff_t n, real *y, real factor) {
    const vec f = v_set1(factor);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL)
        v_store(y + j, v_mul(v_load(y + j), f));
    if (j < n) {
        const vmask mask = v_mask(n - j);
        v_store_m(y + j, v_mul(v_load_m(y + j, mask), f), mask);
    }
}

static void scale(ptrdiff_t n, real *y, real factor) { scale_row(n, y, factor); }

/* The sum of x[i]^2, of n elements. */
static double square_sum(ptrdiff_t n, const real *x) {
    /* An addition takes as long as four vectors need to arrive. */
    vec sums[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
        UNROLL for (int k = 0; k < 4; k++) {
            const vec v = v_load(x + i + k * VL);
            sums[k] = v_fma(v, v, sums[k]);
        }
    }
    for (; i < n; i += VL) {
        const vec v = i + VL <= n ? v_load(x + i) : v_load_m(x + i, v_mask(n - i));
        sums[0] = v_fma(v, v, sums[0]);
    }
    return (double)v_sum(v_add(v_add(sums[0], sums[1]), v_add(sums[2], sums[3])));
}
