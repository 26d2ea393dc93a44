/* Activations: the list, and f and f' of each.

   A backward kernel reads the output y of the forward kernel, not its input: y determines the
   derivative, and a program may let y overwrite x. GELU and SiLU are the exceptions: they are not
   monotonic, and their backward kernels read the input. */
#ifndef CNET_ACTIVATIONS
#define CNET_ACTIVATIONS(X) \
    X(RELU) X(LEAKY_RELU) X(TANH) X(SIGMOID) X(ELU) X(GELU) X(GELU_TANH) X(SILU) X(SOFTPLUS)

#define CNET_CONSTANT(name) CNET_##name,
enum { CNET_ACTIVATIONS(CNET_CONSTANT) };
#endif

#ifdef VL
/* Phi(x) = (1 + erf(x / sqrt(2))) / 2. GELU is x * Phi(x) (Hendrycks and Gimpel 2016). */
INLINE vec normal_cdf(vec x) {
    const vec half = v_set1((real)0.5);
    return v_fma(half, v_erf(v_mul(x, v_set1((real)0.70710678118654752440))), half);
}

/* tanh(sqrt(2 / pi) * (x + 0.044715 x^3)) approximates 2 Phi(x) - 1, from the same paper. */
#define SQRT_2_PI ((real)0.79788456080286535588)
#define CUBIC ((real)0.044715)
INLINE vec gelu_tanh(vec x) {
    const vec cubic = v_fma(v_mul(x, x), v_set1(CUBIC), v_set1(1));
    return v_tanh(v_mul(v_mul(x, v_set1(SQRT_2_PI)), cubic));
}

INLINE vec gelu_derivative(vec x) {
    const vec density =
        v_mul(v_set1((real)0.39894228040143267794), v_exp(v_mul(v_mul(x, x), v_set1((real)-0.5))));
    return v_fma(x, density, normal_cdf(x));
}

INLINE vec gelu_tanh_derivative(vec x) {
    /* Beyond 20 the derivative is 0 or 1; clamping avoids overflow. */
    x = v_min(v_set1(20), v_max(v_set1(-20), x));
    const vec half = v_set1((real)0.5), one = v_set1(1), t = gelu_tanh(x);
    const vec inner = v_mul(v_set1(SQRT_2_PI), v_fma(v_mul(x, x), v_set1(3 * CUBIC), one));
    const vec tail = v_mul(v_mul(half, x), v_mul(v_fma(v_sub(v_set1(0), t), t, one), inner));
    return v_fma(half, v_add(one, t), tail);
}

/* The derivative s (1 + x (1 - s)) of SiLU, x s with s = sigmoid(x) (Elfwing, Uchibe and Doya
   2018). */
INLINE vec silu_derivative(vec x) {
    const vec one = v_set1(1), s = v_sigmoid(x);
    return v_mul(s, v_fma(x, v_sub(one, s), one));
}

/* log(1 + z) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = z / (2 + z), for z in [0, 1]:
   s is at most 1 / 3, and the series is cut where a term is below half a unit in the last place. */
#ifdef CNET_F64
#define LOG1P_TERMS 17
#else
#define LOG1P_TERMS 8
#endif
INLINE vec v_log1p_unit(vec z) {
    const vec s = v_div(z, v_add(v_set1(2), z)), square = v_mul(s, s);
    vec p = v_set1((real)1 / (2 * LOG1P_TERMS - 1));
    UNROLL for (int k = LOG1P_TERMS - 2; k >= 0; k--)
        p = v_fma(p, square, v_set1((real)1 / (real)(2 * k + 1)));
    return v_mul(v_add(s, s), p);
}

/* log(1 + exp(b x)) / b; x itself where b x is above 20, as in PyTorch. */
INLINE vec softplus(vec x, vec b) {
    const vec t = v_mul(b, x), negative = v_min(t, v_sub(v_set1(0), t));
    const vec y = v_add(v_max(v_set1(0), t), v_log1p_unit(v_exp(negative)));
    return v_select_lt(v_set1(20), t, x, v_div(y, b));
}

/* 1 - exp(-b y): the derivative of softplus from its output y; 1 where b y is above 20. */
INLINE vec softplus_derivative(vec y, vec b) {
    const vec t = v_sub(v_set1(0), v_mul(b, y));
    return v_select_lt(t, v_set1(-20), v_set1(1), v_sub(v_set1(0), v_expm1_below(t)));
}

/* y = f(x) */
INLINE vec activation_of(int kind, vec x, vec slope) {
    switch (kind) {
    case CNET_RELU: return v_max(v_set1(0), x);
    case CNET_LEAKY_RELU: return v_select_lt(x, v_set1(0), v_mul(slope, x), x);
    case CNET_TANH: return v_tanh(x);
    case CNET_SIGMOID: return v_sigmoid(x);
    case CNET_ELU: return v_select_lt(x, v_set1(0), v_mul(slope, v_expm1_below(x)), x);
    case CNET_GELU: return v_mul(x, normal_cdf(x));
    case CNET_GELU_TANH: return v_mul(v_mul(v_set1((real)0.5), x), v_add(v_set1(1), gelu_tanh(x)));
    case CNET_SILU: return v_mul(x, v_sigmoid(x));
    case CNET_SOFTPLUS: return softplus(x, slope);
    }
    return x;
}

/* dy * f'(x), from y = f(x) or from y = x for GELU and SiLU */
INLINE vec derivative_times(int kind, vec y, vec dy, vec slope) {
    const vec one = v_set1(1), zero = v_set1(0);
    switch (kind) {
    case CNET_RELU: return v_select_lt(zero, y, dy, zero);
    case CNET_LEAKY_RELU: return v_select_lt(zero, y, dy, v_mul(slope, dy));
    case CNET_TANH: return v_mul(dy, v_fma(v_sub(zero, y), y, one));
    case CNET_SIGMOID: return v_mul(dy, v_mul(y, v_sub(one, y)));
    case CNET_ELU: return v_select_lt(zero, y, dy, v_mul(dy, v_add(y, slope)));
    case CNET_GELU: return v_mul(dy, gelu_derivative(y));
    case CNET_GELU_TANH: return v_mul(dy, gelu_tanh_derivative(y));
    case CNET_SILU: return v_mul(dy, silu_derivative(y));
    case CNET_SOFTPLUS: return v_mul(dy, softplus_derivative(y, slope));
    }
    return dy;
}

/* kind is a constant where these are inlined, so that the switch is outside of the loop. */
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

INLINE void activation_backward_loop(const int kind, ptrdiff_t n, const real *y, const real *dy,
                                     real *dx, real slope) {
    const vec s = v_set1(slope);
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(dx + i, derivative_times(kind, v_load(y + i), v_load(dy + i), s));
    if (i < n) {
        const vmask mask = v_mask(n - i);
        v_store_m(dx + i, derivative_times(kind, v_load_m(y + i, mask), v_load_m(dy + i, mask), s),
                  mask);
    }
}

static void activation(int kind, ptrdiff_t n, const real *x, real *y, real slope) {
    switch (kind) {
#define CASE(name) \
    case CNET_##name: activation_loop(CNET_##name, n, x, y, slope); break;
        CNET_ACTIVATIONS(CASE)
#undef CASE
    }
}

static void activation_backward(int kind, ptrdiff_t n, const real *y, const real *dy, real *dx,
                                real slope) {
    switch (kind) {
#define CASE(name) \
    case CNET_##name: activation_backward_loop(CNET_##name, n, y, dy, dx, slope); break;
        CNET_ACTIVATIONS(CASE)
#undef CASE
    }
}
#endif
