/* AArch64: NEON, which each 64-bit ARM processor has. N(op) is an intrinsic for vectors of real. */
#include <arm_neon.h>

/* A tile of 6 x 4 uses 29 registers: 24 sums, 4 vectors of b, 1 of a. */
#define VECTOR_REGISTERS 32
#define DEFAULT_MR 6
#define DEFAULT_NR_VECS 4
#define SPMM_VECS 4

typedef int vmask; /* number of elements: NEON has no masked moves */

#ifdef CNET_F64
typedef float64x2_t vec;
typedef uint64x2_t ivec;
#define VL 2
#define N(op) op##q_f64
#define N_SET1(a) vdupq_n_f64(a)
#define AS_INT(v) vreinterpretq_u64_f64(v)
#define AS_REAL(i) vreinterpretq_f64_u64(i)
#define EXPONENT(i) vshlq_n_u64(vaddq_u64(i, vdupq_n_u64(1023)), 52)
#else
typedef float32x4_t vec;
typedef uint32x4_t ivec;
#define VL 4
#define N(op) op##q_f32
#define N_SET1(a) vdupq_n_f32(a)
#define AS_INT(v) vreinterpretq_u32_f32(v)
#define AS_REAL(i) vreinterpretq_f32_u32(i)
#define EXPONENT(i) vshlq_n_u32(vaddq_u32(i, vdupq_n_u32(127)), 23)
#endif

INLINE vec v_load(const real *p) { return N(vld1)(p); }
INLINE void v_store(real *p, vec a) { N(vst1)(p, a); }
INLINE vec v_set1(real a) { return N_SET1(a); }
INLINE vec v_add(vec a, vec b) { return N(vadd)(a, b); }
INLINE vec v_sub(vec a, vec b) { return N(vsub)(a, b); }
INLINE vec v_mul(vec a, vec b) { return N(vmul)(a, b); }
INLINE vec v_div(vec a, vec b) { return N(vdiv)(a, b); }
INLINE vec v_fma(vec a, vec b, vec c) { return N(vfma)(c, a, b); }
INLINE vec v_sqrt(vec a) { return N(vsqrt)(a); }
INLINE vec v_exp2_bits(vec t) { return AS_REAL(EXPONENT(AS_INT(t))); }
INLINE vec v_select_lt(vec a, vec b, vec t, vec f) { return N(vbsl)(N(vclt)(a, b), t, f); }
INLINE vec v_max(vec a, vec b) { return N(vbsl)(N(vcgt)(a, b), a, b); }
INLINE vec v_min(vec a, vec b) { return N(vbsl)(N(vclt)(a, b), a, b); }

INLINE vmask v_mask(ptrdiff_t n) { return (int)n; }
#include "simd_partial.h"

/* A vector is one lane of 128 bits. */
#define LANE VL
INLINE vec v_load_lanes(const real *p, ptrdiff_t stride) {
    (void)stride;
    return v_load(p);
}
INLINE void v_store_lanes(real *p, ptrdiff_t stride, vec a) {
    (void)stride;
    v_store(p, a);
}

/* a[i][j] = a[j][i]; a (LANE vectors) */
INLINE void v_transpose_lanes(vec a[LANE]) {
#ifdef CNET_F64
    const vec low = vzip1q_f64(a[0], a[1]), high = vzip2q_f64(a[0], a[1]);
    a[0] = low;
    a[1] = high;
#else
    const float32x4_t low02 = vzip1q_f32(a[0], a[2]), high02 = vzip2q_f32(a[0], a[2]);
    const float32x4_t low13 = vzip1q_f32(a[1], a[3]), high13 = vzip2q_f32(a[1], a[3]);
    a[0] = vzip1q_f32(low02, low13);
    a[1] = vzip2q_f32(low02, low13);
    a[2] = vzip1q_f32(high02, high13);
    a[3] = vzip2q_f32(high02, high13);
#endif
}
