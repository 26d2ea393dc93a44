/* Kernels that take matrices row by row: softmax and the losses.

   A row's result depends on that row alone. Maxima are subtracted before exp, so that logits of any
   magnitude are safe; -inf is a logit of probability 0. The targets of a row are a label or a distribution. */
#include <float.h>
#include <math.h>

#ifdef CNET_F64
#define LOG log
#define SMALLEST DBL_MIN
#else
#define LOG logf
#define SMALLEST FLT_MIN
#endif

/* y = exp(x - max), unless y is NULL; returns the sum of y, and max. A NaN in x makes the sum NaN. */
INLINE real exp_row(ptrdiff_t n, const real *x, real *y, real *max) {
    real top = x[0];
    for (ptrdiff_t j = 1; j < n; j++)
        top = x[j] > top ? x[j] : top;
    *max = top;
    const vec shift = v_set1(-top);
    vec sum = v_set1(0);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) {
        vec e = v_exp(v_add(v_load(x + j), shift));
        sum = v_add(sum, e);
        if (y)
            v_store(y + j, e);
    }
    if (j < n) {
        real tail[VL]; /* the lanes beyond the row hold -inf, whose exp adds nothing */
        for (ptrdiff_t l = 0; l < VL; l++)
            tail[l] = j + l < n ? x[j + l] : (real)-INFINITY;
        vec e = v_exp(v_add(v_load(tail), shift));
        sum = v_add(sum, e);
        if (y)
            v_store_m(y + j, e, v_mask(n - j));
    }
    return v_sum(sum);
}

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

static void softmax(ptrdiff_t m, ptrdiff_t n, const real *x, real *y) {
    real max;
    for (ptrdiff_t i = 0; i < m; i++, x += n, y += n) {
        real sum = exp_row(n, x, y, &max);
        scale_row(n, y, 1 / sum);
    }
}

static void softmax_backward(ptrdiff_t m, ptrdiff_t n, const real *y, const real *dy, real *dx) {
    for (ptrdiff_t i = 0; i < m; i++, y += n, dy += n, dx += n) {
        real dot = 0;
        for (ptrdiff_t j = 0; j < n; j++)
            dot += dy[j] * y[j];
        for (ptrdiff_t j = 0; j < n; j++)
            dx[j] = y[j] * (dy[j] - dot);
    }
}

/* loss = sum_j t_j * (log sum exp x - x_j); d loss / d x_j = softmax(x)_j * sum t - t_j. */
static void softmax_cross_entropy(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels, const real *t, real *row_loss, real *dx, real scale) {
    for (ptrdiff_t i = 0; i < m; i++, x += n) {
        real max, mass = 1, dot = 0;
        real sum = exp_row(n, x, dx, &max);
        if (labels) {
            dot = x[labels[i]];
        } else {
            mass = 0;
            for (ptrdiff_t j = 0; j < n; j++) {
                mass += t[j];
                dot += t[j] == 0 ? 0 : t[j] * x[j]; /* a class of no weight may have a logit of -inf */
            }
        }
        if (row_loss)
            row_loss[i] = labels ? LOG(sum) + (max - dot) : mass * (LOG(sum) + max) - dot;
        if (dx) {
            scale_row(n, dx, mass / sum * scale);
            if (labels)
                dx[labels[i]] -= scale;
            else
                for (ptrdiff_t j = 0; j < n; j++)
                    dx[j] -= t[j] * scale;
            dx += n;
        }
        if (t)
            t += n;
    }
}

/* loss = -sum_j t_j * log p_j; probabilities below the smallest normal number are taken as that number. */
static void nll(ptrdiff_t m, ptrdiff_t n, const real *p, const int64_t *labels, const real *t, real *row_loss, real *dp, real scale) {
    for (ptrdiff_t i = 0; i < m; i++, p += n) {
        real loss = 0;
        for (ptrdiff_t j = 0; j < n; j++) {
            const real weight = labels ? (real)(labels[i] == j) : t[j];
            const real pj = p[j] < SMALLEST ? SMALLEST : p[j];
            if (weight != 0 && row_loss)
                loss -= weight * LOG(pj);
            if (dp)
                dp[j] = weight == 0 ? 0 : -weight * scale / pj;
        }
        if (row_loss)
            row_loss[i] = loss;
        if (dp)
            dp += n;
        if (t)
            t += n;
    }
}

/* loss = mean_j (x_j - t_j)^2; the caller's scale carries the 1 / (m n) of the mean. */
static void mse(ptrdiff_t m, ptrdiff_t n, const real *x, const real *t, real *row_loss, real *dx, real scale) {
    for (ptrdiff_t i = 0; i < m; i++, x += n, t += n) {
        real sum = 0;
        for (ptrdiff_t j = 0; j < n; j++) {
            const real difference = x[j] - t[j];
            sum += difference * difference;
            if (dx)
                dx[j] = 2 * difference * scale;
        }
        if (row_loss)
            row_loss[i] = sum / (real)n;
        if (dx)
            dx += n;
    }
}
