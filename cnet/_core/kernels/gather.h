/* Gathering samples of a data set into a mini-batch. uint8 is converted to real, and may be
   rescaled.

   Shuffled samples lie anywhere in memory, and a small network is done with a sample before the
   next one arrives. While a sample is copied, another is prefetched: that prefetch_distance rows
   later, which belongs to the next batch and has a whole step to arrive, or if that is 0, the
   sample after the next. It is prefetched into the level-2 cache, which can have more misses in
   flight. */

#if defined(_MSC_VER) && !defined(__clang__)
#define PREFETCH(p) ((void)(p))
#else
#define PREFETCH(p) __builtin_prefetch(p, 0, 2)
#endif
#define LINE 64
#define PREFETCH_ROWS_DENSE 2

INLINE void prefetch_row(const void *row, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += LINE)
        PREFETCH((const char *)row + i);
}

/* The row to prefetch with row i of m, or NULL. */
INLINE const int64_t *row_to_prefetch(const int64_t *rows, ptrdiff_t i, ptrdiff_t m,
                                      ptrdiff_t prefetch_distance, ptrdiff_t usual) {
    return prefetch_distance ? rows + i + prefetch_distance
           : i + usual < m   ? rows + i + usual
                             : NULL;
}

static void gather(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, const int64_t *rows,
                   ptrdiff_t prefetch_distance, real *out) {
    for (ptrdiff_t i = 0; i < m; i++) {
        const int64_t *const next =
            row_to_prefetch(rows, i, m, prefetch_distance, PREFETCH_ROWS_DENSE);
        if (next)
            prefetch_row(x + *next * ldx, n * (ptrdiff_t)sizeof(real));
        memcpy(out + i * n, x + rows[i] * ldx, (size_t)n * sizeof(real));
    }
}

/* out[j] = scale * x[j] + offset, for x and out (n). Product and sum are rounded one after the
   other, for bytes as for reals: a number gives the same bits whatever its type. */
#define RESCALE(name, number) \
    INLINE void name(ptrdiff_t n, const number *x, real scale, real offset, real *out) { \
        for (ptrdiff_t j = 0; j < n; j++) \
            out[j] = (real)x[j] * scale + offset; \
    }
RESCALE(rescale_reals, real)
RESCALE(rescale_bytes, uint8_t)

static void rescale(ptrdiff_t n, const real *x, real scale, real offset, real *out) {
    rescale_reals(n, x, scale, offset, out);
}

/* out[i, j] = scale * x[rows[i], j] + offset, for out (m, n) */
static void gather_uint8(ptrdiff_t m, ptrdiff_t n, const uint8_t *x, ptrdiff_t ldx,
                         const int64_t *rows, ptrdiff_t prefetch_distance, real scale, real offset,
                         real *out) {
    for (ptrdiff_t i = 0; i < m; i++) {
        const uint8_t *row = x + rows[i] * ldx;
        const int64_t *const next =
            row_to_prefetch(rows, i, m, prefetch_distance, PREFETCH_ROWS_DENSE);
        if (next)
            prefetch_row(x + *next * ldx, n);
        rescale_bytes(n, row, scale, offset, out + i * n);
    }
}
