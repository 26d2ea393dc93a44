/* x86-64: SSE2 (the baseline of the architecture), AVX2 with FMA, AVX-512.

   The name of an intrinsic differs only in its prefix and suffix. V(op) is that for vectors of
   real, I(op) that for integers of the same size. */
#if defined(CNET_EMULATE)
#include "emulate_x86.h"
#else
#include <immintrin.h>
#endif

#if defined(CNET_ISA_AVX512)
#define PREFIX _mm512_
#define VBYTES 64
/* A tile of 6 x 4 uses 29 registers: 24 sums, 4 vectors of b, 1 of a. A tile of one vector has 12
   rows: 12 sums keep both pipelines busy, 6 do not. */
#define VECTOR_REGISTERS 32
#define DEFAULT_MR 6
#define DEFAULT_NR_VECS 4
#define MR_NARROW 12
#define SPMM_VECS 4
#elif defined(CNET_ISA_AVX2)
#define PREFIX _mm256_
#define VBYTES 32
/* A tile of 6 x 2 uses 15 registers: 12 sums, 2 vectors of b, 1 of a. The 8 sums of a sparse
   product keep both pipelines busy. */
#define VECTOR_REGISTERS 16
#define DEFAULT_MR 6
#define DEFAULT_NR_VECS 2
#define SPMM_VECS 8
#else
#define PREFIX _mm_
#define VBYTES 16
#define VECTOR_REGISTERS 16
#define DEFAULT_MR 6
#define DEFAULT_NR_VECS 2
#define SPMM_VECS 4
#endif

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#ifdef CNET_F64
#define V(op) JOIN(PREFIX, op, _pd)
#define I(op) JOIN(PREFIX, op, _epi64)
#define VL (VBYTES / 8)
#else
#define V(op) JOIN(PREFIX, op, _ps)
#define I(op) JOIN(PREFIX, op, _epi32)
#define VL (VBYTES / 4)
#endif

#if defined(CNET_ISA_AVX512)
#ifdef CNET_F64
typedef __m512d vec;
typedef __mmask8 vmask;
#define AS_INT(v) _mm512_castpd_si512(v)
#define AS_REAL(i) _mm512_castsi512_pd(i)
#define LESS(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#else
typedef __m512 vec;
typedef __mmask16 vmask;
#define AS_INT(v) _mm512_castps_si512(v)
#define AS_REAL(i) _mm512_castsi512_ps(i)
#define LESS(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#endif
typedef __m512i ivec;
#elif defined(CNET_ISA_AVX2)
#ifdef CNET_F64
typedef __m256d vec;
#define AS_INT(v) _mm256_castpd_si256(v)
#define AS_REAL(i) _mm256_castsi256_pd(i)
#else
typedef __m256 vec;
#define AS_INT(v) _mm256_castps_si256(v)
#define AS_REAL(i) _mm256_castsi256_ps(i)
#endif
typedef __m256i ivec;
typedef struct {
    __m256i lanes;
    int n;
} vmask;
#else
#ifdef CNET_F64
typedef __m128d vec;
#define AS_INT(v) _mm_castpd_si128(v)
#define AS_REAL(i) _mm_castsi128_pd(i)
#else
typedef __m128 vec;
#define AS_INT(v) _mm_castps_si128(v)
#define AS_REAL(i) _mm_castsi128_ps(i)
#endif
typedef __m128i ivec;
typedef int vmask; /* number of elements: SSE2 has no masked moves */
#endif

INLINE vec v_load(const real *p) { return V(loadu)(p); }
INLINE void v_store(real *p, vec a) { V(storeu)(p, a); }
INLINE vec v_set1(real a) { return V(set1)(a); }
INLINE vec v_add(vec a, vec b) { return V(add)(a, b); }
INLINE vec v_sub(vec a, vec b) { return V(sub)(a, b); }
INLINE vec v_mul(vec a, vec b) { return V(mul)(a, b); }
INLINE vec v_div(vec a, vec b) { return V(div)(a, b); }
INLINE vec v_sqrt(vec a) { return V(sqrt)(a); }
INLINE vec v_max(vec a, vec b) { return V(max)(a, b); }
INLINE vec v_min(vec a, vec b) { return V(min)(a, b); }

/* a * b + c; SSE2 rounds twice. */
#if defined(CNET_ISA_AVX512) || defined(CNET_ISA_AVX2)
INLINE vec v_fma(vec a, vec b, vec c) { return V(fmadd)(a, b, c); }
#else
INLINE vec v_fma(vec a, vec b, vec c) { return V(add)(V(mul)(a, b), c); }
#endif

/* 2^n for t = n + MAGIC. The low bits of t hold n: with the bias added, they are shifted to the
   place of the exponent. The other bits of t are shifted out. */
INLINE vec v_exp2_bits(vec t) {
#if defined(CNET_F64) && !defined(CNET_ISA_AVX512)
    ivec bias = JOIN(PREFIX, set1, _epi64x)(1023);
    return AS_REAL(I(slli)(I(add)(AS_INT(t), bias), 52));
#elif defined(CNET_F64)
    return AS_REAL(I(slli)(I(add)(AS_INT(t), I(set1)(1023)), 52));
#else
    return AS_REAL(I(slli)(I(add)(AS_INT(t), I(set1)(127)), 23));
#endif
}

#if defined(CNET_ISA_AVX512)
INLINE vmask v_mask(ptrdiff_t n) { return (vmask)((1u << n) - 1u); }
INLINE vec v_load_m(const real *p, vmask m) { return V(maskz_loadu)(m, p); }
INLINE void v_store_m(real *p, vec a, vmask m) { V(mask_storeu)(p, m, a); }
INLINE vec v_select_lt(vec a, vec b, vec t, vec f) { return V(mask_blend)(LESS(a, b), f, t); }
#elif defined(CNET_ISA_AVX2)
INLINE vmask v_mask(ptrdiff_t n) {
#ifdef CNET_F64
    static const int64_t lanes[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
#else
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
#endif
    vmask mask = {_mm256_loadu_si256((const __m256i *)(lanes + VL - n)), (int)n};
    return mask;
}
INLINE vec v_load_m(const real *p, vmask m) { return V(maskload)(p, m.lanes); }
/* p[i] = a[i] for i < n, n < VL, by halves: on processors of AMD, a masked store takes as long as a
   dozen others. */
OUTLINE void store_partial(real *p, vec a, int n) {
#ifdef CNET_F64
    __m128d half = _mm256_castpd256_pd128(a);
    if (n & 2) {
        _mm_storeu_pd(p, half);
        half = _mm256_extractf128_pd(a, 1);
        p += 2;
    }
    if (n & 1)
        _mm_store_sd(p, half);
#else
    __m128 half = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, half);
        half = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, half);
        half = _mm_movehl_ps(half, half);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, half);
#endif
}
INLINE void v_store_m(real *p, vec a, vmask m) {
    if (m.n == VL)
        v_store(p, a);
    else
        store_partial(p, a, m.n);
}
INLINE vec v_select_lt(vec a, vec b, vec t, vec f) {
    return V(blendv)(f, t, V(cmp)(a, b, _CMP_LT_OQ));
}
#else
INLINE vmask v_mask(ptrdiff_t n) { return (int)n; }
#include "simd_partial.h"
INLINE vec v_select_lt(vec a, vec b, vec t, vec f) {
    vec lt = V(cmplt)(a, b);
    return V(or)(V (and)(lt, t), V(andnot)(lt, f));
}
#endif

/* Lane l of 128 bits, LANE elements, is at p + l * stride in memory. INSERT and EXTRACT load and
   store one lane of a vector, LOW and STORE_LOW lane 0. */
#define LANE (16 / (int)sizeof(real))
#ifdef CNET_F64
#define INSERT256(a, p) _mm256_insertf128_pd(a, _mm_loadu_pd(p), 1)
#define INSERT512(a, p, i) _mm512_insertf64x2(a, _mm_loadu_pd(p), i)
#define EXTRACT256(p, a) _mm_storeu_pd(p, _mm256_extractf128_pd(a, 1))
#define EXTRACT512(p, a, i) \
    _mm_storeu_ps((float *)(p), \
                  _mm512_extractf32x4_ps(_mm512_castpd_ps(a), i)) /* SIMDe has no other */
#else
#define INSERT256(a, p) _mm256_insertf128_ps(a, _mm_loadu_ps(p), 1)
#define INSERT512(a, p, i) _mm512_insertf32x4(a, _mm_loadu_ps(p), i)
#define EXTRACT256(p, a) _mm_storeu_ps(p, _mm256_extractf128_ps(a, 1))
#define EXTRACT512(p, a, i) _mm_storeu_ps(p, _mm512_extractf32x4_ps(a, i))
#endif

#if defined(CNET_ISA_AVX512)
#ifdef CNET_F64
#define LOW(p) _mm512_castpd128_pd512(_mm_loadu_pd(p))
#define STORE_LOW(p, a) _mm_storeu_pd(p, _mm512_castpd512_pd128(a))
#else
#define LOW(p) _mm512_castps128_ps512(_mm_loadu_ps(p))
#define STORE_LOW(p, a) _mm_storeu_ps(p, _mm512_castps512_ps128(a))
#endif
INLINE vec v_load_lanes(const real *p, ptrdiff_t stride) {
    vec a = INSERT512(LOW(p), p + stride, 1);
    a = INSERT512(a, p + 2 * stride, 2);
    return INSERT512(a, p + 3 * stride, 3);
}
INLINE void v_store_lanes(real *p, ptrdiff_t stride, vec a) {
    STORE_LOW(p, a);
    EXTRACT512(p + stride, a, 1);
    EXTRACT512(p + 2 * stride, a, 2);
    EXTRACT512(p + 3 * stride, a, 3);
}
#elif defined(CNET_ISA_AVX2)
#ifdef CNET_F64
#define LOW(p) _mm256_castpd128_pd256(_mm_loadu_pd(p))
#define STORE_LOW(p, a) _mm_storeu_pd(p, _mm256_castpd256_pd128(a))
#else
#define LOW(p) _mm256_castps128_ps256(_mm_loadu_ps(p))
#define STORE_LOW(p, a) _mm_storeu_ps(p, _mm256_castps256_ps128(a))
#endif
INLINE vec v_load_lanes(const real *p, ptrdiff_t stride) { return INSERT256(LOW(p), p + stride); }
INLINE void v_store_lanes(real *p, ptrdiff_t stride, vec a) {
    STORE_LOW(p, a);
    EXTRACT256(p + stride, a);
}
#else
INLINE vec v_load_lanes(const real *p, ptrdiff_t stride) {
    (void)stride;
    return v_load(p);
}
INLINE void v_store_lanes(real *p, ptrdiff_t stride, vec a) {
    (void)stride;
    v_store(p, a);
}
#endif

/* a[i][l, j] = a[j][l, i] for each lane l; a (LANE vectors) */
INLINE void v_transpose_lanes(vec a[LANE]) {
#ifdef CNET_F64
    const vec low = V(unpacklo)(a[0], a[1]), high = V(unpackhi)(a[0], a[1]);
    a[0] = low;
    a[1] = high;
#else
    const vec low01 = V(unpacklo)(a[0], a[1]), high01 = V(unpackhi)(a[0], a[1]);
    const vec low23 = V(unpacklo)(a[2], a[3]), high23 = V(unpackhi)(a[2], a[3]);
    a[0] = V(shuffle)(low01, low23, 0x44);
    a[1] = V(shuffle)(low01, low23, 0xee);
    a[2] = V(shuffle)(high01, high23, 0x44);
    a[3] = V(shuffle)(high01, high23, 0xee);
#endif
}
