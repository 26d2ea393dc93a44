/* Masked loads and stores for instruction sets without them. A mask is a number of elements. They
   are slow, so loops load full vectors. */
#define NO_MASKED_LOADS 1

/* p[i] for i < n, 0 for the other elements of the vector */
OUTLINE vec load_partial(const real *p, int n) {
    real lanes[VL] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
}

/* p[i] = a[i] for i < n */
OUTLINE void store_partial(real *p, vec a, int n) {
    real lanes[VL];
    v_store(lanes, a);
    for (int i = 0; i < n; i++)
        p[i] = lanes[i];
}

INLINE vec v_load_m(const real *p, vmask m) { return m == VL ? v_load(p) : load_partial(p, m); }

INLINE void v_store_m(real *p, vec a, vmask m) {
    if (m == VL)
        v_store(p, a);
    else
        store_partial(p, a, m);
}
