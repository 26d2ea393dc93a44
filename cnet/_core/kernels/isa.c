/* Detection of instruction sets. Like all files except the kernels, it is compiled for the
   baseline.

   An instruction set is supported if CPUID reports its instructions, and XGETBV reports that the
   operating system saves its registers. In a virtual machine the second may be false: kernels would
   crash there. */
#include "isa.h"

#include <stddef.h>
#include <stdint.h>

#define KERNELS(isa) &cnet_kernels_##isa##_f32, &cnet_kernels_##isa##_f64
#define DECLARE(isa) \
    extern const struct cnet_kernels cnet_kernels_##isa##_f32, cnet_kernels_##isa##_f64;

/* For an instruction set that each processor of the architecture has. */
static int always(void) { return 1; }

#if defined(CNET_HAVE_AVX2) || defined(CNET_HAVE_AVX512)

#if defined(_MSC_VER)
#include <intrin.h>
static void cpuid(uint32_t leaf, uint32_t out[4]) { __cpuidex((int *)out, (int)leaf, 0); }
static uint64_t xgetbv(void) { return _xgetbv(0); }
#else
#include <cpuid.h>
static void cpuid(uint32_t leaf, uint32_t out[4]) {
    out[0] = out[1] = out[2] = out[3] = 0;
    __get_cpuid_count(leaf, 0, &out[0], &out[1], &out[2], &out[3]);
}
static uint64_t xgetbv(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}
#endif

enum { EAX, EBX, ECX, EDX };

/* Whether the operating system saves these registers: bits of XCR0. */
static int saved(uint64_t registers) {
    const uint32_t osxsave = 1u << 27;
    uint32_t leaf1[4];
    cpuid(1, leaf1);
    return (leaf1[ECX] & osxsave) && (xgetbv() & registers) == registers;
}

/* Whether kernels with AVX2 and FMA run here. */
static int has_avx2(void) {
    const uint32_t fma = 1u << 12, avx = 1u << 28, avx2 = 1u << 5;
    const uint64_t xmm_ymm = 0x6;
    uint32_t leaf1[4], leaf7[4];
    cpuid(1, leaf1);
    cpuid(7, leaf7);
    return (leaf1[ECX] & fma) && (leaf1[ECX] & avx) && (leaf7[EBX] & avx2) && saved(xmm_ymm);
}

/* Whether kernels with AVX-512 F, DQ, BW and VL, and POPCNT run here. Emulated ones need AVX2. */
static int has_avx512(void) {
#ifdef CNET_EMULATE_AVX512
    return has_avx2();
#endif
    const uint32_t f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    const uint64_t xmm_ymm_zmm = 0xe6;
    const uint32_t popcnt = 1u << 23;
    uint32_t leaf1[4], leaf7[4];
    cpuid(1, leaf1);
    cpuid(7, leaf7);
    return (leaf1[ECX] & popcnt) && (leaf7[EBX] & f) && (leaf7[EBX] & dq) && (leaf7[EBX] & bw) &&
           (leaf7[EBX] & vl) && has_avx2() && saved(xmm_ymm_zmm);
}

#endif

#ifdef CNET_HAVE_BASELINE
DECLARE(baseline)
#endif
#ifdef CNET_HAVE_AVX2
DECLARE(avx2)
#endif
#ifdef CNET_HAVE_AVX512
DECLARE(avx512)
#endif
#ifdef CNET_HAVE_NEON
DECLARE(neon)
#endif

const cnet_isa cnet_isas[] = {
#ifdef CNET_HAVE_BASELINE
    {"baseline", KERNELS(baseline), always},
#endif
#ifdef CNET_HAVE_AVX2
    {"avx2", KERNELS(avx2), has_avx2},
#endif
#ifdef CNET_HAVE_AVX512
    {"avx512", KERNELS(avx512), has_avx512},
#endif
#ifdef CNET_HAVE_NEON
    {"neon", KERNELS(neon), always},
#endif
    {NULL, NULL, NULL, NULL},
};
