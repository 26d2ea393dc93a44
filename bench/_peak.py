"""What the machine can do at most, measured: multiply-adds a second, and bytes a second from
memory.

Python cannot measure the first by itself. The system's C compiler translates peak.c for this
processor, and the loops are run here, one in each thread at once: ctypes lets go of the GIL.
"""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import Any, Self, cast

import numpy as np

SECONDS = 0.05
FLAGS = ("-O2", "-std=gnu11", "-ffp-contract=fast", "-fPIC", "-shared")
X86_FLAGS = ("-march=native", "-mprefer-vector-width=512")
MEMORY_BYTES = 1 << 29
"""More than caches hold."""


class Peak:
    """The compiled loops. `build` makes one.

    Attributes
    ----------
    vector_bits : int
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._multiply_add = _function(
            library, "multiply_add", ctypes.c_ssize_t, ctypes.c_float, ctypes.c_float
        )
        self._read_memory = _function(library, "read_memory", ctypes.c_ssize_t, ctypes.c_void_p)
        self.vector_bits = ctypes.c_int.in_dll(library, "vector_bits").value
        self._floats_a_step = ctypes.c_int.in_dll(library, "floats_a_step").value

    @classmethod
    def build(cls) -> Self | str:
        """Compile peak.c; where that cannot be done, why."""
        compiler = shlex.split(os.environ.get("CC", "cc"))
        if shutil.which(compiler[0]) is None:
            return f"there is no C compiler {compiler[0]!r} here (CC names another)"
        x86 = platform.machine().lower() in {"x86_64", "amd64"}
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            library = Path(folder, "peak.so")
            command = [
                *compiler,
                *FLAGS,
                *(X86_FLAGS if x86 else ()),
                Path(__file__).with_name("peak.c"),
                "-o",
                library,
            ]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                return (
                    f"{compiler[0]} cannot compile peak.c: {result.stderr.strip().splitlines()[-1]}"
                )
            return cls(ctypes.CDLL(str(library)))

    def gflops(self, threads: int) -> float:
        """Multiply-adds of float32, each counted as two operations, by so many threads at once."""
        steps, seconds = 1 << 19, 0.0
        while seconds < SECONDS:
            steps *= 2
            seconds = together([partial(self._multiply_add, steps, 0.5, 0.5)] * threads)
        return 2 * threads * steps * self._floats_a_step / seconds / 1e9

    def read_bandwidth(self, memory: np.ndarray, threads: int) -> float:
        """GB/s that so many threads read, each a part of an array of float32."""
        steps = memory.size // threads // self._floats_a_step
        parts = [memory[i * steps * self._floats_a_step :] for i in range(threads)]
        seconds = together([partial(self._read_memory, steps, part.ctypes.data) for part in parts])
        return threads * steps * self._floats_a_step * memory.itemsize / seconds / 1e9


def copy_bandwidth(memory: np.ndarray, threads: int) -> float:
    """GB/s, read and written, of so many threads that copy one half of an array to the other."""
    sources, targets = (np.array_split(half, threads) for half in np.array_split(memory, 2))
    return (
        memory.nbytes
        / together(
            [
                partial(np.copyto, target, source)
                for source, target in zip(sources, targets, strict=True)
            ]
        )
        / 1e9
    )


def memory() -> np.ndarray:
    """An array to read and to copy within."""
    return np.ones(MEMORY_BYTES // 4, np.float32)


def together(calls: Sequence[Callable[[], object]]) -> float:
    """Seconds from the first start to the last end of calls in their own threads."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], object]) -> tuple[float, float]:
        barrier.wait()
        start = time.perf_counter()
        call()
        return start, time.perf_counter()

    with ThreadPoolExecutor(len(calls)) as pool:
        starts, ends = zip(*pool.map(run, calls), strict=True)
    return float(max(ends) - min(starts))


def _function(library: ctypes.CDLL, name: str, *arguments: type) -> Callable[..., float]:
    function: Any = getattr(library, name)
    function.argtypes, function.restype = arguments, ctypes.c_float
    return cast(Callable[..., float], function)
