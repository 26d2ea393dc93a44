# Gradient clipping before a step: of each element, and then of the norm of all gradients.
#
# The squares of a gradient are summed by chunks. The sums are added in the order of parameters, so
# that the norm does not depend on threads.

cdef enum:
    CHUNK = 512


cdef inline Py_ssize_t _chunks(Py_ssize_t n) noexcept nogil:
    return (n + CHUNK - 1) // CHUNK


cdef inline double _clip_chunk(
    Py_ssize_t n, Py_ssize_t chunk, real *grad, real bound
) noexcept nogil:
    return kernels().clip(min(<Py_ssize_t> CHUNK, n - chunk * CHUNK), grad + chunk * CHUNK, bound)


def clip(real[::1] grad, double total, double bound) -> float:
    """Clip each element to [-bound, bound]; returns `total` plus the sum of their squares."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(_chunks(grad.shape[0])):
            total += _clip_chunk(grad.shape[0], i, _out1(grad), <real> bound)
    return total


def scale(real[::1] x, double factor):
    """x *= factor."""
    with nogil:
        kernels().scale(x.shape[0], _out1(x), <real> factor)


cpdef double clip_factor(double squares, double most) noexcept nogil:
    """The factor that brings the norm sqrt(squares) to `most`, as in PyTorch: most / (norm + 1e-6),
    or 1 if the norm is at most that.
    """
    cdef double norm = sqrt(squares)
    return 1 if norm <= most else most / (norm + 1e-6)


cdef struct Clip:
    Py_ssize_t n
    real *grad
    double *squares
    const double *bound


cdef void _run_clip(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const Clip *c = <const Clip *> arguments
    cdef Py_ssize_t chunks = _chunks(c.n), i
    for i in range(_chunk_begin(chunks, ith, nth), _chunk_begin(chunks, ith + 1, nth)):
        c.squares[i] = _clip_chunk(c.n, i, c.grad, <real> c.bound[0])


def append_clip(Program program, real[::1] grad, Py_ssize_t first):
    """Append the clipping of this gradient. Its sums of squares begin at `first` among those of the
    program.
    """
    if not 0 <= first <= program.n_squares - _chunks(grad.shape[0]):
        raise IndexError(f"sums of squares from {first} on are outside 0..{program.n_squares - 1}")
    cdef Clip c = Clip(grad.shape[0], _out1(grad), program.squares + first, &program.max_value)
    program.append(CLIP, _run_clip, &c, sizeof(c), (grad,))


def clip_chunks(Py_ssize_t n) -> int:
    """The number of sums of squares of a gradient of n elements."""
    return _chunks(n)
