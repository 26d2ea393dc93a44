"""Pieces of code that tests run in a new interpreter, and what they begin with."""

import os
import signal
import subprocess
import sys

TIMEOUT = 60  # of what takes a second: a hang is what it is to find

# A network and data for which two threads are used, in this process and in those that tests start.
WORK = """
import hashlib, os, sys
import numpy as np
import cnet
from cnet import nn, optim

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((512, 200)).astype(np.float32), rng.integers(0, 5, 512)

def trainer(seed=0):
    model = nn.Sequential(nn.Linear(200, 128), nn.Tanh(), nn.Linear(128, 5), seed=seed)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer)

def work(seed=0, x=X):
    t = trainer(seed)
    t.fit(x, Y, epochs=2, batch_size=256, seed=seed, verbose=False)
    weights = b"".join(p.data.tobytes() for p in t.model.parameters())
    return hashlib.sha256(weights + t.model(x).tobytes()).hexdigest()
"""


def python(*code, check=True, **environment):
    """Run pieces of code in a new interpreter, with changes to the environment (None removes a
    variable).

    If it hangs, it is ended, and so are the children that it has forked.
    """
    env = {
        **os.environ,
        **{name: value for name, value in environment.items() if value is not None},
    }
    for name, value in environment.items():
        if value is None:
            env.pop(name, None)
    command = [sys.executable, "-W", "error", "-c", "".join(code)]
    with subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        finally:
            end(process)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def end(process):
    """Kill what is left of a process in its own session, and its children."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:
        pass  # nothing is left
