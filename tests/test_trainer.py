"""The training loop: what it does to the weights, what it tells, and how it ends."""

import copy
import hashlib
import io
import itertools
import pickle
import re
import sys

import numpy as np
import pytest
import reference

import cnet
from cnet import Trainer, nn, optim
from cnet.callbacks import Callback, ProgressBar

CLASSES = 3


@pytest.fixture
def data(rng):
    """A task that a small network can learn: which of three numbers is the largest."""
    x = rng.standard_normal((200, 3)).astype(np.float32)
    return x, x.argmax(axis=1)


def make(dtype="float32", seed=0, hidden=8, lr=0.1, momentum=0.9, loss=None, n_in=3):
    model = nn.Sequential(
        nn.Linear(n_in, hidden), nn.Tanh(), nn.Linear(hidden, CLASSES), seed=seed, dtype=dtype
    )
    return Trainer(
        model,
        loss or nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=lr, momentum=momentum),
    )


def digest(trainer):
    return hashlib.sha256(
        b"".join(p.data.tobytes() for p in trainer.model.parameters())
    ).hexdigest()


# History


def test_history_has_a_number_per_epoch(data):
    trainer = make()
    history = trainer.fit(*data, epochs=3, seed=0, verbose=False)
    assert list(history) == ["loss", "accuracy"]
    assert {len(values) for values in history.values()} == {3}
    assert all(type(value) is float for values in history.values() for value in values)
    assert trainer.history is history
    assert trainer.epoch == 3
    history = trainer.fit(*data, epochs=2, seed=0, validation_data=data, verbose=False)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(values) for values in history.values()} == {2}
    assert trainer.epoch == 5


def test_history_of_a_loss_that_does_not_classify(data):
    x, _ = data
    trainer = make(loss=nn.MSELoss())
    history = trainer.fit(x, x, epochs=2, validation_data=(x, x), verbose=False)
    assert list(history) == ["loss", "val_loss"]
    assert list(trainer.evaluate(x, x)) == ["loss"]


def test_no_epochs(data):
    trainer = make()
    before = digest(trainer)
    assert trainer.fit(*data, epochs=0, validation_data=data, verbose=False) == {}
    assert digest(trainer) == before
    assert trainer.epoch == 0


def test_training_figures_are_means_over_the_epoch(data):
    """With a learning rate of 0 the model stands still, and they are those of evaluation."""
    trainer = make(lr=0, momentum=0)
    history = trainer.fit(*data, epochs=2, batch_size=7, validation_data=data, verbose=False)
    figures = trainer.evaluate(*data)
    assert history["accuracy"] == [figures["accuracy"]] * 2 == history["val_accuracy"]
    assert history["val_loss"] == [figures["loss"]] * 2
    np.testing.assert_allclose(history["loss"], figures["loss"], rtol=1e-6)


def test_it_learns(data, isa):
    trainer = make()
    history = trainer.fit(*data, epochs=30, seed=0, validation_data=data, verbose=False)
    assert history["val_accuracy"][-1] > 0.97
    assert history["loss"][-1] < 0.3 * history["loss"][0]


def test_history_holds_whole_epochs_whenever_an_interrupt_comes(data, monkeypatch):
    class Interrupted(dict):
        def items(self):
            yield "loss", 1.0
            raise KeyboardInterrupt

    trainer = make()
    train_epoch = trainer._train_epoch
    monkeypatch.setattr(
        trainer,
        "_train_epoch",
        lambda *args: train_epoch(*args) if trainer.epoch < 2 else Interrupted(),
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*data, epochs=5, callbacks=lambda trainer, logs: None, verbose=False)
    assert [len(values) for values in trainer.history.values()] == [2, 2]


def test_validation_changes_nothing(data, rng):
    one, other = make(), make()
    other_data = rng.standard_normal((1500, 3)), rng.integers(0, CLASSES, 1500)
    history = one.fit(*data, epochs=3, seed=0, validation_data=other_data, verbose=False)
    expected = other.fit(*data, epochs=3, seed=0, verbose=False)
    assert history["loss"] == expected["loss"]
    assert digest(one) == digest(other)
    assert history["val_loss"][-1] == one.evaluate(*other_data)["loss"]


def test_validation_data_may_be_a_list_and_of_another_dtype(data):
    x, y = data
    history = make().fit(
        x, y, seed=0, validation_data=[x.astype(np.float64).tolist(), y.tolist()], verbose=False
    )
    assert history == make().fit(x, y, seed=0, validation_data=data, verbose=False)


# Order


class Spy(nn.Module):
    """Passes batches on and notes them."""

    def __init__(self):
        self.batches = []

    def forward(self, x, training=False):
        if training:
            self.batches.append(x[:, 0].astype(int).tolist())
        return x

    def backward(self, grad):
        return grad


def order_of(n, epochs, batch_size=4, **settings):
    """The row numbers of each batch of `fit`."""
    model = nn.Sequential(spy := Spy(), nn.Linear(1, 1), seed=0)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0))
    trainer.fit(
        np.arange(n)[:, None],
        np.zeros(n),
        epochs=epochs,
        batch_size=batch_size,
        verbose=False,
        **settings,
    )
    return spy.batches


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


def test_every_row_is_seen_once_in_each_epoch():
    batches = order_of(10, 3, seed=0)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [flat(batches[i : i + 3]) for i in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3, "each epoch has its own order"


def test_the_order_follows_from_the_seed():
    assert order_of(50, 2, seed=3) == order_of(50, 2, seed=3)
    assert order_of(50, 2, seed=3) != order_of(50, 2, seed=4)
    assert order_of(50, 2) != order_of(50, 2)
    assert flat(order_of(50, 2, seed=3)) == flat(order_of(50, 2, batch_size=7, seed=3))


def test_the_global_generator_is_left_alone(data):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    make(seed=None).fit(*data, verbose=False)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_without_shuffling_rows_come_as_they_are():
    assert flat(order_of(10, 2, shuffle=False)) == [*range(10), *range(10)]


@pytest.mark.parametrize("batch_size", [1, 3, 10, 1000])
def test_batches_of_any_size(batch_size):
    batches = order_of(10, 1, batch_size=batch_size, shuffle=False)
    assert flat(batches) == list(range(10))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert len(batches) == -(-10 // batch_size)


@pytest.mark.parametrize("validate", [False, True])
def test_fitting_twice_is_fitting_once_for_as_many_epochs(data, validate, isa):
    settings = {
        "batch_size": 7,
        "seed": 5,
        "validation_data": data if validate else None,
        "verbose": False,
    }
    once, twice = make(), make()
    whole = once.fit(*data, epochs=5, **settings)
    first, second = twice.fit(*data, epochs=2, **settings), twice.fit(*data, epochs=3, **settings)
    assert {key: first[key] + second[key] for key in first} == whole
    assert digest(once) == digest(twice)


def test_a_copy_of_a_trainer_goes_on_where_the_first_one_was(data):
    first = make()
    first.fit(*data, epochs=2, seed=5, verbose=False)
    for twin in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        third = copy.deepcopy(first)
        assert twin.fit(*data, epochs=2, seed=5, verbose=False) == third.fit(
            *data, epochs=2, seed=5, verbose=False
        )
        assert digest(twin) == digest(third)
    assert first.epoch == 2


# The same bits


def by_hand(trainer, x, y, batch_size):
    model, criterion, optimizer = trainer.model, trainer.loss, trainer.optimizer
    for start in range(0, len(x), batch_size):
        out = model.forward(x[start : start + batch_size], training=True)
        criterion.forward(out, y[start : start + batch_size])
        model.backward(criterion.backward())
        optimizer.step()


@pytest.mark.parametrize("n", [1, 3])
def test_a_loop_by_hand_gives_the_same_bits(data, isa, dtype, threads, n):
    threads(n)
    x, y = (a[:20] for a in data)
    one, other = make(dtype), make(dtype)
    one.fit(x, y, epochs=2, batch_size=7, shuffle=False, verbose=False)
    for _ in range(2):
        by_hand(other, x.astype(dtype), y, 7)
    assert digest(one) == digest(other)


@pytest.fixture(scope="module")
def wide():
    """Wide enough for several threads to be worth it."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 8, (500, 300), np.uint8), rng.integers(0, CLASSES, 500)


def trained_digest(data, **settings):
    trainer = make(hidden=130, n_in=300, **settings)
    trainer.fit(*data, epochs=2, batch_size=256, seed=1, validation_data=data, verbose=False)
    return digest(trainer), trainer.history, trainer.model(data[0]).tobytes()


def test_any_number_of_threads_gives_the_same_bits(wide, isa, dtype, threads):
    results = []
    for n in (1, 2, 3, 4, 7):
        threads(n)
        results.append(trained_digest(wide, dtype=dtype))
    assert all(result == results[0] for result in results)


def test_the_number_of_threads_that_users_set_gives_the_same_bits(wide):
    before = cnet.get_num_threads()
    try:
        results = []
        for n in (1, 2, 3, 4, 7):
            cnet.set_num_threads(n)
            assert cnet.get_num_threads() in (n, 1)
            results.append(trained_digest(wide))
        assert all(result == results[0] for result in results)
    finally:
        cnet.set_num_threads(before)


def test_a_run_repeated_gives_the_same_bits(wide):
    assert len({trained_digest(wide)[0] for _ in range(5)}) == 1


# Evaluation


def test_evaluation_is_what_numpy_finds(rng, dtype):
    x, y = rng.standard_normal((3000, 3)), rng.integers(0, CLASSES, 3000)
    trainer = make(dtype)
    logits = trainer.model(x).astype(np.float64)
    figures = trainer.evaluate(x, y)
    assert figures["loss"] == pytest.approx(
        reference.cross_entropy(logits, reference.one_hot(y, CLASSES)).mean(), rel=1e-6
    )
    assert figures["accuracy"] == (logits.argmax(axis=1) == y).mean()
    soft = rng.dirichlet(np.ones(CLASSES), 3000)
    figures = trainer.evaluate(x, soft)
    assert figures["loss"] == pytest.approx(reference.cross_entropy(logits, soft).mean(), rel=1e-6)
    assert figures["accuracy"] == (logits.argmax(axis=1) == soft.argmax(axis=1)).mean()


def test_evaluation_changes_nothing(data):
    trainer = make()
    trainer.fit(*data, seed=0, verbose=False)
    before, history, epoch = digest(trainer), copy.deepcopy(trainer.history), trainer.epoch
    assert trainer.evaluate(*data) == trainer.evaluate(*data)
    assert (digest(trainer), trainer.history, trainer.epoch) == (before, history, epoch)


# Regression


def test_a_tiny_net_learns_seven_times_a_number(dtype):
    """The fifth of the notebooks that cnet replaces: its 2-3-1 network went to minus infinity."""
    x = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    y = 7 * x[:, 0]
    losses = []
    for seed in range(3):
        model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), seed=seed, dtype=dtype)
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
        trainer.fit(x, y, epochs=500, batch_size=4, seed=0, verbose=False)
        losses.append(trainer.evaluate(x, y)["loss"])
    assert max(losses) < 1e-2


def test_regression_targets_as_a_row_or_a_column(rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    results = []
    for target in (y, y[:, None], y.tolist()):
        model = nn.Sequential(nn.Linear(3, 1), seed=0)
        trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
        results.append((trainer.fit(x, target, epochs=2, seed=0, verbose=False), digest(trainer)))
    assert results[0] == results[1] == results[2]


# Optimizers


def test_each_group_has_its_own_settings(rng):
    model = nn.Sequential(
        nn.Linear(4, 5),
        nn.Tanh(),
        nn.Linear(5, 2),
        nn.Tanh(),
        nn.Linear(2, 2),
        seed=0,
        dtype="float64",
    )
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": model[2].weight, "momentum": 0.9, "weight_decay": 0.01},
        {"params": iter([model[2].bias]), "lr": 0.0},
        {"params": model[4].parameters(), "momentum": 0.5, "nesterov": True},
    ]
    optimizer = optim.SGD(groups, lr=0.1)
    settings = [
        {
            **{"lr": 0.1, "momentum": 0, "weight_decay": 0, "nesterov": False},
            **{k: v for k, v in g.items() if k != "params"},
        }
        for g in groups
    ]
    of = [settings[0], settings[0], settings[1], settings[2], settings[3], settings[3]]
    expected = [p.data.copy() for p in model.parameters()]
    velocities = [[np.zeros(p.shape)] for p in model.parameters()]
    loss = nn.CrossEntropyLoss()
    x, y = rng.standard_normal((6, 4)), rng.integers(0, 2, 6)
    for _ in range(4):
        loss.forward(model.forward(x, training=True), y)
        model.backward(loss.backward())
        for i, p in enumerate(model.parameters()):
            expected[i], velocities[i] = reference.sgd(
                expected[i], p.grad, velocities[i], 1, **of[i]
            )
        optimizer.step()
        for p, e in zip(model.parameters(), expected, strict=True):
            np.testing.assert_allclose(p.data, e, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(model[2].bias.data, 0)


def test_the_learning_rate_may_change_between_epochs(data):
    def halve(trainer, logs):
        for group in trainer.optimizer.param_groups:
            group["lr"] /= 2

    one, other = make(), make()
    one.fit(*data, epochs=3, seed=0, callbacks=[halve], verbose=False)
    for _ in range(3):
        other.fit(*data, epochs=1, seed=0, verbose=False)
        other.optimizer.param_groups[0]["lr"] /= 2
    assert digest(one) == digest(other)


def test_parameters_without_a_gradient_stay():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), seed=0)
    optimizer = optim.SGD(model.parameters(), lr=1)
    before = [p.data.copy() for p in model.parameters()]
    optimizer.step()
    model.forward(np.ones((1, 2)), training=True)
    model.backward(np.ones((1, 2)))
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    optimizer.step()
    for p, b in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.data, b)


def test_an_optimizer_of_some_parameters_leaves_the_others(data):
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, CLASSES), seed=0)
    before = model[0].weight.data.copy()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model[2].parameters(), lr=0.1))
    history = trainer.fit(*data, epochs=3, seed=0, verbose=False)
    assert history["loss"][2] < history["loss"][0]
    np.testing.assert_array_equal(model[0].weight.data, before)


# Callbacks


class Recorder(Callback):
    def __init__(self, name, events):
        self.name, self.events = name, events

    def on_train_begin(self, trainer, epochs, steps):
        self.events.append((self.name, "begin", epochs, steps))

    def on_batch_end(self, trainer, step, loss):
        assert isinstance(loss, float)
        self.events.append((self.name, "batch", step))

    def on_epoch_end(self, trainer, logs):
        assert list(logs) == ["loss", "accuracy", "val_loss", "val_accuracy"]
        assert logs == {key: values[-1] for key, values in trainer.history.items()}
        self.events.append((self.name, "epoch", trainer.epoch))

    def on_train_end(self, trainer):
        self.events.append((self.name, "end"))


def test_callbacks_are_called_in_order(data):
    events = []
    x, y = data[0][:5], data[1][:5]
    make().fit(
        x,
        y,
        epochs=2,
        batch_size=3,
        validation_data=data,
        callbacks=(Recorder(name, events) for name in "ab"),
        verbose=False,
    )

    def both(*event):
        return [("a", *event), ("b", *event)]

    epoch = [*both("batch", 1), *both("batch", 2)]
    assert events == [
        *both("begin", 2, 2),
        *epoch,
        *both("epoch", 1),
        *epoch,
        *both("epoch", 2),
        *both("end"),
    ]


def test_a_function_is_called_after_each_epoch(data):
    seen = []
    trainer = make()
    history = trainer.fit(
        *data,
        epochs=3,
        callbacks=[lambda trainer, logs: seen.append((trainer, logs["loss"]))],
        verbose=False,
    )
    assert seen == [(trainer, loss) for loss in history["loss"]]


def test_a_callback_stops_training(data):
    def stop(trainer, logs):
        trainer.stop = trainer.epoch == 2

    trainer = make()
    assert len(trainer.fit(*data, epochs=10, callbacks=[stop], verbose=False)["loss"]) == 2
    assert len(trainer.fit(*data, epochs=3, verbose=False)["loss"]) == 3, (
        "the next fit starts again"
    )
    assert trainer.epoch == 5


def test_a_callback_may_stop_in_the_middle_of_an_epoch_which_then_ends(data):
    class Stop(Callback):
        def on_batch_end(self, trainer, step, loss):
            trainer.stop = True

    trainer = make()
    assert len(trainer.fit(*data, epochs=10, callbacks=[Stop()], verbose=False)["loss"]) == 1


def test_callbacks_may_evaluate_and_predict(data):
    class Look(Callback):
        def on_batch_end(self, trainer, step, loss):
            trainer.evaluate(*data)
            trainer.model(data[0])

    one, other = make(), make()
    one.fit(*data, epochs=2, seed=0, callbacks=[Look()], verbose=False)
    other.fit(*data, epochs=2, seed=0, verbose=False)
    assert digest(one) == digest(other)


def test_an_error_in_a_callback_passes_and_ends_training_in_order(data):
    events = []

    def fail(trainer, logs):
        if trainer.epoch == 2:
            raise LookupError("no such thing")

    trainer = make()
    with pytest.raises(LookupError, match="no such thing"):
        trainer.fit(
            *data,
            epochs=5,
            validation_data=data,
            callbacks=[Recorder("a", events), fail],
            verbose=True,
        )
    assert events[-1] == ("a", "end")
    assert {len(values) for values in trainer.history.values()} == {2}
    assert trainer.epoch == 2


# Progress


def test_a_line_for_each_epoch_where_there_is_no_terminal(data, capsys):
    make().fit(*data, epochs=2, seed=0, validation_data=data)
    captured = capsys.readouterr()
    header, *lines = captured.err.splitlines()
    assert header.split() == [
        "epoch",
        "seconds",
        "loss",
        "accuracy",
        "val.",
        "loss",
        "val.",
        "accuracy",
    ]
    assert len(lines) == 2
    assert all(
        re.fullmatch(rf" *{i}/2 +\d+\.\d +\d\.\d{{4}} +\d+\.\d\d % +\d\.\d{{4}} +\d+\.\d\d %", line)
        for i, line in enumerate(lines, 1)
    )
    assert {len(line) for line in lines} == {len(header)}
    assert len(header) <= 79
    assert captured.out == ""


def test_titles_and_percentages_of_heads(data, capsys):
    """Heads may have any names."""
    heads = nn.Heads(interval_1=nn.Linear(3, CLASSES), size=nn.Linear(3, 1))
    loss = nn.HeadsLoss(heads, {"interval_1": nn.CrossEntropyLoss(), "size": nn.MSELoss()})
    trainer = Trainer(nn.Sequential(heads, seed=0), loss, optim.SGD(heads.parameters()))
    y = {"interval_1": data[1], "size": data[0][:, 0]}
    trainer.fit(data[0], y, validation_data=(data[0], y))
    header, line = capsys.readouterr().err.splitlines()
    assert re.split("  +", header.strip()) == [
        "epoch",
        "seconds",
        "loss",
        "accuracy interval 1",
        "val. loss",
        "val. accuracy interval 1",
    ]
    assert re.fullmatch(r" *1/1 +\d+\.\d +\d+\.\d{4} +\d+\.\d\d % +\d+\.\d{4} +\d+\.\d\d %", line)


def test_silence(data, capsys):
    make().fit(*data, epochs=2, validation_data=data, verbose=False)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_and_a_line_for_each_epoch_in_a_terminal(data, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    make().fit(*data, epochs=2, batch_size=10, seed=0, validation_data=data)
    text = terminal.getvalue()
    assert re.search(r"epoch 1/2 \|.*\| +\d+ %, .* left", text)
    assert re.search(r"[\r\n] +2/2 +\d+\.\d .* %\n", text)
    assert re.search(r"\r *\r$", text), "the bar is still there"
    assert capsys.readouterr().out == ""


def test_a_bar_is_closed_when_training_is_interrupted(data, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    class Interrupt(Callback):
        def on_batch_end(self, trainer, step, loss):
            if trainer.epoch == 1 and step == 7:
                raise KeyboardInterrupt

    trainer = make()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*data, epochs=5, batch_size=10, callbacks=[Interrupt(), bar := ProgressBar()])
    assert re.search(r"\r *\r$", terminal.getvalue()), "the bar is still there"
    assert bar._bar is None
    assert len(trainer.history["loss"]) == 1


@pytest.mark.parametrize("stream", [None, object()], ids=["none", "without isatty"])
def test_programs_without_a_standard_error(data, monkeypatch, capsys, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(make().fit(*data, epochs=1)["loss"]) == 1
    assert capsys.readouterr().out == ""


# Divergence


def exploding(dtype="float32", lr=1e6, momentum=0.0):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1), seed=0, dtype=dtype)
    return Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr, momentum=momentum))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_divergence_is_an_error_and_leaves_the_weights_from_before_the_epoch(
    data, dtype, isa, momentum
):
    x, _ = data
    y = x.sum(axis=1)
    trainer = exploding(dtype, lr=0.01, momentum=momentum)
    calm = trainer.fit(x, y, epochs=2, seed=0, verbose=False)
    before, velocities = digest(trainer), trainer.optimizer._copy_state()
    trainer.optimizer.param_groups[0]["lr"] = 1e6
    message = (
        r"training diverged in epoch 3: .*\. The weights are those from before the epoch; a "
        r"learning rate below 1e\+06 may help, such as 0\.1$"
    )
    with pytest.raises(FloatingPointError, match=message):
        trainer.fit(x, y, epochs=3, batch_size=4, seed=0, verbose=False)
    assert digest(trainer) == before
    assert trainer.history == {}
    assert trainer.epoch == 2
    after = trainer.optimizer._copy_state()
    assert after.keys() == velocities.keys()
    for parameter, state in velocities.items():
        np.testing.assert_array_equal(after[parameter].arrays, state.arrays)
        assert after[parameter].steps == state.steps

    # With a sensible rate it continues as if nothing had happened.
    trainer.optimizer.param_groups[0]["lr"] = 0.01
    other = exploding(dtype, lr=0.01, momentum=momentum)
    whole = other.fit(x, y, epochs=4, seed=0, verbose=False)
    again = trainer.fit(x, y, epochs=2, seed=0, verbose=False)
    assert calm["loss"] + again["loss"] == whole["loss"]
    assert digest(trainer) == digest(other)


@pytest.mark.parametrize(
    ("rates", "hint"),
    [
        ([1e30], "; a learning rate below 1e+30 may help, such as 0.1"),
        ([1e6, 0.5], "; a learning rate below 0.5, 1e+06 may help, such as 0.05, 0.1"),
        ([0.0], ""),
    ],
)
def test_divergence_suggests_a_smaller_rate(rates, hint, data):
    class Diverges(nn.MSELoss):
        def forward_backward(self, output, target):
            return np.inf, output

    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1), seed=0)
    groups = [
        {"params": layer.parameters(), "lr": rate}
        for layer, rate in zip(model, rates, strict=False)
    ]
    with pytest.raises(
        FloatingPointError,
        match=re.escape(f"The weights are those from before the epoch{hint}") + "$",
    ):
        Trainer(model, Diverges(), optim.SGD(groups)).fit(*data, verbose=False)


@pytest.mark.parametrize(
    ("rate", "shown"),
    [("1e-3", "'1e-3'"), (-1, "-1"), (np.nan, "nan"), (np.inf, "inf"), (None, "None")],
)
@pytest.mark.parametrize("later", [False, True])
def test_a_rate_that_was_set_wrong_is_named_before_the_next_step(later, rate, shown, data):
    trainer = make()

    def spoil(trainer, logs=None):
        trainer.optimizer.param_groups[0]["lr"] = rate

    if not later:
        spoil(trainer)
    before = digest(trainer)
    after = []
    with pytest.raises(ValueError, match=f"lr is {shown}, expected a finite number of at least 0"):
        trainer.fit(
            *data,
            epochs=3,
            callbacks=[lambda trainer, logs: after.append(digest(trainer)), spoil],
            verbose=False,
        )
    assert [digest(trainer)] == (after if later else [before])


def test_history_keeps_the_epochs_before_divergence(data):
    x, _ = data

    class SpeedUp(Callback):
        ended = False

        def on_epoch_end(self, trainer, logs):
            if trainer.epoch == 2:
                trainer.optimizer.param_groups[0]["lr"] = 1e6

        def on_train_end(self, trainer):
            self.ended = True

    trainer = exploding(lr=0.01)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 3"):
        trainer.fit(
            x,
            x[:, 0],
            epochs=5,
            batch_size=4,
            seed=0,
            validation_data=(x, x[:, 0]),
            callbacks=[callback := SpeedUp()],
            verbose=False,
        )
    assert list(trainer.history) == ["loss", "val_loss"]
    assert {len(values) for values in trainer.history.values()} == {2}
    assert callback.ended
    assert all(np.isfinite(p.data).all() for p in trainer.model.parameters())


@pytest.mark.filterwarnings("ignore:x has a mean square of")
def test_a_weight_that_overflows_in_the_last_step_is_noticed():
    """The loss was still finite: only the weights tell."""
    model = nn.Sequential(nn.Linear(1, 1), seed=0)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=3e38))
    before = digest(trainer)
    with pytest.raises(
        FloatingPointError, match="diverged in epoch 1: a weight is no longer finite"
    ):
        trainer.fit([[1e4]], [1e4], verbose=False)
    assert digest(trainer) == before


def test_weights_that_are_not_finite_are_noticed_at_once(data):
    trainer = make()
    trainer.model[0].weight.data[0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="diverged in epoch 1: the loss of step 1 is nan"):
        trainer.fit(*data, verbose=False)


@pytest.mark.parametrize("labels", [1, 3])
def test_accuracy_of_yes_and_no(labels, rng):
    """A row is classified correctly if all its labels are, in the compiled program as in the
    loop.
    """
    x, y = rng.standard_normal((300, 4)), rng.random((300, labels))
    model = nn.Sequential(nn.Linear(4, labels), seed=0, dtype="float64")
    trainer = Trainer(model, nn.BCEWithLogitsLoss(), optim.SGD(model.parameters()))
    expected = ((model(x) > 0) == (y > 0.5)).all(axis=1).mean()
    assert 0 < expected < 1
    assert trainer.evaluate(x, y)["accuracy"] == expected
    assert "accuracy" in trainer.fit(x, y, epochs=1, verbose=False)
    expected = ((model(x) > 0) == (y > 0.5)).all(axis=1).mean()
    eager = Trainer(model, trainer.loss, trainer.optimizer, compile=False)
    assert eager.evaluate(x, y)["accuracy"] == expected


# Written by users


class Square(nn.Module):
    """A layer in NumPy, which does as it likes with dtype and layout."""

    def forward(self, x, training=False):
        self.x = x
        return np.asfortranarray(x.astype(np.float64)) ** 2

    def backward(self, grad):
        return np.asfortranarray(grad * 2.0 * self.x)


class Affine(nn.Module):
    """nn.Linear again."""

    def __init__(self, n_in, n_out):
        self.weight = nn.Parameter((n_in, n_out))
        self.bias = nn.Parameter((n_out,))
        self.n_out = n_out

    def output_shape(self, input_shape):
        return (self.n_out,)

    def forward(self, x, training=False):
        self.x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, grad):
        self.weight.grad = self.x.T @ grad
        self.bias.grad = grad.sum(axis=0)
        return grad @ self.weight.data.T


class Hinge(nn.Loss):
    """A loss that knows what it classifies."""

    def forward(self, output, target):
        self.margin = 1 - output[:, 0] * target
        self.target = target
        return float(np.maximum(self.margin, 0).mean())

    def backward(self):
        return (np.where(self.margin > 0, -self.target, 0) / len(self.target))[:, None]

    def count_correct(self, output, target):
        return int((np.sign(output[:, 0]) == target).sum())


class SignSGD(optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    def _update(self, parameter, settings):
        parameter.data -= settings["lr"] * np.sign(parameter.grad)


def test_layers_losses_and_optimizers_written_in_python(data, dtype):
    x, _ = data
    y = np.where((x**2).sum(axis=1) > 2.5, 1, -1)
    model = nn.Sequential(nn.Linear(3, 8), Square(), nn.Linear(8, 1), seed=0, dtype=dtype)
    trainer = Trainer(model, Hinge(), SignSGD(model.parameters()))
    history = trainer.fit(x, y, epochs=20, seed=0, validation_data=(x, y), verbose=False)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["val_accuracy"][-1] > 0.9
    assert trainer.evaluate(x, y)["accuracy"] == (np.sign(model(x)[:, 0]) == y).mean()


def test_a_layer_written_in_python_may_come_last(data):
    """Its outputs are put into the form that the compiled losses take."""
    for loss, y in (
        (nn.CrossEntropyLoss(), data[1]),
        (nn.MSELoss(), reference.one_hot(data[1], CLASSES)),
    ):
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, CLASSES), Square(), seed=0)
        trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
        history = trainer.fit(
            data[0], y, epochs=5, seed=0, validation_data=(data[0], y), verbose=False
        )
        assert history["val_loss"][-1] < history["loss"][0]


def test_what_a_subclass_of_a_loss_overrides_is_what_is_trained_by(data):
    class Doubled(nn.CrossEntropyLoss):
        def forward(self, output, target):
            return 2 * super().forward(output, target)

        def backward(self):
            return 2 * super().backward()

    weights, losses = [], []
    for loss, lr in ((nn.CrossEntropyLoss(), 0.2), (Doubled(), 0.1)):
        model = nn.Sequential(nn.Linear(3, CLASSES), seed=0)
        history = Trainer(model, loss, optim.SGD(model.parameters(), lr=lr)).fit(
            *data, epochs=2, seed=0, validation_data=data, verbose=False
        )
        weights.append(model[0].weight.data)
        losses.append(history["loss"] + history["val_loss"])
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5)
    np.testing.assert_allclose(losses[1], 2 * np.array(losses[0]), rtol=1e-5)


def test_a_layer_written_in_python_trains_as_the_compiled_one(data):
    one = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, CLASSES), seed=0)
    other = nn.Sequential(Affine(3, 8), nn.Tanh(), Affine(8, CLASSES), seed=0)
    histories = []
    for model in (one, other):
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        histories.append(trainer.fit(*data, epochs=3, seed=0, verbose=False))
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-5)
    assert one.state_dict().keys() == other.state_dict().keys()


def test_what_an_optimizer_must_define(data):
    model = nn.Sequential(nn.Linear(3, CLASSES), seed=0)
    with pytest.raises(
        TypeError, match=r"Optimizer does not define _update\(parameter, settings\)"
    ):
        Trainer(model, nn.CrossEntropyLoss(), optim.Optimizer(model.parameters(), {})).fit(
            *data, verbose=False
        )


def test_a_layer_alone_is_a_model(data):
    model = nn.Linear(3, CLASSES, seed=0)
    history = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.5)).fit(
        *data, epochs=5, seed=0, verbose=False
    )
    assert history["accuracy"][-1] > 0.9


# What does not belong together


def test_a_model_is_trained_by_one_call_at_a_time(data):
    trainer = make()

    def again(same, logs):
        with pytest.raises(RuntimeError, match="this model is being trained already"):
            Trainer(trainer.model, trainer.loss, trainer.optimizer).fit(*data, verbose=False)

    trainer.fit(*data, epochs=1, callbacks=[again], verbose=False)
    trainer.fit(*data, epochs=1, verbose=False)


@pytest.mark.parametrize("shared", ["layer", "net", "normalization"])
def test_nets_that_share_a_layer_are_trained_by_one_call_at_a_time(shared, data):
    trunk = {
        "layer": nn.Linear(3, 3, seed=0),
        "net": nn.Sequential(nn.Linear(3, 3), seed=0),
        "normalization": nn.BatchNorm1d(3, affine=False),
    }[shared]
    one, other = (nn.Sequential(trunk, nn.Linear(3, CLASSES, seed=seed)) for seed in (1, 2))
    trainers = [
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()))
        for model in (one, other)
    ]
    alone = make()

    def again(trainer, logs):
        with pytest.raises(
            RuntimeError, match="this model shares a layer with one that is being trained already"
        ):
            trainers[1].fit(*data, verbose=False)
        alone.fit(*data, verbose=False)

    trainers[0].fit(*data, callbacks=[again], verbose=False)
    trainers[1].fit(*data, verbose=False)


def test_a_checkpoint_is_not_loaded_into_a_training_that_runs(data, tmp_path):
    trainer = make()
    trainer.save_checkpoint(tmp_path / "c")

    def load(trainer, logs):
        with pytest.raises(
            RuntimeError, match="load_checkpoint was called while this model is being trained"
        ):
            trainer.load_checkpoint(tmp_path / "c")

    trainer.fit(*data, callbacks=[load], verbose=False)
    trainer.load_checkpoint(tmp_path / "c")
    assert trainer.epoch == 0


@pytest.mark.parametrize("name", ["epochs", "batch_size", "steps_per_epoch"])
@pytest.mark.parametrize(
    "value", [True, np.True_, 2.0, np.float64(2), "2", [2], np.array([2])], ids=repr
)
def test_counts_are_whole_numbers(name, value, data):
    """True is no number of epochs."""
    trainer = make()
    x, y = ([data], None) if name == "steps_per_epoch" else data
    with pytest.raises(TypeError, match=rf"{name} is .*, expected an integer of at least"):
        trainer.fit(x, y, verbose=False, **{name: value})
    trainer.fit(x, y, verbose=False, **{name: np.int64(1)})


@pytest.mark.parametrize("value", [0, 1, "no", "batch", 0.0], ids=repr)
def test_shuffle_is_true_or_false(value, data):
    with pytest.raises(TypeError, match=rf"shuffle is {value!r}, expected True or False"):
        make().fit(*data, shuffle=value, verbose=False)
    assert flat(order_of(10, 1, shuffle=np.False_)) == list(range(10))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_only_those_that_heard_of_the_beginning_hear_of_the_end(error, data):
    events = []

    class Fails(Recorder):
        def on_train_begin(self, trainer, epochs, steps):
            raise error("no such thing")

    trainer = make()
    trainer.fit(*data, seed=1, verbose=False)
    history = trainer.history
    with pytest.raises(error, match="no such thing"):
        trainer.fit(
            *data,
            seed=2,
            callbacks=[Recorder("a", events), Fails("b", events), Recorder("c", events)],
        )
    assert events == [("a", "begin", 1, 7), ("a", "end")]
    assert (trainer.history, trainer.seed) == (history, 1)


def test_a_callback_may_stop_training_before_it_begins(data):
    class Stop(Callback):
        def on_train_begin(self, trainer, epochs, steps):
            trainer.stop = True

    trainer = make()
    before = digest(trainer)
    assert trainer.fit(*data, epochs=3, callbacks=[Stop()], verbose=False) == {}
    assert (digest(trainer), trainer.epoch) == (before, 0)


def test_an_optimizer_of_another_model_is_rejected(data):
    trainer, other = make(), make()
    with pytest.raises(ValueError, match="holds none of the model's parameters"):
        Trainer(trainer.model, trainer.loss, other.optimizer).fit(*data, verbose=False)
