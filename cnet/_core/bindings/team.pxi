# A call of a program, and the team of threads that runs it.

from cython.parallel cimport parallel, threadid


cdef extern from "kernels/team.h":
    ctypedef struct cnet_barrier:
        pass
    int cnet_team_size() noexcept nogil
    void cnet_barrier_wait(cnet_barrier *, int) noexcept nogil


cdef struct Call:
    const int64_t *order  # indices of samples; NULL for a prediction
    Py_ssize_t n, batch
    Py_ssize_t epochs     # in the order, of `epoch` samples and `epoch_steps` steps
    Py_ssize_t epoch, epoch_steps
    double *losses
    MetricAccumulator *metrics  # of each thread, for each epoch and output
    double *squares       # of the weights in the penalty, before each step; or NULL
    Py_ssize_t steps      # number of steps taken
    # Time after which the call ends: after a step, or with several epochs, after an epoch.
    double end
    cnet_shared last      # last step; the first thread sets it before a barrier of that step
    Watch *watch          # or NULL
    bint aborted          # whether an interrupt aborted the step after these
    const real *x         # samples of a prediction, and its outputs
    real *out
    cnet_barrier barrier


# State of a thread, from step to step.
cdef struct Member:
    int ith, nth
    # Others may still update their weights. A thread that owns columns may begin the next step,
    # since no other thread uses the weights of its columns.
    bint pending_updates
    Py_ssize_t interval   # see Watch


cdef struct Region:
    void *program
    Call *call
    int members
