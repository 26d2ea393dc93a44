/* Kernels that walk arrays element by element: activations.

   Backward passes take the output y of the forward pass, not its input: for these functions y tells the
   derivative, and a program may let y overwrite x. */

INLINE vec activation_of(int kind, vec x, vec slope) {
    switch (kind) {
    case CNET_RELU: return v_max(v_set1(0), x);
    case CNET_LEAKY_RELU: return v_select_lt(x, v_set1(0), v_mul(slope, x), x);
    case CNET_TANH: return v_tanh(x);
    default: return v_sigmoid(x);
    }
}

INLINE vec derivative_times(int kind, vec y, vec dy, vec slope) {
    const vec one = v_set1(1), zero = v_set1(0);
    switch (kind) {
    case CNET_RELU: return v_select_lt(zero, y, dy, zero);
    case CNET_LEAKY_RELU: return v_select_lt(zero, y, dy, v_mul(slope, dy));
    case CNET_TANH: return v_mul(dy, v_fma(v_sub(zero, y), y, one));
    default: return v_mul(dy, v_mul(y, v_sub(one, y)));
    }
}

/* kind is a constant where these are inlined, so that the switch above is decided outside the loop. */
INLINE void activation_loop(const int kind, ptrdiff_t n, const real *x, real *y, real slope) {
    const vec s = v_set1(slope);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, activation_of(kind, v_load(x + i), s));
    if (i < n) {
        const vmask mask = v_mask(n - i);
        v_store_m(y + i, activation_of(kind, v_load_m(x + i, mask), s), mask);
    }
}

INLINE void activation_backward_loop(const int kind, ptrdiff_t n, const real *y, const real *dy, real *dx, real slope) {
    const vec s = v_set1(slope);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(dx + i, derivative_times(kind, v_load(y + i), v_load(dy + i), s));
    if (i < n) {
        const vmask mask = v_mask(n - i);
        v_store_m(dx + i, derivative_times(kind, v_load_m(y + i, mask), v_load_m(dy + i, mask), s), mask);
    }
}

static void activation(int kind, ptrdiff_t n, const real *x, real *y, real slope) {
    switch (kind) {
    case CNET_RELU: activation_loop(CNET_RELU, n, x, y, slope); break;
    case CNET_LEAKY_RELU: activation_loop(CNET_LEAKY_RELU, n, x, y, slope); break;
    case CNET_TANH: activation_loop(CNET_TANH, n, x, y, slope); break;
    case CNET_SIGMOID: activation_loop(CNET_SIGMOID, n, x, y, slope); break;
    }
}

static void activation_backward(int kind, ptrdiff_t n, const real *y, const real *dy, real *dx, real slope) {
    switch (kind) {
    case CNET_RELU: activation_backward_loop(CNET_RELU, n, y, dy, dx, slope); break;
    case CNET_LEAKY_RELU: activation_backward_loop(CNET_LEAKY_RELU, n, y, dy, dx, slope); break;
    case CNET_TANH: activation_backward_loop(CNET_TANH, n, y, dy, dx, slope); break;
    case CNET_SIGMOID: activation_backward_loop(CNET_SIGMOID, n, y, dy, dx, slope); break;
    }
}
