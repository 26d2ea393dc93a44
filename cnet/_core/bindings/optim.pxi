# Optimizer steps. The state of a parameter w is one or more arrays with the layout of w, one after
# another.


cdef struct Update:
    const cnet_rule *rule  # or NULL, for no update
    real *w
    real *state
    Py_ssize_t size


cdef cnet_rule _rule(
    int64_t steps, int kind, double lr, double weight_decay, bint decoupled, double beta1,
    double beta2, double eps, bint summed, bint inner, double setting
) except *:
    if not 0 <= kind < CNET_OPTIMIZER_COUNT:
        raise ValueError(f"update {kind} is outside 0..{CNET_OPTIMIZER_COUNT - 1}")
    return cnet_rule(
        kind, decoupled, summed, inner, lr, weight_decay, beta1, beta2, eps, setting, steps
    )


cdef Update _update_of(const cnet_rule *rule, real[::1] w, real[:, ::1] state) except *:
    _check2("state", state.shape[0], state.shape[1], cnet_state_count(rule.kind), w.shape[0])
    return Update(rule, _out1(w), _out2(state), w.shape[0])


cdef inline void _update_rows(
    const cnet_kernels *k, const Update *u, const cnet_update *coefficients, Py_ssize_t m,
    Py_ssize_t n, Py_ssize_t at, Py_ssize_t row, const real *g, Py_ssize_t g_row
) noexcept nogil:
    """Update m rows of n elements of w. The first begins at element `at`; they are `row` apart."""
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


def states(int kind) -> int:
    """The number of state arrays of this kind of optimizer."""
    return cnet_state_count(_rule(0, kind, 0, 0, False, 0, 0, 0, False, False, 0).kind)


def update_step(
    real[::1] w, const real[::1] grad, real[:, ::1] state, int64_t steps, int kind, double lr,
    double weight_decay, bint decoupled, double beta1, double beta2, double eps, bint summed=False,
    bint inner=False, double setting=0, double weight=1
):
    """Step number `steps` + 1 on w, in place; state (arrays, n).

    `weight` is the total sample weight of the batch, for a penalty that is summed.
    """
    cdef cnet_rule rule = _rule(
        steps, kind, lr, weight_decay, decoupled, beta1, beta2, eps, summed, inner, setting
    )
    _check1("grad", grad.shape[0], w.shape[0])
    # The gradient is only read, as no clipping scales it.
    cdef UpdateOp op = UpdateOp(_update_of(&rule, w, state), <real *> _in1(grad))
    cdef Block block = _whole_batch(0)
    block.weight = weight
    with nogil:
        _run_on_threads(
            _run_update, &op, &block,
            threads_for(ELEMENT_FLOPS * w.shape[0], FLOPS_PER_THREAD, ALL)
        )


def append_update(Program program, int rule, real[::1] w, real[:, ::1] state, real[::1] grad):
    """Append a step on w, seen as one row, after all blocks of a batch."""
    _check1("grad", grad.shape[0], w.shape[0])
    cdef UpdateOp op = UpdateOp(_update_of(program.rule(rule), w, state), _out1(grad))
    program.append(UPDATE, _run_update, &op, sizeof(op), (w, state, grad))
