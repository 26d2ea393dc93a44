"""How this binary was built."""

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


def abi3():
    """Whether this binary keeps to the stable ABI."""
    return bool(CNET_ABI3)


def compiler():
    """Name and version of the compiler."""
    return CNET_COMPILER.decode().strip()
