# Losses: the mean over the samples of a batch, and its gradient.
#
# A function writes the loss of each sample to row_loss (m,) and the gradient to dx (m, n); either
# may be None. The mean is summed in double and in the order of samples, for any number of threads.
# Targets are labels (m,), int64 in [0, n), or an array (m, n). With sample weights, the loss and
# the gradient of a sample are multiplied by its weight, and the sum of losses is divided by the sum
# of weights. A sample of weight 0 changes nothing.


cdef Loss _loss_of(int kind, double setting, const real[::1] weights, Py_ssize_t n) except *:
    if not 0 <= kind < CNET_LOSS_COUNT:
        raise ValueError(f"loss {kind} is outside 0..{CNET_LOSS_COUNT - 1}")
    if weights is not None:
        _check1("weights", weights.shape[0], n)
    return Loss(kind, setting, _in1(weights))


cdef void _loss_chunk(
    const Loss *loss, Py_ssize_t m, Py_ssize_t n, int ith, int nth, const real *x,
    const int64_t *labels, const real *t, const real *row_weights, real *row_loss, real *dx,
    real scale
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(m, ith + 1, nth) - start
    labels = labels + start if labels != NULL else NULL
    t = t + start * n if t != NULL else NULL
    row_loss = row_loss + start if row_loss != NULL else NULL
    dx = dx + start * n if dx != NULL else NULL
    if loss.kind == CNET_CROSS_ENTROPY:
        kernels().softmax_cross_entropy(
            rows, n, x + start * n, labels, t, loss.weights, <real> loss.setting, row_loss, dx,
            scale
        )
    elif loss.kind == CNET_NLL:
        kernels().nll(rows, n, x + start * n, labels, t, row_loss, dx, scale)
    else:
        kernels().elementwise_loss(
            loss.kind, rows, n, x + start * n, t, <real> loss.setting, row_loss, dx, scale
        )
    if row_weights != NULL:
        _apply_sample_weights(rows, n, row_weights + start, row_loss, dx)


cdef void _apply_sample_weights(
    Py_ssize_t m, Py_ssize_t n, const real *weights, real *row_loss, real *dx
) noexcept nogil:
    """Multiply by the sample weights. The product with a weight of 0 is 0, also of infinity."""
    cdef Py_ssize_t i, j
    for i in range(m):
        if row_loss != NULL:
            row_loss[i] = weights[i] * row_loss[i] if weights[i] != 0 else 0
        if dx != NULL:
            for j in range(i * n, (i + 1) * n):
                dx[j] = weights[i] * dx[j] if weights[i] != 0 else 0


cdef inline double _total_weight(
    const Loss *loss, Py_ssize_t m, const int64_t *labels, const real *row_weights,
    const int64_t *rows
) noexcept nogil:
    """The denominator of the mean over m samples: their number, or the sum of their weights, each
    times the weight of its label.

    The samples are those of `rows`, or the first m if it is NULL.
    """
    cdef bint by_label = loss.weights != NULL and labels != NULL
    cdef double total = 0
    cdef Py_ssize_t i, row
    if not by_label and row_weights == NULL:
        return <double> m
    for i in range(m):
        row = rows[i] if rows != NULL else i
        total += (
            <double> row_weights[row] if row_weights != NULL else 1
        ) * (loss.weights[labels[row]] if by_label else 1)
    return total


cdef inline real _loss_scale(const Loss *loss, double rows, Py_ssize_t n) noexcept nogil:
    """The factor of the gradient of a sum over a batch that makes it that of the mean."""
    return 1 / (<real> rows * (n if loss.kind >= CNET_MSE else 1)) if rows > 0 else 0


cdef double _sum(Py_ssize_t m, const real *row_loss, double total) noexcept nogil:
    """`total` plus the losses of m samples, in order."""
    cdef Py_ssize_t i
    for i in range(m):
        total += row_loss[i]
    return total


cdef inline double _mean(double total, double rows) noexcept nogil:
    return total / rows if rows > 0 else 0


cdef int _check_labels(const int64_t[::1] labels, Py_ssize_t n) except -1:
    cdef Py_ssize_t i
    for i in range(labels.shape[0]):
        if not 0 <= labels[i] < n:
            raise ValueError(
                f"label {labels[i]} of sample {i} is outside 0..{n - 1}: there are {n} classes"
            )
    return 0


cdef struct LossOp:
    Output output
    real *dx  # or NULL


cdef void _run_loss(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    cdef const LossOp *op = <const LossOp *> arguments
    cdef const Output *output = &op.output
    cdef Py_ssize_t n = output.n, i
    cdef real loss_weight = <real> output.loss_weight
    _loss_chunk(
        &output.loss, block.m, n, ith, nth, _input(block, output.values),
        output.labels_batch if output.targets == NULL else NULL, output.targets_batch,
        output.row_weights_batch, output.row_loss, op.dx,
        _loss_scale(&output.loss, _batch_weight(output, block), n)
    )
    if op.dx != NULL and loss_weight != 1:
        for i in range(
            _chunk_begin(block.m, ith, nth) * n, _chunk_begin(block.m, ith + 1, nth) * n
        ):
            op.dx[i] *= loss_weight


def loss(
    int kind, double setting, real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x,
    const int64_t[::1] labels, const real[:, ::1] t, const real[::1] weights=None,
    const real[::1] row_weights=None
) -> float:
    """The mean loss of outputs x, with labels or targets t; row_loss and dx may be None.

    Classes may have weights: with labels, the mean is weighted by them. Samples may have weights,
    too.
    """
    cdef LossOp op
    cdef Output *output = &op.output
    cdef Py_ssize_t m = x.shape[0], n = x.shape[1]
    memset(&op, 0, sizeof(op))
    output.loss, output.loss_weight = _loss_of(kind, setting, weights, n), 1
    if labels is not None and kind < CNET_MSE:
        _check1("labels", labels.shape[0], m)
        _check_labels(labels, n)
    elif t is None:
        raise ValueError(f"loss {kind} needs targets")
    else:
        _check2("targets", t.shape[0], t.shape[1], m, n)
    if row_loss is not None:
        _check1("row_loss", row_loss.shape[0], m)
    if row_weights is not None:
        _check1("row_weights", row_weights.shape[0], m)
    if dx is not None:
        _check2("dx", dx.shape[0], dx.shape[1], m, n)
    if m == 0 or n == 0:
        return 0.0
    output.values, output.n, output.row_loss, op.dx = _in2(x), n, _out1(row_loss), _out2(dx)
    # The batch is the whole data set. Casts, as the buffers are only read.
    if labels is not None and kind < CNET_MSE:
        output.labels, output.labels_batch = &labels[0], <int64_t *> &labels[0]
    else:
        output.targets, output.targets_batch = _in2(t), <real *> _in2(t)
    output.row_weights = _in1(row_weights)
    output.row_weights_batch = <real *> output.row_weights
    cdef Block block = _whole_batch(m)
    with nogil:
        _run_now(_run_loss, &op, m, ELEMENT_FLOPS * m * n, ALL)
    if row_loss is None:
        return 0.0
    return _mean(_sum(m, output.row_loss, 0), _batch_weight(output, &block))


def append_loss(
    Program program, Py_ssize_t output, int kind, double setting, const real[::1] weights,
    double loss_weight, real[::1] row_loss, real[:, ::1] dx, labels, targets, row_weights
):
    """Append the loss of an output, and its gradient unless dx is None. It is multiplied by
    loss_weight in the loss of the network.

    Labels (samples,) or targets (samples, n), and sample weights, are those of the whole data set.
    """
    cdef Output *out = program.set_targets(output, labels, targets, row_weights)
    _check1("row_loss", row_loss.shape[0], program.capacity)
    if dx is not None:
        _check2("dx", dx.shape[0], dx.shape[1], program.capacity, out.n)
    out.loss, out.loss_weight, out.row_loss = _loss_of(
        kind, setting, weights, out.n
    ), loss_weight, _out1(row_loss)
    cdef LossOp op = LossOp(out[0], _out2(dx))
    program.append(PER_SAMPLE, _run_loss, &op, sizeof(op), (row_loss, dx, weights))


cdef struct GradientOp:
    const real *gradient
    real *dx
    Py_ssize_t n


cdef void _run_gradient(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const GradientOp *op = <const GradientOp *> arguments
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start
    memcpy(op.dx + start * op.n, op.gradient + start * op.n, rows * op.n * sizeof(real))


def append_gradient(
    Program program, Py_ssize_t output, real[::1] row_loss, real[:, ::1] dx, targets
):
    """Append the gradient of an output that is given as targets (samples, n). Its loss is that in
    row_loss.
    """
    cdef Output *out = program.set_targets(output, None, targets, None)
    _check1("row_loss", row_loss.shape[0], program.capacity)
    _check2("dx", dx.shape[0], dx.shape[1], program.capacity, out.n)
    out.loss, out.loss_weight, out.row_loss = _loss_of(CNET_MSE, 0, None, out.n), 1, _out1(row_loss)
    cdef GradientOp op = GradientOp(out.targets_batch, _out2(dx), out.n)
    program.append(PER_SAMPLE, _run_gradient, &op, sizeof(op), (row_loss, dx))
