/* CSR matrices: building them from dense rows, gathering rows into a mini-batch, conversion to CSC.

   Columns are cut into blocks of at most KC, as sums are (arguments.h). So the elements of a row
   in one block are one block of a sum, and a column index within a block fits into a byte. */

#define ROUND_UP_TO_REAL(bytes) \
    (((bytes) + (ptrdiff_t)sizeof(real) - 1) / (ptrdiff_t)sizeof(real) * (ptrdiff_t)sizeof(real))
#define PREFETCH_ROWS_CSR 4

#if defined(CNET_ISA_AVX512) && !defined(CNET_EMULATE)
#include "csr_avx512.h"
#else

/* Elements that csr_from_dense looks at together. */
#define CSR_GROUP 8

/* 1 if all bits of p[0..bytes) are zero; bytes: a multiple of 8. */
INLINE int all_zero_bits(const void *p, size_t bytes) {
    uint64_t any = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)p + i, sizeof word);
        any |= word;
    }
    return any == 0;
}

/* Append the nonzero elements among x[first..end) to col_idx and values, and return their number;
   end - first <= CSR_GROUP. Branch-free: every element is written, and the next one overwrites it
   if it is zero. Groups of zeros are skipped: most zeros lie side by side. */
#define CSR_FROM_DENSE(name, number) \
    INLINE ptrdiff_t name(const number *x, ptrdiff_t first, ptrdiff_t end, uint8_t *col_idx, \
                          number *values) { \
        ptrdiff_t nnz = 0; \
        if (end - first == CSR_GROUP && all_zero_bits(x + first, CSR_GROUP * sizeof(number))) \
            return 0; \
        for (ptrdiff_t j = first; j < end; j++) { \
            col_idx[nnz] = (uint8_t)j; \
            values[nnz] = x[j]; \
            nnz += x[j] != 0; \
        } \
        return nnz; \
    }
CSR_FROM_DENSE(csr_from_dense, real)
CSR_FROM_DENSE(csr_from_dense_uint8, uint8_t)
#endif

/* Pack x (n) into `packed` and return the number of bytes.

   A packed row is: the number of elements of each block (n_blocks bytes), the values, the column
   indices (1 byte each). The elements of a block are padded to a multiple of CNET_NNZ_ALIGN with
   zeros at the last column index. Values and column indices begin at multiples of sizeof(real).

   The number of elements is known only at the end. So column indices are first written where they
   lie beyond any number of values, and then moved. */
#define CSR_ROW_FROM_DENSE(name, number, from_dense) \
    static ptrdiff_t name(ptrdiff_t n, const number *x, uint8_t *packed) { \
        const ptrdiff_t length = cnet_block_length(n), blocks = cnet_block_count(n); \
        number *const values = (number *)(packed + ROUND_UP_TO_REAL(blocks)); \
        uint8_t *const col_idx = (uint8_t *)(values + cnet_csr_max_nnz(n) + CNET_NNZ_SLACK); \
        ptrdiff_t nnz = 0; \
        for (ptrdiff_t b = 0; b < blocks; b++, x += length) { \
            const ptrdiff_t cols = min_size(n - b * length, length), start = nnz; \
            for (ptrdiff_t i = 0; i < cols; i += CSR_GROUP) \
                nnz += \
                    from_dense(x, i, min_size(cols, i + CSR_GROUP), col_idx + nnz, values + nnz); \
            packed[b] = (uint8_t)(nnz - start); \
            for (; (nnz - start) % CNET_NNZ_ALIGN; nnz++) { \
                col_idx[nnz] = col_idx[nnz - 1]; \
                values[nnz] = 0; \
            } \
        } \
        memmove(values + nnz, col_idx, (size_t)nnz); \
        return ROUND_UP_TO_REAL((uint8_t *)(values + nnz) + nnz - packed); \
    }
CSR_ROW_FROM_DENSE(csr_row_from_dense, real, csr_from_dense)
CSR_ROW_FROM_DENSE(csr_row_from_dense_uint8, uint8_t, csr_from_dense_uint8)

/* Rows `row` to row + m of `to`, column blocks 0 to end - first = rows rows[0..m) of x, column
   blocks first to end. Only pointers to the elements are written. Values of type uint8 are
   converted, times scale, to workspace. */
static void csr_gather_rows(const cnet_csr_packed *x, ptrdiff_t m, const int64_t *rows,
                            ptrdiff_t prefetch_distance, ptrdiff_t first, ptrdiff_t end,
                            const cnet_csr_batch *to, ptrdiff_t row, real scale, real *workspace) {
    const ptrdiff_t value_bytes = x->is_uint8 ? 1 : (ptrdiff_t)sizeof(real);
    for (ptrdiff_t i = 0; i < m; i++) {
        const int64_t *const next =
            row_to_prefetch(rows, i, m, prefetch_distance, PREFETCH_ROWS_CSR);
        if (next)
            prefetch_row(x->data + x->row_start[*next],
                         min_size(x->row_start[*next + 1] - x->row_start[*next], x->max_row_bytes));
        /* Elements, with padding, before the wanted blocks, in them, and after them. */
        const uint8_t *const block_nnz = x->data + x->row_start[rows[i]];
        ptrdiff_t before = 0, n = 0, after = 0;
        for (ptrdiff_t b = 0; b < first; b++)
            before += cnet_pad_nnz(block_nnz[b]);
        for (ptrdiff_t b = first; b < end; b++)
            n += cnet_pad_nnz(block_nnz[b]);
        for (ptrdiff_t b = end; b < x->n_blocks; b++)
            after += cnet_pad_nnz(block_nnz[b]);
        const uint8_t *const first_value =
                                 block_nnz + ROUND_UP_TO_REAL(x->n_blocks) + before * value_bytes,
                             *col_idx = first_value + (n + after) * value_bytes + before;
        const real *values = (const real *)(const void *)first_value;
        if (x->is_uint8) {
            rescale_bytes(n, first_value, scale, 0, workspace);
            values = workspace;
            workspace += n;
        }
        for (ptrdiff_t b = first; b < end; b++) {
            to->rows[b * to->capacity + row + i] = (cnet_csr_row){col_idx, values, block_nnz[b]};
            col_idx += cnet_pad_nnz(block_nnz[b]);
            values += cnet_pad_nnz(block_nnz[b]);
        }
    }
}

/* to (m, cols), CSC = column block `block`, of cols columns, of rows 0 to m of x, CSR. */
static void csr_to_csc(const cnet_csr_batch *x, ptrdiff_t block, ptrdiff_t m, ptrdiff_t cols,
                       const cnet_csc_block *to) {
    /* Locals: a store through uint8_t might, for all that a compiler knows, change what `to` points
       to. */
    uint8_t *const col_nnz = to->col_nnz, *const row_idx = to->row_idx;
    real *const csc_values = to->values;
    memset(col_nnz, 0, (size_t)cols);
    for (ptrdiff_t i = 0; i < m; i++) {
        const cnet_csr_row elements = x->rows[block * x->capacity + i];
        const uint8_t *col_idx = elements.col_idx, *const end = col_idx + elements.nnz;
        const real *values = elements.values;
        for (; col_idx < end; col_idx++, values++) {
            const ptrdiff_t e = *col_idx * m + col_nnz[*col_idx]++;
            row_idx[e] = (uint8_t)i;
            csc_values[e] = *values;
        }
    }
}
