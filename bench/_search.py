"""A process that searches: it trains many small networks, each with its own trainer, whenever a
line comes on its standard input.

It answers with the seconds that this took. ``python _search.py WORKERS``: so many threads of Python
train at a time.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import cnet
from cnet import nn, optim

NETS = 8
SIZES = 64, 64, 10
ROWS, BATCH, EPOCHS = 1347, 32, 20

rng = np.random.default_rng(0)
x, y = rng.random((ROWS, SIZES[0]), np.float32), rng.integers(0, SIZES[-1], ROWS)


def train(seed: int) -> float:
    """Train a network, evaluate it and predict with it."""
    inputs, hidden, classes = SIZES
    model = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes), seed=seed
    )
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    trainer.fit(x, y, batch_size=BATCH, epochs=EPOCHS, seed=seed, verbose=False)
    model(x)
    return trainer.evaluate(x, y)["loss"]


def main() -> None:
    """Answer lines until the input ends."""
    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        for _ in sys.stdin:
            start = time.perf_counter()
            list(pool.map(train, range(NETS)))
            print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
