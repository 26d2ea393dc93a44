/* Rows of a data set, collected into a batch; images stay uint8 in memory and are scaled to [0, 1] on the way.

   Shuffled rows lie anywhere in memory. The processor fetches ahead within a row once it has seen where it goes; the
   row after next is asked for here, while the one at hand is copied. It is asked for as far as the level-2 cache, which can wait for more at a time. */

#if defined(_MSC_VER) && !defined(__clang__)
#define FETCH(p) ((void)(p))
#else
#define FETCH(p) __builtin_prefetch(p, 0, 2)
#endif
#define LINE 64
#define ROWS_AHEAD 2

INLINE void fetch_row(const void *row, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += LINE)
        FETCH((const char *)row + i);
}

static void gather(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, const int64_t *rows, real *out) {
    for (ptrdiff_t i = 0; i < m; i++) {
        if (i + ROWS_AHEAD < m)
            fetch_row(x + rows[i + ROWS_AHEAD] * x_row, n * (ptrdiff_t)sizeof(real));
        memcpy(out + i * n, x + rows[i] * x_row, (size_t)n * sizeof(real));
    }
}

/* The same bits as a division of reals. */
INLINE void scale_uint8(ptrdiff_t n, const uint8_t *x, real *out) {
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = (real)x[i] / (real)255;
}

static void gather_uint8(ptrdiff_t m, ptrdiff_t n, const uint8_t *x, ptrdiff_t x_row, const int64_t *rows, real *out) {
    for (ptrdiff_t i = 0; i < m; i++) {
        const uint8_t *row = x + rows[i] * x_row;
        if (i + ROWS_AHEAD < m)
            fetch_row(x + rows[i + ROWS_AHEAD] * x_row, n);
        scale_uint8(n, row, out + i * n);
    }
}
