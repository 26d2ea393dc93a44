"""The choice between one thread and all: what was seen is remembered for the process."""

import copy
import pickle
import threading

import numpy as np
import pytest

import cnet
from cnet import nn, optim
from cnet._core import _threads
from cnet._training import compiled as _compiled
from cnet._utils import thread_autotuner as _autotune
from cnet._utils.thread_autotuner import ThreadAutotuner

SMALL, LARGE = 1e6, 1e8


@pytest.fixture
def machine(monkeypatch):
    """A machine of 4 processors on which so many threads take so many seconds for a step; returns
    what runs calls on it.
    """
    monkeypatch.setattr(_autotune, "get_num_threads", lambda: 4)
    monkeypatch.setattr(_threads, "busy", lambda: False)

    def run(tuner, flops, seconds, calls=1, steps=100, kind="fit"):
        """The numbers of threads that calls of so many steps are made on. A trial takes 5 ms, as a
        program's does, or a step.
        """
        chosen = []
        for _ in range(calls):
            choice = tuner.choose(kind, flops)
            done = (
                max(1, min(steps, round(5e-3 / seconds[choice.threads]))) if choice.trial else steps
            )
            tuner.record(choice, seconds[choice.threads] * done, done)
            chosen.append(choice.threads)
        return chosen

    return run


QUIET, BUSY = {1: 4e-4, 4: 1e-4}, {1: 4e-4, 4: 5e-3}


@pytest.mark.parametrize(("flops", "first"), [(SMALL, 1), (9e6, 1), (1.1e7, 4), (LARGE, 4)])
def test_small_steps_begin_on_one_thread_and_large_ones_on_all(machine, flops, first):
    assert machine(ThreadAutotuner(), flops, QUIET) == [first]


@pytest.mark.parametrize("flops", [SMALL, LARGE])
@pytest.mark.parametrize(("seconds", "best"), [(QUIET, 4), (BUSY, 1)])
def test_what_is_faster_is_found_soon_and_trials_are_rare(machine, flops, seconds, best):
    tuner = ThreadAutotuner()
    machine(tuner, flops, seconds, 10)
    chosen = machine(tuner, flops, seconds, 1000)
    assert chosen.count(5 - best) <= 40
    assert sum(seconds[n] * (1 if n != best else 100) for n in chosen if n != best) < 0.03 * sum(
        seconds[n] * 100 for n in chosen if n == best
    )


def test_it_follows_the_machine(machine):
    tuner = ThreadAutotuner()
    assert machine(tuner, LARGE, QUIET, 50)[-1] == 4
    assert machine(tuner, LARGE, BUSY, 10)[-1] == 1, "after a few calls"
    assert machine(tuner, LARGE, QUIET, 300)[-1] == 4


def test_a_single_lucky_call_does_not_count(machine):
    tuner = ThreadAutotuner()
    machine(tuner, SMALL, BUSY, 300)
    lucky = {1: 4e-4, 4: 1e-5}
    while machine(tuner, SMALL, lucky) != [4]:
        pass
    assert machine(tuner, SMALL, BUSY, 10)[-5:] == [1] * 5


def test_the_first_steps_of_a_fit_do_not_count_alone(machine):
    """They find nothing in the cache. As calls begin with a step and then take twice as many, there
    are some of them.
    """
    tuner = ThreadAutotuner()
    quiet, cold = {1: 2e-5, 4: 1e-5}, {1: 1e-4, 4: 5e-5}
    machine(tuner, SMALL, quiet, 100, steps=1000)
    for _ in range(20):
        assert machine(tuner, SMALL, cold, 3, steps=1).count(4) >= 2
        assert machine(tuner, SMALL, quiet, 10, steps=1000).count(4) >= 8


def test_a_trial_of_short_calls_goes_on_until_it_tells(machine):
    tuner = ThreadAutotuner()
    chosen = machine(tuner, SMALL, {1: 2e-5, 4: 1e-5}, 10_000, steps=1)
    assert chosen[-1000:].count(4) >= 900


def test_what_was_learned_is_that_of_all_work_of_the_size(machine):
    tuner = ThreadAutotuner()
    machine(tuner, SMALL, QUIET, 20)
    assert machine(tuner, 1.1 * SMALL, QUIET, 3, kind="evaluate").count(4) >= 2, (
        "as small, and never seen"
    )
    assert machine(tuner, SMALL / 10, QUIET) == [1], "smaller"
    chosen = [machine(tuner, SMALL * (1 + i / 1000), BUSY, 1, steps=5)[0] for i in range(400)]
    assert chosen[-100:].count(1) >= 90, "each is new, as in a search"


def test_works_of_one_size_are_not_compared_with_each_other(machine):
    """One is quicker on all threads, the other on one, where it takes longer than the first on
    any.
    """
    tuner = ThreadAutotuner()
    slow = {1: 4e-3, 4: 5e-3}
    chosen = [
        (machine(tuner, SMALL, QUIET), machine(tuner, 1.01 * SMALL, slow)) for _ in range(300)
    ]
    assert chosen[-100:].count(([4], [1])) > 50, "all but trials"


def test_one_thread_is_not_tried_where_it_cannot_be_as_fast(machine):
    """A step of a second on all threads, of so many operations that one would take very long."""
    assert 1 not in machine(ThreadAutotuner(), 1e12, {1: 1000.0, 4: 1.0}, 50, steps=1)
    assert 1 in machine(ThreadAutotuner(), 1e10, {1: 1.0, 4: 1.0}, 50, steps=1)


@pytest.mark.parametrize(("flops", "first"), [(SMALL, 1), (LARGE, 1), (1e10, 4)])
def test_a_machine_that_is_known_to_be_busy_is_another_one(machine, monkeypatch, flops, first):
    tuner = ThreadAutotuner()
    machine(tuner, flops, QUIET, 100)
    monkeypatch.setattr(_threads, "busy", lambda: True)
    assert machine(tuner, flops, BUSY) == [first]
    assert machine(tuner, flops, BUSY, 100)[-20:].count(1) >= 18
    assert machine(tuner, flops, QUIET, 300)[-20:].count(4) >= 18, (
        "where that is found to be better, nevertheless"
    )
    monkeypatch.setattr(_threads, "busy", lambda: False)
    assert machine(tuner, flops, QUIET, 2).count(4) >= 1


def test_the_number_that_users_set_is_the_most(machine, monkeypatch):
    tuner = ThreadAutotuner()
    for allowed in (1, 2, 4):
        monkeypatch.setattr(_autotune, "get_num_threads", lambda allowed=allowed: allowed)
        assert {*machine(tuner, LARGE, {1: 1e-3, 2: 5e-4, 4: 3e-4}, 100)} == {1, allowed}


def test_a_long_search_is_not_remembered_whole(machine):
    tuner = ThreadAutotuner()
    for i in range(3000):
        machine(tuner, SMALL + i, QUIET)
    assert len(tuner._works) <= 1000


def test_several_threads_use_it(machine):
    tuner = ThreadAutotuner()
    failures = []

    def use(seed):
        try:
            for i in range(2000):
                machine(tuner, SMALL + (seed + i) % 1500, QUIET)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def trainer():
    model = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 3), seed=0)
    return cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))


def test_a_new_trainer_goes_on_where_the_last_one_was(rng, monkeypatch):
    tuner = ThreadAutotuner()
    monkeypatch.setattr(_compiled, "autotuner", tuner)
    x, y = rng.standard_normal((64, 8)).astype("f4"), np.arange(64) % 3
    cnet.set_num_threads(before := max(2, cnet.get_num_threads()))
    monkeypatch.setattr(_autotune, "_MIN_TIMED", 0)
    for _ in range(3):
        trainer().fit(x, y, verbose=False, validation_data=(x, y))
    kinds = [work.kind for work in tuner._works]
    assert sorted(kinds) == (["evaluate", "fit"] if cnet.get_num_threads() > 1 else [])
    assert all(len(seen._timings[1]) == 3 for seen in tuner._works.values())
    cnet.set_num_threads(before)


class Growing:
    """While it is copied, the dictionary that holds it gets another key, as one of a trainer may by
    another thread's fit.
    """

    def __init__(self, dictionary, key):
        self.dictionary, self.key = dictionary, key

    def __reduce__(self):
        self.dictionary[self.key] = 0.0
        return float, ()


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["deepcopy", "pickle"]
)
def test_a_trainer_can_be_copied_while_another_thread_fits_it(rng, copied):
    x, y = rng.standard_normal((64, 8)).astype("f4"), np.arange(64) % 3
    original = trainer()
    original.fit(x, y, verbose=False)
    parameters = original.model.parameters()
    memory = original.optimizer._state
    state = memory.pop(parameters[-1])
    original.history["loss"] = Growing(original.history, "val_loss")
    memory[parameters[0]] = Growing(memory, parameters[-1])
    other = copied(original)
    assert (original.history["val_loss"], memory[parameters[-1]]) == (0, 0)
    assert (list(other.history), len(other.optimizer._state)) == (["loss", "accuracy"], 3)
    memory[parameters[-1]] = state
