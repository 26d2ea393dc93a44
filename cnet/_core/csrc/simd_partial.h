/* Masked loads and stores of sets that have none; a mask is a number of lanes. They are slow: loops
   load whole vectors. */
#define LOADS_ARE_WHOLE 1

OUTLINE vec load_some(const real *p, int n) {
    real lanes[VL] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
}

OUTLINE void store_some(real *p, vec a, int n) {
    real lanes[VL];
    v_store(lanes, a);
    for (int i = 0; i < n; i++)
        p[i] = lanes[i];
}

INLINE vec v_load_m(const real *p, vmask m) { return m == VL ? v_load(p) : load_some(p, m); }

INLINE void v_store_m(real *p, vec a, vmask m) {
    if (m == VL)
        v_store(p, a);
    else
        store_some(p, a, m);
}
