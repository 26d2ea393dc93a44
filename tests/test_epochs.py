"""Several epochs in one call of a compiled program: the results of one epoch at a time."""

import pytest
from small_nets import normed, training_state, two_heads, two_losses

from cnet import Trainer, nn, optim
from cnet._training.compiled import CompiledEngine

EPOCHS = 40


@pytest.fixture(autouse=True)
def long_calls(compiler_options, threads):
    """Calls of many epochs, however slow the machine, and none that tries a number of threads."""
    compiler_options(seconds_per_call=100.0, max_seconds=100.0, trial_seconds=100.0)
    threads(1)


@pytest.fixture
def calls(monkeypatch):
    """The number of epochs of each call that has several."""
    counts, run_epochs = [], CompiledEngine.run_epochs

    def count(self, order, batch, epochs):
        counts.append(epochs)
        return run_epochs(self, order, batch, epochs)

    monkeypatch.setattr(CompiledEngine, "run_epochs", count)
    return counts


def labels(rng, n):
    return rng.integers(0, 3, n)


def two_targets(rng, n):
    return {"kind": labels(rng, n), "size": rng.standard_normal((n, 2)).astype("f4")}


KINDS = {
    "labels": (normed, lambda model: nn.CrossEntropyLoss(), labels),
    "numbers": (
        lambda: normed(1),
        lambda model: nn.MSELoss(),
        lambda rng, n: rng.standard_normal(n).astype("f4"),
    ),
    "heads": (two_heads, two_losses, two_targets),
}


def make(kind, optimizer=optim.Adam, **settings):
    model = KINDS[kind][0]()
    return Trainer(model, KINDS[kind][1](model), optimizer(model.parameters(), lr=0.01), **settings)


def state(trainer):
    return training_state(trainer), trainer.epoch


def each_epoch(trainer, logs):
    """A callback, with which epochs run one by one."""


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("batch", [4, 7, 30, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_one_epoch_at_a_time(kind, batch, weighted, rng, calls, isa):
    x, y = rng.standard_normal((30, 5)).astype("f4"), KINDS[kind][2](rng, 30)
    settings = {
        "batch_size": batch,
        "seed": 3,
        "verbose": False,
        "sample_weight": rng.integers(0, 4, 30) if weighted else None,
    }
    one, other = make(kind), make(kind)
    expected = one.fit(x, y, epochs=EPOCHS, callbacks=each_epoch, **settings)
    assert not calls
    history = other.fit(x, y, epochs=EPOCHS, **settings)
    assert max(calls) > 2
    assert history == expected
    assert all(type(value) is float for values in history.values() for value in values)
    assert state(other) == state(one)
    assert other.fit(x, y, epochs=3, **settings) == one.fit(
        x, y, epochs=3, callbacks=each_epoch, **settings
    )


def test_results_do_not_depend_on_the_number_of_threads(rng, calls, threads):
    x, y = rng.standard_normal((64, 5)).astype("f4"), labels(rng, 64)
    states = []
    for n in (1, 2, 3):
        threads(n)
        trainer = make("labels")
        trainer.fit(x, y, epochs=EPOCHS, batch_size=30, seed=0, verbose=False)
        states.append((state(trainer), trainer.history))
    assert states[0] == states[1] == states[2]
    assert calls


def test_a_call_that_takes_too_long_ends_with_an_epoch(rng, compiler_options, calls):
    x, y = rng.standard_normal((30, 5)).astype("f4"), labels(rng, 30)
    compiler_options(max_seconds=0.0, trial_seconds=0.0, seconds_per_call=100.0)
    one, other = make("labels"), make("labels")
    history = one.fit(x, y, epochs=EPOCHS, batch_size=7, seed=3, verbose=False)
    assert max(calls) > 2
    assert len(calls) > EPOCHS / 2
    assert history == other.fit(
        x, y, epochs=EPOCHS, batch_size=7, seed=3, verbose=False, callbacks=each_epoch
    )
    assert state(one) == state(other)


@pytest.mark.parametrize(("batch", "lr"), [(7, 0.6), (30, 1.3)])
def test_divergence_is_found_in_its_epoch(batch, lr, rng, calls):
    x, y = rng.standard_normal((30, 5)).astype("f4"), rng.standard_normal(30).astype("f4")

    def diverging():
        model = nn.Sequential(nn.Linear(5, 1), seed=1)
        return Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.5))

    errors, states = [], []
    for callbacks in (each_epoch, None):
        trainer = diverging()
        with pytest.raises(FloatingPointError, match="training diverged in epoch") as error:
            trainer.fit(
                x, y, epochs=500, batch_size=batch, seed=3, verbose=False, callbacks=callbacks
            )
        errors.append(str(error.value))
        states.append((state(trainer), trainer.history))
    assert errors[0] == errors[1]
    assert states[0] == states[1]
    assert calls


def test_weights_that_overflow_after_the_last_loss_are_found(rng, calls):
    x = rng.standard_normal((30, 5)).astype("f4")
    trainers = []
    for callbacks in (each_epoch, None):
        model = nn.Sequential(nn.Linear(5, 1, bias=False), seed=1)
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-3))
        trainer.fit(x, x[:, 0], epochs=5, batch_size=30, verbose=False, callbacks=callbacks)
        trainer.optimizer.param_groups[0]["lr"] = 1e38
        with pytest.raises(FloatingPointError) as error:
            trainer.fit(
                x, 1e3 * x[:, 0], epochs=8, batch_size=30, verbose=False, callbacks=callbacks
            )
        trainers.append((str(error.value), state(trainer), trainer.history))
    assert trainers[0] == trainers[1]


def test_an_interrupt_leaves_weights_and_history_of_the_same_epoch(rng, monkeypatch):
    x, y = rng.standard_normal((30, 5)).astype("f4"), labels(rng, 30)
    run_epochs = CompiledEngine.run_epochs

    def interrupted(self, order, batch, epochs):
        result = run_epochs(self, order, batch, epochs)
        if epochs > 2:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(CompiledEngine, "run_epochs", interrupted)
    one, other = make("labels"), make("labels")
    with pytest.raises(KeyboardInterrupt):
        one.fit(x, y, epochs=EPOCHS, batch_size=30, seed=0, verbose=False)
    assert one.epoch == len(one.history["loss"]) > 0
    other.fit(x, y, epochs=one.epoch, batch_size=30, seed=0, verbose=False, callbacks=each_epoch)
    assert state(one) == state(other)


@pytest.mark.parametrize("setting", ["callbacks", "validation_data", "verbose"])
def test_each_epoch_is_a_call_if_something_needs_its_end(setting, rng, calls, capsys):
    x, y = rng.standard_normal((30, 5)).astype("f4"), labels(rng, 30)
    settings = {"callbacks": each_epoch, "validation_data": (x, y), "verbose": True}
    make("labels").fit(
        x, y, epochs=EPOCHS, batch_size=30, **{"verbose": False, setting: settings[setting]}
    )
    assert not calls


def test_a_model_that_runs_layer_by_layer_gives_the_same(rng):
    x, y = rng.standard_normal((30, 5)).astype("f4"), labels(rng, 30)
    one, other = make("labels"), make("labels", compile=False)
    settings = {"epochs": 12, "batch_size": 30, "seed": 3, "verbose": False}
    assert one.fit(x, y, **settings) == other.fit(x, y, **settings)
    assert state(one) == state(other)
