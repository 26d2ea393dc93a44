"""Runs each library in its own process, one at a time, in interleaved rounds.

A library's threads may keep spinning for a while after its work, waiting for more. In one process
they would slow the library timed next; in processes that take turns, with a pause between, they
have gone to sleep by then.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from _cases import Case
from peers import PEERS

HERE = Path(__file__).parent
TOLERANCE = 1e-3
"""Relative difference of losses above which two peers are held to compute different things."""
BFLOAT16_TOLERANCE = 3e-2
"""The same where products are in bfloat16, which has 8 bits of precision."""


class Effort(NamedTuple):
    """Size of a measurement: images of the data set, rounds, the seconds that a timing takes at
    least, and the steps that an epoch has at most. With batches of a few samples, an epoch of all
    of the data would take minutes.
    """

    images: int = 59_000
    rounds: int = 7
    seconds: float = 0.5
    steps: int = 4096


QUICK = Effort(10_000, 3, 0.1, 50)
"""To try a benchmark out."""
PAUSE = 0.1
"""Seconds between timings: OpenBLAS's threads spin for about 0.03 s, GNU OpenMP's for a few
milliseconds.
"""


class PeerError(Exception):
    """A library could not do what it was asked to; the message says why."""


class PeerProcess:
    """A library in its own process, which ends with the ``with`` block."""

    def __init__(self, name: str, threads: int, folder: Path, label: str = "") -> None:
        self.name = label or name
        self._process = subprocess.Popen(
            [sys.executable, HERE / "_worker.py", name, str(threads), folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def call(self, method: str, *arguments: Any) -> Any:
        """The answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(f"its process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]


def environment(threads: int) -> dict[str, str]:
    """The environment of a library's process: so many threads, and BLAS with the kernels that it
    chooses by itself.
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XLA_FLAGS")
    }
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CNET_NUM_THREADS"):
        env[name] = str(threads)
    env["NPROC"] = str(threads)  # the size of XLA's pool
    if threads == 1:
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    env["JAX_PLATFORMS"] = "cpu"
    env["CUDA_VISIBLE_DEVICES"] = ""
    env["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # compilers are not to wait in the background
    return env


def write_data(folder: Path, images: int, least: int = 0) -> str:
    """Put the data set where `PeerProcess` looks for it, with 8-bit grayscale values of at least so
    much; says what it is.
    """
    data = subprocess.run(
        [sys.executable, HERE / "_data.py", folder, str(images), str(least)],
        stdout=subprocess.PIPE,
        text=True,
    )
    if data.returncode:
        sys.exit(
            "The data could not be loaded, see above. (This needs cnet installed, or built in "
            "place and on PYTHONPATH.)"
        )
    return data.stdout.strip()


def measure(case: Case, peers: Iterable[PeerProcess], effort: Effort) -> dict[str, dict[str, Any]]:
    """Check and time one row of the table.

    Returns
    -------
    dict
        For each peer ``us``, the microseconds a step of each round, and what else was seen; or
        ``error``.
    """
    results: dict[str, dict[str, Any]] = {}
    running = []
    for peer in peers:
        print(f"{case.name}: {peer.name}", file=sys.stderr, flush=True)
        try:
            if not peer.call("supports", case.name):
                continue
            loss = peer.call("check", case.name)
            results[peer.name] = {
                "loss": loss,
                **peer.call("load", case.name, effort.seconds, effort.steps),
                "us": [],
                "cores": [],
                "idle_cores": [],
            }
            running.append(peer)
        except PeerError as error:
            results[peer.name] = {"error": str(error)}
        time.sleep(PAUSE)
    _compare_losses(results)
    running = [peer for peer in running if "error" not in results[peer.name]]
    for i in range(effort.rounds):
        print(f"{case.name}: round {i + 1} of {effort.rounds}", file=sys.stderr, flush=True)
        start = i % max(1, len(running))
        for peer in running[start:] + running[:start]:
            time.sleep(PAUSE)
            result = results[peer.name]
            try:
                timing = peer.call("time")
            except PeerError as error:
                results[peer.name] = {"error": str(error)}
                running = [other for other in running if other is not peer]
                continue
            result["us"].append(timing["seconds"] / result["steps"] * 1e6)
            result["cores"].append(timing["cores"])
            result["idle_cores"].append(timing["idle_cores"])
    return results


def _compare_losses(results: dict[str, dict[str, Any]]) -> None:
    """Make an error of every loss that differs from that of most peers in float32."""
    losses = {
        name: result["loss"] for name, result in results.items() if result.get("loss") is not None
    }
    if not (exact := sorted(loss for name, loss in losses.items() if not _bfloat16(name))):
        return
    middle = exact[len(exact) // 2]
    for name, loss in losses.items():
        tolerance = BFLOAT16_TOLERANCE if _bfloat16(name) else TOLERANCE
        if not abs(loss - middle) <= tolerance * abs(middle):
            results[name] = {
                "loss": loss,
                "error": (
                    f"computes something else: its loss is {loss:.6g}, that of others {middle:.6g}"
                ),
            }


def _bfloat16(name: str) -> bool:
    return name in PEERS and PEERS[name].bfloat16
