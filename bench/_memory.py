"""The memory that a run of cnet takes: ``python _memory.py FOLDER EPOCHS`` trains a network on the
uint8 images in a folder.

its own process, which prints the most memory that it ever held, and the size of the data.
"""

import json
import sys
from pathlib import Path

import numpy as np

import cnet
from _cases import USUAL
from cnet import nn, optim


def peak_bytes() -> int:
    """The most resident memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(
            int(line.split()[1])
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def main() -> None:
    """Train, and print JSON."""
    folder, epochs = Path(sys.argv[1]), int(sys.argv[2])
    x, y = np.load(folder / "x_uint8.npy"), np.load(folder / "y.npy")
    inputs, hidden, outputs = USUAL.case.sizes
    model = nn.Sequential(
        nn.Rescale(1 / 255),
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(),
        nn.Linear(hidden, outputs),
        seed=0,
    )
    trainer = cnet.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=USUAL.case.optimizer.learning_rate),
    )
    trainer.fit(x, y, epochs=epochs, batch_size=USUAL.case.batch or len(x), seed=0, verbose=False)
    print(json.dumps({"peak": peak_bytes(), "data": x.nbytes}))


if __name__ == "__main__":
    main()
