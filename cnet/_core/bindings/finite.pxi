# The check of data for infinity and NaN.


cdef struct Finite:
    const real *x
    cnet_shared wrong  # whether an element is infinite or NaN


cdef void _run_all_finite(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef Finite *a = <Finite *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    if not kernels().all_finite(_chunk_begin(block.m, ith + 1, nth) - start, a.x + start):
        cnet_set(&a.wrong, 1)


def all_finite(const real[::1] x) -> bool:
    """Whether no element of x is infinite or NaN."""
    cdef Finite a
    memset(&a, 0, sizeof(a))
    a.x = _in1(x)
    with nogil:
        _run_now(_run_all_finite, &a, x.shape[0], ELEMENT_FLOPS * x.shape[0], ALL)
    return cnet_get(&a.wrong) == 0
