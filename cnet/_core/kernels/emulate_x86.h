/* x86 intrinsics in portable C, by SIMDe: AVX-512 kernels can be tested, though not measured, on a
   processor without AVX-512. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

/* SIMDe includes <complex.h>, which defines I as the imaginary unit; simd_x86.h defines its own. */
#undef I

/* SIMDe of Debian 12 has no masked loads and stores of floats. For the elements i of mask m:
   lanes[i] = p[i] (the others are 0), or p[i] = a[i]. */
#define EMULATED_MASKED_MOVES(suffix, number, vector, mask) \
    static inline vector emulated_maskz_loadu_##suffix(mask m, const number *p) { \
        number lanes[64 / sizeof(number)] = {0}; \
        for (unsigned i = 0; i < 64 / sizeof(number); i++) \
            if (m >> i & 1) \
                lanes[i] = p[i]; \
        return simde_mm512_loadu_##suffix(lanes); \
    } \
    static inline void emulated_mask_storeu_##suffix(number *p, mask m, vector a) { \
        number lanes[64 / sizeof(number)]; \
        simde_mm512_storeu_##suffix(lanes, a); \
        for (unsigned i = 0; i < 64 / sizeof(number); i++) \
            if (m >> i & 1) \
                p[i] = lanes[i]; \
    }
EMULATED_MASKED_MOVES(ps, float, simde__m512, simde__mmask16)
EMULATED_MASKED_MOVES(pd, double, simde__m512d, simde__mmask8)
#define _mm512_maskz_loadu_ps emulated_maskz_loadu_ps
#define _mm512_maskz_loadu_pd emulated_maskz_loadu_pd
#define _mm512_mask_storeu_ps emulated_mask_storeu_ps
#define _mm512_mask_storeu_pd emulated_mask_storeu_pd
