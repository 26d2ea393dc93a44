/* Rows of which most elements are 0, as images with a dark border have, and counts of words: lists
   of the elements that are not, and the two products of a dense layer with them. A term of 0
   changes no sum, so these have the bits of the products of all elements.

   Columns are cut where sums are (kernels.h), so that a block of a sum is a list, and col_idx in
   it fit into a byte. Either product works on one block of inputs and one panel of outputs at a
   time, whose weights or sums stay in the level-1 cache. An element costs as many loads as there
   are vectors in the panel, and no more than that to multiply: all that these products lack is the
   register tile's reuse of what was loaded. */

#define SPMM_NR (SPMM_VECS * VL)
#define ROUND_UP_TO_REAL(bytes) \
    (((bytes) + (ptrdiff_t)sizeof(real) - 1) / (ptrdiff_t)sizeof(real) * (ptrdiff_t)sizeof(real))
#define PREFETCH_ROWS 4
/* Rows this many bytes or more apart fall into few sets of the cache, and a vector that does not
   begin at a multiple of its size lies in two lines of it. Where so many rows of the other factor
   are to come, rows are copied first. */
#define PACK_STRIDE_BYTES 1024
#define MIN_ROWS_TO_PACK 16

INLINE int all_zero_bits(const void *p, size_t bytes) {
    uint64_t any = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, (const char *)p + i, sizeof word);
        any |= word;
    }
    return any == 0;
}

/* Elements first to end of a row, GROUP at a time. */
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

/* A record: how many elements each block has, and of all that are listed, the values and the
   col_idx. Either of the latter begins where a real may; col_idx are first written where they
   fit whatever there is. */
#define CSR_ROW_FROM_DENSE(name, number, list) \
    static ptrdiff_t name(ptrdiff_t n, const number *x, uint8_t *record) { \
        const ptrdiff_t length = cnet_block_length(n), blocks = cnet_block_count(n); \
        number *const values = (number *)(record + ROUND_UP_TO_REAL(blocks)); \
        uint8_t *const col_idx = (uint8_t *)(values + cnet_csr_max_nnz(n) + CNET_NNZ_SLACK); \
        ptrdiff_t total = 0; \
        for (ptrdiff_t b = 0; b < blocks; b++, x += length) { \
            const ptrdiff_t cols = min_size(n - b * length, length), before = total; \
            for (ptrdiff_t i = 0; i < cols; i += GROUP) \
                total += list(x, i, min_size(cols, i + GROUP), col_idx + total, values + total); \
            record[b] = (uint8_t)(total - before); \
            for (; (total - before) % CNET_NNZ_ALIGN; total++) { \
                col_idx[total] = col_idx[total - 1]; \
                values[total] = 0; \
            } \
        } \
        memmove(values + total, col_idx, (size_t)total); \
        return ROUND_UP_TO_REAL((uint8_t *)(values + total) + total - record); \
    }
CSR_ROW_FROM_DENSE(csr_row_from_dense, real, csr_from_dense)
CSR_ROW_FROM_DENSE(csr_row_from_dense_uint8, uint8_t, csr_from_dense_uint8)

static void csr_gather_rows(const cnet_csr_packed *x, ptrdiff_t m, const int64_t *rows,
                            ptrdiff_t prefetch_distance, ptrdiff_t first, ptrdiff_t end,
                            const cnet_csr_batch *to, ptrdiff_t row, real scale, real *room) {
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
            rescale_bytes(n, first_value, scale, 0, room);
            values = room;
            room += n;
        }
        for (ptrdiff_t b = first; b < end; b++) {
            const cnet_csr_row list = {col_idx, values, block_nnz[b]};
            to->rows[b * to->capacity + row + i] = list;
            col_idx += cnet_pad_nnz(block_nnz[b]);
            values += cnet_pad_nnz(block_nnz[b]);
        }
    }
}

INLINE real *aligned(real *p) { return p + (-(uintptr_t)p % (VL * sizeof(real))) / sizeof(real); }

static int should_pack(ptrdiff_t m, const real *x, ptrdiff_t ldx) {
    return m >= MIN_ROWS_TO_PACK && (ldx * (ptrdiff_t)sizeof(real) >= PACK_STRIDE_BYTES ||
                                     ldx % VL || (uintptr_t)x % (VL * sizeof(real)));
}

/* to = x (m, cols), in rows of whole vectors */
static void pack_panel(ptrdiff_t m, ptrdiff_t cols, const real *x, ptrdiff_t ldx, real *to) {
    for (ptrdiff_t i = 0; i < m; i++, x += ldx)
        for (ptrdiff_t j = 0; j < cols; j += VL, to += VL)
            v_store(to, v_load_m(x + j, v_mask(min_size(cols - j, VL))));
}

INLINE ptrdiff_t round_up_to_vector(ptrdiff_t n) { return (n + VL - 1) / VL * VL; }

/* c = or += the sums of `vecs` vectors of columns, for m rows and some blocks; or, where
   split_k_stride is not 0, that of each block by itself. `unit` elements are begun together, more
   than one only where b has been copied: for a panel of a vector or two, so that less of what the
   processor has in flight counts elements, and more of it multiplies. A sum waits for its last
   term, but those of the next list do not. */
INLINE void spmm_csr_ukernel(const int vecs, const int tail, const int unit,
                             const cnet_csr_batch *x, ptrdiff_t list, ptrdiff_t m, ptrdiff_t blocks,
                             const real *b, ptrdiff_t rs_b, vmask mask, real *c, ptrdiff_t rs_c,
                             ptrdiff_t split_k_stride, const real *bias, int first) {
    const int copied = unit > 1; /* b, into whole vectors */
    const ptrdiff_t row = copied ? vecs * VL : rs_b, b_block = x->block_length * row,
                    capacity = x->capacity;
    for (ptrdiff_t i = list; i < list + m; i++, c += rs_c) {
        vec total[SPMM_VECS], sum[SPMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = first ? v_set1(0) : load_lanes(!tail || v < vecs - 1, c + v * VL, mask);
        const real *rows = b;
        for (ptrdiff_t block = 0; block < blocks; block++, rows += b_block) {
            const cnet_csr_row *const elements = x->rows + block * capacity + i;
            const uint8_t *const col_idx = elements->col_idx;
            const ptrdiff_t n = elements->nnz;
            const real *const values = elements->values;
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_set1(0);
            for (ptrdiff_t e = 0; e < n; e += unit) {
                UNROLL for (int u = 0; u < unit; u++) {
                    const real *const at = rows + (size_t)col_idx[e + u] * (size_t)row;
                    const vec a = v_set1(values[e + u]);
                    UNROLL for (int v = 0; v < vecs; v++)
                        sum[v] =
                            v_fma(a, load_lanes(copied || !tail || v < vecs - 1, at + v * VL, mask),
                                  sum[v]);
                }
            }
            UNROLL for (int v = 0; v < vecs; v++) {
                if (split_k_stride)
                    store_lanes(!tail || v < vecs - 1, c + block * split_k_stride + v * VL, sum[v],
                                mask);
                total[v] = v_add(total[v], sum[v]);
            }
        }
        if (split_k_stride)
            continue;
        UNROLL for (int v = 0; v < vecs; v++) {
            const int whole = !tail || v < vecs - 1;
            if (bias)
                total[v] = v_add(total[v], load_lanes(whole, bias + v * VL, mask));
            store_lanes(whole, c + v * VL, total[v], mask);
        }
    }
}

/* sums (length, vecs * VL), all of them whole vectors: what rows `list` to `list` + m of x, and of
   b, add to each of a block's columns. */
INLINE void csr_scatter_add(const int vecs, const int tail, const cnet_csr_batch *x, ptrdiff_t list,
                            ptrdiff_t m, const real *b, ptrdiff_t rs_b, vmask mask, real *sums) {
    const int unit = vecs <= 2 ? CNET_NNZ_ALIGN : 1;
    for (ptrdiff_t i = list; i < list + m; i++, b += rs_b) {
        const cnet_csr_row elements = x->rows[i];
        const uint8_t *const col_idx = elements.col_idx;
        const real *const values = elements.values;
        vec row[SPMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            row[v] = load_lanes(!tail || v < vecs - 1, b + v * VL, mask);
        for (ptrdiff_t e = 0; e < elements.nnz; e += unit) {
            vec sum[CNET_NNZ_ALIGN][SPMM_VECS];
            real *at[CNET_NNZ_ALIGN];
            UNROLL for (int u = 0; u < unit; u++) {
                const vec a = v_set1(values[e + u]);
                at[u] = sums + (size_t)col_idx[e + u] * (vecs * VL);
                UNROLL for (int v = 0; v < vecs; v++)
                    sum[u][v] = v_fma(a, row[v], v_load(at[u] + v * VL));
            }
            /* Zeros first, whose position an element before them has. */
            UNROLL for (int u = unit - 1; u >= 0; u--) {
                UNROLL for (int v = 0; v < vecs; v++)
                    v_store(at[u] + v * VL, sum[u][v]);
            }
        }
    }
}

/* Constants are made of the number of vectors in a panel (cnet_spmm_cols), for each product. */
#define BY_VECS(cols, call) \
    if (cols == SPMM_NR) \
        call(SPMM_VECS, 0); \
    else \
        switch ((cols + VL - 1) / VL) { \
        case 1: call(1, 1); break; \
        case 2: call(2, 1); break; \
        case 3: call(3, 1); break; \
        case 4: call(4, 1); break; \
        }

static void spmm(const cnet_csr_batch *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g) {
    real memory[CNET_KC * SPMM_NR + VL], *const copy = aligned(memory);
    const int copied = should_pack(g->m, g->b, g->rs_b);
    const ptrdiff_t blocks = (g->k + x->block_length - 1) / x->block_length;
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const ptrdiff_t width = round_up_to_vector(cols),
                        most = CNET_KC * SPMM_NR / (x->block_length * width);
        for (ptrdiff_t i = 0, n; i < blocks; i += n) {
            n = min_size(blocks - i, most);
            const real *b = g->b + i * x->block_length * g->rs_b + j, *const bias =
                                                                          g->bias && i + n == blocks
                                                                              ? g->bias + j
                                                                              : NULL;
            real *const c = g->c + j + i * g->split_k_stride;
            const ptrdiff_t rs_b = copied ? width : g->rs_b;
            if (copied) {
                pack_panel(min_size(g->k - i * x->block_length, n * x->block_length), cols, b,
                           g->rs_b, copy);
                b = copy;
            }
#define CALL_WITH(vecs, tail, unit) \
    spmm_csr_ukernel(vecs, tail, unit, x, (block + i) * x->capacity + row, g->m, n, b, rs_b, mask, \
                     c, g->rs_c, g->split_k_stride, bias, g->split_k_stride || i == 0)
#define CALL(vecs, tail) CALL_WITH(vecs, tail, 1)
            if (copied && width == VL)
                CALL_WITH(1, 1, CNET_NNZ_ALIGN);
            else if (copied && width == 2 * VL)
                CALL_WITH(2, 1, CNET_NNZ_ALIGN);
            else
                BY_VECS(cols, CALL)
#undef CALL
#undef CALL_WITH
        }
    }
}

/* Closes the gaps between m rows of n elements that begin at whole vectors: rows without a gap can
   be taken as one. */
static void compact_rows(ptrdiff_t m, ptrdiff_t n, ptrdiff_t width, real *x) {
    for (ptrdiff_t i = 1; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j += VL)
            v_store(x + i * n + j, v_load(x + i * width + j));
}

static void add_rows(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, real *c,
                     ptrdiff_t rs_c, int first) {
    for (ptrdiff_t i = 0; i < m; i++, x += ldx, c += rs_c)
        for (ptrdiff_t j = 0; j < n; j += VL) {
            const vmask mask = v_mask(min_size(n - j, VL));
            v_store_m(c + j,
                      first ? v_load_m(x + j, mask)
                            : v_add(v_load_m(c + j, mask), v_load_m(x + j, mask)),
                      mask);
        }
}

static void spmm_transposed(const cnet_csr_batch *x, ptrdiff_t block, const cnet_gemm *g,
                            int scratch) {
    real memory[CNET_KC * SPMM_NR + VL], *const own = aligned(memory);
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const int joined = cols == g->rs_c; /* rows of c */
        const ptrdiff_t width = round_up_to_vector(cols), rows = joined ? 1 : g->m,
                        length = joined ? g->m * cols : cols;
        for (ptrdiff_t i = 0; i < g->k; i += g->block) {
            const ptrdiff_t m = min_size(g->k - i, g->block);
            const int first = i == 0 && !g->accumulate, in_place = first && scratch;
            real *sums = in_place ? g->c : own;
            memset(sums, 0, (size_t)(g->m * width) * sizeof(real));
#define CALL(vecs, tail) \
    csr_scatter_add(vecs, tail, x, block * x->capacity + i, m, g->b + i * g->rs_b + j, g->rs_b, \
                    mask, sums)
            BY_VECS(cols, CALL)
#undef CALL
            if (joined && width > cols)
                compact_rows(g->m, cols, width, sums);
            if (!in_place)
                add_rows(rows, length, sums, width, g->c + j, g->rs_c, first);
        }
    }
}

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
            const ptrdiff_t place = *col_idx * m + col_nnz[*col_idx]++;
            to_rows[place] = (uint8_t)i;
            to_values[place] = *values;
        }
    }
}

INLINE void spmm_csc_ukernel(const int vecs, const int tail, const cnet_csc_block *x, ptrdiff_t m,
                             ptrdiff_t cols, const real *b, ptrdiff_t rs_b, vmask mask, real *c,
                             ptrdiff_t rs_c, const cnet_update *sgd_update) {
    const uint8_t *const col_nnz = x->col_nnz;
    const cnet_update u = sgd_update ? *sgd_update : (cnet_update){.kind = CNET_SGD};
    const int moves = !sgd_update || u.l2 != 0; /* without a gradient */
    for (ptrdiff_t k = 0; k < cols; k++, c += rs_c) {
        const uint8_t *rows = x->row_idx + k * m, *const end = rows + col_nnz[k];
        const real *values = x->values + k * m;
        vec sum[SPMM_VECS];
        if (rows == end && !moves)
            continue;
        UNROLL for (int v = 0; v < vecs; v++)
            sum[v] = v_set1(0);
        for (; rows < end; rows++, values++) {
            const real *row = b + *rows * rs_b;
            const vec a = v_set1(*values);
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_fma(a, load_lanes(!tail || v < vecs - 1, row + v * VL, mask), sum[v]);
        }
        UNROLL for (int v = 0; v < vecs; v++) {
            const int whole = !tail || v < vecs - 1;
            store_lanes(whole, c + v * VL,
                        sgd_update ? update_of(CNET_SGD, load_lanes(whole, c + v * VL, mask),
                                               sum[v], NULL, &u)
                                   : sum[v],
                        mask);
        }
    }
}

static void spmm_columns(const cnet_csc_block *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t rs_b, real *c, ptrdiff_t rs_c,
                         const cnet_update *sgd_update) {
    real memory[CNET_KC * SPMM_NR + VL], *const copy = aligned(memory);
    const int copied = should_pack(m, b, rs_b);
    for (ptrdiff_t j = 0, width; j < n; j += width, b += width, c += width) {
        width = cnet_spmm_cols(SPMM_NR, VL, n - j);
        const vmask mask = v_mask((width - 1) % VL + 1);
        if (copied)
            pack_panel(m, width, b, rs_b, copy);
#define CALL(vecs, tail) \
    spmm_csc_ukernel(vecs, tail, x, m, cols, copied ? copy : b, \
                     copied ? round_up_to_vector(width) : rs_b, mask, c, rs_c, sgd_update)
        BY_VECS(width, CALL)
#undef CALL
    }
}
