/* Optimizers: the list, the coefficients of a step, and the step itself, with PyTorch's
   arithmetic. */
#ifndef CNET_OPTIMIZERS
/* Kinds, with the arrays of state for each parameter. Of two kinds of one optimizer, that with more
   state begins with the other's, so that options may be changed during training. */
#define CNET_OPTIMIZERS(X) \
    X(SGD, 0) \
    X(MOMENTUM, 1) \
    X(NESTEROV, 1) \
    X(ADAM, 2) \
    X(AMSGRAD, 3) \
    X(RMSPROP, 1) \
    X(RMSPROP_MOMENTUM, 2) \
    X(RMSPROP_CENTERED, 3) \
    X(NADAM, 3)

#define CNET_OPTIMIZER(name, states) CNET_##name,
enum { CNET_OPTIMIZERS(CNET_OPTIMIZER) CNET_OPTIMIZER_COUNT };

/* Arrays of state for each parameter. */
static inline int cnet_state_count(int kind) {
#define CNET_STATES(name, states) states,
    static const int counts[] = {CNET_OPTIMIZERS(CNET_STATES)};
    return counts[kind];
}

/* Options of an optimizer, in double precision.
   beta1: decay of the mean of gradients (momentum); beta2: decay of the mean of their squares.
   decoupled: weight decay as in AdamW, else an L2 penalty in the gradient.
   summed: weight decay belongs to the sum of the losses of a batch, not to their mean, and is
   divided by the weight of the batch's samples.
   inner: Adam adds eps to the root of the second moment before the bias correction, not after. */
typedef struct {
    int kind, decoupled, summed, inner;
    double lr, weight_decay, beta1, beta2, eps;
    double setting; /* of one kind alone: the momentum decay of CNET_NADAM */
    int64_t steps;  /* steps taken so far */
} cnet_rule;

/* Coefficients of one step, each rounded from double once. */
typedef struct {
    int kind;
    real step_size, l2, decay_factor;
    real beta1, one_minus_beta1, beta2, one_minus_beta2, inv_bias_correction2, eps;
    real mu, one_minus_mu, next_mu,
        one_minus_next_mu; /* momentum of CNET_NADAM, and of its next step */
} cnet_update;

/* Momentum of step `step` of CNET_NADAM (Dozat 2016); 0 of other kinds. */
static inline double cnet_nadam_momentum(const cnet_rule *r, double step) {
    return r->kind != CNET_NADAM ? 0 : r->beta1 * (1 - pow(0.96, step * r->setting) / 2);
}

/* Coefficients of step `step`, counted from 1, on a batch of that total sample weight.
   inv_bias_correction2 = 1 / sqrt(1 - beta2^step); that of the first moment is in step_size. */
static inline cnet_update cnet_update_at(const cnet_rule *r, int64_t step, double weight) {
    const int adam = r->kind == CNET_ADAM || r->kind == CNET_AMSGRAD;
    const double lr = adam ? r->lr / (1 - pow(r->beta1, (double)step)) : r->lr;
    const double mu = cnet_nadam_momentum(r, (double)step);
    const double next_mu = cnet_nadam_momentum(r, (double)step + 1);
    const double correction =
        adam || r->kind == CNET_NADAM ? 1 / sqrt(1 - pow(r->beta2, (double)step)) : 1;
    const double decay = !r->summed ? r->weight_decay : weight > 0 ? r->weight_decay / weight : 0;
    const cnet_update u = {
        .kind = r->kind,
        .step_size = (real)lr,
        .l2 = (real)(r->decoupled ? 0 : decay),
        .decay_factor = (real)(r->decoupled ? 1 - r->lr * decay : 1),
        .beta1 = (real)r->beta1,
        .one_minus_beta1 = (real)(1 - r->beta1),
        .beta2 = (real)r->beta2,
        .one_minus_beta2 = (real)(1 - r->beta2),
        .inv_bias_correction2 = (real)correction,
        .mu = (real)mu,
        .one_minus_mu = (real)(1 - mu),
        .next_mu = (real)next_mu,
        .one_minus_next_mu = (real)(1 - next_mu),
        .eps = (real)(r->inner ? r->eps * correction : r->eps),
    };
    return u;
}
#endif

#ifdef VL
/* w = w after a step of this kind, with the gradient g and the state v. */
INLINE vec update_of(const int kind, vec w, vec g, vec *v, const cnet_update *u) {
    const vec beta1 = v_set1(u->beta1), beta2 = v_set1(u->beta2);
    g = v_fma(v_set1(u->l2), w, g);
    switch (kind) {
    case CNET_MOMENTUM: g = v[0] = v_fma(beta1, v[0], g); break;
    case CNET_NESTEROV:
        v[0] = v_fma(beta1, v[0], g);
        g = v_fma(beta1, v[0], g);
        break;
    case CNET_ADAM:
    case CNET_AMSGRAD: {
        v[0] = v_fma(v_set1(u->one_minus_beta1), v_sub(g, v[0]), v[0]);
        v[1] = v_fma(v_mul(v_set1(u->one_minus_beta2), g), g, v_mul(beta2, v[1]));
        if (kind == CNET_AMSGRAD)
            v[2] = v_max(v[2], v[1]);
        w = v_mul(v_set1(u->decay_factor), w);
        g = v_div(v[0], v_fma(v_sqrt(kind == CNET_AMSGRAD ? v[2] : v[1]),
                              v_set1(u->inv_bias_correction2), v_set1(u->eps)));
        break;
    }
    case CNET_NADAM: { /* v[2] is 1 - the product of all momenta */
        const vec next_mu = v_set1(u->next_mu);
        v[0] = v_fma(v_set1(u->one_minus_beta1), v_sub(g, v[0]), v[0]);
        v[1] = v_fma(v_mul(v_set1(u->one_minus_beta2), g), g, v_mul(beta2, v[1]));
        v[2] = v_fma(v_set1(u->mu), v[2], v_set1(u->one_minus_mu));
        w = v_mul(v_set1(u->decay_factor), w);
        g = v_div(v_mul(v_set1(u->one_minus_mu), g), v[2]);
        g = v_add(g,
                  v_div(v_mul(next_mu, v[0]), v_fma(next_mu, v[2], v_set1(u->one_minus_next_mu))));
        g = v_div(g, v_fma(v_sqrt(v[1]), v_set1(u->inv_bias_correction2), v_set1(u->eps)));
        break;
    }
    case CNET_RMSPROP:
    case CNET_RMSPROP_MOMENTUM:
    case CNET_RMSPROP_CENTERED: {
        vec square = v[0] = v_fma(v_mul(v_set1(u->one_minus_beta2), g), g, v_mul(beta2, v[0]));
        if (kind == CNET_RMSPROP_CENTERED) {
            v[2] = v_fma(v_set1(u->one_minus_beta2), v_sub(g, v[2]), v[2]);
            /* Rounding may leave less than nothing. */
            square = v_max(v_set1(0), v_sub(square, v_mul(v[2], v[2])));
        }
        g = v_div(g, v_add(v_sqrt(square), v_set1(u->eps)));
        if (kind != CNET_RMSPROP)
            g = v[1] = v_fma(beta1, v[1], g);
        break;
    }
    }
    return v_fma(v_set1(-u->step_size), g, w);
}

/* kind is a constant where this is inlined, and with it the number of states. */
INLINE void update_loop(const int kind, const int states, ptrdiff_t m, ptrdiff_t n, real *w,
                        real *v, ptrdiff_t state_stride, ptrdiff_t ldw, const real *g,
                        ptrdiff_t ldg, const cnet_update *given) {
    /* A copy that no store can change: its numbers stay in registers. */
    const cnet_update u = *given;
    vec state[3];
    for (ptrdiff_t row = 0; row < m; row++, w += ldw, g += ldg) {
        const ptrdiff_t at = row * ldw;
        ptrdiff_t i = 0;
        for (; i + VL <= n; i += VL) {
            UNROLL for (int k = 0; k < states; k++)
                state[k] = v_load(v + k * state_stride + at + i);
            v_store(w + i, update_of(kind, v_load(w + i), v_load(g + i), state, &u));
            UNROLL for (int k = 0; k < states; k++)
                v_store(v + k * state_stride + at + i, state[k]);
        }
        if (i < n) {
            const vmask mask = v_mask(n - i);
            UNROLL for (int k = 0; k < states; k++)
                state[k] = v_load_m(v + k * state_stride + at + i, mask);
            v_store_m(w + i,
                      update_of(kind, v_load_m(w + i, mask), v_load_m(g + i, mask), state, &u),
                      mask);
            UNROLL for (int k = 0; k < states; k++)
                v_store_m(v + k * state_stride + at + i, state[k], mask);
        }
    }
}

static void update(ptrdiff_t m, ptrdiff_t n, real *w, real *v, ptrdiff_t state_stride,
                   ptrdiff_t ldw, const real *g, ptrdiff_t ldg, const cnet_update *u) {
    if (ldw == n && ldg == n) { /* rows without a gap are one row */
        n *= m;
        m = m > 0;
    }
    switch (u->kind) {
#define CASE(name, states) \
    case CNET_##name: \
        update_loop(CNET_##name, states, m, n, w, v, state_stride, ldw, g, ldg, u); \
        break;
        CNET_OPTIMIZERS(CASE)
#undef CASE
    }
}
#endif
