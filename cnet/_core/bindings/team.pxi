# A call of a program, and the team of threads that carries it out.

from cython.parallel cimport parallel, threadid


cdef extern from "kernels/team.h":
    ctypedef struct cnet_barrier:
        pass
    int cnet_team_size() noexcept nogil
    void cnet_barrier_wait(cnet_barrier *, int) noexcept nogil


cdef struct Call:
    const int64_t *order  # NULL to predict
    Py_ssize_t n, batch
    double *losses
    double *squares      # of the weights in the penalty, before each step, or NULL
    Py_ssize_t steps     # that have been taken
    double end           # the time after which no step is to begin
    cnet_shared last     # step: the first of the team sets it before all have met in that step
    Watch *watch         # or NULL
    bint aborted        # whether the step after those taken was
    const real *x        # rows to predict, and where to
    real *out
    cnet_barrier barrier


# What a member of a team keeps in mind from step to step.
cdef struct Member:
    int ith, nth
    # whether others may still be at their weights. A part that owns columns can continue to the
    # next step's, which concern no other
    bint pending_updates
    Py_ssize_t interval   # see Watch


cdef struct Region:
    void *program
    Call *call
    int members
