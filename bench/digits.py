"""What networks that have seen drawn digits alone read of MNIST's test images: ``python
bench/digits.py``.

First 784-128-10 with ReLU, trained for ten epochs on 60,000 digits of `cnet.datasets.digits`, at
batch 32 and learning rate 0.1; the seeds differ in digits, weights and order. Then the network that
``cnet train`` saves, with all that it does by itself. MNIST is found, or downloaded, by
`cnet.datasets.mnist`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cnet
from cnet import datasets, metrics, nn, optim

IMAGES = 60_000


def trained(images: int, seed: int) -> nn.Sequential:
    """A network that has learned so many drawn digits."""
    x, y = datasets.digits(images, 0, seed=seed).train
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10), seed=seed)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(x, y, epochs=10, batch_size=32, seed=seed, verbose=False)
    return model


def saved() -> nn.Module:
    """The network of the command line."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.safetensors")
        subprocess.run(
            [sys.executable, "-m", "cnet", "train", "--quiet", "--out", file],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return cnet.load(file)


def accuracy(model: nn.Module, test: datasets.Split) -> float:
    """The fraction of images that is read correctly."""
    return metrics.accuracy(test.y, model(test.x).argmax(axis=1))


def main() -> None:
    """Train, read, print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds, from 0 on")
    parser.add_argument("--quick", action="store_true", help="a tenth of the digits: to try it out")
    options = parser.parse_args()
    images = IMAGES // 10 if options.quick else IMAGES
    test = datasets.mnist(validation=0).test
    shares = [accuracy(trained(images, seed), test) for seed in range(options.seeds)]
    spread = f"{statistics.median(shares):.1%} ({min(shares):.1%}-{max(shares):.1%})"
    print(
        f"MNIST's test images, read after {images:,} drawn digits, seeds 0 to "
        f"{options.seeds - 1}: {spread}"
    )
    print(f"and by the network that cnet train saves: {accuracy(saved(), test):.1%}")


if __name__ == "__main__":
    main()
