# Kernel tables of the instruction set in use; the modules that call kernels fetch theirs on every
# call.
cdef const void *float32_kernels() noexcept nogil
cdef const void *float64_kernels() noexcept nogil
