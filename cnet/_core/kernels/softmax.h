/* Softmax and cross-entropy, with their gradients, row by row.

   The result of a row depends on that row alone. Maxima are subtracted before exp, so that logits
   of any size are safe; -inf is a logit of probability 0. Targets are labels or distributions. */
#include <float.h>
#include <math.h>

#define MAX_CLASSES 32 /* of samples that are processed VL at a time */

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

/* 0 in the lanes of the last vector of a row, -inf in the others: exp(-inf) adds nothing to a sum.
 */
INLINE vec tail_infinity(ptrdiff_t n) {
    real lanes[VL];
    for (ptrdiff_t l = 0; l < VL; l++)
        lanes[l] = l < n % VL ? 0 : (real)-INFINITY;
    return v_load(lanes);
}

/* y = exp(x - max), unless y is NULL; returns the sum of y, and max. A NaN in x makes the sum NaN.
 */
INLINE real exp_row(ptrdiff_t n, const real *x, real *y, real *max, vec padding) {
    const ptrdiff_t full = n / VL * VL;
    const vmask mask = v_mask(n > full ? n - full : VL);
    const vec tail = n > full ? v_add(v_load_m(x + full, mask), padding) : padding;
    vec top = tail, sum = v_set1(0);
    for (ptrdiff_t j = 0; j < full; j += VL)
        top = v_max(v_load(x + j), top);
    *max = v_largest(top);
    const vec shift = v_set1(-*max);
    for (ptrdiff_t j = 0; j < full; j += VL) {
        vec e = v_exp(v_add(v_load(x + j), shift));
        sum = v_add(sum, e);
        if (y)
            v_store(y + j, e);
    }
    if (n > full) {
        vec e = v_exp(v_add(tail, shift));
        sum = v_add(sum, e);
        if (y)
            v_store_m(y + full, e, mask);
    }
    return v_sum(sum);
}

/* y[i, j] = exp(x[i, j]) / sum over j of exp(x[i, j]); x, y (m, n) */
static void softmax(ptrdiff_t m, ptrdiff_t n, const real *x, real *y) {
    const vec padding = tail_infinity(n);
    real max;
    for (ptrdiff_t i = 0; i < m; i++, x += n, y += n) {
        real sum = exp_row(n, x, y, &max, padding);
        scale_row(n, y, 1 / sum);
    }
}

/* dx[i, j] = y[i, j] * (dy[i, j] - sum over j of y[i, j] * dy[i, j]); y, dy, dx (m, n) */
static void softmax_backward(ptrdiff_t m, ptrdiff_t n, const real *y, const real *dy, real *dx) {
    for (ptrdiff_t i = 0; i < m; i++, y += n, dy += n, dx += n) {
        real dot = 0;
        for (ptrdiff_t j = 0; j < n; j++)
            dot += dy[j] * y[j];
        for (ptrdiff_t j = 0; j < n; j++)
            dx[j] = y[j] * (dy[j] - dot);
    }
}

/* weights[j] * ((1 - smoothing) * t[j] + smoothing / n), t being one-hot of label where it is NULL.
 */
INLINE real class_weight(ptrdiff_t j, ptrdiff_t n, int64_t label, const real *t,
                         const real *weights, real smoothing) {
    const real target = t ? t[j] : (real)(label == j);
    const real smoothed = smoothing == 0 ? target : (1 - smoothing) * target + smoothing / (real)n;
    return weights ? weights[j] * smoothed : smoothed;
}

/* columns (n, VL) = transpose of x (rows, n), n <= MAX_CLASSES. If rows < VL, copies of the first
   row fill the lanes. */
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

/* A loss -log p with p clamped to [EPSILON, 1 - EPSILON]. A loss that is not finite stays so, since
   it shows that training diverges. */
INLINE real clamped(real loss) {
    return loss > -LOG(EPSILON) && loss < (real)INFINITY ? -LOG(EPSILON)
           : loss < EPSILON                              ? EPSILON
                                                         : loss;
}

/* weight * (log sum exp(x - max) + max - score): cross-entropy of one sample with a label. */
INLINE real label_loss(real weight, real sum, real max, real score, int bound) {
    const real loss = LOG(sum) + (max - score);
    return weight == 0 ? 0 : weight * (bound ? clamped(loss) : loss);
}

/* The number of rows of x (m, n) whose first maximum is at their label. */
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

/* softmax_cross_entropy for labels of at most MAX_CLASSES classes. VL samples are processed at a
   time, each in a lane, so that no vector is half empty and none has to be summed. */
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
            const real weight = weights ? weights[label] : 1;
            factors[r] = weight / sums[r] * scale;
            if (row_loss)
                row_loss[i + r] = label_loss(weight, sums[r], tops[r], x[r * n + label], bound);
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

/* row_loss[i] = sum over j of t[i, j] * (log sum exp x[i] - x[i, j])
   dx[i, j] = scale * (softmax(x[i])[j] * sum t[i] - t[i, j]); x, t, dx (m, n) */
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
    const vec padding = tail_infinity(n);
    for (ptrdiff_t i = 0; i < m; i++, x += n) {
        const int64_t label = labels ? labels[i] : 0;
        real max, total = 0, dot = 0;
        real sum = exp_row(n, x, dx, &max, padding);
        if (one) {
            total = weights ? weights[label] : 1;
            dot = x[label];
        } else {
            for (ptrdiff_t j = 0; j < n; j++) {
                const real weight = class_weight(j, n, label, t, weights, smoothing);
                total += weight;
                /* A class of no weight may have a logit of -inf. */
                dot += weight == 0 ? 0 : weight * x[j];
            }
        }
        if (row_loss)
            row_loss[i] =
                one ? label_loss(total, sum, max, dot, bound) : total * (LOG(sum) + max) - dot;
        if (dx) {
            scale_row(n, dx, total / sum * scale);
            if (one)
                dx[label] -= total * scale;
            else
                for (ptrdiff_t j = 0; j < n; j++)
                    dx[j] -= class_weight(j, n, label, t, weights, smoothing) * scale;
            dx += n;
        }
        if (t)
            t += n;
    }
}
