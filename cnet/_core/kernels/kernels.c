/* Every kernel, for one instruction set and one type: compiled once per pair, with CNET_ISA_<set>
   and perhaps CNET_F64 defined and the flags of that set. All is static but the table, whose name
   holds both: two copies of one inline function, compiled for different machines, must never meet
   in the linker. */
#include <string.h>

#include "simd.h"

#include "erf.h"
#include "exp.h"

#include "activations.h"
#include "column_reduce.h"
#include "gather.h"
#include "philox.h"
#include "reduce.h"
#include "transpose.h"

#include "augment.h"
#include "dot_kernel.h"
#include "ukernel.h"
#include "pack.h"
#include "gemm.h"

#include "igemm.h"
#include "pixel.h"
#include "winograd.h"
#include "conv_narrow.h"
#include "conv.h"
#include "dropout.h"
#include "norm.h"
#include "pool.h"
#include "softmax.h"
#include "losses.h"
#include "optimizers.h"

#include "csr.h"
#include "spmm.h"

#if defined(CNET_ISA_AVX512)
#define ISA avx512
#elif defined(CNET_ISA_AVX2)
#define ISA avx2
#elif defined(CNET_ISA_NEON)
#define ISA neon
#else
#define ISA baseline
#endif
#ifdef CNET_F64
#define TYPE f64
#else
#define TYPE f32
#endif
#define TABLE_(isa, type) cnet_kernels_##isa##_##type
#define TABLE(isa, type) TABLE_(isa, type)

extern const cnet_kernels TABLE(ISA, TYPE);
const cnet_kernels TABLE(ISA, TYPE) = {
    .lanes = VL,
    .spmm_nr = SPMM_NR,
    .gemm = gemm,
    .column_sums = column_sums,
    .conv_scratch = conv_scratch,
    .conv_forward = conv_forward,
    .conv_backward_input = conv_backward_input,
    .conv_backward_params = conv_backward_params,
    .transpose = transpose,
    .max_pool = max_pool,
    .max_pool_backward = max_pool_backward,
    .avg_pool = avg_pool,
    .avg_pool_backward = avg_pool_backward,
    .activation = activation,
    .activation_backward = activation_backward,
    .dropout = dropout,
    .norm_rows = norm_rows,
    .norm_rows_backward = norm_rows_backward,
    .column_moments = column_moments,
    .merge_moments = merge_moments,
    .track_moments = track_moments,
    .inverse_deviation = inverse_deviation,
    .norm_columns = norm_columns,
    .column_products = column_products,
    .norm_columns_backward = norm_columns_backward,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .count_correct = count_correct,
    .softmax_cross_entropy = softmax_cross_entropy,
    .nll = nll,
    .elementwise_loss = elementwise_loss,
    .update = update,
    .clip = clip,
    .scale = scale,
    .square_sum = square_sum,
    .all_finite = all_finite,
    .rescale = rescale,
    .gather = gather,
    .gather_uint8 = gather_uint8,
    .csr_row_from_dense = csr_row_from_dense,
    .csr_row_from_dense_uint8 = csr_row_from_dense_uint8,
    .csr_gather_rows = csr_gather_rows,
    .spmm = spmm,
    .spmm_transposed = spmm_transposed,
    .csr_to_csc = csr_to_csc,
    .spmm_columns = spmm_columns,
    .augment = augment,
};
