"""The configuration of this installation, and its choices on this machine."""

import platform
import sysconfig

from cnet._core import _isa, _threads
from cnet._utils.threads import get_num_threads
from cnet._version import __version__


def config() -> dict[str, str]:
    """Return what `show_config` prints, as a dictionary of strings."""
    import numpy

    free_threaded = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    return {
        "cnet": __version__,
        (
            "instruction set"
        ): f"{_isa.active_isa()} (this processor runs: {', '.join(_isa.available_isas())}; in this "
        f"build: {', '.join(_isa.compiled_isas())})",
        "OpenMP": "yes" if _threads.openmp() else "no: serial build",
        "threads": str(get_num_threads()),
        "abi3": "yes" if _isa.abi3() else "no",
        "compiler": _isa.compiler(),
        "Python": f"{platform.python_version()}{free_threaded}",
        "NumPy": numpy.__version__,
        "platform": platform.platform(),
    }


def show_config() -> None:
    """Print the version, instruction sets, threads and build of this installation.

    Examples
    --------
    >>> import cnet
    >>> cnet.show_config()  # doctest: +ELLIPSIS
    cnet             ...
    """
    for key, value in config().items():
        print(f"{key:16s} {value}")
