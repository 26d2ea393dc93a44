/* Sparse matrices: blocked CSR from dense rows, mini-batches of them, and CSC from CSR.

   Images with a dark border, counts of words and one-hot columns are mostly zeros. Columns are cut
   into the blocks in which a sum is computed (kernels.h), so that the elements of a row in a block
   are one block of a sum, and a column index within it fits into a byte. */

#define ROUND_UP_TO_REAL(bytes) \
    (((bytes) + (ptrdiff_t)sizeof(real) - 1) / (ptrdiff_t)sizeof(real) * (ptrdiff_t)sizeof(real))
#define PREFETCH_ROWS 4

INLINE int all_zero_bits(const void *p, size_t bytes) {
    uint64_t any = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)p + i, sizeof word);
        any |= word;
    }
    return any == 0;
}

/* The nonzero elements of x[first] to x[end - 1], at most GROUP of them; returns their number.
   Without a branch for each element: all are written, and the position moves on only past a nonzero
   one. AVX-512 has instructions for this (simd_x86.h). */
#define CSR_FROM_DENSE(name, number) \
    INLINE ptrdiff_t name(const number *x, ptrdiff_t first, ptrdiff_t end, uint8_t *col_idx, \
                          number *values) { \
        ptrdiff_t total = 0; \
        if (end - first == GROUP && all_zero_bits(x + first, GROUP * sizeof(number))) \
            return 0; \
        for (ptrdiff_t j = first; j < end; j++) { \
            col_idx[total] = (uint8_t)j; \
            values[total] = x[j]; \
            total += x[j] != 0; \
        } \
        return total; \
    }
#ifndef GROUP
#define GROUP 8
CSR_FROM_DENSE(csr_from_dense, real)
CSR_FROM_DENSE(csr_from_dense_uint8, uint8_t)
#endif

/* Pack a row x (n): the number of elements of each block (uint8), all values, all column indices.
   Values are aligned like a real. Column indices are first written behind the most values that
   there can be, and moved at the end. */
#define CSR_ROW_FROM_DENSE(name, number, from_dense) \
    static ptrdiff_t name(ptrdiff_t n, const number *x, uint8_t *packed) { \
        const ptrdiff_t length = cnet_block_length(n), blocks = cnet_block_count(n); \
        number *const values = (number *)(packed + ROUND_UP_TO_REAL(blocks)); \
        uint8_t *const col_idx = (uint8_t *)(values + cnet_csr_max_nnz(n) + CNET_NNZ_SLACK); \
        ptrdiff_t total = 0; \
        for (ptrdiff_t b = 0; b < blocks; b++, x += length) { \
            const ptrdiff_t cols = min_size(n - b * length, length), before = total; \
            for (ptrdiff_t i = 0; i < cols; i += GROUP) \
                total += \
                    from_dense(x, i, min_size(cols, i + GROUP), col_idx + total, values + total); \
            packed[b] = (uint8_t)(total - before); \
            for (; (total - before) % CNET_NNZ_ALIGN; total++) { \
                col_idx[total] = col_idx[total - 1]; \
                values[total] = 0; \
            } \
        } \
        memmove(values + total, col_idx, (size_t)total); \
        return ROUND_UP_TO_REAL((uint8_t *)(values + total) + total - packed); \
    }
CSR_ROW_FROM_DENSE(csr_row_from_dense, real, csr_from_dense)
CSR_ROW_FROM_DENSE(csr_row_from_dense_uint8, uint8_t, csr_from_dense_uint8)

/* The rows `rows` of x, from column block `first` to `end`, as rows of a mini-batch from `row` on.
 */
static void csr_gather_rows(const cnet_csr_packed *x, ptrdiff_t m, const int64_t *rows,
                            ptrdiff_t prefetch_distance, ptrdiff_t first, ptrdiff_t end,
                            const cnet_csr_batch *to, ptrdiff_t row, real scale, real *workspace) {
    const ptrdiff_t size = x->is_uint8 ? 1 : (ptrdiff_t)sizeof(real);
    for (ptrdiff_t i = 0; i < m; i++) {
        const int64_t *const next = row_to_prefetch(rows, i, m, prefetch_distance, PREFETCH_ROWS);
        if (next)
            prefetch_row(x->data + x->row_start[*next],
                         min_size(x->row_start[*next + 1] - x->row_start[*next], x->max_row_bytes));
        const uint8_t *const block_nnz = x->data + x->row_start[rows[i]];
        ptrdiff_t before = 0, n = 0, after = 0;
        for (ptrdiff_t b = 0; b < first; b++)
            before += cnet_pad_nnz(block_nnz[b]);
        for (ptrdiff_t b = first; b < end; b++)
            n += cnet_pad_nnz(block_nnz[b]);
        for (ptrdiff_t b = end; b < x->n_blocks; b++)
            after += cnet_pad_nnz(block_nnz[b]);
        const uint8_t *const first_value =
                                 block_nnz + ROUND_UP_TO_REAL(x->n_blocks) + before * size,
                             *col_idx = first_value + (n + after) * size + before;
        const real *values = (const real *)(const void *)first_value;
        if (x->is_uint8) {
            rescale_bytes(n, first_value, scale, 0, workspace);
            values = workspace;
            workspace += n;
        }
        for (ptrdiff_t b = first; b < end; b++) {
            const cnet_csr_row elements = {col_idx, values, block_nnz[b]};
            to->rows[b * to->capacity + row + i] = elements;
            col_idx += cnet_pad_nnz(block_nnz[b]);
            values += cnet_pad_nnz(block_nnz[b]);
        }
    }
}

/* One column block of rows 0 to m of x (m, cols), as CSC: the elements of each column, in the order
   of rows. */
static void csr_to_csc(const cnet_csr_batch *x, ptrdiff_t block, ptrdiff_t m, ptrdiff_t cols,
                       const cnet_csc_block *to) {
    uint8_t *const col_nnz = to->col_nnz, *const to_rows = to->row_idx;
    real *const to_values = to->values;
    memset(col_nnz, 0, (size_t)cols);
    for (ptrdiff_t i = 0; i < m; i++) {
        const cnet_csr_row elements = x->rows[block * x->capacity + i];
        const uint8_t *col_idx = elements.col_idx, *const end = col_idx + elements.nnz;
        const real *values = elements.values;
        for (; col_idx < end; col_idx++, values++) {
            const ptrdiff_t position = *col_idx * m + col_nnz[*col_idx]++;
            to_rows[position] = (uint8_t)i;
            to_values[position] = *values;
        }
    }
}
