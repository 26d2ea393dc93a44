# A net lowered to a flat list of operations over preallocated buffers, run for many steps in one call without the GIL.
#
# A Program is put together by the methods named after operations, in the order in which they shall run, and runs them
# for each batch of an order of rows. Every operation is that of the function of the same name in the files beside this
# one, on the same kernels: a program and the layer-by-layer loop give the same bits. The program keeps the arrays that
# it was given alive, and reads and writes them in place.
#
# Buffers have room for `room` rows. A batch that fits is taken whole, and weights are updated as their gradient is
# born. A larger one is walked in blocks of rows, forward and backward together, so that neither the data set nor the
# activations cross the memory bus twice: gradients are gathered over the blocks, and the weights updated after the
# last. Blocks are multiples of the blocks in which a gradient is summed anyway, so the bits stay the same.

from libc.math cimport isfinite
from libc.stdlib cimport free, realloc


cdef enum OpKind:
    FORWARD          # a product whose rows are those of the batch
    BACKWARD_INPUT   # the same, or, written transposed, one whose columns are
    BACKWARD_WEIGHT  # a product that sums over the rows of the batch
    BACKWARD_BIAS
    UPDATE           # after the last rows of a batch
    ACTIVATE
    DERIVE
    SOFTMAX
    SOFTMAX_BACKWARD
    LOSS


cdef struct Op:
    OpKind kind
    Product product                     # the first three
    Py_ssize_t n                        # all others: row width, or size
    int activation
    real slope
    const real *x
    const real *y
    real *out
    real *velocity
    const cnet_sgd *sgd
    Loss loss


cdef class Program:
    """Operations on up to `room` rows at a time; see the top of program.pxi."""

    cdef Op *ops
    cdef int n_ops
    cdef cnet_sgd *settings
    cdef int n_settings
    cdef bint training
    cdef list kept
    cdef Py_ssize_t room
    # The data set, and where the rows at hand are collected
    cdef const real *x
    cdef const uint8_t *x_uint8
    cdef Py_ssize_t n_rows, width
    cdef real *x_batch
    cdef const int64_t *labels
    cdef int64_t *labels_batch
    cdef const real *targets
    cdef real *targets_batch
    cdef Py_ssize_t classes
    cdef real *row_loss
    cdef const real *scores             # what the loss reads

    def __cinit__(self, Py_ssize_t room, int groups):
        if room < LEAST_ROOM:
            raise ValueError(f"there is room for {room} rows, expected at least {LEAST_ROOM}: a block of a sum")
        self.room = room
        self.kept = []
        self.settings = <cnet_sgd *> realloc(NULL, max(groups, 1) * sizeof(cnet_sgd))
        if self.settings == NULL:
            raise MemoryError
        self.n_settings = groups
        self.training = groups > 0

    def __dealloc__(self):
        free(self.ops)
        free(self.settings)

    cdef int _check_room(self, Py_ssize_t rows) except -1:
        if rows != self.room:
            raise ValueError(f"a buffer has {rows} rows, expected {self.room}: the room of the program")
        return 0

    cdef Op *_append(self, OpKind kind, tuple arrays) except NULL:
        cdef Op *ops = <Op *> realloc(self.ops, (self.n_ops + 1) * sizeof(Op))
        if ops == NULL:
            raise MemoryError
        self.ops = ops
        self.n_ops += 1
        self.kept.append(arrays)
        ops[self.n_ops - 1].kind = kind
        return &ops[self.n_ops - 1]

    def source(self, real[:, ::1] x_batch, x):
        """Batches are rows of x, real or uint8, collected in x_batch."""
        cdef const real[:, ::1] x_real
        cdef const uint8_t[:, ::1] x_uint8
        _check2("x_batch", x_batch.shape[0], x_batch.shape[1], self.room, x.shape[1])
        self.n_rows, self.width = x.shape
        self.x_batch = _out2(x_batch)
        if x.dtype == "uint8":
            x_uint8 = x
            self.x_uint8 = &x_uint8[0, 0] if self.n_rows and self.width else NULL
        else:
            x_real = x
            self.x = _in2(x_real)
        self.kept.append((x_batch, x))

    def forward(self, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] w, const real[::1] b, int activation, real slope):
        """out = f(x @ w + b), with f an activation or NONE."""
        self._check_room(x.shape[0])
        cdef Product product = _forward(out, x, w, b)
        product.activation = activation
        product.slope = slope
        self._append(FORWARD, (out, x, w, b)).product = product

    def backward_input(self, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] w, const real[:, ::1] output, int activation, real slope):
        """dx = dout @ w.T, times the derivative of the activation that gave `output`."""
        self._check_room(dout.shape[0])
        cdef Product product = _backward_input(dx, dout, w)
        if activation != NONE:
            _check2("output", output.shape[0], output.shape[1], dx.shape[0], dx.shape[1])
        product.activation = activation
        product.slope = slope
        product.output = _in2(output)
        self._append(BACKWARD_INPUT, (dx, dout, w, output)).product = product

    def backward_weight(self, real[:, ::1] w, real[:, ::1] v, real[::1] scratch, const real[:, ::1] x, const real[:, ::1] dout, int group):
        """A step of SGD on w with the gradient x.T @ dout; v, its velocity, may be None."""
        self._check_room(x.shape[0])
        cdef Product product = _backward_weight(_out1(scratch), x, dout)
        _check2("w", w.shape[0], w.shape[1], product.gemm.m, product.gemm.n)
        product.most_parts = <int> (scratch.shape[0] // _scratch_size(w.shape[1]))
        if product.most_parts < 1:
            raise ValueError(f"scratch has {scratch.shape[0]} elements, expected {_scratch_size(w.shape[1])} for each thread")
        if v is not None:
            _check2("v", v.shape[0], v.shape[1], w.shape[0], w.shape[1])
        self._check_group(group)
        product.sgd = &self.settings[group]
        product.w = _out2(w)
        product.v = _out2(v)
        self._append(BACKWARD_WEIGHT, (w, v, scratch, x, dout)).product = product

    def gather_weight(self, real[:, ::1] dw, const real[:, ::1] x, const real[:, ::1] dout):
        """dw += x.T @ dout over the blocks of a batch; `update` makes use of it."""
        self._check_room(x.shape[0])
        cdef Product product = _backward_weight(_out2(dw), x, dout)
        _check2("dw", dw.shape[0], dw.shape[1], product.gemm.m, product.gemm.n)
        self._append(BACKWARD_WEIGHT, (dw, x, dout)).product = product

    def gather_bias(self, real[::1] db, const real[:, ::1] dout):
        """db += the column sums of dout over the blocks of a batch; `update` makes use of it."""
        self._check_room(dout.shape[0])
        _check1("db", db.shape[0], dout.shape[1])
        cdef Op *op = self._append(BACKWARD_BIAS, (db, dout))
        op.n = dout.shape[1]
        op.x = _in2(dout)
        op.out = _out1(db)

    def update(self, real[::1] w, real[::1] v, const real[::1] grad, int group):
        """A step of SGD on w, seen as one row, when all of a batch has been through; v, its velocity, may be None."""
        _check1("grad", grad.shape[0], w.shape[0])
        if v is not None:
            _check1("v", v.shape[0], w.shape[0])
        self._check_group(group)
        cdef Op *op = self._append(UPDATE, (w, v, grad))
        op.n = w.shape[0]
        op.x = _in1(grad)
        op.out = _out1(w)
        op.velocity = _out1(v)
        op.sgd = &self.settings[group]

    cdef int _check_group(self, int group) except -1:
        if not 0 <= group < self.n_settings:
            raise IndexError(f"group {group} is outside 0..{self.n_settings - 1}")
        return 0

    def activate(self, real[:, ::1] out, const real[:, ::1] x, int activation, real slope):
        """out = f(x)"""
        _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
        self._elementwise(ACTIVATE, out, x, x, activation, slope)

    def derive(self, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] output, int activation, real slope):
        """dx = dout * f'(x), from the output of f; dx may be dout"""
        _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
        _check2("output", output.shape[0], output.shape[1], dout.shape[0], dout.shape[1])
        self._elementwise(DERIVE, dx, dout, output, activation, slope)

    cdef int _elementwise(self, OpKind kind, real[:, ::1] out, const real[:, ::1] x, const real[:, ::1] y, int activation, real slope) except -1:
        self._check_room(out.shape[0])
        cdef Op *op = self._append(kind, (out, x, y))
        op.n = out.shape[1]
        op.activation = activation
        op.slope = slope
        op.x = _in2(x)
        op.y = _in2(y)
        op.out = _out2(out)
        return 0

    def softmax(self, real[:, ::1] out, const real[:, ::1] x):
        """out = the softmax of each row of x"""
        _check2("out", out.shape[0], out.shape[1], x.shape[0], x.shape[1])
        self._elementwise(SOFTMAX, out, x, x, NONE, 0)

    def softmax_backward(self, real[:, ::1] dx, const real[:, ::1] dout, const real[:, ::1] output):
        """dx = the gradient of a softmax's input, from its output"""
        _check2("dx", dx.shape[0], dx.shape[1], dout.shape[0], dout.shape[1])
        _check2("output", output.shape[0], output.shape[1], dout.shape[0], dout.shape[1])
        self._elementwise(SOFTMAX_BACKWARD, dx, dout, output, NONE, 0)

    def loss(self, int kind, real[::1] row_loss, real[:, ::1] dx, const real[:, ::1] x, labels, targets):
        """The loss of outputs x, with its gradient unless dx is None.

        labels (rows,) and targets (rows, n) are those of the whole data set; either may be None. The loss takes targets
        where there are any; labels tell which rows are classified rightly.
        """
        cdef Py_ssize_t n = x.shape[1]
        cdef const int64_t[::1] all_labels
        cdef const real[:, ::1] all_targets
        cdef int64_t[::1] labels_batch
        cdef real[:, ::1] targets_batch
        _check1("row_loss", row_loss.shape[0], self.room)
        _check2("x", x.shape[0], n, self.room, n)
        if dx is not None:
            _check2("dx", dx.shape[0], dx.shape[1], self.room, n)
        self.classes = n
        self.scores = _in2(x)
        self.row_loss = _out1(row_loss)
        if labels is not None:
            all_labels = labels
            _check1("labels", all_labels.shape[0], self.n_rows)
            _check_labels(all_labels, n)
            labels_batch = labels[:1].repeat(self.room)
            self.labels = &all_labels[0]
            self.labels_batch = &labels_batch[0]
            self.kept.append((labels, labels_batch))
        if targets is not None:
            all_targets = targets
            _check2("targets", all_targets.shape[0], all_targets.shape[1], self.n_rows, n)
            targets_batch = targets[:1].repeat(self.room, axis=0)
            self.targets = _in2(all_targets)
            self.targets_batch = _out2(targets_batch)
            self.kept.append((targets, targets_batch))
        cdef Op *op = self._append(LOSS, (row_loss, dx, x))
        op.loss = <Loss> kind
        op.n = n
        op.x = _in2(x)
        op.out = _out2(dx)

    def sgd(self, int group, real lr, real momentum, real weight_decay, bint nesterov):
        """Settings of a group, for steps from now on."""
        self._check_group(group)
        self.settings[group] = cnet_sgd(lr, momentum, weight_decay, nesterov)

    def run(self, const int64_t[::1] order, Py_ssize_t batch, double[::1] losses, int threads):
        """Take a step for each batch of `order`, on at most `threads` threads, and write its mean loss.

        The last batch may be smaller. Training stops after a step whose loss is not finite, before its update. Returns
        the number of steps taken, and of rows classified rightly.
        """
        cdef Py_ssize_t n = order.shape[0], step = 0, start = 0, correct = 0
        _check1("losses", losses.shape[0], (n + batch - 1) // batch)
        _check_rows(order, self.n_rows)
        with nogil:
            while start < n:
                losses[step] = self._step(&order[start], min(batch, n - start), threads, &correct)
                start += batch
                step += 1
                if self.training and not isfinite(losses[step - 1]):
                    break
        return step, correct

    cdef double _step(self, const int64_t *rows, Py_ssize_t batch, int threads, Py_ssize_t *correct) noexcept nogil:
        cdef Py_ssize_t block = cnet_block_length(batch), most = batch if batch <= self.room else self.room // block * block
        cdef Py_ssize_t start = 0, m
        cdef double total = 0
        cdef int i
        while start < batch:
            m = min(most, batch - start)
            self._collect(rows + start, m, threads)
            for i in range(self.n_ops):
                if self.ops[i].kind != UPDATE:
                    self._run(&self.ops[i], start, m, batch, threads)
                if self.ops[i].kind == LOSS:
                    total = _sum(m, self.row_loss, total)
                    if self.training and not isfinite(total):
                        return total
            if self.labels != NULL:
                correct[0] += _count_correct(m, self.classes, self.scores, self.labels_batch)
            start += m
        for i in range(self.n_ops):
            if self.ops[i].kind == UPDATE:
                _sgd(self.ops[i].n, self.ops[i].out, self.ops[i].x, self.ops[i].velocity, self.ops[i].sgd, threads)
        return total / batch

    cdef void _collect(self, const int64_t *rows, Py_ssize_t m, int limit) noexcept nogil:
        cdef int threads = threads_for(<double> m * self.width, ELEMENTS_PER_THREAD, limit), part
        for part in prange(threads, schedule="static", num_threads=threads, use_threads_if=threads > 1):
            self._collect_part(rows, m, part, threads)

    cdef void _collect_part(self, const int64_t *rows, Py_ssize_t m, int part, int parts) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(_start(m, part, parts), _start(m, part + 1, parts)):
            if self.x_uint8 != NULL:
                kernels().scale_uint8(self.width, self.x_uint8 + rows[i] * self.width, self.x_batch + i * self.width)
            else:
                memcpy(self.x_batch + i * self.width, self.x + rows[i] * self.width, self.width * sizeof(real))
            if self.labels != NULL:
                self.labels_batch[i] = self.labels[rows[i]]
            if self.targets != NULL:
                memcpy(self.targets_batch + i * self.classes, self.targets + rows[i] * self.classes, self.classes * sizeof(real))

    cdef void _run(self, const Op *op, Py_ssize_t start, Py_ssize_t m, Py_ssize_t batch, int limit) noexcept nogil:
        """One operation on rows start to start + m of a batch, which lie at the beginning of the buffers."""
        cdef Product product
        if op.kind <= BACKWARD_WEIGHT:
            product = op.product
            if op.kind == BACKWARD_WEIGHT:
                product.gemm.k = m
                product.gemm.block = cnet_block_length(batch)
                product.gemm.accumulate = start > 0
            elif product.gemm.c_col == 1:
                product.gemm.m = m
            else:
                product.gemm.n = m
            _multiply(&product, limit)
        elif op.kind == BACKWARD_BIAS:
            kernels().column_sums(m, op.n, op.x, op.out, cnet_block_length(batch), start > 0)
        elif op.kind == ACTIVATE:
            _activate(m * op.n, op.out, op.x, op.activation, op.slope, limit)
        elif op.kind == DERIVE:
            _derive(m * op.n, op.out, op.x, op.y, op.activation, op.slope, limit)
        elif op.kind == SOFTMAX:
            _softmax(m, op.n, op.out, op.x, limit)
        elif op.kind == SOFTMAX_BACKWARD:
            kernels().softmax_backward(m, op.n, op.y, op.x, op.out)
        else:
            _run_loss(op.loss, m, op.n, op.x, NULL if self.targets != NULL else self.labels_batch, self.targets_batch, self.row_loss, op.out, batch, limit)


LEAST_ROOM = CNET_BLOCK


def scratch_size(Py_ssize_t n):
    """Elements of scratch that `Program.backward_weight` needs for each thread, for weights with n outputs."""
    return _scratch_size(n)
