"""Speed of the dense layer's kernels on the shapes of the benchmark's networks: ``python
bench/kernels.py``.

In GFLOP/s beside NumPy's matmul (BLAS) of the same shapes, each the best of several rounds: this
shows what the code can do, undisturbed. (`compare.py` shows what a user gets, and gives medians.)
Percentages are of what the machine can do at most, which is measured too.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import _peak
import cnet
from _cases import TABLE
from _harness import PAUSE, environment
from _report import machine
from cnet._core import _isa, loops

Shape = tuple[int, int, int]
"""Rows of the batch, inputs, outputs."""

KERNELS = ("forward", "dW, db", "dX")
LARGE = (1024, 1024, 1024)
ALL_ROWS = 59_000
SECONDS = 0.02
CACHED_BYTES = 1 << 26
"""Operands that are larger come from memory, call after call."""


@dataclass
class Limits:
    """What the machine does at most, in GFLOP/s and GB/s; 0 where it is not known."""

    gflops: float = 0.0
    read: float = 0.0
    copied: float = 0.0

    def measure(self, peak: _peak.Peak | str, memory: np.ndarray, threads: int) -> None:
        """Measure, and keep what is more."""
        time.sleep(PAUSE)
        self.copied = max(self.copied, _peak.copy_bandwidth(memory, threads))
        if isinstance(peak, _peak.Peak):
            self.read = max(self.read, peak.read_bandwidth(memory, threads))
            self.gflops = max(self.gflops, peak.gflops(threads))

    def share(self, speed: float, shape: Shape) -> str:
        """A speed in percent of what is possible: of the peak or, marked m, of what reading the
        operands allows.
        """
        rows, inputs, outputs = shape
        size = 4 * (rows * inputs + inputs * outputs + rows * outputs)
        by_memory = self.read * 2 * rows * inputs * outputs / size
        if not self.gflops:
            return ""
        if size > CACHED_BYTES and by_memory < self.gflops:
            return f"{speed / by_memory:5.0%}m"
        return f"{speed / self.gflops:5.0%} "


def layers() -> list[Shape]:
    """The layers of all networks of the table that are trained."""
    return list(
        dict.fromkeys(
            (case.batch or ALL_ROWS, inputs, outputs)
            for case in TABLE.values()
            if not case.predict
            for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False)
        )
    )


def products(shape: Shape) -> dict[str, list[Callable[[], object]]]:
    """Calls that compute a layer's three products, by cnet and by NumPy; `KERNELS` names them."""
    rows, inputs, outputs = shape
    rng = np.random.default_rng(0)
    x, dx = rng.standard_normal((rows, inputs), np.float32), np.empty((rows, inputs), np.float32)
    w, dw = (
        rng.standard_normal((inputs, outputs), np.float32),
        np.empty((inputs, outputs), np.float32),
    )
    dz, z = rng.standard_normal((rows, outputs), np.float32), np.empty((rows, outputs), np.float32)
    b, db = np.zeros(outputs, np.float32), np.empty(outputs, np.float32)
    core = loops(x.dtype)

    def numpy_forward() -> None:
        np.add(np.dot(x, w, out=z), b, out=z)

    def numpy_backward_params() -> None:
        np.dot(x.T, dz, out=dw)
        np.sum(dz, axis=0, out=db)

    return {
        "cnet": [
            lambda: core.linear_forward(z, x, w, b),
            lambda: (core.linear_backward_weight(dw, x, dz), core.linear_backward_bias(db, dz)),
            lambda: core.linear_backward_input(dx, dz, w),
        ],
        "NumPy": [numpy_forward, numpy_backward_params, lambda: np.dot(dz, w.T, out=dx)],
    }


def seconds_per_call(call: Callable[[], object]) -> float:
    """The mean over calls for `SECONDS`."""
    call()
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS:
        call()
        calls += 1
    return elapsed / calls


def measure(shape: Shape, rounds: int) -> dict[str, list[float]]:
    """GFLOP/s of each product of a layer: the best round."""
    best = {library: [float("inf")] * len(KERNELS) for library in ("cnet", "NumPy")}
    calls = products(shape)
    for _ in range(rounds):
        for library, times in best.items():
            time.sleep(PAUSE)  # so that the other library's threads have stopped spinning
            best[library] = [
                min(old, seconds_per_call(call))
                for old, call in zip(times, calls[library], strict=True)
            ]
    operations = 2.0 * shape[0] * shape[1] * shape[2]
    return {
        library: [operations / seconds / 1e9 for seconds in times]
        for library, times in best.items()
    }


def report(threads: int, rounds: int) -> None:
    """Measure with so many threads, and print a table."""
    peak, memory, limits = _peak.Peak.build(), _peak.memory(), Limits()
    for _ in range(rounds):
        limits.measure(peak, memory, threads)
    shapes = [*layers(), LARGE]
    speeds = []
    for shape in shapes:
        print(f"{threads} threads: {_title(shape)}", file=sys.stderr, flush=True)
        speeds.append(measure(shape, rounds))
        limits.measure(peak, memory, threads)  # again, as the clock may have changed

    print(
        f"\nGFLOP/s with {threads} thread{'s' if threads > 1 else ''}: cnet / NumPy, and cnet in "
        "percent of what is possible"
    )
    print(f"{'rows x inputs x outputs':24}" + "".join(f"{kernel:>24}" for kernel in KERNELS))
    for shape, speed in zip(shapes, speeds, strict=True):
        cells = [
            f"{ours:.1f} / {theirs:.1f} {limits.share(ours, shape)}"
            for ours, theirs in zip(speed["cnet"], speed["NumPy"], strict=True)
        ]
        print(f"{_title(shape):24}" + "".join(f"{cell:>24}" for cell in cells))
    if isinstance(peak, _peak.Peak):
        print(
            f"Possible: {limits.gflops:.0f} GFLOP/s, measured with multiply-adds of "
            f"{peak.vector_bits}-bit vectors of float32; or, marked m,"
        )
        print(
            "where the operands come from memory, as long as they take to be read: "
            f"{limits.read:.1f} GB/s.",
            end=" ",
        )
    else:
        print(f"The peak was not measured: {peak}.", end=" ")
    print(f"Memory is copied at {limits.copied:.1f} GB/s, read and written.")


def _title(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def main() -> None:
    """Print a table for each number of threads."""
    every = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, every}),
        help="threads of cnet and of BLAS: a table for each",
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take the best of")
    options = parser.parse_args()
    if len(options.threads) == 1 and environment(options.threads[0]) == os.environ:
        report(options.threads[0], options.rounds)
        return
    where = machine()
    print(
        f"{where['cpu']}, {where['cores']} cores; cnet {cnet.__version__} with "
        f"{_isa.active_isa()} kernels, NumPy {np.__version__}",
        flush=True,
    )
    for threads in options.threads:  # BLAS reads the environment when it is loaded
        command = [
            sys.executable,
            __file__,
            "--threads",
            str(threads),
            "--rounds",
            str(options.rounds),
        ]
        if status := subprocess.call(command, env=environment(threads)):
            sys.exit(status)


if __name__ == "__main__":
    main()
