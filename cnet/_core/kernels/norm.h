/* Normalization: to mean 0 and variance 1, of each row (layer normalization) or of each column
   (batch normalization).

   With xhat the normalized x and r = 1 / sqrt(variance + eps), the output is xhat * w + b; the
   gradient of x is r * (g - mean(g) - xhat * mean(g * xhat)), g being the gradient of xhat, which
   is dy * w; those of w and b are the sums of dy * xhat and of dy along columns (Ioffe and Szegedy
   2015; Ba, Kiros and Hinton 2016).

   Columns are summed in blocks of rows, so that threads can share them out; what blocks give is put
   together in order. */
#include <math.h>

#ifdef CNET_F64
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

/* The sum of a row of x, or of x * y unless y is NULL, in its own order. */
INLINE real sum_along_row(ptrdiff_t n, const real *x, const real *y) {
    vec sum = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        const vec a = v_load_m(x + j, mask);
        sum = y ? v_fma(a, v_load_m(y + j, mask), sum) : v_add(sum, a);
    }
    return v_sum(sum);
}

/* xhat = (x - mean) * r, unless it is NULL, and out = xhat * w + b */
INLINE void scale_lanes(const int whole, const real *x, vec mean, vec r, const real *w,
                        const real *b, real *xhat, real *out, vmask mask) {
    const vec h = v_mul(v_sub(load_lanes(whole, x, mask), mean), r);
    if (xhat)
        store_lanes(whole, xhat, h, mask);
    const vec scaled = w ? v_mul(h, load_lanes(whole, w, mask)) : h;
    store_lanes(whole, out, b ? v_add(scaled, load_lanes(whole, b, mask)) : scaled, mask);
}

/* dx = r * (g - mean_g - xhat * mean_gx) */
INLINE void scale_back_lanes(const int whole, const real *g, const real *xhat, vec r, vec mean_g,
                             vec mean_gx, real *dx, vmask mask) {
    const vec centered = v_sub(load_lanes(whole, g, mask), mean_g);
    store_lanes(whole, dx, v_mul(r, v_sub(centered, v_mul(load_lanes(whole, xhat, mask), mean_gx))),
                mask);
}

/* xhat (m, n) and rstd (m), which is r, may be NULL. */
static void norm_rows(ptrdiff_t m, ptrdiff_t n, const real *x, const real *w, const real *b,
                      real eps, real *out, real *xhat, real *rstd) {
    const vmask tail = v_mask(n % VL ? n % VL : VL), all = v_mask(VL);
    for (ptrdiff_t i = 0; i < m; i++, x += n, out += n) {
        const real mean = sum_along_row(n, x, NULL) / (real)n;
        for (ptrdiff_t j = 0; j < n; j++)
            out[j] = x[j] - mean;
        const real r = 1 / SQRT(sum_along_row(n, out, out) / (real)n + eps);
        ptrdiff_t j = 0;
        for (; j + VL <= n; j += VL)
            scale_lanes(1, out + j, v_set1(0), v_set1(r), w ? w + j : NULL, b ? b + j : NULL,
                        xhat ? xhat + j : NULL, out + j, all);
        if (j < n)
            scale_lanes(0, out + j, v_set1(0), v_set1(r), w ? w + j : NULL, b ? b + j : NULL,
                        xhat ? xhat + j : NULL, out + j, tail);
        if (xhat)
            xhat += n;
        if (rstd)
            rstd[i] = r;
    }
}

static void norm_rows_backward(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat,
                               const real *rstd, const real *w, real *dx) {
    const vmask tail = v_mask(n % VL ? n % VL : VL), all = v_mask(VL);
    for (ptrdiff_t i = 0; i < m; i++, dy += n, xhat += n, dx += n) {
        for (ptrdiff_t j = 0; j < n; j++)
            dx[j] = w ? dy[j] * w[j] : dy[j];
        const vec mean_g = v_set1(sum_along_row(n, dx, NULL) / (real)n),
                  mean_gx = v_set1(sum_along_row(n, dx, xhat) / (real)n);
        ptrdiff_t j = 0;
        for (; j + VL <= n; j += VL)
            scale_back_lanes(1, dx + j, xhat + j, v_set1(rstd[i]), mean_g, mean_gx, dx + j, all);
        if (j < n)
            scale_back_lanes(0, dx + j, xhat + j, v_set1(rstd[i]), mean_g, mean_gx, dx + j, tail);
    }
}

/* Of the columns of one block (m, n): their means, and the sums of the squares of what differs from
   them, to sums (2, n) */
static void column_moments(ptrdiff_t m, ptrdiff_t n, const real *x, real *sums) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        const vec mean =
            v_div(sum_along_column(OF_VALUES, m, x + j, NULL, n, v_set1(0), mask), v_set1((real)m));
        v_store_m(sums + j, mean, mask);
        v_store_m(sums + n + j, sum_along_column(OF_SQUARES, m, x + j, NULL, n, mean, mask), mask);
    }
}

/* Mean and variance of m rows, from the moments of their blocks (blocks, 2, n), put together as by
   Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
   variances, 1979. */
static void merge_moments(ptrdiff_t m, ptrdiff_t n, const real *blocks, real *mean, real *var) {
    const ptrdiff_t block = cnet_block_length(m);
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        vec average = v_set1(0), squares = v_set1(0);
        for (ptrdiff_t i = 0; i < m; i += block) {
            const real *moments = blocks + i / block * 2 * n + j,
                       share = (real)min_size(block, m - i) / (real)min_size(i + block, m);
            const vec difference = v_sub(v_load_m(moments, mask), average);
            average = v_fma(difference, v_set1(share), average);
            squares = v_fma(v_mul(difference, difference), v_set1(share * (real)i),
                            v_add(squares, v_load_m(moments + n, mask)));
        }
        v_store_m(mean + j, average, mask);
        v_store_m(var + j, v_div(squares, v_set1((real)m)), mask);
    }
}

static void inverse_deviation(ptrdiff_t n, const real *var, real eps, real *rstd) {
    for (ptrdiff_t j = 0; j < n; j++)
        rstd[j] = 1 / SQRT(var[j] + eps);
}

/* Running means of the mean and of the variance, which is made that of m - 1: a fraction of them is
   new. */
static void track_moments(ptrdiff_t m, ptrdiff_t n, const real *mean, const real *var, real share,
                          real *running_mean, real *running_var) {
    const real unbiased = (real)m / (real)(m - 1);
    for (ptrdiff_t j = 0; j < n; j++) {
        running_mean[j] = (1 - share) * running_mean[j] + share * mean[j];
        running_var[j] = (1 - share) * running_var[j] + share * (var[j] * unbiased);
    }
}

/* xhat (m, n) may be NULL. */
static void norm_columns(ptrdiff_t m, ptrdiff_t n, const real *x, const real *mean,
                         const real *rstd, const real *w, const real *b, real *out, real *xhat) {
    const vmask tail = v_mask(n % VL ? n % VL : VL), all = v_mask(VL);
    for (ptrdiff_t i = 0; i < m; i++, x += n, out += n) {
        ptrdiff_t j = 0;
        for (; j + VL <= n; j += VL)
            scale_lanes(1, x + j, v_load(mean + j), v_load(rstd + j), w ? w + j : NULL,
                        b ? b + j : NULL, xhat ? xhat + j : NULL, out + j, all);
        if (j < n)
            scale_lanes(0, x + j, v_load_m(mean + j, tail), v_load_m(rstd + j, tail),
                        w ? w + j : NULL, b ? b + j : NULL, xhat ? xhat + j : NULL, out + j, tail);
        if (xhat)
            xhat += n;
    }
}

/* Of one block (m, n): the sums of dy and of dy * xhat along columns, to sums (2, n) */
static void column_products(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat,
                            real *sums) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        v_store_m(sums + j, sum_along_column(OF_VALUES, m, dy + j, NULL, n, v_set1(0), mask), mask);
        v_store_m(sums + n + j,
                  sum_along_column(OF_PRODUCTS, m, dy + j, xhat + j, n, v_set1(0), mask), mask);
    }
}

/* m rows of a batch of `rows`; sums (2, n) are those of dy and of dy * xhat over the whole batch.
 */
static void norm_columns_backward(ptrdiff_t m, ptrdiff_t n, ptrdiff_t rows, const real *dy,
                                  const real *xhat, const real *rstd, const real *w,
                                  const real *sums, real *dx) {
    const vec share = v_set1(1 / (real)rows);
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const int whole = j + VL <= n;
        const vmask mask = v_mask(min_size(VL, n - j));
        const vec r =
            w ? v_mul(v_load_m(rstd + j, mask), v_load_m(w + j, mask)) : v_load_m(rstd + j, mask);
        const vec mean_g = v_mul(v_load_m(sums + j, mask), share),
                  mean_gx = v_mul(v_load_m(sums + n + j, mask), share);
        for (ptrdiff_t i = 0; i < m * n; i += n)
            if (whole)
                scale_back_lanes(1, dy + i + j, xhat + i + j, r, mean_g, mean_gx, dx + i + j, mask);
            else
                scale_back_lanes(0, dy + i + j, xhat + i + j, r, mean_g, mean_gx, dx + i + j, mask);
    }
}
