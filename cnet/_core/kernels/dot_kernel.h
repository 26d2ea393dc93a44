/* Dense product with few columns, of two matrices that are contiguous along k: the gradient of the
   input of a layer with few inputs and many outputs. A register tile of gemm.h would leave most
   lanes of a vector empty.

   Here vectors run along k: lane k % VL sums term k. At the end the lanes of each sum are added,
   first within each 128-bit lane, then across them. cnet_use_dot_kernel tells which products are
   summed this way. */

/* A tile of DOT_ROWS x DOT_COLS sums, with DOT_COLS vectors of b and one of a, uses 21 of 32
   registers, or 13 of 16. */
#define DOT_COLS 4
#if VECTOR_REGISTERS >= 32
#define DOT_ROWS 4
#else
#define DOT_ROWS 2
#endif

/* to[j] = sum over lanes of sums[j], which is overwritten; sums (DOT_COLS, VL), to (DOT_COLS) */
INLINE void add_lanes(vec sums[DOT_COLS], real to[DOT_COLS]) {
    real parts[DOT_COLS * VL];
    UNROLL for (int j = 0; j < DOT_COLS; j += LANE) {
        v_transpose_lanes(sums + j);
        UNROLL for (int width = LANE / 2; width; width /= 2) {
            UNROLL for (int i = 0; i < width; i++)
                sums[j + i] = v_add(sums[j + i], sums[j + i + width]);
        }
        v_store(parts + j / LANE * VL, sums[j]);
    }
    UNROLL for (int j = 0; j < DOT_COLS; j++) {
        const real *const lanes = parts + j / LANE * VL + j % LANE;
        real sum = 0;
        UNROLL for (int l = 0; l < VL; l += LANE)
            sum += lanes[l];
        to[j] = sum;
    }
}

/* acc[r, j] += a[r, k] * b[k, j], lane by lane, for one vector of k; a[r] and b[j] point to row r
   of a and column j of b. full: the vector has all lanes, else those of mask. */
INLINE void add_products(const int rows, const int full, const real *const a[DOT_ROWS],
                         const real *const b[DOT_COLS], ptrdiff_t k, vmask mask,
                         vec acc[DOT_ROWS][DOT_COLS]) {
    vec bv[DOT_COLS];
    UNROLL for (int j = 0; j < DOT_COLS; j++)
        bv[j] = load_lanes(full, b[j] + k, mask);
    UNROLL for (int r = 0; r < rows; r++) {
        const vec av = load_lanes(full, a[r] + k, mask);
        UNROLL for (int j = 0; j < DOT_COLS; j++)
            acc[r][j] = v_fma(av, bv[j], acc[r][j]);
    }
}

/* c[i, j] = sum over k of a[i, k] * b[k, j], for `rows` rows from `row` on, and up to DOT_COLS
   columns from `col` on. Missing columns repeat the last one, and are not stored. */
INLINE void dot_tile(const int rows, const cnet_gemm *g, ptrdiff_t row, ptrdiff_t col) {
    const ptrdiff_t full_k = g->k / VL * VL, cols = min_size(DOT_COLS, g->n - col);
    const vmask mask = v_mask((g->k - 1) % VL + 1);
    const real *a[DOT_ROWS], *b[DOT_COLS];
    vec acc[DOT_ROWS][DOT_COLS];
    UNROLL for (int j = 0; j < DOT_COLS; j++)
        b[j] = g->b + (col + min_size(j, cols - 1)) * g->cs_b;
    UNROLL for (int r = 0; r < rows; r++) {
        a[r] = g->a + (row + r) * g->rs_a;
        UNROLL for (int j = 0; j < DOT_COLS; j++)
            acc[r][j] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < full_k; k += VL)
        add_products(rows, 1, a, b, k, mask, acc);
    if (full_k < g->k)
        add_products(rows, 0, a, b, full_k, mask, acc);
    UNROLL for (int r = 0; r < rows; r++) {
        real sums[DOT_COLS];
        add_lanes(acc[r], sums);
        for (ptrdiff_t j = 0; j < cols; j++)
            g->c[(row + r) * g->rs_c + (col + j) * g->cs_c] = sums[j];
    }
}

/* c[i, j] = sum over k of a[i, k] * b[k, j]; a (m, k), b (k, n), c (m, n) */
static void dot_kernel(const cnet_gemm *g) {
    for (ptrdiff_t j = 0; j < g->n; j += DOT_COLS) {
        ptrdiff_t i = 0;
        for (; i + DOT_ROWS <= g->m; i += DOT_ROWS)
            dot_tile(DOT_ROWS, g, i, j);
        for (; i < g->m; i++)
            dot_tile(1, g, i, j);
    }
}
