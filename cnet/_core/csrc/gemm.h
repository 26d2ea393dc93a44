/* Matrix product: one register tile, cut from panels that stay in the level-1 cache.

   The tile holds up to TILE_ROWS x TILE_VECS accumulators and runs over one block of k: it loads
   TILE_VECS vectors of a row of b, broadcasts one element of each of its rows of a, and multiplies.
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
   so many columns of c read them, CNET_PACKED_ROWS of them, or as many as there is room for, are
   copied into the order of reading. With the panel that takes up to 100 KiB of stack, of which some
   C libraries give a thread no more than 128. */
#define ROW_BLOCK 128
#define PACK_COLS 256
#define PACKED_SIZE (CNET_PACKED_ROWS * 128)
#define COLUMN_VECS 4
/* One row alone fills the pipelines with so many sums at a time; what it costs is to read b. */
#define WIDE_VECS 8
#define WIDE_COLS (WIDE_VECS * VL)

typedef struct {
    const real *a;
    ptrdiff_t a_row, a_col;
    const real *b;
    ptrdiff_t b_row;
    ptrdiff_t k;
    real *c;
    ptrdiff_t c_row, c_col;
    const real *bias; /* only with the last block */
    int first;        /* the first block overwrites c, the others add to it */
} tile_args;

/* A tile's sums (rows, width), added to or put in the place of c, of which columns are contiguous.
   As many rows as fill lanes are transposed in registers and written lane by lane, of vectors that
   are whole; what is left goes element by element. Not inlined: it would be there once for each
   tile. */
OUTLINE void store_transposed(ptrdiff_t rows, ptrdiff_t width, const real *sums, real *c,
                              ptrdiff_t c_col, int first, ptrdiff_t cols) {
    const ptrdiff_t whole_rows = rows / LANE * LANE, whole_cols = cols / VL * VL;
    for (ptrdiff_t j = 0; j < whole_cols; j += VL)
        for (ptrdiff_t r = 0; r < whole_rows; r += LANE) {
            vec turned[LANE];
            UNROLL for (int i = 0; i < LANE; i++)
                turned[i] = v_load(sums + (r + i) * width + j);
            v_transpose_lanes(turned);
            UNROLL for (int i = 0; i < LANE; i++) {
                real *at = c + (j + i) * c_col + r;
                v_store_lanes(at, LANE * c_col,
                              first ? turned[i] : v_add(v_load_lanes(at, LANE * c_col), turned[i]));
            }
        }
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t j = r < whole_rows ? whole_cols : 0; j < cols; j++)
            c[j * c_col + r] = first ? sums[r * width + j] : c[j * c_col + r] + sums[r * width + j];
}

/* One term of each sum. Rows beyond TILE_ROWS are reached from `upper`: from a alone, a tall tile
   needs more addresses than there are registers. */
INLINE void multiply_add(const int rows, const int vecs, const int tail, const real *a,
                         const real *upper, ptrdiff_t a_row, const real *b, vmask mask,
                         vec acc[TALL_ROWS][WIDE_VECS]) {
    vec bv[WIDE_VECS];
    UNROLL for (int v = 0; v < vecs; v++)
        bv[v] = load_lanes(LOADS_ARE_WHOLE || !tail || v < vecs - 1, b + v * VL, mask);
    UNROLL for (int r = 0; r < rows; r++) {
        vec av = v_set1(r < TILE_ROWS ? a[r * a_row] : upper[(r - TILE_ROWS) * a_row]);
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_fma(av, bv[v], acc[r][v]);
    }
}

/* rows, vecs and tail are constants where this is inlined: the loops vanish and acc lives in
   registers. tail: the last vector holds only the lanes of mask. */
INLINE void tile(const int rows, const int vecs, const int tail, const tile_args *t,
                 ptrdiff_t cols) {
    const real *a = t->a, *b = t->b;
    const ptrdiff_t a_row = t->a_row, a_col = t->a_col, b_row = t->b_row;
    const real *upper = a + (rows > TILE_ROWS ? TILE_ROWS * a_row : 0);
    vmask mask = v_mask(tail ? cols - (vecs - 1) * VL : VL);
    vec acc[TALL_ROWS][WIDE_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < t->k; k++, a += a_col, upper += a_col, b += b_row)
        multiply_add(rows, vecs, tail, a, upper, a_row, b, mask, acc);

    /* Locals: a store to c might, for all that a compiler knows, change what t points to. */
    real *const c0 = t->c;
    const real *const bias = t->bias;
    const ptrdiff_t c_row = t->c_row;
    const int first = t->first;
    if (rows > TILE_ROWS || t->c_col == 1) {
        UNROLL for (int v = 0; v < vecs; v++) {
            const int part = tail && v == vecs - 1;
            vec shift = v_set1(0);
            if (bias)
                shift = part ? v_load_m(bias + v * VL, mask) : v_load(bias + v * VL);
            UNROLL for (int r = 0; r < rows; r++) {
                real *c = c0 + r * c_row + v * VL;
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
        real sums[TILE_ROWS * WIDE_COLS];
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                v_store(sums + (r * vecs + v) * VL, acc[r][v]);
        }
        store_transposed(rows, vecs * VL, sums, c0, t->c_col, first, cols);
    }
}

#if TILE_ROWS == 6
#define ROWS_5_6(vecs, tail, t, cols) \
    case 5: tile(5, vecs, tail, t, cols); break; \
    case 6: tile(6, vecs, tail, t, cols); break;
#else
#define ROWS_5_6(vecs, tail, t, cols)
#endif
#define DISPATCH_ROWS(vecs, tail) \
    switch (rows) { \
    case 1: tile(1, vecs, tail, t, cols); break; \
    case 2: tile(2, vecs, tail, t, cols); break; \
    case 3: tile(3, vecs, tail, t, cols); break; \
    case 4: \
        tile(4, vecs, tail, t, cols); \
        break; \
        ROWS_5_6(vecs, tail, t, cols) \
    }

static void run_tile(int rows, ptrdiff_t cols, const tile_args *t) {
#if TALL_ROWS == 12
    switch (rows) { /* of one vector */
    case 7: tile(7, 1, 1, t, cols); return;
    case 8: tile(8, 1, 1, t, cols); return;
    case 9: tile(9, 1, 1, t, cols); return;
    case 10: tile(10, 1, 1, t, cols); return;
    case 11: tile(11, 1, 1, t, cols); return;
    case 12: tile(12, 1, 1, t, cols); return;
    }
#endif
    if (cols == TILE_COLS) {
        DISPATCH_ROWS(TILE_VECS, 0)
        return;
    }
    switch ((cols + VL - 1) / VL) {
    case 1: DISPATCH_ROWS(1, 1) break;
    case 2: DISPATCH_ROWS(2, 1) break;
#if TILE_VECS == 4
    case 3: DISPATCH_ROWS(3, 1) break;
    case 4: DISPATCH_ROWS(4, 1) break;
#endif
    }
}

/* panel (k, TILE_COLS) = b (k, cols). What lies beyond cols is zero, or not written: no one reads
   it into c. */
static void pack(ptrdiff_t k, ptrdiff_t cols, const real *b, ptrdiff_t b_row, ptrdiff_t b_col,
                 real *panel) {
    if (b_col != 1) {
        turn(cols, k, b, b_col, panel, TILE_COLS);
    } else if (cols == TILE_COLS) {
        for (ptrdiff_t i = 0; i < k; i++) {
            UNROLL for (int v = 0; v < TILE_VECS; v++)
                v_store(panel + i * TILE_COLS + v * VL, v_load(b + i * b_row + v * VL));
        }
    } else {
        for (ptrdiff_t i = 0; i < k; i++)
            for (ptrdiff_t j = 0; j < cols; j += VL)
                v_store(panel + i * TILE_COLS + j,
                        v_load_m(b + i * b_row + j, v_mask(cols - j < VL ? cols - j : VL)));
    }
}

/* Rows are dealt out evenly to tiles, because a last tile of one row would cost as much time as a
   full one. */
INLINE int rows_of_tile(ptrdiff_t m, ptrdiff_t most, ptrdiff_t tile) {
    const ptrdiff_t tiles = (m + most - 1) / most;
    return (int)(m / tiles + (tile < m % tiles));
}

/* rows (m, k) = a, of which columns are contiguous: for each tile, its columns one after another.
 */
static void pack_rows(ptrdiff_t m, ptrdiff_t k, const real *a, ptrdiff_t a_col, real *rows) {
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int height = rows_of_tile(m, TILE_ROWS, tile);
        if (height == TILE_ROWS)
            for (ptrdiff_t j = 0; j < k; j++, rows += TILE_ROWS)
                memcpy(rows, a + i + j * a_col, TILE_ROWS * sizeof(real));
        else
            for (ptrdiff_t j = 0; j < k; j++, rows += height)
                memcpy(rows, a + i + j * a_col, (size_t)height * sizeof(real));
        i += height;
    }
}

/* All rows of one panel of columns, for one block of k; with packed rows, t->a is what pack_rows
   made. */
static void run_panel(ptrdiff_t m, ptrdiff_t cols, tile_args *t, int packed_rows) {
    const ptrdiff_t most = cols <= VL && t->c_col == 1 && !packed_rows ? TALL_ROWS : TILE_ROWS;
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = rows_of_tile(m, most, tile);
        if (packed_rows) {
            t->a_row = 1;
            t->a_col = rows;
        }
        run_tile(rows, cols, t);
        t->a += packed_rows ? rows * t->k : rows * t->a_row;
        t->c += rows * t->c_row;
        i += rows;
    }
}

static void gemm_as_it_stands(const cnet_gemm *g) {
    real panel[CNET_BLOCK * TILE_COLS], rows[PACKED_SIZE];
    const int packed_rows = g->a_col != 1 && g->m > 1 && g->n >= PACK_COLS;
    const ptrdiff_t length = g->block ? g->block : cnet_block_length(g->k),
                    block = length ? length : 1;
    const ptrdiff_t row_block =
        packed_rows ? at_most(CNET_PACKED_ROWS, PACKED_SIZE / block / TILE_ROWS * TILE_ROWS)
                    : ROW_BLOCK;
    const int scattered = g->b_row * (ptrdiff_t)sizeof(real) >= PACK_STRIDE,
              ragged = LOADS_ARE_WHOLE && g->n % VL;

    for (ptrdiff_t i = 0; i < g->m; i += row_block) {
        const ptrdiff_t m = g->m - i < row_block ? g->m - i : row_block;
        const int packed = g->b_col != 1 || ragged || (scattered && m >= PACK_TILES * TILE_ROWS);
        for (ptrdiff_t k = 0; k < g->k || k == 0; k += block) {
            const ptrdiff_t depth = g->k - k < block ? g->k - k : block;
            const real *a = g->a + i * g->a_row + k * g->a_col;
            if (packed_rows)
                pack_rows(m, depth, a, g->a_col, rows);
            for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
                const int wide = g->m == 1 && !packed && !packed_rows && g->n - j >= WIDE_COLS;
                cols = wide ? WIDE_COLS : g->n - j < TILE_COLS ? g->n - j : TILE_COLS;
                tile_args t = {
                    packed_rows ? rows : a,
                    g->a_row,
                    g->a_col,
                    g->b + k * g->b_row + j * g->b_col,
                    g->b_row,
                    depth,
                    g->c + i * g->c_row + j * g->c_col + (k ? k / block * g->c_block : 0),
                    g->c_row,
                    g->c_col,
                    g->bias && k + depth == g->k ? g->bias + j : NULL,
                    g->c_block || (k == 0 && !g->accumulate),
                };
                if (packed) {
                    pack(depth, cols, t.b, g->b_row, g->b_col, panel);
                    t.b = panel;
                    t.b_row = TILE_COLS;
                }
                if (wide)
                    tile(1, WIDE_VECS, 0, &t, cols);
                else
                    run_panel(m, cols, &t, packed_rows);
            }
        }
    }
}

/* Estimates, in processor cycles, for the choice between a product and its transpose: two
   multiply-adds and two loads are begun in a cycle, a sum waits four cycles for its last term; and
   elements that are not found in the order in which they are needed. */
#define TURN_IN 0.35
#define TURN_OUT 0.5

static double tile_cycles(double rows, double vecs) {
    const double sums = rows * vecs / 2, loads = (rows + vecs) / 2;
    return sums > 4 || loads > 4 ? (sums > loads ? sums : loads) : 4;
}

static double cycles(const cnet_gemm *g) {
    const double tiles = (double)((g->m + TILE_ROWS - 1) / TILE_ROWS), rows = (double)g->m / tiles;
    const ptrdiff_t tail = (g->n % TILE_COLS + VL - 1) / VL,
                    block = g->block ? g->block : cnet_block_length(g->k);
    double sum = (double)g->k * tiles *
                 ((double)(g->n / TILE_COLS) * tile_cycles(rows, TILE_VECS) +
                  (tail ? tile_cycles(rows, (double)tail) : 0));
    if (g->b_col != 1)
        sum += TURN_IN * (double)g->k * (double)g->n;
    if (g->c_col != 1)
        sum += TURN_OUT * (double)g->m * (double)g->n * (double)((g->k + block - 1) / block);
    return sum;
}

/* The vectors of a tile lie along the columns of c. Where these are few, or b would have to be
   transposed to be read by vectors, the transposed product may be quicker; every sum is the same.
 */
static void gemm(const cnet_gemm *g) {
    const cnet_gemm turned = {
        g->n, g->m,     g->k,     g->b, g->b_col, g->b_row,      g->a,       g->a_col, g->a_row,
        g->c, g->c_col, g->c_row, NULL, g->block, g->accumulate, g->c_block, 0,
    };
    if (g->m == 0 || g->n == 0)
        return;
    if (g->dots && VL >= 4) {
        dot_products(g);
        return;
    }
    gemm_as_it_stands(!g->bias && g->k && cycles(&turned) < cycles(g) ? &turned : g);
}

/* The sums of `vecs` vectors of columns; blocks of rows as in the product, so that a bias gradient
   is summed like the weight gradient beside it. */
INLINE void sum_columns(const int vecs, vmask mask, ptrdiff_t m, const real *x, ptrdiff_t x_row,
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
                sum[v] = v_add(sum[v], v_load_m(x + r * x_row + v * VL, mask));
        }
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = v_add(total[v], sum[v]);
    }
    UNROLL for (int v = 0; v < vecs; v++)
        v_store_m(out + v * VL, total[v], mask);
}

static void column_sums(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t x_row, real *out,
                        ptrdiff_t block, int accumulate) {
    ptrdiff_t j = 0;
    block = block ? block : cnet_block_length(m);
    for (; j + COLUMN_VECS * VL <= n; j += COLUMN_VECS * VL)
        sum_columns(COLUMN_VECS, v_mask(VL), m, x + j, x_row, out + j, block, accumulate);
    for (; j < n; j += VL)
        sum_columns(1, v_mask(n - j < VL ? n - j : VL), m, x + j, x_row, out + j, block,
                    accumulate);
}
