"""Processes that are forked: they never hang, and come with bitwise identical results, whoever's
threads ran before.
"""

import importlib.util
import os

import pytest
from interpreter import WORK, python

from cnet._core import _threads

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
openmp = pytest.mark.skipif(not _threads.openmp(), reason="a serial build has no threads")

FORK = """
import multiprocessing, signal

def child(queue, seed):
    queue.put((cnet.get_num_threads(), work(seed)))

def in_children(n=3):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=child, args=(queue, seed)) for seed in range(n)]
    for process in children:
        process.start()
    results = [queue.get() for _ in children]
    for process in children:
        process.join(60)
        assert process.exitcode == 0
    return results

def in_child(function):
    \"""What a function returns in a forked child; the child is ended if it hangs.\"""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        try:
            os.write(writer, str(function()).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        result = file.read()
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"a child {'hung' if os.WIFSIGNALED(status) else 'failed'}: {status}"
    return result

def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]

def two_threads():
    from cnet._core import _threads
    _threads.allow(2, always=True)  # even where there is little to do, and on a busy machine
"""

# Python 3.12 warns of any fork while there are threads, which is what is tried here.
WARNINGS = "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"

# Another library that computes on threads of the OpenMP runtime that cnet uses, such as PyTorch,
# LightGBM or an OpenBLAS built so. In a wheel, cnet's runtime is its own.
FOREIGN = """
import ctypes, os, threading

def runtime():
    with open("/proc/self/maps") as file:
        paths = {line.split()[-1] for line in file if "libgomp" in line}
    return next((path for path in paths if "cnet" in path), None) or next(iter(paths), "")

def foreign(path):
    threads = set()
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    region = prototype(lambda _: threads.add(threading.get_native_id()))
    ctypes.CDLL(path).GOMP_parallel(region, None, 2, 0)
    assert len(threads) == 2
"""


@pytest.fixture(scope="module")
def gomp():
    """The path of GNU's OpenMP runtime, if cnet uses it here."""
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("cannot tell which OpenMP runtime is loaded")
    path = python(FOREIGN, "import cnet; print(runtime())").stdout.strip()
    if not path:
        pytest.skip("cnet uses another OpenMP runtime than GNU's, or none")
    return path


@openmp
def test_a_child_forked_after_threads_were_used_works_on_one(alone):
    code = """
two_threads()
first = work(0)
results = in_children()
assert {n for n, _ in results} == {1}
cnet.set_num_threads(2)
assert cnet.get_num_threads() == 2
assert work(0) == first
print(*sorted(digest for _, digest in results))
"""
    assert python(WARNINGS, WORK, FORK, code).stdout.split() == sorted(
        alone[seed] for seed in range(3)
    )


@openmp
def test_a_child_forked_before_threads_were_used_may_use_them(alone):
    code = """
two_threads()
results = in_children(2)
assert {n for n, _ in results} == {2}
print(*sorted(digest for _, digest in results))
"""
    assert python(WARNINGS, WORK, FORK, code).stdout.split() == sorted(
        alone[seed] for seed in range(2)
    )


@openmp
@pytest.mark.parametrize(
    "forker",
    [
        "in_child(run)",
        "in_thread(lambda: in_child(run))",
        "in_child(lambda: in_child(run))",
        "in_child(lambda: in_thread(run))",
    ],
)
@pytest.mark.parametrize(
    "user",
    [
        "foreign(path)",
        "in_thread(lambda: foreign(path))",
        "(foreign(path), in_thread(lambda: foreign(path)))",
    ],
)
def test_a_child_forked_after_another_library_used_openmp_does_not_hang(gomp, user, forker, alone):
    """Whichever thread used it, and whichever forks; in children, in their children and in their
    threads.
    """
    code = f"""
path = {gomp!r}
two_threads()

def run():
    first = work(0)
    trainer().model.forward(X)  # layer by layer
    cnet.set_num_threads(2)
    two_threads()
    assert work(0) == first
    return first

{user}
print({forker})
print({forker})
print(work(0))
"""
    assert python(WARNINGS, FOREIGN, WORK, FORK, code).stdout.split() == [alone[0]] * 3


@openmp
def test_a_child_that_imports_cnet_after_another_library_used_openmp_does_not_hang(gomp, alone):
    code = f"""
{FORK}
path = {gomp!r}
foreign(path)

def run():
    exec({WORK!r}, globals())
    two_threads()
    return work(0)

print(in_child(run), in_child(lambda: in_thread(run)), in_child(lambda: in_child(run)))
"""
    assert python(WARNINGS, FOREIGN, code).stdout.split() == [alone[0]] * 3


@openmp
@pytest.mark.parametrize("pool", ["multiprocessing", "joblib"])
def test_pools_of_forked_workers(gomp, pool, alone):
    if pool == "joblib":
        pytest.importorskip("joblib")
        code = (
            "import joblib; results = joblib.Parallel(2, "
            "backend='multiprocessing')(joblib.delayed(work)(seed) for seed in range(4))"
        )
    else:
        code = """
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = pool.map_async(work, range(4)).get(30)
"""
    before = f"two_threads()\nforeign({gomp!r})\nprint(*in_child(lambda: work(0)).split())\n"
    assert python(
        WARNINGS, FOREIGN, WORK, FORK, before, code, "\nprint(*results)"
    ).stdout.split() == [alone[0], *(alone[seed] for seed in range(4))]


@openmp
@pytest.mark.parametrize("first", ["cnet", "other"])
@pytest.mark.parametrize("name", ["torch", "lightgbm", "xgboost"])
def test_a_child_forked_after_a_library_used_its_threads_does_not_hang(name, first, alone):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not a requirement of the test suite")
    use = {
        "torch": "import torch; torch.set_num_threads(2); torch.randn(3000, 3000).exp().sum()",
        "lightgbm": (
            "import lightgbm; lightgbm.LGBMRegressor(n_estimators=2, n_jobs=2, "
            "verbose=-1).fit(rows, rows[:, 0])"
        ),
        "xgboost": (
            "import xgboost; xgboost.XGBRegressor(n_estimators=2, n_jobs=2).fit(rows, rows[:, 0])"
        ),
    }[name]
    other = (
        "import warnings; warnings.simplefilter('ignore'); import numpy as np; rows = "
        f"np.random.rand(5000, 4)\n{use}\n"
    )
    code = (
        f"two_threads()\n{use}\nprint(in_child(lambda: work(0)), in_thread(lambda: "
        "in_child(lambda: work(1))))"
    )
    parts = (
        [other, "import threading\n", WORK, FORK]
        if first == "other"
        else ["import threading\n", WORK, FORK, other]
    )
    assert python(*parts, code).stdout.split() == [alone[0], alone[1]]


@openmp
def test_children_of_children_and_settings_in_children():
    code = """
two_threads()
work(0)
pid = os.fork()
if not pid:
    cnet.set_num_threads(2)
    grandchild = os.fork()
    if not grandchild:
        assert cnet.get_num_threads() == 1
        work(0)
        os._exit(7)
    status = os.waitpid(grandchild, 0)[1]
    os._exit(8 if os.waitstatus_to_exitcode(status) == 7 and cnet.get_num_threads() == 1 else 9)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 8
"""
    python(WARNINGS, WORK, FORK, code)


@openmp
def test_forks_while_another_thread_trains():
    code = """
import threading
two_threads()
stop = threading.Event()
def train():
    while not stop.is_set():
        work(0)
thread = threading.Thread(target=train)
thread.start()
try:
    for _ in range(8):
        pid = os.fork()
        if not pid:
            t = trainer()
            t.fit(X, Y, verbose=False)
            os._exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
finally:
    stop.set()
    thread.join()
"""
    python(WARNINGS, WORK, FORK, code)


@pytest.mark.parametrize(
    ("begin", "busy"),
    [
        (
            "t.fit(X, Y, epochs=2, callbacks=[wait], verbose=False)",
            "t.fit(X, Y, epochs=1, verbose=False)['loss'][0] > 0",
        ),
        (
            "begun.set(); model(rows)",
            "_predictor.predict(model, X) is not None "
            "and np.array_equal(model(X), model.forward(X))",
        ),
        ("estimator.fit(X, Y)", "estimator.set_params(callbacks=None).fit(X, Y).n_iter_ > 0"),
    ],
    ids=["fit", "predict", "estimator"],
)
def test_what_another_thread_held_at_a_fork_is_free_in_the_child(begin, busy):
    """A model that is being trained, the program of one that predicts, or an estimator."""
    if "estimator" in begin:
        pytest.importorskip("sklearn")
    code = f"""
warnings.simplefilter("ignore")
import threading
from cnet._compiler import predictor as _predictor

cnet.set_num_threads(1)
t = trainer()
model, rows = t.model, np.zeros((2_000_000, 200), np.float32)
model(X)
begun, finish = threading.Event(), threading.Event()

def wait(*_):
    begun.set()
    finish.wait()

def begin():
    {begin}

if "estimator" in {begin!r}:
    from cnet.sklearn import MLPClassifier
    estimator = MLPClassifier((4,), max_iter=3, callbacks=[lambda *_: wait()])
thread = threading.Thread(target=begin)
thread.start()
assert begun.wait(30)
while {begin.startswith("begun")} and _predictor.predict(model, X[:1]) is not None:
    assert thread.is_alive()
print(in_child(lambda: {busy}))
finish.set()
thread.join()
"""
    assert python(WARNINGS, WORK, FORK, code).stdout.split() == ["True"]
