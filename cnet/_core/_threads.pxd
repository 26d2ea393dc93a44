# How many threads a loop of the given work gets: every prange asks here.
cdef int threads_for(double work, double per_thread, int limit) noexcept nogil
