/* Indirect GEMM: a product whose rows lie scattered in memory, addressed through tables of offsets.
   Convolution uses it (conv.h), so that no image has to be unfolded (no im2col). */

/* Element (i, k) of a is a[a_row_offset[i] + a_col_offset[k]]; row i of c begins at
   c[c_row_offset[i]]. */
typedef struct {
    const real *a;
    const ptrdiff_t *a_row_offset, *a_col_offset;
    const real *b;
    ptrdiff_t rs_b, k;
    real *c;
    const ptrdiff_t *c_row_offset;
    const real *bias;
    int first; /* overwrite c instead of adding to it */
} igemm_args;

/* c[i, j] (+)= sum over k of a[i, k] * b[k, j], plus bias[j]; a (rows, k), b (k, cols), c (rows,
   cols).

   rows, vecs, tail: as for ukernel in gemm.h. Every row has an address of its own, so there is
   no narrow tile with more rows. */
INLINE void igemm_ukernel(const int rows, const int vecs, const int tail, const igemm_args *t,
                          ptrdiff_t cols) {
    const ptrdiff_t *a_col_offset = t->a_col_offset, rs_b = t->rs_b, kc = t->k;
    const real *b = t->b, *a[MR];
    const vmask mask = v_mask(tail ? cols - (vecs - 1) * VL : VL);
    vec acc[MR][NR_VECS];
    UNROLL for (int r = 0; r < rows; r++) {
        a[r] = t->a + t->a_row_offset[r];
        UNROLL for (int v = 0; v < vecs; v++)
            acc[r][v] = v_set1(0);
    }
    for (ptrdiff_t k = 0; k < kc; k++, b += rs_b) {
        const ptrdiff_t offset = a_col_offset[k];
        vec bv[NR_VECS];
        UNROLL for (int v = 0; v < vecs; v++)
            bv[v] = tail && v == vecs - 1 ? v_load_m(b + v * VL, mask) : v_load(b + v * VL);
        UNROLL for (int r = 0; r < rows; r++) {
            vec av = v_set1(a[r][offset]);
            UNROLL for (int v = 0; v < vecs; v++)
                acc[r][v] = v_fma(av, bv[v], acc[r][v]);
        }
    }
    real *c[MR];
    UNROLL for (int r = 0; r < rows; r++)
        c[r] = t->c + t->c_row_offset[r];
    if (!t->first) {
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int v = 0; v < vecs; v++)
                acc[r][v] = v_add(tail && v == vecs - 1 ? v_load_m(c[r] + v * VL, mask)
                                                        : v_load(c[r] + v * VL),
                                  acc[r][v]);
        }
    }
    if (t->bias) {
        UNROLL for (int v = 0; v < vecs; v++) {
            const vec bias =
                tail && v == vecs - 1 ? v_load_m(t->bias + v * VL, mask) : v_load(t->bias + v * VL);
            UNROLL for (int r = 0; r < rows; r++)
                acc[r][v] = v_add(acc[r][v], bias);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vecs; v++) {
            if (tail && v == vecs - 1)
                v_store_m(c[r] + v * VL, acc[r][v], mask);
            else
                v_store(c[r] + v * VL, acc[r][v]);
        }
    }
}

static void dispatch_igemm(int rows, ptrdiff_t cols, const igemm_args *t) {
    DISPATCH_TILE(igemm_ukernel, MR)
}

/* The micro-kernel on all tiles of c (m, cols), cols <= NR, for one block of k. */
static void igemm(ptrdiff_t m, ptrdiff_t cols, igemm_args t) {
    for (ptrdiff_t i = 0, tile = 0; i < m; tile++) {
        const int rows = tile_height(m, MR, tile);
        dispatch_igemm(rows, cols, &t);
        t.a_row_offset += rows;
        t.c_row_offset += rows;
        i += rows;
    }
}
