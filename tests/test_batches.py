"""Data that comes batch by batch: what is trained on, what is rejected, and how much memory it
takes.
"""

import itertools
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import Trainer, datasets, nn, optim
from cnet.augment import Augment
from cnet.callbacks import Callback, ProgressBar

CLASSES = 3
X = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
Y = X[:, :CLASSES].argmax(axis=1)
DATA = datasets.split(X, Y)


def make(dtype="float32", loss=None, layers=(), n_in=6, compiled=True):
    model = nn.Sequential(
        nn.Linear(n_in, 8), nn.Tanh(), *layers, nn.Linear(8, CLASSES), seed=0, dtype=dtype
    )
    return Trainer(
        model,
        loss or nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        compile=compiled,
    )


def state(trainer):
    return b"".join(p.data.tobytes() for p in trainer.model.parameters())


def cut(size, *arrays):
    """A list of batches."""
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


class Loader:
    """As PyTorch's: no array, no iterator, but each `iter` begins again."""

    def __init__(self, batches):
        self.batches, self.began = batches, 0

    def __iter__(self):
        self.began += 1
        return iter(self.batches)


class Tensor:
    """An array of another library."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


# The same as arrays


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "loop"])
@pytest.mark.parametrize("size", [1, 7, 8, 50, 64])
@pytest.mark.parametrize("kind", ["f4", "f8", "u1", "F"])
def test_the_bits_are_those_of_arrays(kind, size, compiled, dtype, isa):
    x = np.asfortranarray(X) if kind == "F" else (np.abs(X) * 5).astype(kind)
    one, other = (make(dtype, layers=[nn.Dropout(0.3)], compiled=compiled) for _ in range(2))
    expected = one.fit(x, Y, epochs=3, batch_size=size, shuffle=False, verbose=False)
    loader = Loader(cut(size, x, Y))
    assert other.fit(loader, epochs=3, verbose=False) == expected
    assert loader.began == 3
    assert state(one) == state(other)
    assert (other.epoch, other.global_step) == (one.epoch, one.global_step)
    assert one.explain().startswith(
        "Training is compiled." if compiled else "Training runs layer by layer: "
    )


LOSSES = {
    "labels": (nn.CrossEntropyLoss, Y),
    "rows": (nn.CrossEntropyLoss, np.eye(CLASSES)[Y]),
    "squares": (nn.MSELoss, X[:, :CLASSES]),
    "class weights": (lambda: nn.CrossEntropyLoss(weight=[1, 2, 3]), Y),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_of_every_kind(loss):
    loss, y = LOSSES[loss]
    one, other = make(loss=loss()), make(loss=loss())
    expected = one.fit(
        X, y, epochs=2, batch_size=8, shuffle=False, validation_data=(X, y), verbose=False
    )
    assert other.fit(cut(8, X, y), epochs=2, validation_data=(X, y), verbose=False) == expected
    assert state(one) == state(other)


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_batches_of_any_sizes_are_steps_of_these_sizes(sizes, seed):
    rng = np.random.default_rng(seed)
    batches = [
        (rng.standard_normal((size, 6)).astype(np.float32), rng.integers(0, CLASSES, size))
        for size in sizes
    ]
    one, other = make(), make()
    history = one.fit(batches, epochs=2, verbose=False)
    losses = []
    for _ in range(2):
        losses.append(0.0)
        for x, y in batches:
            losses[-1] += other.fit(x, y, batch_size=len(x), shuffle=False, verbose=False)["loss"][
                0
            ] * len(x)
    assert state(one) == state(other)
    np.testing.assert_allclose(history["loss"], np.divide(losses, sum(sizes)), rtol=1e-12)


def test_batches_larger_than_a_block(rng):
    x, y = rng.standard_normal((5000, 6)).astype(np.float32), rng.integers(0, CLASSES, 5000)
    batches = [(x[i:j], y[i:j]) for i, j in itertools.pairwise([0, 3, 1200, 1210, 4000, 5000])]
    results = set()
    for compiled in (True, False):
        trainer = make(compiled=compiled)
        trainer.fit(batches, verbose=False)
        results.add(state(trainer))
    assert len(results) == 1


def test_images_and_heads(rng):
    x, y = rng.integers(0, 8, (30, 1, 8, 8), np.uint8), rng.integers(0, CLASSES, 30)
    histories, states = [], []
    for arguments in ({"x": x, "y": y, "batch_size": 8, "shuffle": False}, {"x": cut(8, x, y)}):
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, CLASSES),
            seed=0,
        )
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
        histories.append(trainer.fit(**arguments, epochs=2, verbose=False))
        states.append(state(trainer))
    assert histories[0] == histories[1]
    assert states[0] == states[1]
    heads = nn.Heads(a=nn.Linear(6, CLASSES), b=nn.Linear(6, 2))
    trainer = Trainer(
        model := nn.Sequential(heads, seed=0),
        nn.HeadsLoss(heads, nn.CrossEntropyLoss()),
        optim.SGD(model.parameters()),
    )
    assert list(trainer.fit([(X, {"a": Y, "b": Y % 2})], verbose=False)) == [
        "loss",
        "accuracy_a",
        "accuracy_b",
    ]
    with pytest.raises(ValueError, match=r"batch 2 holds .* y of \(n, 3\), \(n,\) and no"):
        trainer.fit(
            [(X, {"a": Y, "b": Y % 2}), (X, {"a": np.eye(3)[Y], "b": Y % 2})], verbose=False
        )


def test_normalization():
    results = []
    for compiled in (True, False):
        for arguments in ({"x": X, "y": Y, "batch_size": 8, "shuffle": False}, {"x": cut(8, X, Y)}):
            trainer = make(layers=[nn.BatchNorm1d(8), nn.LayerNorm(8)], compiled=compiled)
            history = trainer.fit(**arguments, epochs=3, verbose=False)
            results.append((history, state(trainer), trainer.model(X).tobytes()))
    assert all(result == results[0] for result in results)


def test_arrays_of_other_libraries():
    one, other = make(), make()
    expected = one.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=False)
    assert (
        other.fit([[Tensor(x), y.tolist()] for x, y in cut(8, X, Y)], epochs=2, verbose=False)
        == expected
    )
    assert state(one) == state(other)


def test_a_data_loader_of_torch():
    data = pytest.importorskip("torch.utils.data")
    import torch

    loader = data.DataLoader(
        data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=8
    )
    one, other = make(), make()
    expected = one.fit(
        X, Y, epochs=2, batch_size=8, shuffle=False, validation_data=(X, Y), verbose=False
    )
    history = other.fit(loader, epochs=2, validation_data=loader, verbose=False)
    assert {name: history[name] for name in ("loss", "accuracy", "val_accuracy")} == {
        name: expected[name] for name in ("loss", "accuracy", "val_accuracy")
    }
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-6)
    assert state(one) == state(other)


def test_batches_are_not_changed():
    batches = cut(8, X.copy(), Y.copy())
    for x, y in batches:
        x.flags.writeable = y.flags.writeable = False
    make().fit(batches, epochs=2, verbose=False)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), X)


# Evaluation


def test_evaluation_and_validation_of_batches():
    trainer = make()
    expected = trainer.evaluate(X, Y)
    for batches in (
        cut(8, X, Y),
        Loader(cut(13, X, Y)),
        iter(cut(50, X, Y)),
        (batch for batch in cut(1, X, Y)),
    ):
        figures = trainer.evaluate(batches)
        assert figures["accuracy"] == expected["accuracy"]
        assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    plain = make().fit(X, Y, epochs=2, seed=0, validation_data=(X, Y), verbose=False)
    for validation in (cut(25, X, Y), Loader(cut(8, X, Y))):
        history = make().fit(X, Y, epochs=2, seed=0, validation_data=validation, verbose=False)
        assert history["loss"] == plain["loss"]
        np.testing.assert_allclose(history["val_loss"], plain["val_loss"], rtol=1e-6)


def test_validation_of_batches_is_standardized_as_training_is(rng):
    x, y = rng.integers(0, 8, (40, 16), np.uint8), rng.integers(0, CLASSES, 40)
    settings = {
        "epochs": 2,
        "seed": 0,
        "augment": Augment(shift=1, standardize=True, seed=0),
        "verbose": False,
    }
    histories = [
        make(n_in=16).fit(x, y, validation_data=validation, **settings)
        for validation in ((x, y), cut(40, x, y))
    ]
    assert histories[0] == histories[1]


# Generators


def endless():
    for i in itertools.count():
        rows = np.arange(8 * i, 8 * i + 8) % len(X)
        yield X[rows], Y[rows]


def test_a_generator_goes_on_with_steps_per_epoch():
    trainer, other = make(), make()
    history = trainer.fit(endless(), epochs=3, steps_per_epoch=5, verbose=False)
    assert len(history["loss"]) == 3
    assert (trainer.epoch, trainer.global_step) == (3, 15)
    other.fit(list(itertools.islice(endless(), 15)), verbose=False)
    assert state(trainer) == state(other)


def test_a_list_begins_anew_with_steps_per_epoch():
    trainer, other = make(), make()
    trainer.fit(cut(8, X, Y), epochs=2, steps_per_epoch=3, verbose=False)
    other.fit(cut(8, X, Y)[:3], epochs=2, verbose=False)
    assert state(trainer) == state(other)


def test_a_generator_lasts_for_one_epoch():
    trainer = make()
    assert len(trainer.fit((batch for batch in cut(8, X, Y)), verbose=False)["loss"]) == 1
    message = (
        "x is a generator, which is used up after one of 2 epochs: pass a list of batches, or an "
        "object whose __iter__ begins again, or steps_per_epoch"
    )
    with pytest.raises(ValueError, match=message):
        trainer.fit((batch for batch in cut(8, X, Y)), epochs=2, verbose=False)
    with pytest.raises(
        ValueError,
        match=r"validation_data is a list_iterator, which is used up after one of 2 epochs: .* "
        r"begins again$",
    ):
        trainer.fit(X, Y, epochs=2, validation_data=iter(cut(8, X, Y)), verbose=False)
    assert trainer.epoch == 1
    used = iter([])
    with pytest.raises(ValueError, match="x ended after 0 batches, expected at least one"):
        trainer.fit(used, verbose=False)
    with pytest.raises(ValueError, match="x ended after 0 batches, expected at least one"):
        trainer.evaluate([])
    with pytest.raises(ValueError, match="x ended after 7 batches, expected steps_per_epoch=9"):
        trainer.fit(cut(8, X, Y), steps_per_epoch=9, verbose=False)


# What callbacks are told


@pytest.mark.parametrize(
    ("batches", "steps"),
    [
        (cut(8, X, Y), 7),
        (Loader(cut(8, X, Y)), None),
        (iter(cut(8, X, Y)), 7),
        ((b for b in cut(8, X, Y)), None),
    ],
    ids=["list", "loader", "iterator", "generator"],
)
def test_callbacks_see_every_batch(batches, steps):
    events = []

    class Record(Callback):
        def on_train_begin(self, trainer, epochs, steps):
            events.append(("begin", epochs, steps))

        def on_batch_end(self, trainer, step, loss):
            events.append(step)

    make().fit(batches, callbacks=[Record()], verbose=False)
    assert events == [("begin", 1, steps), *range(1, 8)]


def test_progress_without_a_known_number_of_steps(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    make().fit(Loader(cut(8, X, Y)), epochs=2, callbacks=[ProgressBar()])
    text = terminal.getvalue()
    assert "epoch 1/2 " in text
    assert " steps, " in text
    assert "2/2 " in text


def test_one_cycle_must_know_the_steps_in_advance():
    trainer = make()
    with pytest.raises(RuntimeError, match="construct it with total_steps"):
        trainer.fit(
            Loader(cut(8, X, Y)),
            callbacks=[optim.lr_scheduler.OneCycleLR(trainer.optimizer, 0.1)],
            verbose=False,
        )
    schedule = optim.lr_scheduler.OneCycleLR(trainer.optimizer, 0.1)
    trainer.fit(cut(8, X, Y), epochs=2, callbacks=[schedule], verbose=False)
    assert schedule.total_steps == 14


# What is rejected


def with_nan():
    x = X[:8].copy()
    x[2, 1] = np.nan
    return x


BAD = {
    "no pair": (
        X[:8],
        TypeError,
        r"^batch 3 is of type ndarray, expected \(x, y\) or \(x, y, sample_weight\)",
    ),
    "alone": ((X[:8],), TypeError, r"^batch 3 has 1 parts, expected \(x, y\)"),
    "nan": (
        (with_nan(), Y[:8]),
        ValueError,
        r"^batch 3: x holds nan at \(2, 1\): every value must be finite",
    ),
    "too few": (
        (X[:8], Y[:7]),
        ValueError,
        "^batch 3: x has 8 samples, y 7 targets: expected one target per sample",
    ),
    "empty": ((X[:0], Y[:0]), ValueError, "^batch 3: x has no samples"),
    "label": (
        (X[:8], Y[:8] + 5),
        ValueError,
        "^batch 3: y holds label 7, but the model has 3 outputs",
    ),
    "narrow": (
        (X[:8, :5], Y[:8]),
        ValueError,
        r"^batch 3: .* takes input of shape \(n, 6\), got \(n, 5\)",
    ),
    "words": (
        ([["a"] * 6] * 8, Y[:8]),
        TypeError,
        "^batch 3: x has dtype <U1, expected real numbers",
    ),
    "other targets": (
        (X[:8], np.eye(3)[Y[:8]]),
        ValueError,
        r"^batch 3 holds x of .*, y of \(n, 3\) and no sample_weight, but the first one .*\(n,\)",
    ),
    "weights": (
        (X[:8], Y[:8], np.ones(8)),
        ValueError,
        "^batch 3 holds .* and sample_weight, but the first one .* no sample_weight: expected "
        "batches alike",
    ),
}


@pytest.mark.parametrize(("batch", "error", "message"), BAD.values(), ids=BAD)
def test_a_bad_batch_is_named_and_what_was_learned_is_kept(batch, error, message):
    trainer, other = make(), make()
    good = cut(8, X, Y)
    with pytest.raises(error, match=message):
        trainer.fit([*good[:2], batch, *good[2:]], verbose=False)
    assert trainer.epoch == 0
    assert trainer.history == {}
    other.fit(good[:2], verbose=False)
    assert state(trainer) == state(other)
    with pytest.raises(error, match=message):
        trainer.evaluate([*good[:2], batch])
    with pytest.raises(error, match=r"^validation batch 3"):
        trainer.fit(X, Y, validation_data=[*good[:2], batch, good[0]], verbose=False)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batch_size": 8}, ValueError, "batch_size is for arrays x and y"),
        ({"shuffle": True}, ValueError, "shuffle is for arrays x and y"),
        ({"seed": 0}, ValueError, "seed is for arrays x and y"),
        ({"augment": Augment(shift=1)}, ValueError, "augment is for arrays x and y"),
        (
            {"sample_weight": np.ones(50)},
            ValueError,
            r"sample_weight is for arrays x and y: .* \(x, y, sample_weight\)",
        ),
        (
            {"steps_per_epoch": 0},
            ValueError,
            "steps_per_epoch is 0, expected an integer of at least 1",
        ),
        ({"steps_per_epoch": 2.5}, TypeError, r"steps_per_epoch is 2\.5, expected"),
        ({"x": X}, TypeError, "y is missing: expected targets for the samples of x"),
        ({"x": 5}, TypeError, "x is of type int, expected a pair"),
        ({"x": {"a": 1}}, TypeError, "x is of type dict, expected a pair"),
        (
            {"x": (X, Y)},
            TypeError,
            r"x is a tuple of 2 arrays, expected batches: pass x and y apart, as in fit\(x, "
            r"y\) or fit\(\*data\.train\)",
        ),
        (
            {"x": [X, Y, Y]},
            TypeError,
            "x is a list of 3 arrays, expected batches: pass x and y apart",
        ),
        (
            {"x": DATA.train},
            TypeError,
            "x is a Split of 2 arrays, expected batches: pass x and y apart",
        ),
        (
            {"x": DATA},
            TypeError,
            r"x is of type Dataset, .*: pass parts of it, as in fit\(\*data\.train, "
            r"validation_data=data\.validation\)",
        ),
        (
            {"x": cut(8, X, Y), "validation_data": DATA},
            TypeError,
            r"validation_data is of type Dataset, .*validation_data=data\.validation\)",
        ),
        ({"x": [X, X, X, X]}, TypeError, r"batch 1 is of type ndarray, expected \(x, y\)"),
        (
            {"x": X, "y": Y, "steps_per_epoch": 3},
            ValueError,
            "steps_per_epoch is for an iterable of batches",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_sense(settings, error, message):
    trainer = make()
    before = state(trainer)
    with pytest.raises(error, match=message):
        trainer.fit(**{"x": cut(8, X, Y), "verbose": False, **settings})
    assert state(trainer) == before
    assert make().fit(cut(8, X, Y), shuffle=False, verbose=False)


@pytest.mark.parametrize("count", [2, 3])
def test_validation_batches_in_lists_are_told_what_to_be(count):
    """`[[x, y], [x, y]]` is read as x and y."""
    batches = [[x.tolist(), y.tolist()] for x, y in cut(20, X, Y)[:count]]
    message = (
        rf"validation_data is a list of {count} lists, which is read as \(x, y\): batches in a "
        r"list are tuples"
    )
    trainer = make()
    before = state(trainer)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.fit(X, Y, validation_data=batches, verbose=False)
    assert state(trainer) == before
    make().fit(X, Y, validation_data=[tuple(batch) for batch in batches], verbose=False)


def test_an_error_of_the_iterable_passes():
    def batches():
        yield X, Y
        raise OSError("the disk is gone")

    trainer, other = make(), make()
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(batches(), verbose=False)
    other.fit(X, Y, batch_size=50, shuffle=False, verbose=False)
    assert state(trainer) == state(other)


# Going on


def test_a_checkpoint_counts_on(tmp_path):
    whole, first, second = make(), make(), make()
    whole.fit(cut(8, X, Y), epochs=5, verbose=False)
    first.fit(cut(8, X, Y), epochs=2, verbose=False)
    first.save_checkpoint(tmp_path / "c")
    second.load_checkpoint(tmp_path / "c")
    second.fit(cut(8, X, Y), epochs=3, verbose=False)
    assert state(whole) == state(second)
    assert (second.epoch, second.global_step) == (whole.epoch, whole.global_step) == (5, 35)


# Memory


def test_memory_is_that_of_a_batch():
    """20 batches of 4 MB each."""
    x, y = np.zeros((1000, 1000), np.float32), np.zeros(1000, int)
    model = nn.Sequential(nn.Linear(1000, CLASSES), seed=0)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()))
    trainer.fit([(x[:10], y[:10])], verbose=False)
    for work in (trainer.fit, trainer.evaluate):
        batches = ((x.copy(), y) for _ in range(20))
        tracemalloc.start()
        try:
            work(batches, **({"verbose": False} if work == trainer.fit else {}))
            assert tracemalloc.get_traced_memory()[1] < 20e6
        finally:
            tracemalloc.stop()


# Rows that are numbered


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(8),
        np.arange(3),
        np.array([40, 3, 17, 25, 0, 9, 31, 12]),
        [5, 4, 9, 8, 1, 0, 2, 3],
        np.array([9, 8, 7, 6, 5, 4, 3, 2], np.uint8),
    ],
    ids=str,
)
def test_row_numbers_are_no_weights(numbers):
    """Some data sets give (x, y, index)."""
    trainer, n = make(), len(numbers)
    before = state(trainer)
    message = (
        f"batch 1 has a third part of {n} different whole numbers, as if they numbered its "
        "samples, but it is read as sample_weight"
    )
    with pytest.raises(ValueError, match=message):
        trainer.fit([(X[:n], Y[:n], numbers)], verbose=False)
    with pytest.raises(ValueError, match=f"validation {message}"):
        make().fit(X, Y, validation_data=[(X[:n], Y[:n], numbers)], verbose=False)
    with pytest.raises(ValueError, match=message):
        trainer.evaluate([(X[:n], Y[:n], numbers)])
    assert state(trainer) == before
    trainer.evaluate([(X[:n], Y[:n], np.asarray(numbers, float))])
    trainer.evaluate(X[:n], Y[:n], sample_weight=numbers)


@pytest.mark.parametrize(
    "weights",
    [
        [1, 2, 3],
        [0, 1],
        [3, 1, 2],
        [1] * 8,
        [1, 0] * 20,
        np.arange(1, 41),
        np.arange(10) % 9,
        np.arange(20)[::-1] / 2,
        [True] * 9,
    ],
    ids=str,
)
def test_weights_that_are_whole_numbers(weights):
    one, other, n = make(), make(), len(weights)
    one.fit([(X[:n], Y[:n], weights)], verbose=False)
    other.fit(X[:n], Y[:n], batch_size=n, shuffle=False, sample_weight=weights, verbose=False)
    assert state(one) == state(other)


def test_row_numbers_of_a_loader_of_torch():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y), torch.arange(50))
    for shuffle in (False, True):
        loader = torch.utils.data.DataLoader(
            data, batch_size=16, shuffle=shuffle, generator=torch.Generator().manual_seed(0)
        )
        with pytest.raises(
            ValueError, match="batch 1 has a third part of 16 different whole numbers"
        ):
            make().fit(loader, verbose=False)
