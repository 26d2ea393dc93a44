/* Sums along the columns of a matrix. A vector holds elements of neighboring columns. The sum of a
   column does not depend on the other columns. */

enum { OF_VALUES, OF_PRODUCTS, OF_SQUARES };

/* sum over i of x[i, j], x[i, j] * y[i, j] or (x[i, j] - shift[j])^2, for OF_VALUES, OF_PRODUCTS or
   OF_SQUARES; x, y (n, lanes of mask), leading dimension ld. y may be NULL unless `of` is
   OF_PRODUCTS.

   Row i goes to sum i % 4: the latencies of the four sums overlap. They are added in a fixed
   order. */
INLINE vec sum_along_column(const int of, ptrdiff_t n, const real *x, const real *y, ptrdiff_t ld,
                            vec shift, vmask mask) {
    vec sum[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    for (ptrdiff_t i = 0; i < n; i += 4) {
        UNROLL for (int s = 0; s < 4; s++)
            if (i + s < n) {
                const vec a = v_load_m(x + (i + s) * ld, mask), d = v_sub(a, shift);
                if (of == OF_PRODUCTS)
                    sum[s] = v_fma(a, v_load_m(y + (i + s) * ld, mask), sum[s]);
                else
                    sum[s] = of == OF_VALUES ? v_add(sum[s], a) : v_fma(d, d, sum[s]);
            }
    }
    return v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]));
}

#define COLUMN_VECS 4

/* out[j] (+)= sum over i of x[i, j]; x (m, vecs * VL), out (vecs * VL).

   Rows are summed in blocks, like the terms of a product: a bias gradient is summed in the same
   order as the weight gradient of its layer. mask: of each vector. */
INLINE void sum_columns(const int vecs, vmask mask, ptrdiff_t m, const real *x, ptrdiff_t ldx,
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
                sum[v] = v_add(sum[v], v_load_m(x + r * ldx + v * VL, mask));
        }
        UNROLL for (int v = 0; v < vecs; v++)
            total[v] = v_add(total[v], sum[v]);
    }
    UNROLL for (int v = 0; v < vecs; v++)
        v_store_m(out + v * VL, total[v], mask);
}

/* out[j] (+)= sum over i of x[i, j]; x (m, n), out (n). block: rows of a block, or 0 for
   cnet_block_length(m). accumulate: add to out. */
static void column_sums(ptrdiff_t m, ptrdiff_t n, const real *x, ptrdiff_t ldx, real *out,
                        ptrdiff_t block, int accumulate) {
    ptrdiff_t j = 0;
    block = block ? block : cnet_block_length(m);
    for (; j + COLUMN_VECS * VL <= n; j += COLUMN_VECS * VL)
        sum_columns(COLUMN_VECS, v_mask(VL), m, x + j, ldx, out + j, block, accumulate);
    for (; j < n; j += VL)
        sum_columns(1, v_mask(n - j < VL ? n - j : VL), m, x + j, ldx, out + j, block, accumulate);
}
