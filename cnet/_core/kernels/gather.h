/* Gathers samples of a data set into a mini-batch. uint8 is converted to real, and may be rescaled.

   Shuffled samples lie anywhere in memory, and a small network is done with a sample before the
   next one arrives. So while a sample is copied, another is prefetched. It is the sample
   prefetch_distance rows later: it belongs to the next mini-batch, and has a whole step to arrive.
   If prefetch_distance is 0, it is the sample after the next.

   Samples are prefetched into the level-2 cache, which can have more misses in flight. */

#if defined(_MSC_VER) && !defined(__clang__)
#define PREFETCH(p) ((void)(p))
#else
#define PREFETCH(p) __builtin_prefetch(p, 0, 2)
#endif
#define LINE 64
#define PREFETCH_ROWS_DENSE 2

/* Prefetches each cache line of a row. */
INLINE void prefetch_row(const void *row, ptrdiff_t bytes) {
    for (ptrdiff_t i = 0; i < bytes; i += LINE)
        PREFETCH((const char *)row + i);
}

/* Address of the index to prefetch while row i of m is copied, or NULL. usual: distance if
   prefetch_distance is 0. */
INLINE const int64_t *row_to_prefetch(const int64_t *rows, ptrdiff_t i, ptrdiff_t m,
                                      ptrdiff_t prefetch_distance, ptrdiff_t usual) {
    return prefetch_distance ? rows + i + prefetch_distance
           : i + usual < m   ? rows + i + usual
                             : NULL;
}

/* out[i, j] = x[rows[i], j]; out (m, n), rows (m + prefetch_distance), x has n columns */
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

/* out[j] = scale * x[j] + offset; x, out (n). Product and sum are rounded separately, for uint8 as
   for real: the result does not depend on the type of a number. */
#define RESCALE(name, number) \
    INLINE void name(ptrdiff_t n, const number *x, real scale, real offset, real *out) { \
        for (ptrdiff_t j = 0; j < n; j++) \
            out[j] = (real)x[j] * scale + offset; \
    }
RESCALE(rescale_reals, real)
RESCALE(rescale_bytes, uint8_t)

/* out[j] = scale * x[j] + offset; x, out (n). out may be x. */
static void rescale(ptrdiff_t n, const real *x, real scale, real offset, real *out) {
    rescale_reals(n, x, scale, offset, out);
}

/* out[i, j] = scale * x[rows[i], j] + offset; out (m, n), rows (m + prefetch_distance), x has n
   columns */
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
