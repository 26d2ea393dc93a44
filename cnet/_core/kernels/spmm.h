/* SpMM: the products of a dense layer with a sparse input x (rows, columns), CSR or CSC.

     spmm             x @ W      forward
     spmm_transposed  x.T @ dY   gradient of the weights, x in CSR: scatters into rows of c
     spmm_columns     x.T @ dY   the same, x in CSC: sums in registers, and may update the weights

   Results are bitwise those of the dense products: a term of 0 does not change a sum, and sums are
   cut into the same blocks.

   Each product works on one block of columns of x (KC rows of b or c) and one panel of SPMM_NR
   columns of b or c at a time. The panel stays in the level-1 cache. An element of x costs one load
   and one multiply-add per vector of the panel. The register tile of gemm.h reuses each load for MR
   rows; that is all that a sparse product lacks. */

#define SPMM_NR (SPMM_VECS * VL)
/* The panel is packed if it is used for at least SPMM_PACK_MIN_ROWS rows of x, and either its rows
   lie SPMM_PACK_STRIDE bytes or more apart, so that they fall into few sets of the cache, or they
   do not begin at multiples of a vector's size, so that vectors cross cache lines. */
#define SPMM_PACK_STRIDE 1024
#define SPMM_PACK_MIN_ROWS 16

/* The first multiple of a vector's size at or after p. */
INLINE real *align_to_vector(real *p) {
    return p + (-(uintptr_t)p % (VL * sizeof(real))) / sizeof(real);
}

/* Whether to pack b for m rows of x. */
static int should_pack(ptrdiff_t m, const real *b, ptrdiff_t rs_b) {
    return m >= SPMM_PACK_MIN_ROWS && (rs_b * (ptrdiff_t)sizeof(real) >= SPMM_PACK_STRIDE ||
                                       rs_b % VL || (uintptr_t)b % (VL * sizeof(real)));
}

/* panel (k, round_up(cols, VL)) = b (k, cols), padded with zeros */
static void pack_panel(ptrdiff_t k, ptrdiff_t cols, const real *b, ptrdiff_t rs_b, real *panel) {
    for (ptrdiff_t i = 0; i < k; i++, b += rs_b)
        for (ptrdiff_t j = 0; j < cols; j += VL, panel += VL)
            v_store(panel, v_load_m(b + j, v_mask(min_size(cols - j, VL))));
}

typedef struct {
    const cnet_csr_batch *x;
    ptrdiff_t row;       /* of x->rows: the first row, in the first block */
    ptrdiff_t m, blocks; /* rows of x and of c; blocks of columns of x */
    const real *b;
    ptrdiff_t rs_b;
    real *c;
    ptrdiff_t rs_c, split_k_stride;
    const real *bias; /* only with the last block */
    int first;        /* overwrite c instead of adding to it */
    vmask mask;       /* of the last vector of a panel */
} spmm_args;

/* c[i, j] (+)= sum over blocks of (sum over elements e of row i of values[e] * b[col_idx[e], j]),
   plus bias[j]; x (m, blocks * block_length), b (blocks * block_length, cols), c (m, cols). With
   split_k_stride, the sum of each block is written to a c of its own.

   vecs: vectors of a row of c. tail: the last one has only the lanes of mask. unroll: elements per
   iteration. More than one needs a packed b: padding elements have an index whose row is read. It
   pays for panels of one or two vectors, where counting elements would fill the processor's window
   of instructions. A block's sum has the latency of its chain of multiply-adds, but the chains of
   the next rows overlap with it. */
INLINE void spmm_csr_ukernel(const int vecs, const int tail, const int unroll, const spmm_args *t) {
    const int packed = unroll > 1; /* all vectors of b are full */
    const ptrdiff_t rs_b = packed ? vecs * VL : t->rs_b, b_block = t->x->block_length * rs_b,
                    capacity = t->x->capacity, blocks = t->blocks, end = t->row + t->m,
                    rs_c = t->rs_c, split_k_stride = t->split_k_stride;
    const real *const bias = t->bias;
    const vmask mask = t->mask;
    real *c = t->c;
    for (ptrdiff_t i = t->row; i < end; i++, c += rs_c) {
        vec total[SPMM_VECS], sum[SPMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = t->first ? v_set1(0) : load_lanes(!tail || v < vecs - 1, c + v * VL, mask);
        const real *b = t->b;
        for (ptrdiff_t block = 0; block < blocks; block++, b += b_block) {
            const cnet_csr_row *const elements = t->x->rows + block * capacity + i;
            const uint8_t *const col_idx = elements->col_idx;
            const ptrdiff_t nnz = elements->nnz;
            const real *const values = elements->values;
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_set1(0);
            for (ptrdiff_t e = 0; e < nnz; e += unroll) {
                UNROLL for (int u = 0; u < unroll; u++) {
                    const real *const row = b + (size_t)col_idx[e + u] * (size_t)rs_b;
                    const vec a = v_set1(values[e + u]);
                    UNROLL for (int v = 0; v < vecs; v++)
                        sum[v] = v_fma(
                            a, load_lanes(packed || !tail || v < vecs - 1, row + v * VL, mask),
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

/* sums[col_idx[e], j] += values[e] * b[i, j] for elements e of rows i of one block of columns;
   x (m, block_length), b (m, cols), sums (block_length, vecs * VL), which is aligned.

   row: of x->rows. vecs, tail, mask: as above. */
INLINE void csr_scatter_add(const int vecs, const int tail, const cnet_csr_batch *x, ptrdiff_t row,
                            ptrdiff_t m, const real *b, ptrdiff_t rs_b, vmask mask, real *sums) {
    const int unroll = vecs <= 2 ? CNET_NNZ_ALIGN : 1;
    for (ptrdiff_t i = row; i < row + m; i++, b += rs_b) {
        const cnet_csr_row elements = x->rows[i];
        const uint8_t *const col_idx = elements.col_idx;
        const real *const values = elements.values;
        vec b_row[SPMM_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            b_row[v] = load_lanes(!tail || v < vecs - 1, b + v * VL, mask);
        for (ptrdiff_t e = 0; e < elements.nnz; e += unroll) {
            vec sum[CNET_NNZ_ALIGN][SPMM_VECS];
            real *c_row[CNET_NNZ_ALIGN];
            UNROLL for (int u = 0; u < unroll; u++) {
                const vec a = v_set1(values[e + u]);
                c_row[u] = sums + (size_t)col_idx[e + u] * (vecs * VL);
                UNROLL for (int v = 0; v < vecs; v++)
                    sum[u][v] = v_fma(a, b_row[v], v_load(c_row[u] + v * VL));
            }
            /* In reverse: padding has the column index of the last element, whose sum must be the
               one that stays. */
            UNROLL for (int u = unroll - 1; u >= 0; u--) {
                UNROLL for (int v = 0; v < vecs; v++)
                    v_store(c_row[u] + v * VL, sum[u][v]);
            }
        }
    }
}

/* call(vecs, tail) with constants, for a panel of cols = cnet_spmm_cols(...) columns. */
#define DISPATCH_VECS(cols, call) \
    if (cols == SPMM_NR) \
        call(SPMM_VECS, 0); \
    else \
        switch ((cols + VL - 1) / VL) { \
        case 1: call(1, 1); break; \
        case 2: call(2, 1); break; \
        case 3: call(3, 1); break; \
        case 4: call(4, 1); break; \
        }

/* g->c (m, n) = x @ g->b (k, n), plus g->bias; x (m, k), from row `row` and column block `block`
   on. Blocks whose panels fit together are taken together: totals stay in registers. */
static void spmm(const cnet_csr_batch *x, ptrdiff_t row, ptrdiff_t block, const cnet_gemm *g) {
    real memory[CNET_KC * SPMM_NR + VL], *const panel = align_to_vector(memory);
    const int packed = should_pack(g->m, g->b, g->rs_b);
    const ptrdiff_t length = x->block_length, blocks = (g->k + length - 1) / length;
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const ptrdiff_t width = round_up(cols, VL),
                        max_blocks = CNET_KC * SPMM_NR / (length * width);
        for (ptrdiff_t i = 0, n; i < blocks; i += n) {
            n = min_size(blocks - i, max_blocks);
            spmm_args t = {
                .x = x,
                .row = (block + i) * x->capacity + row,
                .m = g->m,
                .blocks = n,
                .b = g->b + i * length * g->rs_b + j,
                .rs_b = g->rs_b,
                .c = g->c + j + i * g->split_k_stride,
                .rs_c = g->rs_c,
                .split_k_stride = g->split_k_stride,
                .bias = g->bias && i + n == blocks ? g->bias + j : NULL,
                .first = g->split_k_stride || i == 0,
                .mask = v_mask((cols - 1) % VL + 1),
            };
            if (packed) {
                pack_panel(min_size(g->k - i * length, n * length), cols, t.b, g->rs_b, panel);
                t.b = panel;
                t.rs_b = width;
            }
#define CALL(vecs, tail) spmm_csr_ukernel(vecs, tail, 1, &t)
            if (packed && width == VL)
                spmm_csr_ukernel(1, 1, CNET_NNZ_ALIGN, &t);
            else if (packed && width == 2 * VL)
                spmm_csr_ukernel(2, 1, CNET_NNZ_ALIGN, &t);
            else
                DISPATCH_VECS(cols, CALL)
#undef CALL
        }
    }
}

/* x (m, n), leading dimension n = x (m, n), leading dimension ldx, in place */
static void compact_rows(ptrdiff_t m, ptrdiff_t n, ptrdiff_t ldx, real *x) {
    for (ptrdiff_t i = 1; i < m; i++)
        for (ptrdiff_t j = 0; j < n; j += VL)
            v_store(x + i * n + j, v_load(x + i * ldx + j));
}

/* c[i, j] = x[i, j] if first, else c[i, j] += x[i, j]; x, c (m, n) */
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

/* g->c (m, n) (+)= x.T @ g->b (k, n); x (k, m), rows 0 to k of column block `block`. The sum of
   each block of g->block rows of x is collected in a panel of its own. With scratch, c has space
   for whole vectors, and the first block is summed there. */
static void spmm_transposed(const cnet_csr_batch *x, ptrdiff_t block, const cnet_gemm *g,
                            int scratch) {
    real memory[CNET_KC * SPMM_NR + VL], *const panel = align_to_vector(memory);
    for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
        cols = cnet_spmm_cols(SPMM_NR, VL, g->n - j);
        const vmask mask = v_mask((cols - 1) % VL + 1);
        /* If rows of c are contiguous, they are added as one long row: fewer tails. */
        const int contiguous = cols == g->rs_c;
        const ptrdiff_t width = round_up(cols, VL), rows = contiguous ? 1 : g->m,
                        length = contiguous ? g->m * cols : cols;
        for (ptrdiff_t i = 0; i < g->k; i += g->block) {
            const ptrdiff_t m = min_size(g->k - i, g->block);
            const int first = i == 0 && !g->accumulate, in_place = first && scratch;
            real *sums = in_place ? g->c : panel;
            memset(sums, 0, (size_t)(g->m * width) * sizeof(real));
#define CALL(vecs, tail) \
    csr_scatter_add(vecs, tail, x, block * x->capacity + i, m, g->b + i * g->rs_b + j, g->rs_b, \
                    mask, sums)
            DISPATCH_VECS(cols, CALL)
#undef CALL
            if (contiguous && width > cols)
                compact_rows(g->m, cols, width, sums);
            if (!in_place)
                add_rows(rows, length, sums, width, g->c + j, g->rs_c, first);
        }
    }
}

/* c[k, j] = sum over elements e of column k of values[e] * b[row_idx[e], j], or an SGD step on
   c[k, j] with that gradient; x (m, cols), b (m, vecs * VL), c (cols, vecs * VL).

   vecs, tail, mask: as above. A column without elements has a gradient of 0: without an L2 penalty
   it is skipped. */
INLINE void spmm_csc_ukernel(const int vecs, const int tail, const cnet_csc_block *x, ptrdiff_t m,
                             ptrdiff_t cols, const real *b, ptrdiff_t rs_b, vmask mask, real *c,
                             ptrdiff_t rs_c, const cnet_update *sgd_update) {
    const uint8_t *const col_nnz = x->col_nnz;
    const cnet_update u = sgd_update ? *sgd_update : (cnet_update){.kind = CNET_SGD};
    const int writes_empty = !sgd_update || u.l2 != 0;
    for (ptrdiff_t k = 0; k < cols; k++, c += rs_c) {
        const uint8_t *row_idx = x->row_idx + k * m, *const end = row_idx + col_nnz[k];
        const real *values = x->values + k * m;
        vec sum[SPMM_VECS];
        if (row_idx == end && !writes_empty)
            continue;
        UNROLL for (int v = 0; v < vecs; v++)
            sum[v] = v_set1(0);
        for (; row_idx < end; row_idx++, values++) {
            const real *b_row = b + *row_idx * rs_b;
            const vec a = v_set1(*values);
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_fma(a, load_lanes(!tail || v < vecs - 1, b_row + v * VL, mask), sum[v]);
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

/* c (cols, n) = x.T @ b, or an SGD step on c with that gradient; x (m, cols), b (m, n),
   m <= KC */
static void spmm_columns(const cnet_csc_block *x, ptrdiff_t m, ptrdiff_t cols, ptrdiff_t n,
                         const real *b, ptrdiff_t rs_b, real *c, ptrdiff_t rs_c,
                         const cnet_update *sgd_update) {
    real memory[CNET_KC * SPMM_NR + VL], *const panel = align_to_vector(memory);
    const int packed = should_pack(m, b, rs_b);
    for (ptrdiff_t j = 0, width; j < n; j += width, b += width, c += width) {
        width = cnet_spmm_cols(SPMM_NR, VL, n - j);
        const vmask mask = v_mask((width - 1) % VL + 1);
        if (packed)
            pack_panel(m, width, b, rs_b, panel);
#define CALL(vecs, tail) \
    spmm_csc_ukernel(vecs, tail, x, m, cols, packed ? panel : b, \
                     packed ? round_up(width, VL) : rs_b, mask, c, rs_c, sgd_update)
        DISPATCH_VECS(width, CALL)
#undef CALL
    }
}
