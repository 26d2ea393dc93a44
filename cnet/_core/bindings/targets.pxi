# Targets of a program, and the accumulated loss and accuracy. Each thread gathers the labels,
# targets and sample weights of its own samples, and counts those that are classified correctly.


cdef struct Loss:
    int kind
    double setting       # see the losses in kernels/arguments.h
    const real *weights  # of classes, or NULL


# An output of the network, with labels or dense targets. With both, labels count the samples that
# are classified correctly, and targets are those of the loss.
cdef struct Output:
    const real *values
    Py_ssize_t n
    Loss loss
    double loss_weight          # of its mean in the loss of the model
    real *row_loss
    const int64_t *labels       # of the whole data set, or NULL
    const real *targets
    int64_t *labels_batch       # of the block
    real *targets_batch
    const real *row_weights     # of the whole data set, or NULL
    real *row_weights_batch


# Of an epoch, an output and a thread.
cdef struct MetricAccumulator:
    double loss          # sum over a batch
    Py_ssize_t correct   # samples that are classified correctly
    Py_ssize_t before    # the same, before this step


cdef list _set_targets(
    Output *out, Py_ssize_t n_rows, Py_ssize_t capacity, labels, targets, row_weights
):
    """Set labels (n_rows,) or targets (n_rows, n), and sample weights, of the whole data set.

    Each may be None. Returns the arrays that have to be kept alive.
    """
    cdef const int64_t[::1] all_labels
    cdef const real[:, ::1] all_targets
    cdef int64_t[::1] labels_batch
    cdef real[:, ::1] targets_batch
    cdef const real[::1] all_weights
    cdef real[::1] weights_batch
    keepalive = [labels, targets, row_weights]
    if labels is not None:
        all_labels = labels
        _check1("labels", all_labels.shape[0], n_rows)
        _check_labels(all_labels, out.n)
        labels_batch = labels[:1].repeat(capacity)
        out.labels, out.labels_batch = &all_labels[0], &labels_batch[0]
        keepalive.append(labels_batch)
    if targets is not None:
        all_targets = targets
        _check2("targets", all_targets.shape[0], all_targets.shape[1], n_rows, out.n)
        targets_batch = targets[:1].repeat(capacity, axis=0)
        out.targets, out.targets_batch = _in2(all_targets), _out2(targets_batch)
        keepalive.append(targets_batch)
    if row_weights is not None:
        all_weights = row_weights
        _check1("row_weights", all_weights.shape[0], n_rows)
        weights_batch = row_weights[:1].repeat(capacity)
        out.row_weights, out.row_weights_batch = _in1(all_weights), _out1(weights_batch)
        keepalive.append(weights_batch)
    return keepalive


cdef void _gather_targets(
    const Output *outputs, Py_ssize_t n, const int64_t *rows, Py_ssize_t m, int ith, int nth
) noexcept nogil:
    """Gather the targets of the samples of a thread."""
    cdef Py_ssize_t start = _chunk_begin(m, ith, nth), count = _chunk_begin(m, ith + 1, nth) - start
    cdef Py_ssize_t i
    cdef const Output *output
    cdef Py_ssize_t k
    rows += start
    for k in range(n):
        output = &outputs[k]
        if output.labels != NULL:
            for i in range(count):
                output.labels_batch[start + i] = output.labels[rows[i]]
        if output.targets != NULL:
            kernels().gather(
                count, output.n, output.targets, output.n, rows, 0,
                output.targets_batch + start * output.n
            )
        if output.row_weights != NULL:
            for i in range(count):
                output.row_weights_batch[start + i] = output.row_weights[rows[i]]


cdef void _count_correct(
    const Output *outputs, Py_ssize_t n, MetricAccumulator *metrics, const Block *block, int ith,
    int nth
) noexcept nogil:
    """Count the samples of a thread that are classified correctly."""
    cdef Py_ssize_t start = _chunk_begin(block.m, ith, nth)
    cdef Py_ssize_t rows = _chunk_begin(block.m, ith + 1, nth) - start, k
    cdef const Output *output
    for k in range(n):
        output = &outputs[k]
        if output.labels != NULL:
            metrics[k].correct += kernels().count_correct(
                rows, output.n, _input(block, output.values) + start * output.n,
                output.labels_batch + start
            )
        elif output.loss.kind == CNET_BCE:
            metrics[k].correct += _count_signs(
                rows, output.n, _input(block, output.values) + start * output.n,
                output.targets_batch + start * output.n
            )


cdef void _sum_correct(
    const Output *outputs, Py_ssize_t n, const Call *call, int threads, int64_t *correct
) noexcept nogil:
    """Sum the counts of all threads: correct (n, epochs), or -1 of outputs without classes."""
    cdef Py_ssize_t epoch, k
    cdef int ith
    cdef int64_t *out
    for k in range(n):
        for epoch in range(call.epochs):
            out = &correct[k * call.epochs + epoch]
            out[0] = 0 if outputs[k].labels != NULL or outputs[k].loss.kind == CNET_BCE else -1
            if out[0] == 0:
                for ith in range(threads):
                    out[0] += call.metrics[(ith * call.epochs + epoch) * n + k].correct


cdef Py_ssize_t _count_signs(
    Py_ssize_t m, Py_ssize_t n, const real *x, const real *targets
) noexcept nogil:
    """The number of samples whose elements are above 0 exactly where targets are above 0.5."""
    cdef Py_ssize_t i, j, correct = 0
    cdef bint wrong
    for i in range(m):
        wrong = False
        for j in range(n):
            wrong |= (x[i * n + j] > 0) != (targets[i * n + j] > 0.5)
        correct += not wrong
    return correct


def count_signs(const real[:, ::1] x, const real[:, ::1] targets) -> int:
    """The number of samples whose elements are above 0 exactly where targets are above 0.5."""
    _check2("targets", targets.shape[0], targets.shape[1], x.shape[0], x.shape[1])
    return _count_signs(x.shape[0], x.shape[1], _in2(x), _in2(targets))


def count_correct(const real[:, ::1] x, const int64_t[::1] labels) -> int:
    """The number of samples whose first largest element is at their label."""
    cdef Py_ssize_t correct = 0
    _check1("labels", labels.shape[0], x.shape[0])
    if x.shape[0]:
        with nogil:
            correct = kernels().count_correct(x.shape[0], x.shape[1], _in2(x), &labels[0])
    return correct


cdef double _batch_weight(const Output *output, const Block *block) noexcept nogil:
    """The denominator of the mean loss of the batch."""
    return _total_weight(
        &output.loss, block.batch, output.labels if output.targets == NULL else NULL,
        output.row_weights, block.rows
    )


cdef double _mean_loss(
    const Output *outputs, Py_ssize_t n, const MetricAccumulator *metrics, const Block *block
) noexcept nogil:
    """The mean loss of all outputs over the batch, as far as it has been summed."""
    cdef double loss = 0
    cdef Py_ssize_t k
    for k in range(n):
        loss += outputs[k].loss_weight * _mean(metrics[k].loss, _batch_weight(&outputs[k], block))
    return loss
