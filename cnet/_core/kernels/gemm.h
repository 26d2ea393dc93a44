/* Matrix product: C (m, n) = A (m, k) @ B (k, n) + bias.

   The micro-kernel computes a tile of C, up to MR x NR, for one block of k: it loads NR_VECS
   vectors of a row of B, broadcasts one element of each row of A, and multiplies and adds. A sum is
   never split across lanes. So each element of C is summed in the order of k, whatever tile it is
   in.

   A call writes the elements of C that it is given and no others. Packed panels are on its stack.
 */

/* B is packed into a panel if at least PACK_TILES tiles use it and its rows lie PACK_STRIDE bytes
   or more apart: then they map to few sets of the cache, and need a TLB entry each. It is also
   packed if n is not a multiple of VL on an instruction set without masked loads. */
#define PACK_TILES 4
#define PACK_STRIDE 1024
/* MC rows of A: with a block of k they fill a fifth of a 512 KiB level-2 cache, and leave space for
   as many rows of C. If A is transposed and C has PACK_COLS columns or more, up to CNET_MC_PACKED
   rows of A are packed, since its columns may lie a page apart. Both panels take up to 100 KiB of
   stack; some C libraries give a thread no more than 128 KiB. */
#define MC 128
#define PACK_COLS 256
#define PACKED_SIZE (CNET_MC_PACKED * 128)
#define COLUMN_VECS 4
/* Vectors of a tile of a single row: so many sums fill the pipelines. Its cost is to read B. */
#define ROW_VECS 8
#define ROW_NR (ROW_VECS * VL)

typedef struct {
    const real *a;
    ptrdiff_t rs_a, cs_a;
    const real *b;
    ptrdiff_t rs_b;
    ptrdiff_t k;
    real *c;
    ptrdiff_t rs_c, cs_c;
    const real *bias; /* only with the last block */
    int first;        /* the first block overwrites c, the others add to it */
} ukernel_args;

/* c[j * cs_c + r] (+)= sums[r * width + j] for sums (rows, cols): C has contiguous columns. Full
   lanes and vectors are transposed in registers; the rest is stored element by element. It is not
   inlined, which would copy it for each size of tile. */
OUTLINE void store_transposed(ptrdiff_t rows, ptrdiff_t width, const real *sums, real *c,
                              ptrdiff_t cs_c, int first, ptrdiff_t cols) {
    const ptrdiff_t full_rows = rows / LANE * LANE, full_cols = cols / VL * VL;
    for (ptrdiff_t j = 0; j < full_cols; j += VL)
        for (ptrdiff_t r = 0; r < full_rows; r += LANE) {
            vec transposed[LANE];
            UNROLL for (int i = 0; i < LANE; i++)
                transposed[i] = v_load(sums + (r + i) * width + j);
            v_transpose_lanes(transposed);
            UNROLL for (int i = 0; i < LANE; i++) {
                real *at = c + (j + i) * cs_c + r;
                v_store_lanes(at, LANE * cs_c,
                              first ? transposed[i]
                                    : v_add(v_load_lanes(at, LANE * cs_c), transposed[i]));
            }
        }
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t j = r < full_rows ? full_cols : 0; j < cols; j++)
            c[j * cs_c + r] = first ? sums[r * width + j] : c[j * cs_c + r] + sums[r * width + j];
}

/* acc[r][v] += a[r] * b[v]: one term of each sum of a tile. Rows from MR on are addressed from
   `upper`, since a tile with more rows needs more addresses than there are registers. */
INLINE void multiply_add(const int rows, const int vecs, const int tail, const real *a,
                         const real *upper, ptrdiff_t rs_a, const real *b, vmask mask,
                         vec acc[MR_NARROW][ROW_VECS]) {
    vec bv[ROW_VECS];
    UNROLL for (int v = 0; v < vecs; v++)
        bv[v] = load_lanes(NO_MASKED_LOADS || !tail || v < vecs - 1, b + v * VL, mask);
    UNROLL for (int r = 0; r < rows; r++) {
        vec av = v_set1(r < MR ? a[r * rs_a] : upper[(r - MR) * rs_a]);
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_fma(av, bv[v], acc[r][v]);
    }
}

/* The micro-kernel: c (rows, cols) (+)= a (rows, k) @ b (k, cols) for one block of k. rows, vecs
   and tail are constants where it is inlined, so that acc is in registers. tail: the last vector
   has fewer than VL columns. */
INLINE void ukernel(const int rows, const int vecs, const int tail, const ukernel_args *t,
                    ptrdiff_t cols) {
    const real *a = t->a, *b = t->b;
    const ptrdiff_t rs_a = t->rs_a, cs_a = t->cs_a, rs_b = t->rs_b;
    const real *upper = a + (rows > MR ? MR * rs_a : 0);
    vmask mask = v_mask(tail ? cols - (vecs - 1) * VL : VL);
    vec acc[MR_NARROW][ROW_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < t->k; k++, a += cs_a, upper += cs_a, b += rs_b)
        multiply_add(rows, vecs, tail, a, upper, rs_a, b, mask, acc);

    /* Locals, since a compiler has to assume that a store to c changes *t. */
    real *const c0 = t->c;
    const real *const bias = t->bias;
    const ptrdiff_t rs_c = t->rs_c;
    const int first = t->first;
    if (rows > MR || t->cs_c == 1) {
        UNROLL for (int v = 0; v < vecs; v++) {
            const int part = tail && v == vecs - 1;
            vec shift = v_set1(0);
            if (bias)
                shift = part ? v_load_m(bias + v * VL, mask) : v_load(bias + v * VL);
            UNROLL for (int r = 0; r < rows; r++) {
                real *c = c0 + r * rs_c + v * VL;
                vec sum = acc[r][v];
                if (!first)
                    sum = v_add(part ? v_load_m(c, mask) : v_load(c), sum);
                if (bias)
                    sum = v_add(sum, shift);
                if (part)
                    v_store_m(c, sum, mask);
                else
                    v_store(c, sum);
            }
        }
    } else {
        real sums[MR * ROW_NR];
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                v_store(sums + (r * vecs + v) * VL, acc[r][v]);
        }
        store_transposed(rows, vecs * VL, sums, c0, t->cs_c, first, cols);
    }
}

static void dispatch_ukernel(int rows, ptrdiff_t cols, const ukernel_args *t) {
    DISPATCH_TILE(ukernel, MR_NARROW)
}

/* panel (k, NR) = b (k, cols). Columns from cols on are zero or not written; they do not reach C.
 */
static void pack_b(ptrdiff_t k, ptrdiff_t cols, const real *b, ptrdiff_t rs_b, ptrdiff_t cs_b,
                   real *panel) {
    if (cs_b != 1) {
        transpose_matrix(cols, k, b, cs_b, panel, NR);
    } else if (cols == NR) {
        for (ptrdiff_t i = 0; i < k; i++) {
            UNROLL for (int v = 0; v < NR_VECS; v++)
                v_store(panel + i * NR + v * VL, v_load(b + i * rs_b + v * VL));
        }
    } else {
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j < cols; j += VL)
                v_store(panel + i * NR + j,
                        v_load_m(b + i * rs_b + j, v_mask(cols - j < VL ? cols - j : VL)));
    }
}

/* The rows of a tile: m rows are distributed evenly, since a last tile of one row would take as
   long as a full one. */
INLINE int tile_height(ptrdiff_t m, ptrdiff_t max_rows, ptrdiff_t tile) {
    const ptrdiff_t tiles = (m + max_rows - 1) / max_rows;
    return (int)(m / tiles + (tile < m % tiles));
}

/* rows = a (m, k), whose columns are contiguous: tile by tile, the columns of a tile in order. */
static void pack_a(ptrdiff_t m, ptrdiff_t k, const real *a, ptrdiff_t cs_a, real *rows) {
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int height = tile_height(m, MR, tile);
        if (height == MR)
            for (ptrdiff_t j = 0; j < k; j++, rows += MR)
                memcpy(rows, a + i + j * cs_a, MR * sizeof(real));
        else
            for (ptrdiff_t j = 0; j < k; j++, rows += height)
                memcpy(rows, a + i + j * cs_a, (size_t)height * sizeof(real));
        i += height;
    }
}

/* The macro-kernel: c (m, cols) for one panel of B and one block of k. With packed_rows, t->a is
   the result of pack_a. */
static void gemm_macro_kernel(ptrdiff_t m, ptrdiff_t cols, ukernel_args *t, int packed_rows) {
    const ptrdiff_t max_rows = cols <= VL && t->cs_c == 1 && !packed_rows ? MR_NARROW : MR;
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = tile_height(m, max_rows, tile);
        if (packed_rows) {
            t->rs_a = 1;
            t->cs_a = rows;
        }
        dispatch_ukernel(rows, cols, t);
        t->a += packed_rows ? rows * t->k : rows * t->rs_a;
        t->c += rows * t->rs_c;
        i += rows;
    }
}

static void gemm_blocked(const cnet_gemm *g) {
    real panel[CNET_KC * NR], rows[PACKED_SIZE];
    const int packed_rows = g->cs_a != 1 && g->m > 1 && g->n >= PACK_COLS;
    const ptrdiff_t length = g->block ? g->block : cnet_block_length(g->k),
                    block = length ? length : 1;
    const ptrdiff_t row_block =
        packed_rows ? min_size(CNET_MC_PACKED, PACKED_SIZE / block / MR * MR) : MC;
    const int strided = g->rs_b * (ptrdiff_t)sizeof(real) >= PACK_STRIDE,
              ragged = NO_MASKED_LOADS && g->n % VL;

    for (ptrdiff_t i = 0; i < g->m; i += row_block) {
        const ptrdiff_t m = g->m - i < row_block ? g->m - i : row_block;
        const int packed = g->cs_b != 1 || ragged || (strided && m >= PACK_TILES * MR);
        for (ptrdiff_t k = 0; k < g->k || k == 0; k += block) {
            const ptrdiff_t depth = g->k - k < block ? g->k - k : block;
            const real *a = g->a + i * g->rs_a + k * g->cs_a;
            if (packed_rows)
                pack_a(m, depth, a, g->cs_a, rows);
            for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
                const int wide = g->m == 1 && !packed && !packed_rows && g->n - j >= ROW_NR;
                cols = wide ? ROW_NR : g->n - j < NR ? g->n - j : NR;
                ukernel_args t = {
                    packed_rows ? rows : a,
                    g->rs_a,
                    g->cs_a,
                    g->b + k * g->rs_b + j * g->cs_b,
                    g->rs_b,
                    depth,
                    g->c + i * g->rs_c + j * g->cs_c + (k ? k / block * g->split_k_stride : 0),
                    g->rs_c,
                    g->cs_c,
                    g->bias && k + depth == g->k ? g->bias + j : NULL,
                    g->split_k_stride || (k == 0 && !g->accumulate),
                };
                if (packed) {
                    pack_b(depth, cols, t.b, g->rs_b, g->cs_b, panel);
                    t.b = panel;
                    t.rs_b = NR;
                }
                if (wide)
                    ukernel(1, ROW_VECS, 0, &t, cols);
                else
                    gemm_macro_kernel(m, cols, &t, packed_rows);
            }
        }
    }
}

/* Estimates in processor cycles, to choose between C = A @ B and C.T = B.T @ A.T. A cycle begins
   two multiply-adds and two loads, and the latency of a sum is four cycles. The costs below are
   those of an element that has to be transposed. */
#define TRANSPOSE_B_COST 0.35
#define TRANSPOSE_C_COST 0.5

static double estimated_tile_cycles(double rows, double vecs) {
    const double sums = rows * vecs / 2, loads = (rows + vecs) / 2;
    return sums > 4 || loads > 4 ? (sums > loads ? sums : loads) : 4;
}

static double estimated_cycles(const cnet_gemm *g) {
    const double tiles = (double)((g->m + MR - 1) / MR), rows = (double)g->m / tiles;
    const ptrdiff_t tail = (g->n % NR + VL - 1) / VL,
                    block = g->block ? g->block : cnet_block_length(g->k);
    double sum = (double)g->k * tiles *
                 ((double)(g->n / NR) * estimated_tile_cycles(rows, NR_VECS) +
                  (tail ? estimated_tile_cycles(rows, (double)tail) : 0));
    if (g->cs_b != 1)
        sum += TRANSPOSE_B_COST * (double)g->k * (double)g->n;
    if (g->cs_c != 1)
        sum +=
            TRANSPOSE_C_COST * (double)g->m * (double)g->n * (double)((g->k + block - 1) / block);
    return sum;
}

/* C (m, n) (+)= A (m, k) @ B (k, n) + bias. Vectors of a tile lie along a row of C. If C has few
   columns, or B would have to be transposed, the transposed product may be faster; its sums are the
   same. */
static void gemm(const cnet_gemm *g) {
    const cnet_gemm transposed = {
        g->n,    g->m, g->k,    g->b,    g->cs_b, g->rs_b,  g->a,          g->cs_a,
        g->rs_a, g->c, g->cs_c, g->rs_c, NULL,    g->block, g->accumulate, g->split_k_stride,
        0,
    };
    if (g->m == 0 || g->n == 0)
        return;
    if (g->dots && VL >= 4) {
        dot_kernel(g);
        return;
    }
    gemm_blocked(
        !g->bias && g->k && estimated_cycles(&transposed) < estimated_cycles(g) ? &transposed : g);
}

/* out[j] (+)= sum over i of x[i, j] for `vecs` vectors of columns; x (m, n). Blocks of rows are
   those of the product, so that a bias gradient is summed like the weight gradient beside it. */
INLINE void sum_columns(const int vecs, vmask mask, ptrdiff_t m, const real *x, ptrdiff_t ldx,
                        real *out, ptrdiff_t block, int accumulate) {
    vec total[COLUMN_VECS], sum[COLUMN_VECS];
    UNROLL for (int v = 0; v < vecs; v++)
        total[v] = accumulate ? v_load_m(out + v * VL, mask) : v_set1(0);
    for (ptrdiff_t i = 0; i < m; i += block) {
        const ptrdiff_t end = m - i < block ? m : i + block;
        UNROLL for (int v = 0; v < vecs; v++)
            sum[v] = v_set1(0);
        for (ptrdiff_t r = i; r < end; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                sum[v] = v_add(sum[v], v_load_m(x + r * ldx + v * VL, mask));
        }
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = v_add(total[v], sum[v]);
    }
    UNROLL for (int v = 0; v < vecs; v++)
        v_store_m(out + v * VL, total[v], mask);
}

static void column_sums(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, real *out,
                        ptrdiff_t block, int accumulate) {
    ptrdiff_t j = 0;
    block = block ? block : cnet_block_length(m);
    for (; j + COLUMN_VECS * VL <= n; j += COLUMN_VECS * VL)
        sum_columns(COLUMN_VECS, v_mask(VL), m, x + j, ldx, out + j, block, accumulate);
    for (; j < n; j += VL)
        sum_columns(1, v_mask(n - j < VL ? n - j : VL), m, x + j, ldx, out + j, block, accumulate);
}
