/* exp, expm1, tanh and the logistic function of a vector, within a few units in the last place.

     exp(x) = 2^n * exp(r)     n = round(x / ln 2), r = x - n * ln 2, |r| <= ln(2) / 2

   ln 2 is split in two, so that n * LN2_HIGH is exact (Cody and Waite, Software Manual for the
   Elementary Functions, 1980). exp(r) is its Taylor series, cut where the next term is below half a
   unit in the last place. Adding MAGIC rounds to an integer, and leaves that integer in the low
   bits of the sum.

   No function of libm is used: its bits differ between machines and versions. */

#ifdef CNET_F64
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define LN2_HIGH 6.93145751953125e-1
#define LN2_LOW 1.42860682030941723212e-6
#define EXP_LOWEST (-708.0) /* above it exp is a normal number */
#define EXP_HIGHEST 709.0
#define EXP_TERMS 13
#else
#define MAGIC 12582912.0f /* 1.5 * 2^23 */
#define LN2_HIGH 6.93359375e-1f
#define LN2_LOW (-2.12194440054690583e-4f)
#define EXP_LOWEST (-87.0f)
#define EXP_HIGHEST 88.0f
#define EXP_TERMS 7
#endif
#define LOG2_E ((real)1.44269504088896340736)

/* exp(x) - 1 = scale * series + (scale - 1), with scale = 2^n and series = exp(r) - 1. No digits
   are lost near zero. */
typedef struct {
    vec scale, series;
} exp_parts;

/* The parts of exp(x), for EXP_LOWEST <= x <= EXP_HIGHEST. The series is summed by Horner's
   scheme. */
INLINE exp_parts v_exp_parts(vec x) {
    static const real inverse_factorial[] = {
        (real)1.0,
        (real)(1.0 / 2),
        (real)(1.0 / 6),
        (real)(1.0 / 24),
        (real)(1.0 / 120),
        (real)(1.0 / 720),
        (real)(1.0 / 5040),
        (real)(1.0 / 40320),
        (real)(1.0 / 362880),
        (real)(1.0 / 3628800),
        (real)(1.0 / 39916800),
        (real)(1.0 / 479001600),
        (real)(1.0 / 6227020800),
    };
    vec t = v_fma(x, v_set1(LOG2_E), v_set1(MAGIC));
    vec n = v_sub(t, v_set1(MAGIC));
    vec r = v_fma(n, v_set1(-LN2_HIGH), x);
    r = v_fma(n, v_set1(-LN2_LOW), r);
    vec p = v_set1(inverse_factorial[EXP_TERMS - 1]);
    UNROLL for (int i = EXP_TERMS - 2; i >= 0; i--)
        p = v_fma(p, r, v_set1(inverse_factorial[i]));
    exp_parts parts = {v_exp2_bits(t), v_mul(p, r)};
    return parts;
}

/* exp(x) by lane: 0 below EXP_LOWEST, exp(EXP_HIGHEST) above EXP_HIGHEST, NaN for NaN. */
INLINE vec v_exp(vec x) {
    exp_parts e = v_exp_parts(v_min(v_set1(EXP_HIGHEST), v_max(v_set1(EXP_LOWEST), x)));
    return v_select_lt(x, v_set1(EXP_LOWEST), v_set1(0), v_fma(e.scale, e.series, e.scale));
}

/* exp(x) - 1 by lane for x <= 0, 0 for x > 0, NaN for NaN. */
INLINE vec v_expm1_below(vec x) {
    exp_parts e = v_exp_parts(v_min(v_set1(0), v_max(v_set1(EXP_LOWEST), x)));
    return v_fma(e.scale, e.series, v_sub(e.scale, v_set1(1)));
}

/* tanh(x) = u / (u + 2) by lane, u = exp(2x) - 1. Beyond +-20 it is +-1 in either precision. */
INLINE vec v_tanh(vec x) {
    vec y = v_min(v_set1(20), v_max(v_set1(-20), x));
    exp_parts e = v_exp_parts(v_add(y, y));
    vec u = v_fma(e.scale, e.series, v_sub(e.scale, v_set1(1)));
    return v_div(u, v_add(u, v_set1(2)));
}

/* 1 / (1 + exp(-x)) by lane. With z = exp(-|x|) <= 1 nothing overflows: the result is 1 / (1 + z)
   for x >= 0, and z / (1 + z) for x < 0. */
INLINE vec v_sigmoid(vec x) {
    vec z = v_exp(v_min(x, v_sub(v_set1(0), x)));
    return v_div(v_select_lt(x, v_set1(0), z, v_set1(1)), v_add(v_set1(1), z));
}

/* v_sum(a) = sum over lanes of a, v_largest(a) = maximum over lanes. Lane i is combined with lane
   i + VL / 2, then with lane i + VL / 4, and so on: the sum of a row does not depend on the place
   of the row. */
#define FOLD_LANES(name, both) \
    INLINE real name(vec a) { \
        real lanes[VL]; \
        v_store(lanes, a); \
        UNROLL for (int width = VL / 2; width; width /= 2) UNROLL \
            for (int i = 0; i < width; i++) { \
                const real x = lanes[i], y = lanes[i + width]; \
                lanes[i] = both; \
            } \
        return lanes[0]; \
    }
FOLD_LANES(v_sum, x + y)
FOLD_LANES(v_largest, x > y ? x : y)
