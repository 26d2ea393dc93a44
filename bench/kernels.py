"""Speed of the dense layer's kernels on the shapes of the benchmark's nets: ``python bench/kernels.py``.

In GFLOP/s beside NumPy's matmul (BLAS) of the same shapes, each the best of several rounds: this shows what the code
can do, undisturbed. (`compare.py` shows what a user gets, and gives medians.) The processor's own peak cannot be had
from Python: the fastest product of all, in practice one of the large ones, stands in for it.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import cnet
from _cases import CASES
from _harness import PAUSE, environment
from cnet._core import _isa, loops

Shape = tuple[int, int, int]
"""Rows of the batch, inputs, outputs."""

KERNELS = ("forward", "dW, db", "dX")
LARGE = (1024, 1024, 1024)
ALL_ROWS = 59_000
SECONDS = 0.02
COPIED_BYTES = 1 << 28


def layers() -> list[Shape]:
    """The layers of all nets that are trained."""
    return list(
        dict.fromkeys(
            (case.batch or ALL_ROWS, inputs, outputs)
            for case in CASES.values()
            if case.training
            for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False)
        )
    )


def products(shape: Shape) -> dict[str, list[Callable[[], object]]]:
    """Calls that compute a layer's three products, by cnet and by NumPy; `KERNELS` names them."""
    rows, inputs, outputs = shape
    rng = np.random.default_rng(0)
    x, dx = rng.standard_normal((rows, inputs), np.float32), np.empty((rows, inputs), np.float32)
    w, dw = rng.standard_normal((inputs, outputs), np.float32), np.empty((inputs, outputs), np.float32)
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
            lambda: core.linear_backward_params(dw, db, x, dz),
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
            best[library] = [min(old, seconds_per_call(call)) for old, call in zip(times, calls[library], strict=True)]
    operations = 2.0 * shape[0] * shape[1] * shape[2]
    return {library: [operations / seconds / 1e9 for seconds in times] for library, times in best.items()}


def copy_bandwidth(rounds: int) -> float:
    """Bytes read and written a second, in GB, by one thread that copies more than the caches hold."""
    source, target = (np.full(COPIED_BYTES, value, np.uint8) for value in (1, 2))
    return 2 * COPIED_BYTES / min(seconds_per_call(lambda: np.copyto(target, source)) for _ in range(rounds)) / 1e9


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of cnet and of BLAS")
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take the best of")
    options = parser.parse_args()
    env = environment(options.threads)
    if env != os.environ:  # BLAS reads it when it is loaded
        sys.exit(subprocess.call([sys.executable, *sys.argv], env=env))

    print(f"GFLOP/s, cnet / NumPy; cnet {cnet.__version__} with {_isa.active_isa()} kernels, NumPy {np.__version__}, threads: {options.threads}")
    print(f"{'rows x inputs x outputs':24}" + "".join(f"{kernel:>22}" for kernel in KERNELS))
    peak = 0.0
    for shape in [*layers(), LARGE]:
        speeds = measure(shape, options.rounds)
        cells = [f"{ours:.1f} / {theirs:.1f}" for ours, theirs in zip(speeds["cnet"], speeds["NumPy"], strict=True)]
        print(f"{' x '.join(map(str, shape)):24}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
        peak = max(peak, *speeds["cnet"], *speeds["NumPy"])
    print(f"Practical peak, the fastest of these: {peak:.0f} GFLOP/s. One thread copies at {copy_bandwidth(options.rounds):.1f} GB/s, read and written.")


if __name__ == "__main__":
    main()
