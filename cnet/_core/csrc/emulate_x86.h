/* x86 intrinsics as portable C, so that kernels for a processor one does not have can be tested (not measured). */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
