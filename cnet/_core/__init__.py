"""The compiled core: kernels, and the Cython functions that run them on threads.

`loops` returns the functions for a dtype. The ``.pxi`` files in bindings/ describe them. This
package imports nothing else of cnet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from cnet._core._loops import Loops


def _inherits_openmp() -> bool:
    """Whether this process was forked by one that had loaded GNU's OpenMP runtime, and may have
    used its threads; on Linux.

    Forks after this are noticed by kernels/fork.h.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            flags = int(file.read().rpartition(b")")[2].split()[6])
        forked = flags & 0x40  # PF_FORKNOEXEC
        if not forked:
            return False
        with open("/proc/self/maps", "rb") as file:
            return b"libgomp" in file.read()
    except (OSError, ValueError, IndexError):
        return False


inherited_openmp = _inherits_openmp()

try:
    from cnet._core import _float32, _float64
except ImportError as error:
    from importlib.util import find_spec

    if find_spec("cnet._core._float32"):
        raise
    raise ImportError(
        "cnet's compiled core is missing: this is a source folder, not an installed package. "
        "Install it (pip install .) and run Python from another folder, or with `python -P`; to "
        "work on the sources in place, install them with `pip install -e .`"
    ) from error

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_LOOPS: dict[np.dtype[Any], Loops] = {
    FLOAT32: cast("Loops", _float32),
    FLOAT64: cast("Loops", _float64),
}

CODES: dict[str, int] = _LOOPS[FLOAT32].CODES
"""Codes of activations, losses and optimizers, by their names in the kernels."""


def loops(dtype: np.dtype[Any]) -> Loops:
    """The compiled functions for float32 or float64."""
    return _LOOPS[dtype]
