/* csr_from_dense with AVX-512's compress instructions: see csr.h, which includes this file.

   Whole vectors are written, whatever the number of nonzero elements: hence CNET_NNZ_SLACK. */

#define CSR_GROUP 16

/* Append the nonzero elements among x[first..end) to col_idx and values, and return their number;
   end - first <= CSR_GROUP. */
INLINE ptrdiff_t csr_from_dense_uint8(const uint8_t *x, ptrdiff_t first, ptrdiff_t end,
                                      uint8_t *col_idx, uint8_t *values) {
    const __m128i iota = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                  a = _mm_maskz_loadu_epi8((__mmask16)((1u << (end - first)) - 1u), x + first);
    const __mmask16 nonzero = _mm_test_epi8_mask(a, a);
    const __m512i packed = _mm512_maskz_compress_epi32(nonzero, _mm512_cvtepu8_epi32(a));
    const __m512i packed_idx = _mm512_maskz_compress_epi32(
        nonzero, _mm512_cvtepu8_epi32(_mm_add_epi8(iota, _mm_set1_epi8((char)first))));
    _mm_storeu_si128((__m128i *)values, _mm512_cvtepi32_epi8(packed));
    _mm_storeu_si128((__m128i *)col_idx, _mm512_cvtepi32_epi8(packed_idx));
    return _mm_popcnt_u32(nonzero);
}

/* The same of reals. */
INLINE ptrdiff_t csr_from_dense(const real *x, ptrdiff_t first, ptrdiff_t end, uint8_t *col_idx,
                                real *values) {
    ptrdiff_t nnz = 0;
    for (ptrdiff_t i = first; i < end; i += VL) {
        const vec a = v_load_m(x + i, v_mask(min_size(end - i, VL)));
#ifdef CNET_F64
        const __mmask8 nonzero = _mm512_cmp_pd_mask(a, v_set1(0), _CMP_NEQ_UQ);
        const __m512i idx =
            _mm512_add_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi64(i));
        v_store(values + nnz, _mm512_maskz_compress_pd(nonzero, a));
        _mm_storel_epi64((__m128i *)(col_idx + nnz),
                         _mm512_cvtepi64_epi8(_mm512_maskz_compress_epi64(nonzero, idx)));
#else
        const __mmask16 nonzero = _mm512_cmp_ps_mask(a, v_set1(0), _CMP_NEQ_UQ);
        const __m512i idx =
            _mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                             _mm512_set1_epi32((int)i));
        v_store(values + nnz, _mm512_maskz_compress_ps(nonzero, a));
        _mm_storeu_si128((__m128i *)(col_idx + nnz),
                         _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(nonzero, idx)));
#endif
        nnz += _mm_popcnt_u32(nonzero);
    }
    return nnz;
}
