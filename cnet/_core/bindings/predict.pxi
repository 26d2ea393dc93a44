# Predictions by a program.


cdef void _predict_chunk(Program program, Call *call, int ith, int nth) noexcept nogil:
    cdef Block block
    cdef Py_ssize_t i, k, next
    cdef const Output *output
    cdef real *row
    memset(&block, 0, sizeof(block))
    block.x_batch = program.data.batch
    while block.start < call.n:
        block.m = block.batch = min(program.capacity, call.n - block.start)
        block.data_parallel = block.m >= ROWS_PER_MEMBER * nth
        block.x = call.x + block.start * program.data.width
        if program.data.rescales:
            _rescale_chunk(
                block.m, program.data.width, ith, nth, program.data.batch, block.x,
                program.data.scale, program.data.offset
            )
            block.x = block.x_batch
        if program.data.order != NULL and (block.data_parallel or nth == 1):
            _rows_to_csr(&program.data, &block, ith, nth)
        _run_phase(program, PER_SAMPLE, call, &block, ith, nth)
        if not block.data_parallel:
            cnet_barrier_wait(&call.barrier, nth)
        for i in range(_chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth)):
            row = call.out + (block.start + i) * program.n_values
            for k in range(program.n_outputs):
                output = &program.outputs[k]
                memcpy(
                    row, _input(&block, output.values) + i * output.n, output.n * sizeof(real)
                )
                row += output.n
        block.start += block.m
        next = min(program.capacity, call.n - block.start)
        # Without a barrier, a thread overwrites only samples that it alone has read.
        if next and not (block.data_parallel and next == block.m and not program.needs_barrier):
            cnet_barrier_wait(&call.barrier, nth)
