/* Matrix transpose. A step reads LANE columns of VL rows, and transposes in registers the
   LANE x LANE square in each 128-bit lane of the vectors. */

/* y[j, i] = x[i, j]; x (rows, cols) with leading dimension ldx, y (cols, rows) with ldy. Small
   matrices go element by element. */
static void transpose_matrix(ptrdiff_t rows, ptrdiff_t cols, const real *x, ptrdiff_t ldx, real *y,
                             ptrdiff_t ldy) {
    if (rows < VL || cols < LANE) {
        for (ptrdiff_t j = 0; j < cols; j++)
            for (ptrdiff_t i = 0; i < rows; i++)
                y[j * ldy + i] = x[i * ldx + j];
        return;
    }
    for (ptrdiff_t next = 0; next < rows; next += VL) {
        /* The last vector may overlap the one before it, and so may the last LANE columns. */
        const ptrdiff_t i = min_size(next, rows - VL);
        for (ptrdiff_t next_col = 0; next_col < cols; next_col += LANE) {
            const ptrdiff_t j = min_size(next_col, cols - LANE);
            vec transposed[LANE];
            UNROLL for (int l = 0; l < LANE; l++)
                transposed[l] = v_load_lanes(x + (i + l) * ldx + j, LANE * ldx);
            v_transpose_lanes(transposed);
            UNROLL for (int l = 0; l < LANE; l++)
                v_store(y + (j + l) * ldy + i, transposed[l]);
        }
    }
}

/* y[b, j, i] = x[b, i, j]; x (n, rows, cols), y (n, cols, rows) */
static void transpose(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t cols, const real *x, real *y) {
    for (; n > 0; n--, x += rows * cols, y += rows * cols)
        transpose_matrix(rows, cols, x, cols, y, rows);
}
