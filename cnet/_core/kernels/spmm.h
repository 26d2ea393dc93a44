/* Products with sparse matrices (csr.h): the two products of a dense layer whose input is mostly
   zeros.

   A term of 0 changes no sum, so results are bitwise those of the dense products. An element costs
   as many loads as there are vectors in the panel, and no more than that to multiply. A dense
   product loads less per multiplication, since its register tile reuses each load. */

#define SPMM_NR (SPMM_VECS * VL)
#if SPMM_VECS < 4
#error "SPMM_VECS is to be at least 4: panels have up to four vectors"
#endif
/* Rows that lie this many bytes or more apart fall into few sets of the cache. A vector that is not
   aligned may lie in two cache lines. In either case B is packed, if so many rows are to be
   multiplied by it. */
#define PACK_STRIDE_BYTES 1024
#define MIN_ROWS_TO_PACK 16

INLINE real *aligned(real *p) { return p + (-(uintptr_t)p % (VL * sizeof(real))) / sizeof(real); }

static int should_pack(ptrdiff_t m, const real *x, ptrdiff_t ldx) {
    return m >= MIN_ROWS_TO_PACK && (ldx * (ptrdiff_t)sizeof(real) >= PACK_STRIDE_BYTES ||
                                     ldx % VL || (uintptr_t)x % (VL * sizeof(real)));
}

/* to[i, j] = x[i, j]; x (m, cols); rows of `to` are padded to full vectors */
static void pack_panel(ptrdiff_t m, ptrdiff_t cols, const real *x, ptrdiff_t ldx, real *to) {
    for (ptrdiff_t i = 0; i < m; i++, x += ldx)
        for (ptrdiff_t j = 0; j < cols; j += VL, to += VL)
            v_store(to, v_load_m(x + j, v_mask(min_size(cols - j, VL))));
}

INLINE ptrdiff_t round_up_to_vector(ptrdiff_t n) { return (n + VL - 1) / VL * VL; }

/* c[i, j] (+)= sum over k of x[i, k] * b[k, j], for `vecs` vectors of columns j, rows x[row] to
   x[row + m - 1], and `blocks` blocks of k. With split_k_stride the sum of each block is stored by
   itself. `unit` elements are processed per iteration. It is more than one only for a panel of one
   or two vectors, which is packed: then fewer of the instructions in flight are loop overhead. The
   sums of the next row do not wait for those of this one. */
INLINE void spmm_csr_ukernel(const int vecs, const int tail, const int unit,
                             const cnet_csr_batch *x, ptrdiff_t row, ptrdiff_t m, ptrdiff_t blocks,
                             const real *b, ptrdiff_t rs_b, vmask mask, real *c, ptrdiff_t rs_c,
                             ptrdiff_t split_k_stride, const real *bias, int first) {
    const int packed = unit > 1; /* b, with rows of full vectors */
    const ptrdiff_t ldb = packed ? vecs * VL : rs_b, b_block = x->block_length * ldb,
                    capacity = x->capacity;
    for (ptrdiff_t i = row; i < row + m; i++, c += rs_c) {
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
                    const real *const at = rows + (size_t)col_idx[e + u] * (size_t)ldb;
                    const vec a = v_set1(values[e + u]);
                    UNROLL for (int v = 0; v < vecs; v++)
                        sum[v] =
                            v_fma(a, load_lanes(packed || !tail || v < vecs - 1, at + v * VL, mask),
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
            const int full = !tail || v < vecs - 1;
            if (bias)
                total[v] = v_add(total[v], load_lanes(full, bias + v * VL, mask));
            store_lanes(full, c + v * VL, total[v], mask);
        }
    }
}

/* sums[k, j] += sum over i of x[i, k] * b[i, j], for rows x[row] to x[row + m - 1] of a column
   block; sums (block_length, vecs * VL) */
INLINE void csr_scatter_add(const int vecs, const int tail, const cnet_csr_batch *x, ptrdiff_t row,
                            ptrdiff_t m, const real *b, ptrdiff_t rs_b, vmask mask, real *sums) {
    const int unit = vecs <= 2 ? CNET_NNZ_ALIGN : 1;
    for (ptrdiff_t i = row; i < row + m; i++, b += rs_b) {
        const cnet_csr_row elements = x->rows[i];
        const uint8_t *const col_idx = elements.col_idx;
        const real *const values = elements.values;
        vec b_row[SPMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            b_row[v] = load_lanes(!tail || v < vecs - 1, b + v * VL, mask);
        for (ptrdiff_t e = 0; e < elements.nnz; e += unit) {
            vec sum[CNET_NNZ_ALIGN][SPMM_VECS];
            real *at[CNET_NNZ_ALIGN];
            UNROLL for (int u = 0; u < unit; u++) {
                const vec a = v_set1(values[e + u]);
                at[u] = sums + (size_t)col_idx[e + u] * (vecs * VL);
                UNROLL for (int v = 0; v < vecs; v++)
                    sum[u][v] = v_fma(a, b_row[v], v_load(at[u] + v * VL));
            }
            /* Padding first: its column index is that of an element before it. */
            UNROLL for (int u = unit - 1; u >= 0; u--) {
                UNROLL for (int v = 0; v < vecs; v++)
                    v_store(at[u] + v * VL, sum[u][v]);
            }
        }
    }
}

/* call(vecs, tail) with constants, for a panel of so many columns (cnet_spmm_cols). */
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

/* C (m, n) = X (m, k) @ B (k, n) + bias, X being CSR: one block of k and one panel of columns at a
   time, so that the weights of a panel stay in the level-1 cache. */
static void spmm(const cnet_csr_batch *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g) {
    real memory[CNET_KC * SPMM_NR + VL], *const panel = aligned(memory);
    const int packed = should_pack(g->m, g->b, g->rs_b);
    const ptrdiff_t blocks = (g->k + x->block_length - 1) / x->block_length;
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const ptrdiff_t width = round_up_to_vector(cols),
                        max_blocks = CNET_KC * SPMM_NR / (x->block_length * width);
        for (ptrdiff_t i = 0, n; i < blocks; i += n) {
            n = min_size(blocks - i, max_blocks);
            const real *b = g->b + i * x->block_length * g->rs_b + j;
            const real *const bias = g->bias && i + n == blocks ? g->bias + j : NULL;
            real *const c = g->c + j + i * g->split_k_stride;
            const ptrdiff_t rs_b = packed ? width : g->rs_b;
            if (packed) {
                pack_panel(min_size(g->k - i * x->block_length, n * x->block_length), cols, b,
                           g->rs_b, panel);
                b = panel;
            }
#define CALL_WITH(vecs, tail, unit) \
    spmm_csr_ukernel(vecs, tail, unit, x, (block + i) * x->capacity + row, g->m, n, b, rs_b, mask, \
                     c, g->rs_c, g->split_k_stride, bias, g->split_k_stride || i == 0)
#define CALL(vecs, tail) CALL_WITH(vecs, tail, 1)
            if (packed && width == VL)
                CALL_WITH(1, 1, CNET_NNZ_ALIGN);
            else if (packed && width == 2 * VL)
                CALL_WITH(2, 1, CNET_NNZ_ALIGN);
            else
                BY_VECS(cols, CALL)
#undef CALL
#undef CALL_WITH
        }
    }
}

/* x (m, n), whose rows are `width` apart, without gaps between rows: they can be added as one. */
static void compact_rows(ptrdiff_t m, ptrdiff_t n, ptrdiff_t width, real *x) {
    for (ptrdiff_t i = 1; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j += VL)
            v_store(x + i * n + j, v_load(x + i * width + j));
}

/* c[i, j] (+)= x[i, j]; x, c (m, n) */
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

/* C (m, n) (+)= X (k, m).T @ B (k, n), X being one column block of a CSR matrix: the sums of a
   panel stay in the level-1 cache, and each element adds one row of B to one of them. */
static void spmm_transposed(const cnet_csr_batch *x, ptrdiff_t block, const cnet_gemm *g,
                            int scratch) {
    real memory[CNET_KC * SPMM_NR + VL], *const buffer = aligned(memory);
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        const int contiguous = cols == g->rs_c; /* rows of c, which are then added as one */
        const ptrdiff_t width = round_up_to_vector(cols), rows = contiguous ? 1 : g->m,
                        length = contiguous ? g->m * cols : cols;
        for (ptrdiff_t i = 0; i < g->k; i += g->block) {
            const ptrdiff_t m = min_size(g->k - i, g->block);
            const int first = i == 0 && !g->accumulate, in_place = first && scratch;
            real *sums = in_place ? g->c : buffer;
            memset(sums, 0, (size_t)(g->m * width) * sizeof(real));
#define CALL(vecs, tail) \
    csr_scatter_add(vecs, tail, x, block * x->capacity + i, m, g->b + i * g->rs_b + j, g->rs_b, \
                    mask, sums)
            BY_VECS(cols, CALL)
#undef CALL
            if (contiguous && width > cols)
                compact_rows(g->m, cols, width, sums);
            if (!in_place)
                add_rows(rows, length, sums, width, g->c + j, g->rs_c, first);
        }
    }
}

/* c[k, j] = sum over i of x[i, k] * b[i, j], for `vecs` vectors of columns j; or an SGD step on c
   with that gradient. x (m, cols) is CSC: sums stay in registers. */
INLINE void spmm_csc_ukernel(const int vecs, const int tail, const cnet_csc_block *x, ptrdiff_t m,
                             ptrdiff_t cols, const real *b, ptrdiff_t rs_b, vmask mask, real *c,
                             ptrdiff_t rs_c, const cnet_update *sgd_update) {
    const uint8_t *const col_nnz = x->col_nnz;
    const cnet_update u = sgd_update ? *sgd_update : (cnet_update){.kind = CNET_SGD};
    const int changes = !sgd_update || u.l2 != 0; /* columns without elements, too */
    for (ptrdiff_t k = 0; k < cols; k++, c += rs_c) {
        const uint8_t *rows = x->row_idx + k * m, *const end = rows + col_nnz[k];
        const real *values = x->values + k * m;
        vec sum[SPMM_VECS];
        if (rows == end && !changes)
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
            const int full = !tail || v < vecs - 1;
            store_lanes(full, c + v * VL,
                        sgd_update ? update_of(CNET_SGD, load_lanes(full, c + v * VL, mask), sum[v],
                                               NULL, &u)
                                   : sum[v],
                        mask);
        }
    }
}

static void spmm_columns(const cnet_csc_block *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t rs_b, real *c, ptrdiff_t rs_c,
                         const cnet_update *sgd_update) {
    real memory[CNET_KC * SPMM_NR + VL], *const panel = aligned(memory);
    const int packed = should_pack(m, b, rs_b);
    for (ptrdiff_t j = 0, width; j < n; j += width, b += width, c += width) {
        width = cnet_spmm_cols(SPMM_NR, VL, n - j);
        const vmask mask = v_mask((width - 1) % VL + 1);
        if (packed)
            pack_panel(m, width, b, rs_b, panel);
#define CALL(vecs, tail) \
    spmm_csc_ukernel(vecs, tail, x, m, cols, packed ? panel : b, \
                     packed ? round_up_to_vector(width) : rs_b, mask, c, rs_c, sgd_update)
        BY_VECS(width, CALL)
#undef CALL
    }
}
