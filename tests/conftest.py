"""Fixtures that turn a test into one per instruction set, dtype or number of threads."""

import dataclasses
import os
import signal
import sys

import numpy as np
import pytest

# With a worker of pytest-xdist for each processor, threads that spin while they wait for each other
# only take time from other workers. OpenMP looks when it is loaded, with cnet's core.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from interpreter import WORK

from cnet._compiler import options
from cnet._core import _isa, _threads

# Programs that tests start with `python -c` would find the folder they run in first: in a clone,
# the sources without a core.
os.environ["PYTHONSAFEPATH"] = "1"
# A shell that runs the tests in the background has them ignore Ctrl-C, and so would the programs
# that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Plots are drawn without a screen.
os.environ["MPLBACKEND"] = "Agg"


def pytest_collection_finish(session):
    """PyTorch, where a test file has imported it, takes one thread: several wait for each other,
    and add up in another order on other machines.
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(params=_isa.available_isas())
def isa(request):
    """Every instruction set that this processor runs."""
    before = _isa.active_isa()
    _isa.use_isa(request.param)
    yield request.param
    _isa.use_isa(before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Both types of arithmetic."""
    return np.dtype(request.param)


@pytest.fixture
def threads():
    """A function that sets the number of threads, used even for the smallest work; the default
    comes back after.
    """
    before = _threads.allowed()
    yield lambda n: _threads.allow(n, always=True)
    _threads.allow(before)


@pytest.fixture
def compiler_options(monkeypatch):
    """A function that changes options of compiled programs for a test."""

    def change(**changes):
        monkeypatch.setattr(options, "current", dataclasses.replace(options.current, **changes))

    return change


@pytest.fixture
def rng():
    return np.random.default_rng(12345)


@pytest.fixture(scope="session")
def shared():
    """What the code that tests run in new interpreters defines, in this one."""
    namespace = {}
    exec(WORK, namespace)
    return namespace


@pytest.fixture(scope="session")
def alone(shared):
    """What each seed comes to on one thread of one process."""
    before = _threads.allowed()
    _threads.allow(1)
    try:
        return {seed: shared["work"](seed) for seed in range(8)}
    finally:
        _threads.allow(before)
