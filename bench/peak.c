/* The most that a processor does, for _peak.py to time: multiply-adds from registers, and reading
   memory.

   Compiled for the processor at hand, whose widest vectors these are. The accumulators are
   independent, more than the units can have in flight and few enough to stay in registers. */
#include <stddef.h>
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#define ACCUMULATORS 24
#elif defined(__AVX__)
#define BYTES 32
#define ACCUMULATORS 12
#elif defined(__aarch64__)
#define BYTES 16
#define ACCUMULATORS 24
#else
#define BYTES 16
#define ACCUMULATORS 12
#endif
#define LANES (BYTES / (int)sizeof(float))
#define EACH _Pragma("GCC unroll 24") for (int i = 0; i < ACCUMULATORS; i++)

typedef float vec __attribute__((vector_size(BYTES), aligned(4)));

/* It overwrites the factor on x86, and the summand on ARM: the other form would cost a copy. Either
   stays finite. */
#if defined(__aarch64__)
#define MULTIPLY_ADD(acc, a, b) acc = vfmaq_f32(acc, a, b)
#else
#define MULTIPLY_ADD(acc, a, b) acc = acc * a + b
#endif

const int vector_bits = 8 * BYTES, floats_a_step = ACCUMULATORS * LANES;

/* With a and b from 0 to 1, and neither of them so small that products are subnormal. */
float multiply_add(ptrdiff_t steps, float a, float b) {
    vec acc[ACCUMULATORS], sum = {0}, va = a + sum, vb = b + sum;
    EACH acc[i] = va + (float)i;
    for (; steps; steps--)
        EACH MULTIPLY_ADD(acc[i], va, vb);
    EACH sum += acc[i];
    return sum[0];
}

float read_memory(ptrdiff_t steps, const float *x) {
    vec acc[ACCUMULATORS], sum = {0};
    EACH acc[i] = sum;
    for (; steps; steps--, x += floats_a_step)
        EACH acc[i] += *(const vec *)(x + i * LANES);
    EACH sum += acc[i];
    return sum[0];
}
