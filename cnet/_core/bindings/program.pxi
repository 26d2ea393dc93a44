# A program: a network lowered to a flat list of operations on preallocated buffers, run for many
# steps in one call without the GIL.
#
# An operation is a function and its arguments. The files beside this one have, for each layer, loss
# and optimizer, the function and a `program_...` that adds it. Operations call the kernels that the
# eager engine calls, so results are bitwise identical. A program keeps its arrays alive, and reads
# and writes them in place.
#
# One parallel region runs all steps of a call. Data-parallel phase: each thread runs forward and
# backward on its samples, down to the gradient of the first layer's output. Barrier. Reduction
# phase: each thread computes its slice of the weight gradients from all samples, and updates those
# weights. Barrier.
#
# If there are many more inputs than samples, the first layer is split over K: a thread owns columns
# of the data and the weights that belong to them, and partial sums are reduced. If a batch has few
# samples for the threads, each product is partitioned among them, with a barrier after each
# operation. A barrier also precedes an operation on all samples, such as batch normalization.
#
# Buffers hold `capacity` samples. A batch that fits is processed at once, and weights are updated
# together with their gradients. A larger batch is processed in blocks of samples, forward and
# backward, so that neither data nor activations cross the memory bus twice. Gradients are then
# accumulated, and weights updated after the last block. They are also updated at the end if
# gradients are clipped, which needs all of them. Blocks are multiples of the blocks in which a
# gradient is summed anyway, so that the result is the same.

from libc.math cimport isfinite, sqrt


# Operations of a step per thread. A barrier takes 0.2 us on two cores, and a step has two: with
# fewer operations a second thread gains nothing. To start the team takes longer, but that is done
# once for many steps. A single prediction is a parallel loop like any other.
cdef double FLOPS_PER_MEMBER = 100_000
# Samples per thread, at least: with fewer, register tiles would be partly empty.
cdef enum:
    ROWS_PER_MEMBER = 4
    # Ratio of inputs to samples from which on the first layer is split over K. Then partial sums of
    # a few blocks per sample cross from core to core, instead of weights and data. Measured with
    # 784 inputs on cores that share a cache: equally fast from 128 samples on.
    MIN_COLUMNS_PER_ROW = 6
    UNSET = -1  # kind of a rule

# Fraction of nonzero elements up to which a prediction converts its samples to CSR.
cdef double MAX_CSR_DENSITY = 0.5


cdef class Program:
    """Operations on up to `capacity` samples at a time, by up to `threads` threads.

    It has an update rule for each trained parameter. A program without rules evaluates, and does
    not stop at a loss that is not finite.
    """

    cdef Op *ops
    cdef Py_ssize_t n_ops, n_updates, n_tracked
    cdef cnet_rule *rules
    cdef Py_ssize_t n_rules
    cdef int threads
    cdef double *squares               # sums of squares of gradients, by chunks
    cdef Py_ssize_t n_squares
    cdef double max_value, max_norm    # bounds of gradient clipping
    cdef Penalty penalty
    cdef bint summed                   # whether a rule has a penalty that is summed
    cdef list keepalive
    cdef Py_ssize_t capacity
    cdef readonly double flops_per_row
    cdef public Py_ssize_t done        # steps of the last call
    cdef public Py_ssize_t updated     # those that changed weights: not one with an infinite loss
    cdef readonly bint aborted         # whether an interrupt aborted its last step
    cdef bint fuse_update              # whether weights change in phase WEIGHT_GRADS
    cdef bint needs_barrier            # whether an operation does
    cdef cnet_claim predicts
    cdef Data data
    cdef bint alone                    # whether a dense layer is the only consumer of the samples
    cdef real *sums                    # its partial sums, if it is split over K
    cdef Output *outputs
    cdef Py_ssize_t n_outputs, n_values

    def __cinit__(self, Py_ssize_t capacity, Py_ssize_t rules, int threads):
        if capacity < MIN_CAPACITY:
            raise ValueError(
                f"capacity is {capacity} samples, expected at least {MIN_CAPACITY}: "
                "a block of a sum"
            )
        self.capacity = capacity
        self.threads = threads
        self.keepalive = []
        self.rules = <cnet_rule *> calloc(max(rules, 1), sizeof(cnet_rule))
        if self.rules == NULL:
            raise MemoryError
        self.n_rules = rules
        cdef Py_ssize_t i
        for i in range(rules):
            self.rules[i].kind = UNSET

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.n_ops):
            free(self.ops[i].arguments)
        free(self.ops)
        free(self.rules)
        free(self.squares)
        free(self.penalty.chunks)
        free(self.penalty.sums)
        free(self.outputs)
        free(self.sums)
        _free_csr(&self.data)

    cdef int append(
        self, Phase phase, Run run, const void *arguments, size_t size, tuple arrays,
        bint needs_barrier=False
    ) except -1:
        """Add an operation. `run` gets a copy of the arguments; `arrays` own the memory that they
        point to.
        """
        cdef Op *ops = <Op *> realloc(self.ops, (self.n_ops + 1) * sizeof(Op))
        if ops == NULL:
            raise MemoryError
        self.ops = ops
        cdef void *copy = malloc(size)
        if copy == NULL:
            raise MemoryError
        memcpy(copy, arguments, size)
        ops[self.n_ops] = Op(phase, run, copy, needs_barrier)
        self.n_ops += 1
        self.n_updates += phase == UPDATE
        self.n_tracked += phase == TRACK
        self.needs_barrier |= needs_barrier
        self.keepalive.append(arrays)
        return 0

    cdef int check_capacity(self, Py_ssize_t rows) except -1:
        if rows != self.capacity:
            raise ValueError(
                f"a buffer has {rows} rows, expected {self.capacity}: the capacity of the program"
            )
        return 0

    cdef const cnet_rule *rule(self, int rule) except NULL:
        if not 0 <= rule < self.n_rules:
            raise IndexError(f"rule {rule} is outside 0..{self.n_rules - 1}")
        if self.rules[rule].kind == UNSET:
            raise ValueError(f"rule {rule} has not been set")
        return &self.rules[rule]

    def source(self, real[:, ::1] x_batch, x, bint alone, real scale=1, real offset=0):
        """Batches are scale * rows of x + offset, x being real, uint8 or `Sparse`. Operations find
        them in x_batch; `alone`: one dense layer alone.

        `Sparse` takes no offset, and reals in it no scale: zeros have to stay zeros, and values
        where they are.
        """
        cdef const real[:, ::1] x_real
        cdef const uint8_t[:, ::1] x_uint8
        cdef int64_t total
        _check2("x_batch", x_batch.shape[0], x_batch.shape[1], self.capacity, x.shape[1])
        self.data.n_rows, self.data.width = x.shape
        self.data.batch = _out2(x_batch)
        self.data.scale, self.data.offset = scale, offset
        self.data.rescales = scale != 1 or offset != 0
        self.alone = alone
        if alone and self.data.width > CNET_KC:
            self.data.split_k_capacity = min(self.capacity, self.data.width // MIN_COLUMNS_PER_ROW)
        if isinstance(x, Sparse):
            if not alone:
                raise ValueError("CSR is for a dense layer that alone reads the samples")
            self.data.sparse = &(<Sparse> x).data
            if offset != 0 or (self.data.rescales and not self.data.sparse.is_uint8):
                raise ValueError("CSR takes no offset, and real values in it no scale")
            total = self.data.sparse.row_start[self.data.n_rows]
            self.data.row_bytes = total / <double> self.data.n_rows
            _allocate_csr(&self.data, self.capacity, self.threads)
        elif x.dtype == "uint8":
            x_uint8 = x
            self.data.x_uint8 = &x_uint8[0, 0] if x_uint8.shape[0] and x_uint8.shape[1] else NULL
            self.data.row_bytes = self.data.width
        else:
            x_real = x
            self.data.x = _in2(x_real)
            self.data.row_bytes = self.data.width * sizeof(real)
        self.keepalive.append((x_batch, x))

    cdef int use_csr(self) except -1:
        """Convert samples to CSR in predictions, if that is faster."""
        if self.alone and self.data.n_rows == 0:
            _allocate_csr(&self.data, self.capacity, self.threads)
        return 0

    cdef real *split_k_sums(self, Py_ssize_t outputs) except? NULL:
        """Memory for the partial sums of a split over K; NULL if it is never used."""
        if not self.data.split_k_capacity:
            return NULL
        self.sums = <real *> calloc(
            self.data.split_k_capacity * outputs * cnet_block_count(self.data.width), sizeof(real)
        )
        if self.sums == NULL:
            raise MemoryError
        return self.sums

    def output(self, const real[:, ::1] values):
        """Register the buffer of an output, the next one to the right in predictions."""
        self.check_capacity(values.shape[0])
        cdef Output *outputs = <Output *> realloc(
            self.outputs, (self.n_outputs + 1) * sizeof(Output)
        )
        if outputs == NULL:
            raise MemoryError
        self.outputs = outputs
        memset(&outputs[self.n_outputs], 0, sizeof(Output))
        outputs[self.n_outputs].values = _in2(values)
        outputs[self.n_outputs].n = values.shape[1]
        self.n_outputs += 1
        self.n_values += values.shape[1]
        self.keepalive.append(values)

    cdef Output *set_targets(self, Py_ssize_t output, labels, targets, row_weights) except NULL:
        """Set the targets of an output (`_set_targets`)."""
        if not 0 <= output < self.n_outputs:
            raise IndexError(f"output {output} is outside 0..{self.n_outputs - 1}")
        self.keepalive.append(
            _set_targets(
                &self.outputs[output], self.data.n_rows, self.capacity, labels, targets, row_weights
            )
        )
        return &self.outputs[output]

    def set_rule(
        self, int rule, int64_t steps, int kind, double lr, double weight_decay, bint decoupled,
        double beta1, double beta2, double eps, bint summed=False, bint inner=False,
        double setting=0
    ):
        """Set the update rule of a parameter after `steps` steps. It may be replaced later by a
        rule with as much state.
        """
        cdef cnet_rule new = _rule(
            steps, kind, lr, weight_decay, decoupled, beta1, beta2, eps, summed, inner, setting
        )
        if not 0 <= rule < self.n_rules:
            raise IndexError(f"rule {rule} is outside 0..{self.n_rules - 1}")
        if self.rules[rule].kind != UNSET:
            _check1("the state", cnet_state_count(kind), cnet_state_count(self.rules[rule].kind))
        self.rules[rule] = new
        self.summed |= summed

    def penalize(self, const real[::1] w):
        """Sum the squares of w before each step."""
        _penalize(&self.penalty, w)
        self.keepalive.append(w)

    def make_clip(self, Py_ssize_t chunks):
        """Allocate the sums of squares of gradients that are clipped."""
        self.squares = <double *> calloc(max(chunks, <Py_ssize_t> 1), sizeof(double))
        if self.squares == NULL:
            raise MemoryError
        self.n_squares = chunks

    def set_clip(self, double max_value, double max_norm):
        """Set the bounds of gradient clipping."""
        self.max_value, self.max_norm = max_value, max_norm

    def defers(self, Py_ssize_t batch) -> bool:
        """Whether steps on such batches compute all gradients before they change a weight."""
        return batch >= MIN_DEFERRED_ROWS and self.flops_per_row * batch >= MIN_DEFERRED_FLOPS

    def run(
        self, const int64_t[::1] order, Py_ssize_t batch, double[::1] losses,
        int64_t[:, ::1] correct, int threads, double seconds, double[::1] squares=None
    ):
        """Take a step for each batch of `order`, on at most `threads` threads.

        `order` has one or more epochs of equal length, as many as `correct` has columns; the last
        batch of an epoch may be smaller. Writes the mean loss of each step to `losses`, the number
        of samples that an output classifies correctly in an epoch to `correct` (outputs, epochs),
        or -1 if it does not classify, and the sum of the squares of the weights in the penalty,
        before each step, to `squares`.

        Training stops after a step whose loss is not finite, before its update. A call ends after
        the first step that begins so many seconds from now; with several epochs, after its epoch.
        The number of steps taken is `done`. In Python's main thread, an interrupt ends a long step
        of a call of one epoch, before it has changed anything, and the call; then Python's handler
        of interrupts is called.
        """
        cdef Call call
        cdef Watch watch
        cdef int members
        cdef double flops
        cdef Py_ssize_t i
        self.done = self.updated = 0
        self.aborted = False
        memset(&call, 0, sizeof(call))
        call.n = order.shape[0]
        call.batch = batch
        call.epochs = correct.shape[1]
        if call.n == 0 or call.epochs == 0 or call.n % call.epochs:
            raise ValueError(f"{call.n} samples are no {call.epochs} epochs of equal length")
        call.epoch = call.n // call.epochs
        call.epoch_steps = (call.epoch + batch - 1) // batch
        _check1("losses", losses.shape[0], call.epochs * call.epoch_steps)
        _check1("correct", correct.shape[0], self.n_outputs)
        if squares is not None:
            _check1("squares", squares.shape[0], losses.shape[0])
        _check_rows(order, self.data.n_rows)
        call.order = &order[0]
        call.losses = &losses[0]
        call.squares = &squares[0] if squares is not None else NULL
        call.end = cnet_seconds() + seconds
        cnet_set(&call.last, call.n)
        flops = self.flops_per_row * min(batch, call.epoch)
        members = min(threads, members_for(flops, FLOPS_PER_MEMBER, self.threads))
        if flops >= MIN_WATCHED_FLOPS and call.epochs == 1 and (
            members == 1 or begins_regions()
        ) and _is_main_thread():
            memset(&watch, 0, sizeof(watch))
            watch.check_at = cnet_seconds() + SECONDS_BETWEEN_CHECKS
            call.watch = &watch
        call.metrics = <MetricAccumulator *> calloc(
            members * call.epochs * self.n_outputs, sizeof(MetricAccumulator)
        )
        if call.metrics == NULL:
            raise MemoryError
        with nogil:
            _run_team(self, &call, members)
            _sum_correct(self.outputs, self.n_outputs, &call, members, &correct[0, 0])
        free(call.metrics)
        self.done = self.updated = call.steps
        self.aborted = call.aborted
        if call.steps and not isfinite(call.losses[call.steps - 1]):
            self.updated -= 1
        for i in range(self.n_rules):
            self.rules[i].steps += self.updated
        if call.aborted:
            _call_interrupt_handler()

    def predict(self, const real[:, ::1] x, real[:, ::1] out, int threads=ALL) -> bool:
        """Write the outputs for the samples x to out, on at most `threads` threads.

        Returns False, and does nothing, while another thread predicts.
        """
        cdef Py_ssize_t n = x.shape[0]
        cdef Call call
        cdef int members
        _check2("x", n, x.shape[1], n, self.data.width)
        _check2("out", out.shape[0], out.shape[1], n, self.n_values)
        if n == 0:
            return True
        if not cnet_take(&self.predicts):
            return False
        memset(&call, 0, sizeof(call))
        call.n, call.x, call.out = n, _in2(x), _out2(out)
        members = min(threads, members_for(self.flops_per_row * n, FLOPS_PER_THREAD, self.threads))
        with nogil:
            _run_team(self, &call, members)
        cnet_release(&self.predicts)
        return True


cdef void _run_team(Program program, Call *call, int members) noexcept nogil:
    """Run the call on a team of threads."""
    cdef Region region
    if members > 1:
        region.program, region.call, region.members = <void *> program, call, members
        if run_region(_run_members, &region):
            return
    _run_member(program, call, 0, 1)


cdef void _run_members(void *region) noexcept nogil:
    cdef const Region *r = <const Region *> region
    with parallel(num_threads=r.members):
        _run_member(<Program> r.program, r.call, threadid(), cnet_team_size())


cdef void _run_member(Program program, Call *call, int ith, int nth) noexcept nogil:
    if call.order == NULL:
        _predict_chunk(program, call, ith, nth)
    else:
        _run_steps(program, call, ith, nth)


MIN_CAPACITY = CNET_KC
