"""The instruction set whose kernels run, chosen once, at import; and how this binary was built.

This module alone is linked with the kernels and with processor detection. ``CNET_ISA`` forces a
set; a name that this build does not know, or this processor does not run, is an error rather than a
silent choice of another.
"""

import os


cdef extern from "kernels/isa.h":
    ctypedef struct cnet_isa:
        const char *name
        const void *f32
        const void *f64
        int (*supported)() noexcept nogil

    const cnet_isa cnet_isas[]


cdef extern from *:
    """
    #ifdef Py_LIMITED_API
    #define CNET_ABI3 1
    #else
    #define CNET_ABI3 0
    #endif
    #if defined(__clang__)
    #define CNET_COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define CNET_COMPILER "GCC " __VERSION__
    #elif defined(_MSC_VER)
    #define CNET_TEXT_(x) #x
    #define CNET_TEXT(x) CNET_TEXT_(x)
    #define CNET_COMPILER "MSVC " CNET_TEXT(_MSC_VER)
    #else
    #define CNET_COMPILER "unknown"
    #endif
    """
    const bint CNET_ABI3
    const char *CNET_COMPILER


cdef const cnet_isa *_active = NULL


cdef const void *float32_kernels() noexcept nogil:
    return _active.f32


cdef const void *float64_kernels() noexcept nogil:
    return _active.f64


def abi3():
    """Whether this binary keeps to the stable ABI."""
    return bool(CNET_ABI3)


def compiler():
    """Name and version of the compiler."""
    return CNET_COMPILER.decode().strip()


def compiled_isas():
    """Names of the instruction sets in this build, from the plainest to the best."""
    names = []
    cdef const cnet_isa *isa = &cnet_isas[0]
    while isa.name != NULL:
        names.append(isa.name.decode())
        isa += 1
    return tuple(names)


def available_isas():
    """Names of the instruction sets in this build that this processor runs, from the plainest to
    the best.
    """
    return tuple(name for i, name in enumerate(compiled_isas()) if cnet_isas[i].supported())


def active_isa():
    """Name of the instruction set in use."""
    return _active.name.decode()


def use_isa(name):
    """Switch to another instruction set. Not while another thread computes: this is for tests and
    benchmarks.

    Raises
    ------
    ValueError
        If ``name`` is not one of `available_isas`.
    """
    global _active
    available = available_isas()
    if name not in available:
        why = (
            "this processor does not run it"
            if name in compiled_isas() else "there is no such set in this build"
        )
        raise ValueError(
            f"instruction set {name!r}: {why}; choose one of {', '.join(available)} (CNET_ISA)"
        )
    _active = &cnet_isas[compiled_isas().index(name)]


use_isa(os.environ.get("CNET_ISA") or max(available_isas(), key=compiled_isas().index))
