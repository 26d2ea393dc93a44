"""The process of one library: ``python _worker.py PEER THREADS FOLDER`` does what its standard
input tells it to.

A request is a line of JSON, ``[method, *arguments]``; an answer is another, ``{"result": ...}`` or
``{"error": ...}``. Between requests it waits for a line, which takes no processor time unless a
thread pool of the library keeps spinning.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import peers
from _cases import CASES, Case
from peers._peer import Peer, cross_entropy, initial_weights, reference_logits

CHECK_STEPS = 20
CHECK_STEPS_OF_ALL_ROWS = 3
MAX_STEPS = 4096
"""Of an epoch: with batches of a few rows, all of the data would take minutes."""
PREDICTIONS = 1000


class Worker:
    """Runs the networks of one peer. `describe`, `check`, `load` and `time` are the requests; or
    `start` and `learn`.
    """

    def __init__(self, name: str, threads: int, folder: Path) -> None:
        self._peer_class = peers.load(name)
        self._threads = threads
        self._folder = folder
        self._x = np.load(folder / "x.npy")
        self._y = np.load(folder / "y.npy")
        self._reset: Callable[[], None]
        self._run: Callable[[], None]
        self._learner: Peer
        self._answered = _clocks()

    def answer(self, method: str, *arguments: Any) -> Any:
        """The answer to a request."""
        try:
            return getattr(self, method)(*arguments)
        finally:
            self._answered = _clocks()

    def describe(self) -> dict[str, Any]:
        """The library's version, and the pools of threads in this process."""
        pools = []
        with suppress(ImportError):
            from threadpoolctl import threadpool_info

            for pool in threadpool_info():
                kernels = f" with {pool['architecture']} kernels" if "architecture" in pool else ""
                pools.append(f"{pool['internal_api']}{kernels}: {pool['num_threads']}")
        return {"version": self._peer_class.version(), "thread pools": pools}

    def check(self, case_name: str) -> float | None:
        """The loss after a few steps, in the data's order, from the same weights as every peer.

        It is computed here, in double precision, from the weights that the steps led to: a peer
        that scales its gradient differently is found out. None where a peer does not do quite the
        same.
        """
        case = CASES[case_name]
        if not case.training:
            peer = self._build(case, PREDICTIONS)
            logits = np.concatenate([peer.predict(row) for row in self._rows()])
        else:
            peer = self._build(case, _whole_batches(case, len(self._x), CHECK_STEPS))
            epochs = 1 if case.batch else CHECK_STEPS_OF_ALL_ROWS
            peer.compile(epochs)
            peer.set_weights(initial_weights(case))
            peer.train(epochs, shuffle=False)
            if peer.remark:
                return None
            logits = reference_logits(case, peer.get_weights(), self._x[:PREDICTIONS])
        return cross_entropy(logits, self._y[: len(logits)])

    def load(self, case_name: str, seconds: float) -> dict[str, Any]:
        """Build a network, run an epoch, and choose how many epochs a timing has: at least one, and
        enough for `seconds`.

        An epoch of predictions is so many rows, one by one. Compiling is timed here, apart.
        """
        case = CASES[case_name]
        peer = self._build(case, _whole_batches(case, len(self._x), MAX_STEPS))
        start = time.perf_counter()
        peer.compile(1)
        compile_seconds = time.perf_counter() - start
        self._prepare(peer, 1)
        epoch = self.time()["seconds"]
        if epoch < seconds:
            epoch = self.time()["seconds"]  # the first ones, of caches and threads, are slow
        epochs = math.ceil(seconds / epoch)
        peer.compile(epochs)
        self._prepare(peer, epochs)
        steps = len(peer.x) // peer.batch if case.training else len(self._rows())
        return {"compile_s": compile_seconds, "steps": steps * epochs, "remark": peer.remark}

    def time(self) -> dict[str, float]:
        """Time one run from the initial weights.

        ``cores`` is how many cores the run kept busy, which shows whether the number of threads was
        obeyed; ``idle_cores`` how many this process kept busy while another peer ran, which should
        be none.
        """
        idle_cores = _cores(self._answered)
        self._reset()
        start = _clocks()
        self._run()
        seconds = time.perf_counter() - start[0]
        cores = _cores(start)
        return {"seconds": seconds, "cores": cores, "idle_cores": idle_cores}

    def start(
        self, case_name: str, seed: int, learning_rate: float, momentum: float, weight_decay: float
    ) -> None:
        """Build a network to be trained epoch by epoch."""
        case = CASES[case_name]
        images = _whole_batches(case, len(self._x), len(self._x))
        self._learner = self._peer_class(case, self._x[:images], self._y[:images], self._threads)
        self._learner.set_sgd(learning_rate, momentum, weight_decay)
        self._learner.set_seed(seed)
        self._learner.set_weights(initial_weights(case, seed))

    def learn(self, epochs: int, learning_rate: float) -> dict[str, float]:
        """Train for some epochs; the time they take, and then the fraction of test images that are
        read correctly.

        The network's outputs are computed here, in double precision, from its weights.
        """
        self._learner.set_learning_rate(learning_rate)
        start = time.perf_counter()
        self._learner.train(epochs)
        seconds = time.perf_counter() - start
        x, y = (np.load(self._folder / f"{name}_test.npy") for name in "xy")
        logits = reference_logits(self._learner.case, self._learner.get_weights(), x)
        return {"seconds": seconds, "accuracy": float((logits.argmax(axis=1) == y).mean())}

    def _build(self, case: Case, images: int) -> Peer:
        peer = self._peer_class(case, self._x[:images], self._y[:images], self._threads)
        peer.set_weights(initial_weights(case))
        return peer

    def _prepare(self, peer: Peer, epochs: int) -> None:
        weights = initial_weights(peer.case)
        self._reset = lambda: peer.set_weights(weights)
        rows = self._rows() * epochs
        self._run = (
            (lambda: peer.train(epochs))
            if peer.case.training
            else (lambda: _predict_each(peer, rows))
        )

    def _rows(self) -> list[np.ndarray]:
        return [self._x[i : i + 1] for i in range(min(PREDICTIONS, len(self._x)))]


def _whole_batches(case: Case, images: int, most: int) -> int:
    """How many images to use: a whole number of batches, and no more than so many."""
    batch = case.batch or images
    return batch * min(images // batch, most)


def _predict_each(peer: Peer, rows: list[np.ndarray]) -> None:
    for row in rows:
        peer.predict(row)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _cores(since: tuple[float, float]) -> float:
    """Processor time per time passed."""
    wall, processor = _clocks()
    return (processor - since[1]) / (wall - since[0])


def main() -> None:
    """Answer requests until the input ends."""
    # What libraries print goes to stderr: stdout is for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = None
    for line in sys.stdin:
        try:
            if worker is None:  # here, so that a library that cannot be imported is an answer too
                name, threads, folder = sys.argv[1:]
                worker = Worker(name, int(threads), Path(folder))
            answer = {"result": worker.answer(*json.loads(line))}
        except (
            Exception
        ) as error:  # whatever a library raises ends its cell of the table, not the benchmark
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
