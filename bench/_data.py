"""The data of the cases. ``python _data.py FOLDER IMAGES LEAST`` writes the images where every
library's process can load them: a separate process, because the one that runs the benchmark imports
none of the libraries.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _cases import BINARY, CROSS_ENTROPY, MNIST, SQUARES, Case


def samples(case: Case, folder: Path) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Inputs and targets of a case: images from a folder, or normal numbers whose targets follow
    from a random linear map, the same at each call.
    """
    if case.data == MNIST:
        x = np.load(folder / "x.npy", mmap_mode="r")[: case.samples]
        y = x if case.loss == SQUARES else np.load(folder / "y.npy")[: case.samples]
        return np.array(x).reshape(-1, *case.inputs), np.array(y)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.samples, *case.inputs), np.float32)
    features = x.reshape(len(x), -1)
    y = features @ rng.standard_normal((features.shape[1], case.outputs), np.float32)
    if case.loss == CROSS_ENTROPY:
        return x, y.argmax(axis=1)
    if case.loss == BINARY:
        return x, (y > 0).astype(np.float32)
    return x, np.tanh(y / features.shape[1] ** 0.5)


def main() -> None:
    """Save x.npy and x_test.npy, float32 from 0 to 1, x_uint8.npy, y.npy and y_test.npy; print what
    they are.

    No 8-bit grayscale value is below LEAST: with 1, none is 0.
    """
    from cnet import datasets

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
