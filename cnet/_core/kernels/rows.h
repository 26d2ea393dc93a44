/* Kernels that take matrices row by row: softmax and the losses.

   A row's result depends on that row alone. Maxima are subtracted before exp, so that logits of any
   magnitude are safe; -inf is a logit of probability 0. The targets of a row are a label or a
   distribution. */
#include <float.h>
#include <math.h>

#define MAX_CLASSES 32 /* of rows that are taken together */

#ifdef CNET_F64
#define LOG log
#define LOG1P log1p
#define EXP exp
#define SMALLEST DBL_MIN
#define EPSILON DBL_EPSILON
#else
#define LOG logf
#define LOG1P log1pf
#define EXP expf
#define SMALLEST FLT_MIN
#define EPSILON FLT_EPSILON
#endif

/* -inf in the lanes beyond a row's last vector, which add nothing to a sum of exponentials, and 0
   in the others. */
INLINE vec tail_mask_inf(ptrdiff_t n) {
    real lanes[VL];
    for (ptrdiff_t l = 0; l < VL; l++)
        lanes[l] = l < n % VL ? 0 : (real)-INFINITY;
    return v_load(lanes);
}

/* y = exp(x - max), unless y is NULL; returns the sum of y, and max. A NaN in x makes the sum NaN.
 */
INLINE real exp_row(ptrdiff_t n, const real *x, real *y, real *max, vec beyond) {
    const ptrdiff_t whole = n / VL * VL;
    const vmask mask = v_mask(n > whole ? n - whole : VL);
    const vec tail = n > whole ? v_add(v_load_m(x + whole, mask), beyond) : beyond;
    vec top = tail, sum = v_set1(0);
    for (ptrdiff_t j = 0; j < whole; j += VL)
        top = v_max(v_load(x + j), top);
    *max = v_largest(top);
    const vec shift = v_set1(-*max);
    for (ptrdiff_t j = 0; j < whole; j += VL) {
        vec e = v_exp(v_add(v_load(x + j), shift));
        sum = v_add(sum, e);
        if (y)
            v_store(y + j, e);
    }
    if (n > whole) {
        vec e = v_exp(v_add(tail, shift));
        sum = v_add(sum, e);
        if (y)
            v_store_m(y + whole, e, mask);
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
    const vec beyond = tail_mask_inf(n);
    real max;
    for (ptrdiff_t i = 0; i < m; i++, x += n, y += n) {
        real sum = exp_row(n, x, y, &max, beyond);
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

/* What a class counts in a row of targets, which is a label where t is NULL. */
INLINE real class_weight(ptrdiff_t j, ptrdiff_t n, int64_t label, const real *t,
                         const real *weights, real smoothing) {
    const real target = t ? t[j] : (real)(label == j);
    const real smoothed = smoothing == 0 ? target : (1 - smoothing) * target + smoothing / (real)n;
    return weights ? weights[j] * smoothed : smoothed;
}

/* columns (n, VL) = the transpose of VL rows of at most MAX_CLASSES; where there are fewer rows,
   the first stands for the others. */
static void transpose_rows(ptrdiff_t rows, ptrdiff_t n, const real *x, ptrdiff_t ldx,
                           real *columns) {
    real copies[MAX_CLASSES * VL];
    if (rows == 1) {
        ldx = 0;
    } else if (rows < VL) {
        for (ptrdiff_t r = 0; r < VL; r++)
            memcpy(copies + r * n, x + (r < rows ? r * ldx : 0), (size_t)n * sizeof(real));
        x = copies;
        ldx = n;
    }
    transpose_matrix(VL, n, x, ldx, columns, VL);
}

/* A loss -log p as if p were at least EPSILON and at most 1 - EPSILON. One that is not finite stays
   so, and tells that training diverges. */
INLINE real clamped(real loss) {
    return loss > -LOG(EPSILON) && loss < (real)INFINITY ? -LOG(EPSILON)
           : loss < EPSILON                              ? EPSILON
                                                         : loss;
}

/* The loss below of a row of which one class counts, and so much. */
INLINE real label_loss(real mass, real sum, real max, real score, int bound) {
    const real loss = LOG(sum) + (max - score);
    return mass == 0 ? 0 : mass * (bound ? clamped(loss) : loss);
}

/* How many rows have their first largest element at their label. */
static ptrdiff_t count_correct(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels) {
    ptrdiff_t correct = 0;
    for (ptrdiff_t i = 0; i < m; i += VL, x += VL * n) {
        const ptrdiff_t rows = min_size(m - i, VL);
        real columns[MAX_CLASSES * VL], at[VL] = {0}, best[VL] = {0}, others[VL];
        for (ptrdiff_t r = 0; r < rows; r++) {
            at[r] = (real)labels[i + r];
            best[r] = x[r * n + labels[i + r]];
        }
        const vec label = v_load(at), score = v_load(best), zero = v_set1(0), one = v_set1(1);
        vec above = zero;
        for (ptrdiff_t first = 0, cols; first < n; first += cols) {
            cols = min_size(n - first, MAX_CLASSES);
            transpose_rows(rows, cols, x + first, n, columns);
            for (ptrdiff_t j = 0; j < cols; j++) {
                const vec a = v_load(columns + j * VL);
                above = v_add(above, v_select_lt(v_set1((real)(first + j)), label,
                                                 v_select_lt(a, score, zero, one),
                                                 v_select_lt(score, a, one, zero)));
            }
        }
        v_store(others, above);
        for (ptrdiff_t r = 0; r < rows; r++)
            correct += others[r] == 0;
    }
    return correct;
}

/* The loss below for labels of few classes: VL rows at a time, each in a lane, so that no vector is
   half empty or has to be summed. */
static void label_cross_entropy(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels,
                                const real *weights, int bound, real *row_loss, real *dx,
                                real scale) {
    real scores[MAX_CLASSES * VL], sums[VL], tops[VL], factors[VL];
    for (ptrdiff_t i = 0; i < m; i += VL, x += VL * n) {
        const ptrdiff_t rows = min_size(m - i, VL);
        transpose_rows(rows, n, x, n, scores);
        vec top = v_load(scores), sum = v_set1(0);
        for (ptrdiff_t j = 1; j < n; j++)
            top = v_max(v_load(scores + j * VL), top);
        for (ptrdiff_t j = 0; j < n; j++) {
            const vec e = v_exp(v_sub(v_load(scores + j * VL), top));
            sum = v_add(sum, e);
            v_store(scores + j * VL, e);
        }
        v_store(sums, sum);
        v_store(tops, top);
        for (ptrdiff_t r = 0; r < rows; r++) {
            const int64_t label = labels[i + r];
            const real mass = weights ? weights[label] : 1;
            factors[r] = mass / sums[r] * scale;
            if (row_loss)
                row_loss[i + r] = label_loss(mass, sums[r], tops[r], x[r * n + label], bound);
        }
        if (!dx)
            continue;
        const vec factor = v_load(factors);
        for (ptrdiff_t j = 0; j < n; j++)
            v_store(scores + j * VL, v_mul(v_load(scores + j * VL), factor));
        real *const out = dx + i * n;
        store_transposed(n, VL, scores, out, n, 1, rows);
        for (ptrdiff_t r = 0; r < rows; r++)
            out[r * n + labels[i + r]] -= (weights ? weights[labels[i + r]] : 1) * scale;
    }
}

/* loss = sum_j t_j * (log sum exp x - x_j); d loss / d x_j = softmax(x)_j * sum t - t_j. */
static void softmax_cross_entropy(ptrdiff_t m, ptrdiff_t n, const real *x, const int64_t *labels,
                                  const real *t, const real *weights, real smoothing,
                                  real *row_loss, real *dx, real scale) {
    const int bound = smoothing < 0;
    if (bound)
        smoothing = 0;
    const int one = labels && smoothing == 0; /* class of a row that counts */
    if (one && n <= MAX_CLASSES) {
        label_cross_entropy(m, n, x, labels, weights, bound, row_loss, dx, scale);
        return;
    }
    const vec beyond = tail_mask_inf(n);
    for (ptrdiff_t i = 0; i < m; i++, x += n) {
        const int64_t label = labels ? labels[i] : 0;
        real max, mass = 0, dot = 0;
        real sum = exp_row(n, x, dx, &max, beyond);
        if (one) {
            mass = weights ? weights[label] : 1;
            dot = x[label];
        } else {
            for (ptrdiff_t j = 0; j < n; j++) {
                const real weight = class_weight(j, n, label, t, weights, smoothing);
                mass += weight;
                /* A class of no weight may have a logit of -inf. */
                dot += weight == 0 ? 0 : weight * x[j];
            }
        }
        if (row_loss)
            row_loss[i] =
                one ? label_loss(mass, sum, max, dot, bound) : mass * (LOG(sum) + max) - dot;
        if (dx) {
            scale_row(n, dx, mass / sum * scale);
            if (one)
                dx[label] -= mass * scale;
            else
                for (ptrdiff_t j = 0; j < n; j++)
                    dx[j] -= class_weight(j, n, label, t, weights, smoothing) * scale;
            dx += n;
        }
        if (t)
            t += n;
    }
}

/* loss = -sum_j t_j * log p_j; probabilities below the smallest normal number are taken as that
   number. */
static void nll(ptrdiff_t m, ptrdiff_t n, const real *p, const int64_t *labels, const real *t,
                real *row_loss, real *dp, real scale) {
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

/* -t log p - (1 - t) log(1 - p), p = 1 / (1 + exp(-x)), bounded. As p is rounded before it is taken
   from 1, far from 0 this has the values that scikit-learn's has, not those of the formula. It is
   NaN where x is not finite. */
INLINE real bounded_bce(real x, real t) {
    real p = 1 / (1 + EXP(-x));
    p = p < EPSILON ? EPSILON : p > 1 - EPSILON ? 1 - EPSILON : p;
    return x * 0 - t * LOG(p) - (1 - t) * LOG(1 - p);
}

/* The loss of an element, and its derivative by x. */
INLINE real element_loss(const int kind, real x, real t, real setting, real *derivative) {
    const real difference = x - t, sign = (real)(difference > 0) - (real)(difference < 0);
    real e;
    switch (kind) {
    case CNET_L1:
        *derivative = difference == difference ? sign : difference;
        return difference * sign;
    case CNET_HUBER: /* a parabola up to `setting`, a line beyond */
        if (difference * sign > setting) {
            *derivative = setting * sign;
            return setting * (difference * sign - setting / 2);
        }
        *derivative = difference;
        return difference * difference / 2;
    case CNET_QUANTILE:
        e = difference > 0 ? 1 - setting : difference < 0 ? -setting : 0;
        *derivative = difference == difference ? e : difference;
        return difference * e;
    case CNET_POISSON: /* x is the mean, and `setting` keeps its logarithm finite */
        e = x + setting;
        *derivative = 1 - t / e;
        return x - t * LOG(e);
    case CNET_POISSON_LOG: /* x is its logarithm */
        e = EXP(x);
        *derivative = e - t;
        return e - t * x;
    /* -t log p - (1 - t) log(1 - p), p = 1 / (1 + exp(-x)), with an exponential that is at most 1.
     */
    case CNET_BCE:
        e = EXP(x > 0 ? -x : x);
        *derivative = (x > 0 ? 1 : e) / (1 + e) - t;
        return setting < 0 ? bounded_bce(x, t) : (x > 0 ? x : 0) - t * x + LOG1P(e);
    default: *derivative = 2 * difference; return difference * difference;
    }
}

/* kind is a constant where this is inlined. */
INLINE void element_losses(const int kind, ptrdiff_t m, ptrdiff_t n, const real *x, const real *t,
                           real setting, real *row_loss, real *dx, real scale) {
    for (ptrdiff_t i = 0; i < m; i++, x += n, t += n) {
        real sum = 0, derivative;
        for (ptrdiff_t j = 0; j < n; j++) {
            sum += element_loss(kind, x[j], t[j], setting, &derivative);
            if (dx)
                dx[j] = derivative * scale;
        }
        if (row_loss)
            row_loss[i] = sum / (real)n;
        if (dx)
            dx += n;
    }
}

/* The mean over a row of the losses of its elements; the caller's scale carries the 1 / (m n) of
   the mean. */
static void elementwise_loss(int kind, ptrdiff_t m, ptrdiff_t n, const real *x, const real *t,
                             real setting, real *row_loss, real *dx, real scale) {
    switch (kind) {
    case CNET_MSE: element_losses(CNET_MSE, m, n, x, t, setting, row_loss, dx, scale); break;
    case CNET_L1: element_losses(CNET_L1, m, n, x, t, setting, row_loss, dx, scale); break;
    case CNET_HUBER: element_losses(CNET_HUBER, m, n, x, t, setting, row_loss, dx, scale); break;
    case CNET_QUANTILE:
        element_losses(CNET_QUANTILE, m, n, x, t, setting, row_loss, dx, scale);
        break;
    case CNET_POISSON:
        element_losses(CNET_POISSON, m, n, x, t, setting, row_loss, dx, scale);
        break;
    case CNET_POISSON_LOG:
        element_losses(CNET_POISSON_LOG, m, n, x, t, setting, row_loss, dx, scale);
        break;
    case CNET_BCE: element_losses(CNET_BCE, m, n, x, t, setting, row_loss, dx, scale); break;
    }
}
