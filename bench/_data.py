"""Writes the data set where every library's process can load it: ``python _data.py FOLDER IMAGES``.

A process of its own, because the one that runs the benchmark imports none of the libraries.
"""

import os
import sys
from pathlib import Path

import numpy as np

from cnet import datasets


def main() -> None:
    """Save x.npy and x_test.npy, float32 from 0 to 1, x_uint8.npy, y.npy and y_test.npy; print what they are."""
    folder, images = Path(sys.argv[1]), int(sys.argv[2])
    if "CNET_DATA" in os.environ and Path(os.environ["CNET_DATA"], "mnist").is_dir():
        name, data = "MNIST", datasets.mnist(validation=0)
    else:
        name, data = "drawn digits (cnet.datasets.digits)", datasets.digits(train=images, seed=0)
    x, y = data.train.x[:images], data.train.y[:images]
    np.save(folder / "x.npy", np.divide(x, 255, dtype=np.float32))
    np.save(folder / "x_uint8.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "x_test.npy", np.divide(data.test.x, 255, dtype=np.float32))
    np.save(folder / "y_test.npy", data.test.y)
    print(f"{name}, {len(x):,} images, float32")


if __name__ == "__main__":
    main()
