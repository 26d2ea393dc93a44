/* Sums along columns of a matrix, for one vector of columns. Four independent sums hide the latency
   of additions; they are added in a fixed order. */

enum { OF_VALUES, OF_PRODUCTS, OF_SQUARES };

/* sum over i of x[i], x[i] * y[i] or (x[i] - shift)^2, for n rows that are `row` elements apart. */
INLINE vec sum_along_column(const int of, ptrdiff_t n, const real *x, const real *y, ptrdiff_t row,
                            vec shift, vmask mask) {
    vec sum[4] = {v_set1(0), v_set1(0), v_set1(0), v_set1(0)};
    for (ptrdiff_t i = 0; i < n; i += 4) {
        UNROLL for (int s = 0; s < 4; s++)
            if (i + s < n) {
                const vec a = v_load_m(x + (i + s) * row, mask), d = v_sub(a, shift);
                if (of == OF_PRODUCTS)
                    sum[s] = v_fma(a, v_load_m(y + (i + s) * row, mask), sum[s]);
                else
                    sum[s] = of == OF_VALUES ? v_add(sum[s], a) : v_fma(d, d, sum[s]);
            }
    }
    return v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3]));
}
