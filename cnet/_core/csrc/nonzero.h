/* Columns of a batch that are not 0 in all of its rows: of images, the border is dark in most. Products leave the others out.

   Rows are marked while they are in the cache, each thread for itself; lists are made of the marks of one thread, or of all. */

#define MARKED_ROWS 4
#define LISTED_COLS 64

static void mark_nonzero(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, cnet_mark *marks) {
    memset(marks, 0, (size_t)n * sizeof(cnet_mark));
    for (; m >= MARKED_ROWS; m -= MARKED_ROWS, x += MARKED_ROWS * x_row) {
        const real *x1 = x + x_row, *x2 = x1 + x_row, *x3 = x2 + x_row;
        for (ptrdiff_t j = 0; j < n; j++)
            marks[j] |= (x[j] != 0) | (x1[j] != 0) | (x2[j] != 0) | (x3[j] != 0);
    }
    for (; m > 0; m--, x += x_row)
        for (ptrdiff_t j = 0; j < n; j++)
            marks[j] |= x[j] != 0;
}

static ptrdiff_t list_marked(ptrdiff_t parts, ptrdiff_t n, const cnet_mark *marks, int32_t *list) {
    ptrdiff_t count = 0;
    for (ptrdiff_t first = 0; first < n; first += LISTED_COLS) {
        const ptrdiff_t cols = n - first < LISTED_COLS ? n - first : LISTED_COLS;
        cnet_mark any[LISTED_COLS];
        memcpy(any, marks + first, (size_t)cols * sizeof(cnet_mark));
        for (ptrdiff_t part = 1; part < parts; part++)
            for (ptrdiff_t j = 0; j < cols; j++)
                any[j] |= marks[part * n + first + j];
        for (ptrdiff_t j = 0; j < cols; j++) {
            list[count] = (int32_t)(first + j);
            count += any[j];
        }
    }
    return count;
}
