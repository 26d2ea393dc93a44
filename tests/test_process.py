"""cnet and the process it runs in: threads, the environment, other libraries. Interrupts and forks
have their own files.
"""

import importlib.util
import os
import re
import sys
import threading

import numpy as np
import pytest
from interpreter import TIMEOUT, WORK, python

import cnet
from cnet import nn
from cnet._core import _isa
from cnet._core import _threads as core_threads
from cnet._utils import threads as _threads

openmp = pytest.mark.skipif(not core_threads.openmp(), reason="a serial build has no threads")

# Python threads


def in_threads(functions):
    results, barrier = [None] * len(functions), threading.Barrier(len(functions))

    def run(i):
        barrier.wait(TIMEOUT)
        results[i] = functions[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    return results


@pytest.mark.parametrize("n", [1, 2])
def test_threads_that_train_nets_of_their_own_get_what_they_get_alone(shared, alone, n):
    """They share one input, too."""
    before = cnet.get_num_threads()
    core_threads.allow(n, always=True)
    x = shared["X"].copy()
    x.flags.writeable = False
    try:
        assert in_threads([lambda seed=seed: shared["work"](seed, x) for seed in range(8)]) == [
            alone[seed] for seed in range(8)
        ]
    finally:
        cnet.set_num_threads(before)


def test_threads_that_share_a_model_predict_what_it_predicts_alone(shared):
    model, x = shared["trainer"]().model, shared["X"]
    expected = model(x)
    for result in in_threads([lambda: model(x)] * 8):
        np.testing.assert_array_equal(result, expected)


def test_a_model_whose_weights_are_drawn_at_first_use_is_drawn_once():
    for _ in range(20):
        layer = nn.Linear(50, 20)
        results = in_threads([lambda layer=layer: layer(np.ones((1, 50)))] * 4)
        for result in results:
            np.testing.assert_array_equal(result, layer(np.ones((1, 50))))


# What importing and training change in a process: nothing


def test_the_process_is_left_as_it_was():
    before = """
import os, random, signal, sys, threading, warnings
import numpy as np

def state():
    signals = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    tiny = sys.float_info.min / 2, np.finfo(np.float32).tiny / np.float32(2)
    floats = *tiny, 1e16 + 1.0, -1e16 - 1.0
    python = threading.active_count(), os.getcwd(), sys.getrecursionlimit()
    rest = list(warnings.filters), random.getstate(), *python
    return dict(os.environ), signals, floats, np.geterr(), *rest

def in_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(sys.float_info.min / 2))
    thread.start()
    thread.join()
    return results

before = state()
assert before[2][0] > 0 and before[2][1] > 0
"""
    after = """
np.random.seed(1)
after_import = state()
work(0)
after = state()
for earlier in (before, after_import):
    for a, b in zip(earlier, after):
        assert a == b, (a, b)
assert in_thread() == [sys.float_info.min / 2]
"""
    python(before, WORK, after)


def test_importing_is_light():
    """What only some need is imported when it is needed."""
    code = "import sys, cnet; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(python(code).stdout.split())
    assert not loaded & {
        "torch",
        "sklearn",
        "scipy",
        "pandas",
        "matplotlib",
        "PIL",
        "pooch",
        "requests",
        "tqdm",
        "safetensors",
        "multiprocessing",
    }


# How many threads


def clear(monkeypatch, **environment):
    for name in ("CNET_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 6),
        ({"CNET_NUM_THREADS": "3"}, 3),
        ({"CNET_NUM_THREADS": " 3 ", "OMP_NUM_THREADS": "5"}, 3),
        ({"CNET_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OMP_NUM_THREADS": " 5 , 2"}, 5),
        ({"OMP_NUM_THREADS": "many"}, 6),
        ({"OMP_NUM_THREADS": "0"}, 6),
        ({"OMP_NUM_THREADS": "-1"}, 6),
        ({"OMP_NUM_THREADS": "99999999"}, 6),
        ({"CNET_NUM_THREADS": "64"}, 64),
        ({"CNET_NUM_THREADS": "4096"}, 4096),
    ],
    ids=str,
)
def test_precedence_of_the_environment(monkeypatch, environment, expected):
    clear(monkeypatch, **environment)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(_threads, "_quota", lambda: None)
    assert _threads._default() == expected


@pytest.mark.parametrize("value", ["0", "-1", "two", "2.5", "4097", "1e3", "٣", "²"])
def test_a_bad_number_in_our_own_variable_is_an_error(monkeypatch, value):
    clear(monkeypatch, CNET_NUM_THREADS=value, OMP_NUM_THREADS="2")
    with pytest.raises(
        ValueError,
        match=f"CNET_NUM_THREADS is '{re.escape(value)}', expected an integer from 1 to 4096",
    ):
        _threads._default()


@pytest.mark.parametrize(("quota", "expected"), [(None, 4), (1, 1), (3, 3), (9, 4)])
def test_processors_are_those_of_the_mask_and_of_the_quota(monkeypatch, quota, expected):
    clear(monkeypatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 6, 7}, raising=False)
    monkeypatch.setattr(_threads, "_quota", lambda: quota)
    assert _threads._default() == expected


def test_systems_without_affinity(monkeypatch):
    clear(monkeypatch)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(_threads, "_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert _threads._default() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _threads._default() == 1


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "1000 100000\n"}, 1),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu.max": ""}, None),
        ({"cpu.max": "nonsense\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "250000\n"}, None),
        (
            {
                "cpu.max": "nonsense\n",
                "cpu/cpu.cfs_quota_us": "50000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
    ],
    ids=str,
)
def test_quotas_of_both_versions_of_control_groups(tmp_path, files, expected):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert _threads._quota(tmp_path) == expected


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, "the number of threads is 0, expected an integer from 1 to 4096"),
        (-2, ValueError, "the number of threads is -2"),
        (2**70, ValueError, "expected an integer from 1 to 4096"),
        (2.0, TypeError, r"the number of threads is 2\.0, expected an integer from 1 to 4096"),
        (None, TypeError, "the number of threads is None"),
        (True, TypeError, "the number of threads is True"),
        ("2", TypeError, "the number of threads is '2'"),
    ],
)
def test_bad_numbers_of_threads(n, error, message):
    before = cnet.get_num_threads()
    with pytest.raises(error, match=message):
        cnet.set_num_threads(n)
    assert cnet.get_num_threads() == before


@openmp
def test_the_number_of_threads_is_that_which_was_set():
    before = cnet.get_num_threads()
    try:
        for n in (1, np.int64(3), 4096):
            cnet.set_num_threads(n)
            assert cnet.get_num_threads() == n
    finally:
        cnet.set_num_threads(before)


def test_variables_are_read_at_import():
    code = "import cnet; print(cnet.get_num_threads()); cnet.show_config()"
    expected = "3" if core_threads.openmp() else "1"
    assert python(code, CNET_NUM_THREADS="3", OMP_NUM_THREADS="2").stdout.split()[0] == expected
    result = python(code, check=False, CNET_NUM_THREADS="none")
    assert result.returncode
    assert (
        result.stderr.splitlines()[-1]
        == "ValueError: CNET_NUM_THREADS is 'none', expected an integer from 1 to 4096"
    )


# Instruction sets


def test_the_instruction_set_is_chosen_at_import():
    code = "import cnet; from cnet._core import _isa; print(_isa.active_isa())"
    for name in (None, "", *_isa.available_isas()):
        assert python(code, CNET_ISA=name).stdout.strip() == (name or _isa.available_isas()[-1])
    result = python(code, check=False, CNET_ISA="mmx")
    assert result.returncode
    last = result.stderr.splitlines()[-1]
    assert last == (
        "ValueError: instruction set 'mmx': there is no such set in this build; choose one "
        f"of {', '.join(_isa.available_isas())} (CNET_ISA)"
    )


def test_sets_that_cannot_be_used_are_rejected():
    before = _isa.active_isa()
    for name in ("AVX2", "", None, "avx1024"):
        with pytest.raises(ValueError, match="there is no such set in this build; choose one of"):
            _isa.use_isa(name)
    for name in set(_isa.compiled_isas()) - set(_isa.available_isas()):
        with pytest.raises(ValueError, match="this processor does not run it; choose one of"):
            _isa.use_isa(name)
    assert _isa.active_isa() == before


def test_show_config(capsys):
    cnet.show_config()
    lines = capsys.readouterr().out.splitlines()
    shown = {line[:17].strip(): line[17:] for line in lines}
    assert list(shown) == [
        "cnet",
        "instruction set",
        "OpenMP",
        "threads",
        "abi3",
        "compiler",
        "Python",
        "NumPy",
        "platform",
    ]
    assert shown["cnet"] == cnet.__version__
    assert shown["instruction set"].startswith(
        f"{_isa.active_isa()} (this processor runs: {', '.join(_isa.available_isas())}; in this "
        "build: "
    )
    assert shown["OpenMP"].startswith("yes" if core_threads.openmp() else "no: serial build")
    assert shown["threads"] == str(cnet.get_num_threads())
    assert shown["abi3"] in ("yes", "no")
    assert re.match(r"GCC \d|Clang \d|MSVC \d", shown["compiler"])
    assert shown["Python"].startswith(sys.version.split()[0])
    assert shown["NumPy"] == np.__version__


def test_the_version_is_that_of_the_installed_package():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", cnet.__version__)


# Other libraries that bring their own threads


OTHERS = {
    "torch": """
import torch
torch.set_num_threads(2)
ones = torch.ones(600, 600)
theirs = lambda: (torch.get_num_threads(), float((ones @ ones).sum()))
expected = (2, 600.0**3)
""",
    "sklearn": """
from sklearn.ensemble import HistGradientBoostingClassifier
features = np.linspace(0, 1, 400).reshape(200, 2)
label = features[:, 0] > 0.5
trees = HistGradientBoostingClassifier(max_iter=3)
theirs = lambda: trees.fit(features, label).score(features, label)
expected = 1.0
""",
}


@pytest.mark.parametrize("first", ["cnet", "other"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_libraries_before_and_after(name, first, alone):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not a requirement of the test suite")
    other = (
        "import warnings; import numpy as np\nwith warnings.catch_warnings():\n    "
        "warnings.simplefilter('ignore')\n"
    ) + "".join(f"    {line}\n" for line in OTHERS[name].splitlines())
    parts = [f"{WORK}\nfrom cnet._core import _threads\n_threads.allow(2, always=True)\n", other]
    after = """
warnings.simplefilter("ignore")
digests = set()
for _ in range(3):
    digests.add(work(0))
    assert theirs() == expected, theirs()
assert cnet.get_num_threads() in (1, 2)
assert sys.float_info.min / 2 > 0
print(*digests)
"""
    assert python(*(parts if first == "cnet" else reversed(parts)), after).stdout.split() == [
        alone[0]
    ]


def test_work_is_the_same_in_another_process(alone):
    assert python(WORK, "print(work(3))", CNET_NUM_THREADS="4").stdout.strip() == alone[3]
