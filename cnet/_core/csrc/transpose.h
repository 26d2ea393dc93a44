/* Matrices turned, a square of LANE rows and columns in each 128-bit lane of a vector at a time, in
   registers. */

/* y (cols, rows), in rows y_row apart, = the transpose of x (rows, cols), in rows x_row apart. */
static void turn(ptrdiff_t rows, ptrdiff_t cols, const real *x, ptrdiff_t x_row, real *y,
                 ptrdiff_t y_row) {
    if (rows < VL || cols < LANE) {
        for (ptrdiff_t j = 0; j < cols; j++)
            for (ptrdiff_t i = 0; i < rows; i++)
                y[j * y_row + i] = x[i * x_row + j];
        return;
    }
    for (ptrdiff_t next = 0; next < rows; next += VL) {
        /* The last vector may begin in the one before, and the last columns in those before. */
        const ptrdiff_t i = at_most(next, rows - VL);
        for (ptrdiff_t next_col = 0; next_col < cols; next_col += LANE) {
            const ptrdiff_t j = at_most(next_col, cols - LANE);
            vec turned[LANE];
            UNROLL for (int l = 0; l < LANE; l++)
                turned[l] = v_load_lanes(x + (i + l) * x_row + j, LANE * x_row);
            v_transpose_lanes(turned);
            UNROLL for (int l = 0; l < LANE; l++)
                v_store(y + (j + l) * y_row + i, turned[l]);
        }
    }
}

static void transpose(ptrdiff_t n, ptrdiff_t rows, ptrdiff_t cols, const real *x, real *y) {
    for (; n > 0; n--, x += rows * cols, y += rows * cols)
        turn(rows, cols, x, cols, y, rows);
}
