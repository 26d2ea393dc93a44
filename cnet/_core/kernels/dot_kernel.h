/* Products of which both factors are contiguous along the sum, and whose columns are few: the
   gradient of a layer with few inputs and many outputs. In a register tile most of a vector would
   be empty. Here vectors lie along the sum: term k belongs to the sum in lane k modulo VL, and the
   lanes are added up at the end, those of 128 bits each for itself first. A column that a tile
   lacks is the last once more, and is not written. */
#define DOT_COLS 4
#if VECTOR_REGISTERS >= 32
#define DOT_ROWS 4 /* 16 sums beside 4 columns and a row */
#else
#define DOT_ROWS 2
#endif

/* to[j] = the sum of the lanes of sums[j], for DOT_COLS of them. */
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

INLINE void add_products(const int rows, const int whole, const real *const a[DOT_ROWS],
                         const real *const b[DOT_COLS], ptrdiff_t k, vmask mask,
                         vec acc[DOT_ROWS][DOT_COLS]) {
    vec bv[DOT_COLS];
    UNROLL for (int j = 0; j < DOT_COLS; j++)
        bv[j] = load_lanes(whole, b[j] + k, mask);
    UNROLL for (int r = 0; r < rows; r++) {
        const vec av = load_lanes(whole, a[r] + k, mask);
        UNROLL for (int j = 0; j < DOT_COLS; j++)
            acc[r][j] = v_fma(av, bv[j], acc[r][j]);
    }
}

INLINE void dot_tile(const int rows, const cnet_gemm *g, ptrdiff_t row, ptrdiff_t col) {
    const ptrdiff_t whole = g->k / VL * VL, cols = min_size(DOT_COLS, g->n - col);
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
    for (ptrdiff_t k = 0; k < whole; k += VL)
        add_products(rows, 1, a, b, k, mask, acc);
    if (whole < g->k)
        add_products(rows, 0, a, b, whole, mask, acc);
    UNROLL for (int r = 0; r < rows; r++) {
        real sums[DOT_COLS];
        add_lanes(acc[r], sums);
        for (ptrdiff_t j = 0; j < cols; j++)
            g->c[(row + r) * g->rs_c + (col + j) * g->cs_c] = sums[j];
    }
}

static void dot_kernel(const cnet_gemm *g) {
    for (ptrdiff_t j = 0; j < g->n; j += DOT_COLS) {
        ptrdiff_t i = 0;
        for (; i + DOT_ROWS <= g->m; i += DOT_ROWS)
            dot_tile(DOT_ROWS, g, i, j);
        for (; i < g->m; i++)
            dot_tile(1, g, i, j);
    }
}
