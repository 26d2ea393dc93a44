/* Other processors: plain C. A vector has one element. A mask is always 1. v_fma rounds twice. */
#include <string.h>

#define VECTOR_REGISTERS 32
#define DEFAULT_MR 4
#define DEFAULT_NR_VECS 4
#define SPMM_VECS 4
#define VL 1

typedef real vec;
typedef int vmask;

INLINE vec v_load(const real *p) { return *p; }
INLINE void v_store(real *p, vec a) { *p = a; }
INLINE vmask v_mask(ptrdiff_t n) { return (int)n; }
INLINE vec v_load_m(const real *p, vmask m) {
    (void)m;
    return *p;
}
INLINE void v_store_m(real *p, vec a, vmask m) {
    (void)m;
    *p = a;
}
INLINE vec v_set1(real a) { return a; }
INLINE vec v_add(vec a, vec b) { return a + b; }
INLINE vec v_sub(vec a, vec b) { return a - b; }
INLINE vec v_mul(vec a, vec b) { return a * b; }
INLINE vec v_div(vec a, vec b) { return a / b; }
#ifdef CNET_F64
INLINE vec v_sqrt(vec a) { return sqrt(a); }
#else
INLINE vec v_sqrt(vec a) { return sqrtf(a); }
#endif
INLINE vec v_fma(vec a, vec b, vec c) { return a * b + c; }
INLINE vec v_max(vec a, vec b) { return a > b ? a : b; }
INLINE vec v_min(vec a, vec b) { return a < b ? a : b; }
INLINE vec v_select_lt(vec a, vec b, vec t, vec f) { return a < b ? t : f; }

#ifdef CNET_F64
typedef uint64_t bits;
#define EXPONENT(i) (((i) + 1023u) << 52)
#else
typedef uint32_t bits;
#define EXPONENT(i) (((i) + 127u) << 23)
#endif
/* 2^n for t = n + MAGIC, as in simd_x86.h. */
INLINE vec v_exp2_bits(vec t) {
    bits i;
    memcpy(&i, &t, sizeof i);
    i = EXPONENT(i);
    memcpy(&t, &i, sizeof t);
    return t;
}

#define LANE 1
INLINE vec v_load_lanes(const real *p, ptrdiff_t stride) {
    (void)stride;
    return *p;
}
INLINE void v_store_lanes(real *p, ptrdiff_t stride, vec a) {
    (void)stride;
    *p = a;
}
INLINE void v_transpose_lanes(vec a[LANE]) { (void)a; }
