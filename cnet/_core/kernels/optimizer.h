/* A step of an optimizer: SGD, Adam and RMSprop, with PyTorch's arithmetic; and what is done to
   gradients before it. */

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
    case CNET_SGD: update_loop(CNET_SGD, 0, m, n, w, v, state_stride, ldw, g, ldg, u); break;
    case CNET_MOMENTUM:
        update_loop(CNET_MOMENTUM, 1, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    case CNET_NESTEROV:
        update_loop(CNET_NESTEROV, 1, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    case CNET_ADAM: update_loop(CNET_ADAM, 2, m, n, w, v, state_stride, ldw, g, ldg, u); break;
    case CNET_AMSGRAD:
        update_loop(CNET_AMSGRAD, 3, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    case CNET_RMSPROP:
        update_loop(CNET_RMSPROP, 1, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    case CNET_RMSPROP_MOMENTUM:
        update_loop(CNET_RMSPROP_MOMENTUM, 2, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    case CNET_RMSPROP_CENTERED:
        update_loop(CNET_RMSPROP_CENTERED, 3, m, n, w, v, state_stride, ldw, g, ldg, u);
        break;
    }
}

/* A NaN stays one. */
INLINE vec limited(vec g, vec bound) { return v_min(bound, v_max(v_sub(v_set1(0), bound), g)); }

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

static void scale(ptrdiff_t n, real *x, real factor) { scale_row(n, x, factor); }

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
