# How many threads a loop of the given work gets: every prange asks `threads_for`; who asks
# `members_for` calls `run_region`.
cdef int threads_for(double work, double per_thread, int limit) noexcept nogil
cdef int members_for(double work, double per_thread, int limit) noexcept nogil
cdef bint begins_regions() noexcept nogil
cdef bint run_region(void (*run)(void *) noexcept nogil, void *arguments) noexcept nogil
