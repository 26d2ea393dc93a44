/* Losses: the list, and the kernels of those other than cross-entropy (softmax.h), with their
   gradients. LOG, EXP, EPSILON and SMALLEST are those of softmax.h.

   Each loss has one setting: the delta of CNET_HUBER, the beta of
   CNET_SMOOTH_L1, the quantile of CNET_QUANTILE, the epsilon
   that CNET_POISSON adds to a mean before it takes the logarithm, the label smoothing of
   CNET_CROSS_ENTROPY. A negative setting of CNET_CROSS_ENTROPY or CNET_BCE clamps probabilities to
   [epsilon, 1 - epsilon] in the loss, not in its gradient, with the machine epsilon: scikit-learn's
   definition. */
#ifndef CNET_LOSSES
/* Losses of classes, and losses that are sums over elements. */
#define CNET_CLASS_LOSSES(X) X(CROSS_ENTROPY) X(NLL)
#define CNET_ELEMENT_LOSSES(X) \
    X(MSE) X(L1) X(HUBER) X(QUANTILE) X(POISSON) X(POISSON_LOG) X(BCE) X(SMOOTH_L1)
#define CNET_LOSSES(X) CNET_CLASS_LOSSES(X) CNET_ELEMENT_LOSSES(X)

enum { CNET_LOSSES(CNET_CONSTANT) CNET_LOSS_COUNT };
#endif

#ifdef VL
/* row_loss[i] = -sum over j of t[i, j] * log p[i, j]; dp[i, j] = -scale * t[i, j] / p[i, j];
   p, t, dp (m, n). Probabilities below the smallest normal number count as that number. */
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

/* The loss of an output x for a target t, and its derivative with respect to x. */
INLINE real element_loss(const int kind, real x, real t, real setting, real *derivative) {
    const real difference = x - t, sign = (real)(difference > 0) - (real)(difference < 0);
    real e;
    switch (kind) {
    case CNET_L1:
        *derivative = difference == difference ? sign : difference;
        return difference * sign;
    case CNET_HUBER: /* a parabola up to delta, a line beyond */
        if (difference * sign > setting) {
            *derivative = setting * sign;
            return setting * (difference * sign - setting / 2);
        }
        *derivative = difference;
        return difference * difference / 2;
    case CNET_SMOOTH_L1: /* a parabola up to beta, a line of slope 1 beyond */
        if (difference * sign >= setting) {
            *derivative = sign;
            return difference * sign - setting / 2;
        }
        *derivative = difference / setting;
        return difference * difference / 2 / setting;
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

/* row_loss[i] = mean over j of loss(x[i, j], t[i, j]); dx[i, j] = scale * its derivative;
   x, t, dx (m, n). The caller's scale has the 1 / (m n) of a mean. */
static void elementwise_loss(int kind, ptrdiff_t m, ptrdiff_t n, const real *x, const real *t,
                             real setting, real *row_loss, real *dx, real scale) {
    switch (kind) {
#define CASE(name) \
    case CNET_##name: element_losses(CNET_##name, m, n, x, t, setting, row_loss, dx, scale); break;
        CNET_ELEMENT_LOSSES(CASE)
#undef CASE
    }
}
#endif
