# Losses: mean over the rows of a batch, gradients of that mean.
#
# Each function writes the loss of every row to row_loss (m,) and the gradient to dx (m, n); either may be None. The
# mean is summed here in double and in the order of rows, whatever the number of threads. Targets are labels (m,),
# int64 in [0, n), or, where labels is None, an array (m, n).

cdef enum Loss:
    CROSS_ENTROPY
    NLL
    MSE


cdef void _loss_part(Loss loss, Py_ssize_t m, Py_ssize_t n, int part, int parts, const real *x, const int64_t *labels,
                     const real *t, real *row_loss, real *dx, real scale) noexcept nogil:
    cdef Py_ssize_t start = _start(m, part, parts)
    cdef Py_ssize_t rows = _start(m, part + 1, parts) - start
    labels = labels + start if labels != NULL else NULL
    t = t + start * n if t != NULL else NULL
    row_loss = row_loss + start if row_loss != NULL else NULL
    dx = dx + start * n if dx != NULL else NULL
    if loss == CROSS_ENTROPY:
        kernels().softmax_cross_entropy(rows, n, x + start * n, labels, t, row_loss, dx, scale)
    elif loss == NLL:
        kernels().nll(rows, n, x + start * n, labels, t, row_loss, dx, scale)
    else:
        kernels().mse(rows, n, x + start * n, t, row_loss, dx, scale)


cdef inline real _loss_scale(Loss loss, Py_ssize_t batch, Py_ssize_t n) noexcept nogil:
    """What makes a mean of a sum over a batch."""
    return 1 / (<real> batch * (n if loss == MSE else 1))


cdef void _losses(Loss loss, Py_ssize_t m, Py_ssize_t n, const real *x, const int64_t *labels, const real *t,
                  real *row_loss, real *dx) noexcept nogil:
    cdef real scale = _loss_scale(loss, m, n)
    cdef int threads = threads_for(<double> m * n, ELEMENTS_PER_THREAD, ALL), part
    for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _loss_part(loss, m, n, part, threads, x, labels, t, row_loss, dx, scale)


cdef double _sum(Py_ssize_t m, const real *row_loss, double total) noexcept nogil:
    """`total` plus the losses of m rows, in the order of rows."""
    cdef Py_ssize_t i
    for i in range(m):
        total += row_loss[i]
    return total


cdef int _check_labels(const int64_t[::1] labels, Py_ssize_t n) except -1:
    cdef Py_ssize_t i
    for i in range(labels.shape[0]):
        if not 0 <= labels[i] < n:
            raise ValueError(f"label {labels[i]} of row {i} is outside 0..{n - 1}: there are {n} classes")
    return 0


cdef object _loss(Loss loss, real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x, const int64_t[::1] labels, const real[:, ::1] t):
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    if labels is not None:
        _check1("labels", labels.shape[0], m)
        _check_labels(labels, n)
    else:
        _check2("targets", t.shape[0], t.shape[1], m, n)
    if row_loss is not None:
        _check1("row_loss", row_loss.shape[0], m)
    if dx is not None:
        _check2("dx", dx.shape[0], dx.shape[1], m, n)
    if m == 0 or n == 0:
        return 0.0
    cdef const int64_t *label = &labels[0] if labels is not None else NULL
    cdef double mean = 0
    with nogil:
        _losses(loss, m, n, _in2(x), label, _in2(t), _out1(row_loss), _out2(dx))
        if row_loss is not None:
            mean = _sum(m, &row_loss[0], 0) / m
    return mean


def cross_entropy(real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x, const int64_t[::1] labels, const real[:, ::1] t):
    """Softmax cross-entropy of logits x; returns the mean over rows."""
    return _loss(CROSS_ENTROPY, row_loss, dx, x, labels, t)


def nll(real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x, const int64_t[::1] labels, const real[:, ::1] t):
    """Negative log-likelihood of probabilities x; returns the mean over rows."""
    return _loss(NLL, row_loss, dx, x, labels, t)


def mse(real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x, const real[:, ::1] t):
    """Squared error; returns the mean over all elements."""
    return _loss(MSE, row_loss, dx, x, None, t)


cdef struct LossOp:
    Loss loss
    Py_ssize_t n
    const real *x
    real *row_loss
    real *dx  # or NULL


cdef void _run_loss(const void *arguments, const Block *block, int part, int parts) noexcept nogil:
    cdef const LossOp *op = <const LossOp *> arguments
    cdef real scale = _loss_scale(op.loss, block.batch, op.n)
    _loss_part(op.loss, block.m, op.n, part, parts, _input(block, op.x), block.labels, block.targets, op.row_loss, op.dx, scale)


def program_loss(Program program, int loss, real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x):
    """Add: the loss of outputs x for the program's answers, with its gradient unless dx is None."""
    program.check_room(x.shape[0])
    _check1("row_loss", row_loss.shape[0], x.shape[0])
    if dx is not None:
        _check2("dx", dx.shape[0], dx.shape[1], x.shape[0], x.shape[1])
    cdef LossOp op = LossOp(<Loss> loss, x.shape[1], _in2(x), _out1(row_loss), _out2(dx))
    program.append(ROWS, _run_loss, &op, sizeof(op), (row_loss, dx, x))
