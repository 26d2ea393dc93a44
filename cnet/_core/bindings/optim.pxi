# Optimizer steps. A parameter w is given with the state that its optimizer keeps: arrays laid out
# like w, one after another.

SGD, MOMENTUM, NESTEROV = CNET_SGD, CNET_MOMENTUM, CNET_NESTEROV
ADAM, AMSGRAD = CNET_ADAM, CNET_AMSGRAD
RMSPROP, RMSPROP_MOMENTUM = CNET_RMSPROP, CNET_RMSPROP_MOMENTUM
RMSPROP_CENTERED = CNET_RMSPROP_CENTERED


cdef struct Update:
    const cnet_rule *rule  # or NULL, for no update
    real *w
    real *state
    Py_ssize_t size


cdef cnet_rule _rule(
    int64_t steps, int kind, double lr, double weight_decay, bint decoupled, double beta1,
    double beta2, double eps, bint summed, bint inner
) except *:
    if not CNET_SGD <= kind <= CNET_RMSPROP_CENTERED:
        raise ValueError(f"update {kind} is outside {CNET_SGD}..{CNET_RMSPROP_CENTERED}")
    return cnet_rule(kind, decoupled, summed, inner, lr, weight_decay, beta1, beta2, eps, steps)


cdef Update _update_of(const cnet_rule *rule, real[::1] w, real[:, ::1] state) except *:
    _check2("state", state.shape[0], state.shape[1], cnet_state_count(rule.kind), w.shape[0])
    return Update(rule, _out1(w), _out2(state), w.shape[0])


cdef inline void _update_rows(
    const cnet_kernels *k, const Update *u, const cnet_update *coefficients, Py_ssize_t m,
    Py_ssize_t n, Py_ssize_t at, Py_ssize_t row, const real *g, Py_ssize_t g_row
) noexcept nogil:
    """m rows of n elements, the first of them at element `at` of w, `row` apart."""
    k.update(
        m, n, u.w + at, u.state + at if u.state != NULL else NULL, u.size, row, g, g_row,
        coefficients
    )


cdef void _update_chunk(
    const Update *u, const cnet_update *coefficients, int ith, int nth, const real *g
) noexcept nogil:
    cdef Py_ssize_t start = _chunk_begin(u.size, ith, nth)
    _update_rows(
        kernels(), u, coefficients, 1, _chunk_begin(u.size, ith + 1, nth) - start, start, 0,
        g + start, 0
    )


cdef void _update_all(const Update *u, const real *g, double weight) noexcept nogil:
    cdef cnet_update coefficients = cnet_update_at(u.rule, u.rule.steps + 1, weight)
    cdef int threads = threads_for(<double> u.size, ELEMENTS_PER_THREAD, ALL), ith
    for ith in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
        _update_chunk(u, &coefficients, ith, threads, g)


def states(int kind):
    """How many arrays an optimizer of this kind remembers."""
    return cnet_state_count(_rule(0, kind, 0, 0, False, 0, 0, 0, False, False).kind)


def update_step(
    real[::1] w, const real[::1] grad, real[:, ::1] state, int64_t steps, int kind, double lr,
    double weight_decay, bint decoupled, double beta1, double beta2, double eps, bint summed=False,
    bint inner=False, double weight=1
):
    """The step after `steps` others on w, in place; state has a row for each array that the
    optimizer remembers.

    `weight` is that of the batch, for a penalty that is summed.
    """
    cdef cnet_rule rule = _rule(
        steps, kind, lr, weight_decay, decoupled, beta1, beta2, eps, summed, inner
    )
    cdef Update u = _update_of(&rule, w, state)
    _check1("grad", grad.shape[0], w.shape[0])
    with nogil:
        _update_all(&u, _in1(grad), weight)


cdef struct UpdateOp:
    Update update
    real *grad


cdef void _run_update(
    const void *arguments, const Block *block, int ith, int nth
) noexcept nogil:
    cdef const UpdateOp *op = <const UpdateOp *> arguments
    cdef cnet_update coefficients = cnet_update_at(
        op.update.rule, op.update.rule.steps + block.step, block.weight
    )
    cdef Py_ssize_t start = _chunk_begin(op.update.size, ith, nth)
    if block.factor != 1:
        kernels().scale(
            _chunk_begin(op.update.size, ith + 1, nth) - start, op.grad + start, <real> block.factor
        )
    _update_chunk(&op.update, &coefficients, ith, nth, op.grad)


def program_update(Program program, int rule, real[::1] w, real[:, ::1] state, real[::1] grad):
    """Add: a step on w, seen as one row, when all of a batch has been through."""
    _check1("grad", grad.shape[0], w.shape[0])
    cdef UpdateOp op = UpdateOp(_update_of(program.rule(rule), w, state), _out1(grad))
    program.append(UPDATE, _run_update, &op, sizeof(op), (w, state, grad))
