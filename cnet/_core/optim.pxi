# Optimiser steps, on parameters of any shape seen as one row.


cdef void _sgd(Py_ssize_t n, real *w, const real *g, real *v, const cnet_sgd *s) noexcept nogil:
    cdef int threads = threads_for(<double> n, ELEMENTS_PER_THREAD, ALL), part
    for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _sgd_part(n, part, threads, w, g, v, s)


cdef void _sgd_part(Py_ssize_t n, int part, int parts, real *w, const real *g, real *v, const cnet_sgd *s) noexcept nogil:
    cdef Py_ssize_t start = _start(n, part, parts)
    kernels().sgd(_start(n, part + 1, parts) - start, w + start, g + start, v + start if v != NULL else NULL, s)


def sgd_step(real[::1] w, const real[::1] grad, real[::1] velocity, real lr, real momentum, real weight_decay, bint nesterov):
    """One step of stochastic gradient descent on w, in place; velocity may be None where momentum is 0."""
    _check1("grad", grad.shape[0], w.shape[0])
    if velocity is not None:
        _check1("velocity", velocity.shape[0], w.shape[0])
    cdef cnet_sgd s = cnet_sgd(lr, momentum, weight_decay, nesterov)
    with nogil:
        _sgd(w.shape[0], _out1(w), _in1(grad), _out1(velocity), &s)


cdef struct Update:
    Py_ssize_t n
    const real *grad
    real *w
    real *v  # may be NULL
    const cnet_sgd *sgd


cdef void _run_update(const void *arguments, const Block *block, int part, int parts) noexcept nogil:
    cdef const Update *u = <const Update *> arguments
    _sgd_part(u.n, part, parts, u.w, u.grad, u.v, u.sgd)


def program_sgd(Program program, real[::1] w, real[::1] v, const real[::1] grad, int group):
    """Add: a step of SGD on w, seen as one row, when all of a batch has been through; v, its velocity, may be None."""
    _check1("grad", grad.shape[0], w.shape[0])
    if v is not None:
        _check1("v", v.shape[0], w.shape[0])
    cdef Update u = Update(w.shape[0], _in1(grad), _out1(w), _out1(v), program.group(group))
    program.append(UPDATE, _run_update, &u, sizeof(u), (w, v, grad))
