/* clang-format off */
/* The vector vocabulary that every kernel is written in.

   One header per family of instruction sets defines, for `real` (float, or double with CNET_F64):

     vec, VL                      a vector of VL lanes
     vmask, v_mask(n)             the first n lanes, 0 < n <= VL
     v_load, v_store              unaligned; v_load_m, v_store_m only the lanes of a mask (others:
                                  zero, untouched)
     v_set1, v_add, v_sub, v_mul, v_div, v_sqrt
     v_fma(a, b, c)               a*b + c; one rounding where the set has it, two on the x86
                                  baseline
     v_max(a, b), v_min(a, b)     b where either is NaN or the two are equal
     v_select_lt(a, b, t, f)      a < b ? t : f by lane; a NaN takes f
     v_exp2_bits(t)               2^n, n being the integer in the low bits of t + MAGIC (see exp.h)
     LANE                         elements of a 128-bit lane, the widest that all sets can
                                  transpose alike
     v_load_lanes(p, stride), v_store_lanes(p, stride, a)
                                  lane l at p + l * stride
     v_transpose_lanes(a)         of LANE vectors: element j of lane l of a[i] and element i of
                                  lane l of a[j] change places
     MR, NR_VECS         the register tile of the matrix product, in rows and vectors
     SPMM_VECS                    vectors that a product with lists sums at a time: 8 sums keep two
                                  pipelines busy

   INLINE is for what becomes part of every kernel that calls it, OUTLINE for what is rare, and
   would be there a hundred times.
   Tails go through the masked operations and never through scalar code, so that a value does not
   depend on where in an array its element lies. */
/* clang-format on */
#ifndef CNET_SIMD_H
#define CNET_SIMD_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define INLINE static __forceinline
#define OUTLINE static __declspec(noinline)
#define UNROLL
#elif defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#define OUTLINE static __attribute__((noinline))
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define INLINE static inline __attribute__((always_inline))
#define OUTLINE static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE ptrdiff_t min_size(ptrdiff_t n, ptrdiff_t most) { return n < most ? n : most; }

#if defined(CNET_ISA_AVX512) || defined(CNET_ISA_AVX2) || \
    (defined(CNET_ISA_BASELINE) && (defined(__x86_64__) || defined(_M_X64)))
#include "simd_x86.h"
#elif defined(CNET_ISA_NEON)
#include "simd_neon.h"
#else
#include "simd_scalar.h"
#endif

#ifndef NO_MASKED_LOADS
#define NO_MASKED_LOADS 0
#endif
#ifndef MR /* the compiler may be given -DMR=8 -DNR_VECS=3: ukernel.h checks that it fits */
#define MR DEFAULT_MR
#endif
#ifndef NR_VECS
#define NR_VECS DEFAULT_NR_VECS
#endif
#ifndef MR_NARROW
#define MR_NARROW MR
#endif
#define NR (NR_VECS * VL)

/* All lanes, or those of a mask: `whole` is a constant where these are inlined. */
INLINE vec load_lanes(const int whole, const real *p, vmask mask) {
    return whole ? v_load(p) : v_load_m(p, mask);
}

INLINE void store_lanes(const int whole, real *p, vec a, vmask mask) {
    if (whole)
        v_store(p, a);
    else
        v_store_m(p, a, mask);
}

#endif
