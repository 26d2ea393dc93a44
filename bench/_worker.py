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
from _data import samples
from peers._peer import Floats, Peer, Targets, initial_weights
from peers._reference import loss, outputs

CHECK_STEPS = 20
CHECK_STEPS_OF_ALL_ROWS = 3
PREDICTIONS = 1000
"""Of one sample each, in a timing."""
JUDGED, JUDGED_IMAGES = 1000, 50
"""Samples of which the loss is computed in double precision."""


class Worker:
    """Runs the networks of one peer. `describe`, `supports`, `check`, `load` and `time` are the
    requests; or `start` and `learn`.
    """

    def __init__(self, name: str, threads: int, folder: Path) -> None:
        self._peer_class = peers.load(name)
        self._threads = threads
        self._folder = folder
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

    def supports(self, case_name: str) -> bool:
        """Whether there is anything to time."""
        return self._peer_class.supports(CASES[case_name])

    def check(self, case_name: str) -> float | None:
        """The loss after a few steps, in the data's order, from the same weights as every peer.

        It is computed here, in double precision, from the weights that the steps led to: a peer
        that scales its gradient differently is found out. Dropout, whose masks differ, is left out.
        None where a peer does not do quite the same.
        """
        case = CASES[case_name].without_dropout
        epochs = 1 if case.batch or case.predict else CHECK_STEPS_OF_ALL_ROWS
        peer = self._build(case, CHECK_STEPS)
        peer.compile(epochs)
        peer.set_weights(initial_weights(case))
        x, y = peer.x, peer.y
        if case.predict:
            batches = _batches(peer)
            z = np.concatenate([peer.predict(batch) for batch in batches])
        else:
            peer.train(epochs, shuffle=False)
            if peer.remark:
                return None
            x = x[: JUDGED_IMAGES if case.images else JUDGED]
            z = outputs(case, peer.get_weights(), x)
        y = y[: len(z)]
        return loss(case, z, y.reshape(z.shape) if y.size == z.size else y)

    def load(self, case_name: str, seconds: float, steps: int) -> dict[str, Any]:
        """Build a network, run an epoch, and choose how many epochs a timing has: at least one, and
        enough for `seconds`. An epoch has at most so many steps.

        An epoch of predictions of single samples is so many of them. Compiling is timed here,
        apart.
        """
        case = CASES[case_name]
        peer = self._build(case, PREDICTIONS if case.predict else steps)
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
        steps = len(peer.x) // peer.batch
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

    def start(self, case_name: str, seed: int) -> None:
        """Build a network to be trained epoch by epoch."""
        case = CASES[case_name]
        self._learner = self._peer_class(case, *self._samples(case), self._threads)
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
        logits = outputs(self._learner.case, self._learner.get_weights(), x)
        return {"seconds": seconds, "accuracy": float((logits.argmax(axis=1) == y).mean())}

    def _build(self, case: Case, steps: int) -> Peer:
        peer = self._peer_class(case, *self._samples(case, steps), self._threads)
        peer.set_weights(initial_weights(case))
        return peer

    def _samples(self, case: Case, steps: int | None = None) -> tuple[Floats, Targets]:
        """A whole number of batches, and no more than so many."""
        x, y = samples(case, self._folder)
        batch = case.predict or case.batch or len(x)
        whole = batch * (len(x) // batch if steps is None else min(len(x) // batch, steps))
        return x[:whole], y[:whole]

    def _prepare(self, peer: Peer, epochs: int) -> None:
        weights = initial_weights(peer.case)
        self._reset = lambda: peer.set_weights(weights)
        batches = _batches(peer) * epochs
        self._run = (
            (lambda: _predict_each(peer, batches))
            if peer.case.predict
            else (lambda: peer.train(epochs))
        )


def _batches(peer: Peer) -> list[Floats]:
    """What predictions are made of."""
    if not peer.case.predict:
        return []
    return [peer.x[i : i + peer.batch] for i in range(0, len(peer.x), peer.batch)]


def _predict_each(peer: Peer, batches: list[Floats]) -> None:
    for x in batches:
        peer.predict(x)


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
