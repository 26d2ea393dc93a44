# The steps of a program, as each thread of the team runs them.


cdef void _run_steps(Program program, Call *call, int ith, int nth) noexcept nogil:
    """Run all steps of a call as one thread of the team. All threads decide alike when to stop."""
    cdef Py_ssize_t start = 0, step = 0
    cdef double loss
    cdef Member member = Member(ith, nth, False, 1)
    while start < call.n:
        if not _run_step(program, call, step, start, &member, &loss):
            if ith == 0:
                call.aborted = True
            break
        if ith == 0:
            call.losses[step] = loss
        start += _batch_at(call, start)
        step += 1
        if step > cnet_get(&call.last) or program.n_rules and not isfinite(loss):
            break
    if ith == 0:
        call.steps = step


cdef inline Py_ssize_t _batch_at(const Call *call, Py_ssize_t start) noexcept nogil:
    """The size of the batch that begins at this index of the order: the last one of an epoch may
    be smaller.
    """
    return min(call.batch, call.epoch - start % call.epoch)


cdef bint _run_step(
    Program program, Call *call, Py_ssize_t step, Py_ssize_t start, Member *member, double *loss
) noexcept nogil:
    """Run one step, whose batch begins at this index of the order. Returns False if an interrupt
    aborted it.
    """
    cdef Block block
    cdef int ith = member.ith, nth = member.nth
    cdef Py_ssize_t epoch = start // call.epoch, batch = _batch_at(call, start)
    cdef MetricAccumulator *metrics = (
        call.metrics + (ith * call.epochs + epoch) * program.n_outputs
    )
    cdef bint follows
    cdef Py_ssize_t length = cnet_block_length(batch)
    cdef Py_ssize_t most = (
        batch if batch <= program.capacity else program.capacity // length * length
    )
    cdef Py_ssize_t k
    block.batch = batch
    block.start = 0
    block.step = step + 1
    block.watch = call.watch
    block.interval = member.interval
    block.x_batch = program.data.batch
    block.csr = NULL
    block.rows = call.order + start
    block.weight = _total_weight(
        &program.outputs[0].loss, batch, NULL, program.outputs[0].row_weights, block.rows
    ) if program.summed else 0
    for k in range(program.n_outputs):
        metrics[k].loss = 0
        metrics[k].before = metrics[k].correct
    if ith == 0 and cnet_get(&call.last) == call.n and cnet_seconds() > call.end:
        cnet_set(&call.last, step if call.epochs == 1 else (epoch + 1) * call.epoch_steps - 1)
    while block.start < batch:
        block.m = min(most, batch - block.start)
        follows = start + block.start + 2 * block.m <= call.n
        block.prefetch_rows = (
            block.m if follows
            and block.m * program.data.row_bytes <= MAX_PREFETCH_BYTES else 0
        )
        block.data_parallel = block.m >= ROWS_PER_MEMBER * nth
        block.use_split_k = block.data_parallel and 1 < nth <= cnet_block_count(
            program.data.width
        ) and block.m <= program.data.split_k_capacity
        if not block.use_split_k:
            _sync(program, call, member)
        _gather_targets(
            program.outputs, program.n_outputs, block.rows + block.start, block.m, ith, nth
        )
        if block.use_split_k:
            _gather_columns(&program.data, &block, ith, nth)
            _run_phase(program, SPLIT_K, call, &block, ith, nth)
            cnet_barrier_wait(&call.barrier, nth)
        else:
            _gather_rows(&program.data, &block, ith, nth)
        if block.start == 0:
            _sum_squares(&program.penalty, ith, nth)
        _run_phase(program, PER_SAMPLE, call, &block, ith, nth)
        _count_correct(program.outputs, program.n_outputs, metrics, &block, ith, nth)
        cnet_barrier_wait(&call.barrier, nth)
        if not _continues(program, &block, member, metrics):
            return False
        for k in range(program.n_outputs):
            metrics[k].loss = _sum(block.m, program.outputs[k].row_loss, metrics[k].loss)
        if ith == 0 and block.start == 0 and call.squares != NULL:
            call.squares[step] = _total(program.penalty.n, program.penalty.sums)
        if program.n_rules and not isfinite(
            _mean_loss(program.outputs, program.n_outputs, metrics, &block)
        ):
            break
        if program.fuse_update:
            _track(program, call, &block, ith, nth)
        _run_phase(program, WEIGHT_GRADS, call, &block, ith, nth)
        member.pending_updates = True
        if not block.use_split_k:
            _sync(program, call, member)
        block.start += block.m
    loss[0] = _mean_loss(program.outputs, program.n_outputs, metrics, &block)
    if block.start < batch or program.n_updates == 0:
        return True
    _sync(program, call, member)
    if not program.fuse_update:
        if not _continues(program, &block, member, metrics):
            return False
        _track(program, call, &block, ith, nth)
    block.factor = 1
    if program.n_squares:
        _run_phase(program, CLIP, call, &block, ith, nth)
        cnet_barrier_wait(&call.barrier, nth)
        block.factor = clip_factor(_total(program.n_squares, program.squares), program.max_norm)
    _run_phase(program, UPDATE, call, &block, ith, nth)
    cnet_barrier_wait(&call.barrier, nth)
    return True


cdef bint _continues(
    Program program, Block *block, Member *member, MetricAccumulator *metrics
) noexcept nogil:
    """After a barrier: whether the step continues, which all threads see alike. A new interval
    begins.
    """
    cdef Py_ssize_t k
    if block.watch == NULL:
        return True
    if cnet_get(&block.watch.aborted) == member.interval:
        for k in range(program.n_outputs):
            metrics[k].correct = metrics[k].before
        return False
    member.interval += 1
    block.interval = member.interval
    return True


cdef void _track(Program program, Call *call, Block *block, int ith, int nth) noexcept nogil:
    """Update running statistics. From here on the step cannot be aborted."""
    block.watch = NULL
    if program.n_tracked:
        _run_phase(program, TRACK, call, block, ith, nth)


cdef void _sync(Program program, Call *call, Member *member) noexcept nogil:
    if member.pending_updates:
        cnet_barrier_wait(&call.barrier, member.nth)
    member.pending_updates = False


cdef void _run_phase(
    Program program, Phase phase, Call *call, const Block *block, int ith, int nth
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(program.n_ops):
        if program.ops[i].phase == phase:
            if phase == PER_SAMPLE and (program.ops[i].needs_barrier or not block.data_parallel):
                cnet_barrier_wait(&call.barrier, nth)
            if not _is_aborted(block, ith):
                program.ops[i].run(program.ops[i].arguments, block, ith, nth)


cdef double _total(Py_ssize_t n, const double *sums) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t i
    for i in range(n):
        total += sums[i]
    return total
