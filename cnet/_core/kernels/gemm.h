/* Matrix product: one register tile, cut from panels that stay in the level-1 cache.

   The tile holds up to MR x NR_VECS accumulators and runs over one block of k: it loads
   NR_VECS vectors of a row of b, broadcasts one element of each of its rows of a, and multiplies.
   The reduction is never split across lanes, so every element of c is summed in the order of k
   whatever tile it falls in.

   Who owns what: a call writes the elements of c it is given and no others; the packed panel is on
   its stack. */

/* b is copied into a contiguous panel when each element is used at least PACK_TILES times and rows
   of b lie PACK_STRIDE bytes or more apart: farther than that they fall into few sets of the cache,
   and a page each. So it is where its rows are not whole vectors and the set has no masked loads:
   those of a panel are. */
#define PACK_TILES 4
#define PACK_STRIDE 1024
/* Rows of a in flight: with a block of k they fill a fifth of a 512 KiB level-2 cache, and leave
   room for as many of c. Where a is transposed, its columns lie a page apart for wide layers, and
   so many columns of c read them, CNET_MC_PACKED of them, or as many as there is room for, are
   copied into the order of reading. With the panel that takes up to 100 KiB of stack, of which some
   C libraries give a thread no more than 128. */
#define MC 128
#define PACK_COLS 256
#define PACKED_SIZE (CNET_MC_PACKED * 128)
#define COLUMN_VECS 4
/* One row alone fills the pipelines with so many sums at a time; what it costs is to read b. */
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

/* A tile's sums (rows, width), added to or put in the place of c, of which columns are contiguous.
   As many rows as fill lanes are transposed in registers and written lane by lane, of vectors that
   are whole; what is left goes element by element. Not inlined: it would be there once for each
   tile. */
OUTLINE void store_transposed(ptrdiff_t rows, ptrdiff_t width, const real *sums, real *c,
                              ptrdiff_t cs_c, int first, ptrdiff_t cols) {
    const ptrdiff_t whole_rows = rows / LANE * LANE, whole_cols = cols / VL * VL;
    for (ptrdiff_t j = 0; j < whole_cols; j += VL)
        for (ptrdiff_t r = 0; r < whole_rows; r += LANE) {
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
        for (ptrdiff_t j = r < whole_rows ? whole_cols : 0; j < cols; j++)
            c[j * cs_c + r] = first ? sums[r * width + j] : c[j * cs_c + r] + sums[r * width + j];
}

/* One term of each sum. Rows beyond MR are reached from `upper`: from a alone, a tall tile
   needs more addresses than there are registers. */
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

/* rows, vecs and tail are constants where this is inlined: the loops vanish and acc lives in
   registers. tail: the last vector holds only the lanes of mask. */
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

    /* Locals: a store to c might, for all that a compiler knows, change what t points to. */
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

/* panel (k, NR) = b (k, cols). What lies beyond cols is zero, or not written: no one reads
   it into c. */
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

/* Rows are dealt out evenly to tiles, because a last tile of one row would cost as much time as a
   full one. */
INLINE int tile_height(ptrdiff_t m, ptrdiff_t most, ptrdiff_t tile) {
    const ptrdiff_t tiles = (m + most - 1) / most;
    return (int)(m / tiles + (tile < m % tiles));
}

/* rows (m, k) = a, of which columns are contiguous: for each tile, its columns one after another.
 */
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

/* All rows of one panel of columns, for one block of k; with packed rows, t->a is what pack_a
   made. */
static void gemm_macro_kernel(ptrdiff_t m, ptrdiff_t cols, ukernel_args *t, int packed_rows) {
    const ptrdiff_t most = cols <= VL && t->cs_c == 1 && !packed_rows ? MR_NARROW : MR;
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = tile_height(m, most, tile);
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
    const int igemm_args = g->rs_b * (ptrdiff_t)sizeof(real) >= PACK_STRIDE,
              ragged = NO_MASKED_LOADS && g->n % VL;

    for (ptrdiff_t i = 0; i < g->m; i += row_block) {
        const ptrdiff_t m = g->m - i < row_block ? g->m - i : row_block;
        const int packed = g->cs_b != 1 || ragged || (igemm_args && m >= PACK_TILES * MR);
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

/* Estimates, in processor cycles, for the choice between a product and its transpose: two
   multiply-adds and two loads are begun in a cycle, a sum waits four cycles for its last term; and
   elements that are not found in the order in which they are needed. */
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

/* The vectors of a tile lie along the columns of c. Where these are few, or b would have to be
   transposed to be read by vectors, the transposed product may be quicker; every sum is the same.
 */
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

/* The sums of `vecs` vectors of columns; blocks of rows as in the product, so that a bias gradient
   is summed like the weight gradient beside it. */
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
