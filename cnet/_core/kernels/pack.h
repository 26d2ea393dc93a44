/* Packing of panels, and the even cut of rows into tiles. */

static ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Rows of tile number `tile`, when m rows are cut into tiles of at most max_rows. All tiles have
   the same number of rows or one less: a last tile of one row would take as long as a full one. */
INLINE int tile_height(ptrdiff_t m, ptrdiff_t max_rows, ptrdiff_t tile) {
    const ptrdiff_t tiles = (m + max_rows - 1) / max_rows;
    return (int)(m / tiles + (tile < m % tiles));
}

/* For each tile of at most MR rows of a (m, k): packed (k, rows of the tile) = the tile transposed.
   Columns of a are contiguous (rs_a = 1). */
static void pack_a(ptrdiff_t m, ptrdiff_t k, const real *a, ptrdiff_t cs_a, real *packed) {
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int height = tile_height(m, MR, tile);
        if (height == MR)
            for (ptrdiff_t p = 0; p < k; p++, packed += MR)
                memcpy(packed, a + i + p * cs_a, MR * sizeof(real));
        else
            for (ptrdiff_t p = 0; p < k; p++, packed += height)
                memcpy(packed, a + i + p * cs_a, (size_t)height * sizeof(real));
        i += height;
    }
}

/* panel (k, NR) = b (k, cols). Elements beyond cols are zero or undefined; the micro-kernel does
   not store their sums. */
static void pack_b(ptrdiff_t k, ptrdiff_t cols, const real *b, ptrdiff_t rs_b, ptrdiff_t cs_b,
                   real *panel) {
    if (cs_b != 1) {
        transpose_matrix(cols, k, b, cs_b, panel, NR);
    } else if (cols == NR) {
        for (ptrdiff_t p = 0; p < k; p++) {
            UNROLL for (int v = 0; v < NR_VECS; v++)
                v_store(panel + p * NR + v * VL, v_load(b + p * rs_b + v * VL));
        }
    } else {
        for (ptrdiff_t p = 0; p < k; p++)
            for (ptrdiff_t j = 0; j < cols; j += VL)
                v_store(panel + p * NR + j,
                        v_load_m(b + p * rs_b + j, v_mask(cols - j < VL ? cols - j : VL)));
    }
}
