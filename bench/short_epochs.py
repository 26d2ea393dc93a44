"""Times epochs of one step: a tiny network that Adam trains on all samples at once, for thousands
of epochs, as in fits of functions and of small tables. ``python bench/short_epochs.py``.

Each library runs in its own process, in interleaved rounds. JAX compiles the whole training to one
``lax.scan``; PyTorch runs a loop; cnet runs `Trainer.fit`, and a loop of `Trainer.step`.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from _harness import environment

SIZES, SAMPLES, RATE = (4, 32, 16, 4), 200, 1e-3
Train = Callable[[int], None]
"""Trains for a number of epochs."""


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((SAMPLES, SIZES[0]), np.float32),
        rng.standard_normal((SAMPLES, SIZES[-1]), np.float32),
    )


def cnet_fit(threads: int, by_step: bool = False) -> Train:
    import cnet
    from cnet import nn, optim

    cnet.set_num_threads(threads)
    x, y = data()
    layers = [nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)]
    model = nn.Sequential(*layers, seed=0)
    trainer = cnet.Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=RATE))

    def steps(epochs: int) -> None:
        for _ in range(epochs):
            trainer.step(x, y)

    def fit(epochs: int) -> None:
        trainer.fit(x, y, epochs=epochs, batch_size=SAMPLES, verbose=False)

    return steps if by_step else fit


def cnet_step(threads: int) -> Train:
    return cnet_fit(threads, by_step=True)


def jax_scan(threads: int) -> Train:
    import jax
    import jax.numpy as jnp

    x, y = map(jnp.asarray, data())
    keys = jax.random.split(jax.random.key(0), 3)
    params = [
        (jax.random.normal(key, (n, m)) / n**0.5, jnp.zeros(m))
        for key, (n, m) in zip(keys, itertools.pairwise(SIZES), strict=True)
    ]

    def loss(params):
        *hidden, last = params
        out = x
        for w, b in hidden:
            out = jnp.tanh(out @ w + b)
        return jnp.mean((out @ last[0] + last[1] - y) ** 2)

    def step(state, _):
        params, mean, square, t = state
        value, grad = jax.value_and_grad(loss)(params)
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, grad)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, grad)
        rate, root = RATE / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        params = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), params, mean, square
        )
        return (params, mean, square, t + 1), value

    run = jax.jit(lambda state, n: jax.lax.scan(step, state, None, n), static_argnums=1)
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, zeros, 1.0)
    return lambda epochs: jax.block_until_ready(run(state, epochs)) and None


def pytorch(threads: int) -> Train:
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    x, y = map(torch.from_numpy, data())
    model = nn.Sequential(
        nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 4)
    )
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=RATE), nn.MSELoss()

    def train(epochs: int) -> None:
        for _ in range(epochs):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()

    return train


PEERS = {
    "cnet": cnet_fit,
    "cnet, step": cnet_step,
    "JAX": jax_scan,
    "PyTorch": pytorch,
}


def worker(name: str, threads: int, epochs: int) -> None:
    """Print the microseconds of an epoch for each line of the input."""
    train = PEERS[name](threads)
    train(epochs)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        train(epochs)
        print((time.perf_counter() - start) / epochs * 1e6, flush=True)


def start(name: str, threads: int, epochs: int) -> subprocess.Popen[str]:
    """A process that trains with one library."""
    options = {"--worker": name, "--threads": str(threads), "--epochs": str(epochs)}
    return subprocess.Popen(
        [sys.executable, __file__, *(text for option in options.items() for text in option)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(threads),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(".")[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument("--epochs", type=int, default=2000, help="epochs of a timing")
    parser.add_argument("--rounds", type=int, default=7, help="how many times each is timed")
    parser.add_argument("--worker", choices=[*PEERS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.threads, options.epochs)
        return
    processes = {name: start(name, options.threads, options.epochs) for name in PEERS}
    for name, process in [*processes.items()]:
        if process.stdout.readline().strip() != "ready":
            print(f"{name} is left out: it cannot be imported, or failed")
            del processes[name]
    times: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(options.rounds):
        for name, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            times[name].append(float(process.stdout.readline()))
            time.sleep(0.1)
    print(f"one step an epoch, {SAMPLES} samples, {options.threads} threads, microseconds an epoch")
    for name, values in times.items():
        processes[name].kill()
        ratio = statistics.median(a / b for a, b in zip(values, times["cnet"], strict=True))
        print(f"{name:12} {statistics.median(values):8.1f}   {ratio:6.2f} times cnet's")


if __name__ == "__main__":
    main()
