"""Writes the data set where every library's process can load it: ``python _data.py FOLDER IMAGES
LEAST``.

its own process, because the one that runs the benchmark imports none of the libraries.
"""

import os
import sys
from pathlib import Path

import numpy as np

from cnet import datasets


def main() -> None:
    """Save x.npy and x_test.npy, float32 from 0 to 1, x_uint8.npy, y.npy and y_test.npy; print what
    they are.

    No 8-bit grayscale value is below LEAST: with 1, none is 0.
    """
    folder, images, least = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if "CNET_DATA" in os.environ and Path(os.environ["CNET_DATA"], "mnist").is_dir():
        name, data = "MNIST", datasets.mnist(validation=0, normalize=False)
    else:
        name, data = (
            "drawn digits (cnet.datasets.digits)",
            datasets.digits(train=images, seed=0, normalize=False),
        )
    x, y = np.maximum(data.train.x[:images], least), data.train.y[:images]
    np.save(folder / "x.npy", np.divide(x, 255, dtype=np.float32))
    np.save(folder / "x_uint8.npy", x)
    np.save(folder / "y.npy", y)
    np.save(folder / "x_test.npy", np.divide(data.test.x, 255, dtype=np.float32))
    np.save(folder / "y_test.npy", data.test.y)
    zeros = f"{(x == 0).mean():.0%} of the pixels 0" if not least else "no pixel 0"
    print(f"{name}, {len(x):,} images, float32, {zeros}")


if __name__ == "__main__":
    main()
