"""The compiled loops for float64: see loops.pxi for what they have in common."""

from cnet._core._isa cimport float64_kernels as table

ctypedef double real

include "bindings/loops.pxi"
