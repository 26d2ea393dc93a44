"""Data in a file of ten gigabytes, most of which is a hole: it is trained on where it lies, in the
memory of a few batches.
"""

import os
import subprocess
import sys

import pytest

CODE = """
import mmap, sys, threading
import numpy as np
import cnet
from cnet import nn, optim
from cnet.callbacks import Callback

path, stage = sys.argv[1:]
most, ended = 0, threading.Event()

def used():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("RssAnon"))

def watch():
    global most
    while not ended.wait(0.002):
        most = max(most, used())

class Enough(Callback):
    def on_batch_end(self, trainer, step, loss):
        if step == 20:
            raise EOFError

wide = 65536
rows = 163840 if stage != "float32" else 40960
x = np.memmap(path, "float32" if stage == "float32" else "uint8", "r+", shape=(rows, wide))
assert x.nbytes > 10e9
x._mmap.madvise(mmap.MADV_RANDOM)  # or the system reads megabytes around each row
y = np.arange(rows) % 8
model = nn.Sequential(nn.Linear(wide, 8), nn.ReLU(), nn.Linear(8, 8), seed=0)
trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01))
watcher = threading.Thread(target=watch)
before = used()
watcher.start()
try:
    if stage == "uint8":  # the whole file, in random order
        try:
            trainer.fit(x, y, batch_size=64, seed=0, callbacks=[Enough()], verbose=False)
        except EOFError:
            pass
    else:  # batches of it, which are arrays or are converted
        batches = ((x[i : i + 64], y[i : i + 64]) for i in range(0, rows, 64))
        trainer.fit(batches, epochs=2, steps_per_epoch=10, verbose=False)
    part = slice(1000, 2500)  # longer than a block
    if stage == "float32":
        trainer.fit(x[part], y[part], validation_data=(x[part], y[part]), verbose=False)
        model(x[part][:, ::-1])
    assert trainer.evaluate(x[part], y[part])["loss"] > 0
    assert model(x[part]).shape == (1500, 8)
finally:
    ended.set()
    watcher.join()
assert model[0].weight.data.any()
print(most - before)
"""


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("this system does not tell what memory a process uses")
    path = tmp_path_factory.mktemp("sparse") / "x"
    with open(path, "wb") as file:
        file.truncate(1 << 24)
        if os.fstat(file.fileno()).st_blocks * 512 > 1 << 23:
            pytest.skip("this file system has no holes")
        try:
            file.truncate(163840 * 65536)
        except OSError as error:
            pytest.skip(f"this file system takes no file of ten gigabytes: {error}")
        for row in range(0, 3000, 100):
            file.seek(row * 65536)
            file.write(b"\x11" * 4096)
    yield path
    path.unlink()


@pytest.mark.parametrize("stage", ["uint8", "batches", "float32"])
def test_training_on_more_than_fits_into_memory(sparse, stage):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(sparse), stage],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 90, "megabytes"
