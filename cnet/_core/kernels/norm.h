/* Layer normalization (Ba, Kiros and Hinton 2016) and batch normalization (Ioffe and Szegedy 2015),
   with their gradients:

     out = xhat * w + b            xhat = (x - mean) * r, r = 1 / sqrt(variance + eps)
     dx = r * (g - mean(g) - xhat * mean(g * xhat))     g = dy * w
     dw = sum of dy * xhat, db = sum of dy              along columns

   Means and variances are those of each row in layer normalization, and of each column in batch
   normalization.

   Columns are summed in blocks of rows, which threads share. The sums of blocks are merged in
   order. */
#include <math.h>

#ifdef CNET_F64
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

/* sum over j of x[j] * y[j], or of x[j] if y is NULL; x, y (n). Term j is summed in lane j % VL. */
INLINE real sum_along_row(ptrdiff_t n, const real *x, const real *y) {
    vec sum = v_set1(0);
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        const vec a = v_load_m(x + j, mask);
        sum = y ? v_fma(a, v_load_m(y + j, mask), sum) : v_add(sum, a);
    }
    return v_sum(sum);
}

/* xhat[j] = (x[j] - mean[j]) * r[j], out[j] = xhat[j] * w[j] + b[j], for one vector. xhat, w and b
   may be NULL. whole: the vector has all lanes, else those of mask. */
INLINE void scale_lanes(const int whole, const real *x, vec mean, vec r, const real *w,
                        const real *b, real *xhat, real *out, vmask mask) {
    const vec h = v_mul(v_sub(load_lanes(whole, x, mask), mean), r);
    if (xhat)
        store_lanes(whole, xhat, h, mask);
    const vec scaled = w ? v_mul(h, load_lanes(whole, w, mask)) : h;
    store_lanes(whole, out, b ? v_add(scaled, load_lanes(whole, b, mask)) : scaled, mask);
}

/* dx[j] = r[j] * (g[j] - mean_g[j] - xhat[j] * mean_gx[j]), for one vector; whole as above. */
INLINE void scale_back_lanes(const int whole, const real *g, const real *xhat, vec r, vec mean_g,
                             vec mean_gx, real *dx, vmask mask) {
    const vec centered = v_sub(load_lanes(whole, g, mask), mean_g);
    store_lanes(whole, dx, v_mul(r, v_sub(centered, v_mul(load_lanes(whole, xhat, mask), mean_gx))),
                mask);
}

/* xhat[i, j] = (x[i, j] - mean[i]) * rstd[i], out[i, j] = xhat[i, j] * w[j] + b[j], with
   rstd[i] = 1 / sqrt(variance[i] + eps); x, out, xhat (m, n), w, b (n), rstd (m). w, b, xhat and
   rstd may be NULL. */
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

/* dx[i, j] = rstd[i] * (g[i, j] - mean_g[i] - xhat[i, j] * mean_gx[i]), with
   g[i, j] = dy[i, j] * w[j], and mean_g and mean_gx the means over j of g and of g * xhat; dy,
   xhat, dx (m, n), rstd (m), w (n) or NULL */
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

/* sums[0, j] = mean over i of x[i, j], sums[1, j] = sum over i of (x[i, j] - sums[0, j])^2;
   x (m, n), one block of rows; sums (2, n) */
static void column_moments(ptrdiff_t m, ptrdiff_t n, const real *x, real *sums) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        const vec mean =
            v_div(sum_along_column(OF_VALUES, m, x + j, NULL, n, v_set1(0), mask), v_set1((real)m));
        v_store_m(sums + j, mean, mask);
        v_store_m(sums + n + j, sum_along_column(OF_SQUARES, m, x + j, NULL, n, mean, mask), mask);
    }
}

/* mean[j] and var[j] (divided by m) of m rows, from the moments of their blocks; blocks (number of
   blocks, 2, n), mean, var (n). Block (mean_b, squares_b) of m_b rows joins the i rows before it:

     d = mean_b - mean
     mean += d * m_b / (i + m_b)
     squares += squares_b + d^2 * i * m_b / (i + m_b)

   (Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
   variances, 1979). */
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

/* rstd[j] = 1 / sqrt(var[j] + eps); var, rstd (n) */
static void inverse_deviation(ptrdiff_t n, const real *var, real eps, real *rstd) {
    for (ptrdiff_t j = 0; j < n; j++)
        rstd[j] = 1 / SQRT(var[j] + eps);
}

/* running_mean[j] = (1 - share) * running_mean[j] + share * mean[j], and running_var[j] likewise
   from the unbiased variance var[j] * m / (m - 1); all (n); m >= 2 rows */
static void track_moments(ptrdiff_t m, ptrdiff_t n, const real *mean, const real *var, real share,
                          real *running_mean, real *running_var) {
    const real unbiased = (real)m / (real)(m - 1);
    for (ptrdiff_t j = 0; j < n; j++) {
        running_mean[j] = (1 - share) * running_mean[j] + share * mean[j];
        running_var[j] = (1 - share) * running_var[j] + share * (var[j] * unbiased);
    }
}

/* xhat[i, j] = (x[i, j] - mean[j]) * rstd[j], out[i, j] = xhat[i, j] * w[j] + b[j]; x, out, xhat
   (m, n), mean, rstd, w, b (n). w, b and xhat may be NULL. */
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

/* sums[0, j] = sum over i of dy[i, j], sums[1, j] = sum over i of dy[i, j] * xhat[i, j]; dy, xhat
   (m, n), one block of rows; sums (2, n) */
static void column_products(ptrdiff_t m, ptrdiff_t n, const real *dy, const real *xhat,
                            real *sums) {
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const vmask mask = v_mask(min_size(VL, n - j));
        v_store_m(sums + j, sum_along_column(OF_VALUES, m, dy + j, NULL, n, v_set1(0), mask), mask);
        v_store_m(sums + n + j,
                  sum_along_column(OF_PRODUCTS, m, dy + j, xhat + j, n, v_set1(0), mask), mask);
    }
}

/* dx[i, j] = rstd[j] * w[j] * (dy[i, j] - sums[0, j] / rows - xhat[i, j] * sums[1, j] / rows); dy,
   xhat, dx (m, n), rstd (n), w (n) or NULL. sums (2, n): the sums of dy and of dy * xhat over the
   whole batch of `rows` rows, of which these are m. */
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
