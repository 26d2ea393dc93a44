/* Dense matrix product: a blocked GEMM with one register tile (see README.md for a diagram).

   The micro-kernel computes a tile of MR x NR elements of c, NR = NR_VECS * VL, over one block of
   k. For each k it loads NR_VECS vectors of a row of b, broadcasts one element from each of MR rows
   of a, and does MR * NR_VECS multiply-adds.

   A sum is never split across lanes: each element of c is summed in the order of k, in whichever
   tile it lies. A call writes the elements of c that it is given and no others. Packed panels are
   on its stack. */

/* b is packed if each element is used by at least PACK_TILES tiles and its rows are PACK_STRIDE
   bytes or more apart: such rows fall into few sets of the cache and need a TLB entry each. b is
   also packed if its rows are not full vectors and the instruction set has no masked loads: the
   rows of a panel are full. */
#define PACK_TILES 4
#define PACK_STRIDE 1024

/* MC rows of a by KC terms take a fifth of a 512 KiB level-2 cache, and leave space for as many
   rows of c. */
#define MC 128

/* A transposed a (cs_a != 1) is packed if c has at least PACK_A_COLS columns that use it: in wide
   layers its columns are a page apart. CNET_MC_PACKED rows are packed at a time, or as many as fit
   into PACKED_A_SIZE elements. With the panel of b this takes up to 100 KiB of stack; some C
   libraries give a thread no more than 128 KiB. */
#define PACK_A_COLS 256
#define PACKED_A_SIZE (CNET_MC_PACKED * 128)

/* A product with one row has a tile of its own, 1 x ROW_NR: that many sums fill the pipelines. Such
   a product is bound by the loads of b. */
#define ROW_VECS 8
#define ROW_NR (ROW_VECS * VL)

typedef struct {
    const real *a;
    ptrdiff_t rs_a, cs_a;
    const real *b;
    ptrdiff_t rs_b;
    ptrdiff_t k;
    real *c;
    ptrdiff_t rs_c, cs_c;
    const real *bias; /* only with the last block */
    int first;        /* the first block overwrites c, the others add to it */
} ukernel_args;

/* c[i, j] = sums[i, j] if first, else c[i, j] += sums[i, j]; sums (rows, width), c (rows, cols)
   with contiguous columns (rs_c = 1), cols <= width.

   Groups of LANE rows and VL columns are transposed in registers, and stored lane by lane. The rest
   goes element by element. Not inlined: there would be a copy for each size of tile. */
OUTLINE void store_transposed(ptrdiff_t rows, ptrdiff_t width, const real *sums, real *c,
                              ptrdiff_t cs_c, int first, ptrdiff_t cols) {
    const ptrdiff_t full_rows = rows / LANE * LANE, full_cols = cols / VL * VL;
    for (ptrdiff_t j = 0; j < full_cols; j += VL)
        for (ptrdiff_t r = 0; r < full_rows; r += LANE) {
            vec transposed[LANE];
            UNROLL for (int i = 0; i < LANE; i++)
                transposed[i] = v_load(sums + (r + i) * width + j);
            v_transpose_lanes(transposed);
            UNROLL for (int i = 0; i < LANE; i++) {
                real *dst = c + (j + i) * cs_c + r;
                v_store_lanes(dst, LANE * cs_c,
                              first ? transposed[i]
                                    : v_add(v_load_lanes(dst, LANE * cs_c), transposed[i]));
            }
        }
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t j = r < full_rows ? full_cols : 0; j < cols; j++)
            c[j * cs_c + r] = first ? sums[r * width + j] : c[j * cs_c + r] + sums[r * width + j];
}

/* acc[r, v] += a[r] * b[v] for one k; a (rows), b (vecs * VL).

   a_upper is the address of row MR of a. A narrow tile has up to 12 rows, and reaching all of them
   from a would need more address registers than there are. */
INLINE void multiply_add(const int rows, const int vecs, const int tail, const real *a,
                         const real *a_upper, ptrdiff_t rs_a, const real *b, vmask mask,
                         vec acc[MR_NARROW][ROW_VECS]) {
    vec bv[ROW_VECS];
    UNROLL for (int v = 0; v < vecs; v++)
        bv[v] = load_lanes(NO_MASKED_LOADS || !tail || v < vecs - 1, b + v * VL, mask);
    UNROLL for (int r = 0; r < rows; r++) {
        vec av = v_set1(r < MR ? a[r * rs_a] : a_upper[(r - MR) * rs_a]);
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_fma(av, bv[v], acc[r][v]);
    }
}

/* c[i, j] (+)= sum over k of a[i, k] * b[k, j], plus bias[j]; a (rows, k), b (k, cols),
   c (rows, cols). c is contiguous along its rows or along its columns.

   rows, vecs and tail are constants where this is inlined: the loops unroll, and acc lives in
   registers. tail: the last vector holds only the lanes of the mask. */
INLINE void ukernel(const int rows, const int vecs, const int tail, const ukernel_args *t,
                    ptrdiff_t cols) {
    const real *a = t->a, *b = t->b;
    const ptrdiff_t rs_a = t->rs_a, cs_a = t->cs_a, rs_b = t->rs_b;
    const real *a_upper = a + (rows > MR ? MR * rs_a : 0);
    vmask mask = v_mask(tail ? cols - (vecs - 1) * VL : VL);
    vec acc[MR_NARROW][ROW_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < t->k; k++, a += cs_a, a_upper += cs_a, b += rs_b)
        multiply_add(rows, vecs, tail, a, a_upper, rs_a, b, mask, acc);

    /* Locals: the compiler must assume that a store to c changes *t. */
    real *const c0 = t->c;
    const real *const bias = t->bias;
    const ptrdiff_t rs_c = t->rs_c;
    const int first = t->first;
    if (rows > MR || t->cs_c == 1) {
        UNROLL for (int v = 0; v < vecs; v++) {
            const int masked = tail && v == vecs - 1;
            vec bias_v = v_set1(0);
            if (bias)
                bias_v = masked ? v_load_m(bias + v * VL, mask) : v_load(bias + v * VL);
            UNROLL for (int r = 0; r < rows; r++) {
                real *c = c0 + r * rs_c + v * VL;
                vec sum = acc[r][v];
                if (!first)
                    sum = v_add(masked ? v_load_m(c, mask) : v_load(c), sum);
                if (bias)
                    sum = v_add(sum, bias_v);
                if (masked)
                    v_store_m(c, sum, mask);
                else
                    v_store(c, sum);
            }
        }
    } else {
        real sums[MR * ROW_NR];
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                v_store(sums + (r * vecs + v) * VL, acc[r][v]);
        }
        store_transposed(rows, vecs * VL, sums, c0, t->cs_c, first, cols);
    }
}

static void dispatch_ukernel(int rows, ptrdiff_t cols, const ukernel_args *t) {
    DISPATCH_TILE(ukernel, MR_NARROW)
}

/* The micro-kernel on all tiles of c (m, cols), cols <= NR, for one block of k. packed_a: t->a
   comes from pack_a. */
static void gemm_macro_kernel(ptrdiff_t m, ptrdiff_t cols, ukernel_args *t, int packed_a) {
    const ptrdiff_t max_rows = cols <= VL && t->cs_c == 1 && !packed_a ? MR_NARROW : MR;
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = tile_height(m, max_rows, tile);
        if (packed_a) {
            t->rs_a = 1;
            t->cs_a = rows;
        }
        dispatch_ukernel(rows, cols, t);
        t->a += packed_a ? rows * t->k : rows * t->rs_a;
        t->c += rows * t->rs_c;
        i += rows;
    }
}

/* The product g, by blocks of MC rows, KC terms and NR columns. The bias is added to the sum, not
   used as its start: c = (sum of block 1 + sum of block 2 + ...) + bias. */
static void gemm_blocked(const cnet_gemm *g) {
    real panel[CNET_KC * NR], a_buffer[PACKED_A_SIZE];
    const int packed_a = g->cs_a != 1 && g->m > 1 && g->n >= PACK_A_COLS;
    const ptrdiff_t length = g->block ? g->block : cnet_block_length(g->k),
                    block = length ? length : 1;
    const ptrdiff_t max_mc =
        packed_a ? min_size(CNET_MC_PACKED, PACKED_A_SIZE / block / MR * MR) : MC;
    const int strided = g->rs_b * (ptrdiff_t)sizeof(real) >= PACK_STRIDE,
              ragged = NO_MASKED_LOADS && g->n % VL;

    for (ptrdiff_t i = 0; i < g->m; i += max_mc) {
        const ptrdiff_t mc = g->m - i < max_mc ? g->m - i : max_mc;
        const int packed_b = g->cs_b != 1 || ragged || (strided && mc >= PACK_TILES * MR);
        for (ptrdiff_t k = 0; k < g->k || k == 0; k += block) {
            const ptrdiff_t kc = g->k - k < block ? g->k - k : block;
            const real *a = g->a + i * g->rs_a + k * g->cs_a;
            if (packed_a)
                pack_a(mc, kc, a, g->cs_a, a_buffer);
            for (ptrdiff_t j = 0, cols; j < g->n; j += cols) {
                const int one_row = g->m == 1 && !packed_b && !packed_a && g->n - j >= ROW_NR;
                cols = one_row ? ROW_NR : g->n - j < NR ? g->n - j : NR;
                ukernel_args t = {
                    .a = packed_a ? a_buffer : a,
                    .rs_a = g->rs_a,
                    .cs_a = g->cs_a,
                    .b = g->b + k * g->rs_b + j * g->cs_b,
                    .rs_b = g->rs_b,
                    .k = kc,
                    .c = g->c + i * g->rs_c + j * g->cs_c + (k ? k / block * g->split_k_stride : 0),
                    .rs_c = g->rs_c,
                    .cs_c = g->cs_c,
                    .bias = g->bias && k + kc == g->k ? g->bias + j : NULL,
                    .first = g->split_k_stride || (k == 0 && !g->accumulate),
                };
                if (packed_b) {
                    pack_b(kc, cols, t.b, g->rs_b, g->cs_b, panel);
                    t.b = panel;
                    t.rs_b = NR;
                }
                if (one_row)
                    ukernel(1, ROW_VECS, 0, &t, cols);
                else
                    gemm_macro_kernel(mc, cols, &t, packed_a);
            }
        }
    }
}

/* Cycles per element of a transposed b or c, whose accesses are strided; and of a c whose rows are
   pages apart, so that the stores of a vector miss the TLB and share few sets of the L1 cache. */
#define TRANSPOSE_B_COST 0.35
#define TRANSPOSE_C_COST 1.0
#define PAGE_COST 12.0
#define PAGE 4096

/* Cycles of one step of k of a tile (rows, vecs): two multiply-adds and two loads start per cycle,
   and a multiply-add has a latency of four cycles. */
static double estimated_tile_cycles(double rows, double vecs) {
    const double fma = rows * vecs / 2, loads = (rows + vecs) / 2;
    return fma > 4 || loads > 4 ? (fma > loads ? fma : loads) : 4;
}

/* Cycles of gemm_blocked(g). The estimate only has to rank a product and its transpose. */
static double estimated_cycles(const cnet_gemm *g) {
    const double tiles = (double)((g->m + MR - 1) / MR), rows = (double)g->m / tiles;
    const ptrdiff_t tail = (g->n % NR + VL - 1) / VL,
                    block = g->block ? g->block : cnet_block_length(g->k);
    double sum = (double)g->k * tiles *
                 ((double)(g->n / NR) * estimated_tile_cycles(rows, NR_VECS) +
                  (tail ? estimated_tile_cycles(rows, (double)tail) : 0));
    if (g->cs_b != 1)
        sum += TRANSPOSE_B_COST * (double)g->k * (double)g->n;
    if (g->cs_c != 1) {
        const double stores = (double)g->m * (double)g->n * (double)((g->k + block - 1) / block);
        sum += stores * (g->cs_c * (ptrdiff_t)sizeof(real) < PAGE ? TRANSPOSE_C_COST : PAGE_COST);
    }
    return sum;
}

/* c[i, j] (+)= sum over k of a[i, k] * b[k, j], plus bias[j]; see cnet_gemm.

   Vectors of a tile run along rows of c. If c has few columns, or if b would have to be transposed,
   the transposed product c.T = b.T @ a.T may be faster. Its sums are bitwise the same. */
static void gemm(const cnet_gemm *g) {
    const cnet_gemm transposed = {
        .m = g->n,
        .n = g->m,
        .k = g->k,
        .a = g->b,
        .rs_a = g->cs_b,
        .cs_a = g->rs_b,
        .b = g->a,
        .rs_b = g->cs_a,
        .cs_b = g->rs_a,
        .c = g->c,
        .rs_c = g->cs_c,
        .cs_c = g->rs_c,
        .block = g->block,
        .accumulate = g->accumulate,
        .split_k_stride = g->split_k_stride,
    };
    if (g->m == 0 || g->n == 0)
        return;
    if (g->dots && VL >= 4) {
        dot_kernel(g);
        return;
    }
    gemm_blocked(
        !g->bias && g->k && estimated_cycles(&transposed) < estimated_cycles(g) ? &transposed : g);
}
