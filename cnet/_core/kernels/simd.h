/* clang-format off */
/* Vectors: the types and operations that all kernels use.

   One header per family of instruction sets defines, for `real` (float, or double with CNET_F64):

     vec, VL                      a vector, and its number of elements
     vmask, v_mask(n)             the first n elements of a vector, 0 < n <= VL
     v_load(p), v_store(p, a)     p need not be aligned
     v_load_m(p, mask), v_store_m(p, a, mask)
                                  only the elements of the mask; others are loaded as zero, and are
                                  not stored
     v_set1(x)                    x in all elements
     v_add, v_sub, v_mul, v_div, v_sqrt
     v_fma(a, b, c)               a * b + c; rounded once if the instruction set has such an
                                  operation, else twice
     v_max(a, b), v_min(a, b)     b if either is NaN, or if they are equal
     v_select_lt(a, b, t, f)      a < b ? t : f; f if either is NaN
     v_exp2_bits(t)               2^n for t = n + MAGIC, n an integer (exp.h)
     LANE                         elements of a 128-bit lane, the widest that all instruction sets
                                  transpose in the same way
     v_load_lanes(p, stride), v_store_lanes(p, stride, a)
                                  lane l is at p + l * stride
     v_transpose_lanes(a)         transposes lane l of a[0], ..., a[LANE - 1], for each l
     DEFAULT_MR, DEFAULT_NR_VECS  the register tile of a dense product, in rows and vectors
     MR_NARROW                    rows of a tile of one vector, if they are not MR
     SPMM_VECS                    vectors of a row of c that a sparse product sums at a time
     VECTOR_REGISTERS             number of vector registers
     NO_MASKED_LOADS              1 if masked loads are slow

   The tail of an array goes through masked operations, not through scalar code: a result does not
   depend on the place of its element in the array.

   An INLINE function becomes part of each kernel that calls it. An OUTLINE function is rarely
   called: inlined, it would be copied a hundred times. */
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

/* min(n, most) */
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
#ifndef MR /* the compiler may get -DMR=8 -DNR_VECS=3; ukernel.h checks the number of registers */
#define MR DEFAULT_MR
#endif
#ifndef NR_VECS
#define NR_VECS DEFAULT_NR_VECS
#endif
#ifndef MR_NARROW
#define MR_NARROW MR
#endif
#define NR (NR_VECS * VL)

/* Load or store all elements if whole, else those of the mask. whole is a constant where these are
   inlined. */
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
