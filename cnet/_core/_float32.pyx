"""The compiled loops for float32: see loops.pxi for what they have in common."""

from cnet._core._isa cimport float32_kernels as table

ctypedef float real

include "bindings/loops.pxi"
