"""Weights of rows: what they mean for every loss, in both ways to run a step, and what is
rejected.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import Trainer, nn, optim

# One network for all losses, also for those of logits.
pytestmark = pytest.mark.filterwarnings(r"ignore:the network ends in Softmax\(\), but")

ROWS, CLASSES = 40, 3
X = np.random.default_rng(0).standard_normal((ROWS, 5))
LABELS = X[:, :CLASSES].argmax(axis=1)
W = np.random.default_rng(1).integers(0, 4, ROWS)
SOFT = np.random.default_rng(2).dirichlet(np.ones(CLASSES), ROWS)


class Cubes(nn.Loss):
    """A loss of a user, who knows nothing of weights."""

    def forward(self, output, target):
        self.difference = output - target
        return float(abs(self.difference**3).mean())

    def backward(self):
        return 3 * self.difference * abs(self.difference) / self.difference.size


LOSSES = {
    "labels": (nn.CrossEntropyLoss, LABELS),
    "soft": (nn.CrossEntropyLoss, SOFT),
    "classes": (lambda: nn.CrossEntropyLoss(weight=[1, 0.5, 3]), LABELS),
    "smooth": (lambda: nn.CrossEntropyLoss(weight=[1, 0.5, 3], label_smoothing=0.1), SOFT),
    "nll": (nn.NLLLoss, LABELS),
    "mse": (nn.MSELoss, SOFT),
    "l1": (nn.L1Loss, SOFT),
    "huber": (lambda: nn.HuberLoss(0.5), SOFT),
    "smooth l1": (lambda: nn.SmoothL1Loss(beta=0.5), SOFT),
    "quantile": (lambda: nn.QuantileLoss(0.3), SOFT),
    "poisson": (nn.PoissonNLLLoss, np.floor(5 * SOFT)),
    "poisson of means": (lambda: nn.PoissonNLLLoss(log_input=False), np.floor(5 * SOFT)),
    "bce": (nn.BCEWithLogitsLoss, SOFT > 0.3),
    "cubes": (Cubes, SOFT),
}
losses = pytest.mark.parametrize(("loss", "y"), LOSSES.values(), ids=LOSSES)


def make(loss, dtype="float64", optimizer=None, compiled=True):
    model = nn.Sequential(
        nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, CLASSES), nn.Softmax(), seed=0, dtype=dtype
    )
    return Trainer(
        model,
        loss(),
        (optimizer or (lambda p: optim.SGD(p, lr=0.1, momentum=0.9)))(model.parameters()),
        compile=compiled,
    )


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


def fit(loss, x, y, dtype="float64", optimizer=None, compiled=True, **arguments):
    trainer = make(loss, dtype, optimizer, compiled)
    return trainer, trainer.fit(x, y, **{"seed": 0, "verbose": False, **arguments})


# What they mean


@losses
def test_the_loss_and_its_gradient_are_those_of_repeated_rows(loss, y):
    output = nn.Softmax()(X[:, :CLASSES])
    loss = loss()
    target = loss.prepare_target(y, (CLASSES,), output.dtype)
    value, grad = loss.weighted(output, target, W.astype(float))
    expected, repeated = loss.forward_backward(
        np.repeat(output, W, axis=0), np.repeat(target, W, axis=0)
    )
    assert value == pytest.approx(expected, rel=1e-12)
    starts = np.flatnonzero(np.diff(np.repeat(np.arange(ROWS), W), prepend=-1))
    np.testing.assert_allclose(
        grad[W > 0], np.add.reduceat(repeated, starts), rtol=1e-12, atol=1e-15
    )
    assert not grad[W == 0].any()


@losses
def test_the_gradient_is_that_of_the_loss(loss, y):
    rng = np.random.default_rng(3)
    output, sample_weight = rng.uniform(0.2, 0.8, (ROWS, CLASSES)), rng.random(ROWS)
    loss = loss()
    target = loss.prepare_target(y, (CLASSES,), output.dtype)
    _, grad = loss.weighted(output, target, sample_weight)
    for i, j in ((0, 0), (7, 2), (39, 1)):
        low, high = output.copy(), output.copy()
        low[i, j] -= 1e-6
        high[i, j] += 1e-6
        slope = (
            loss.weighted(high, target, sample_weight)[0]
            - loss.weighted(low, target, sample_weight)[0]
        ) / 2e-6
        assert grad[i, j] == pytest.approx(slope, rel=1e-6, abs=1e-9)


@losses
def test_whole_numbers_are_repetitions_in_full_batches(loss, y):
    one, history = fit(loss, X, y, epochs=4, batch_size=ROWS, sample_weight=W)
    other, expected = fit(
        loss, np.repeat(X, W, axis=0), np.repeat(y, W, axis=0), epochs=4, batch_size=W.sum()
    )
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-10)
    figures = one.evaluate(X, y, sample_weight=W)
    assert figures["loss"] == pytest.approx(
        one.evaluate(np.repeat(X, W, axis=0), np.repeat(y, W, axis=0))["loss"], rel=1e-10
    )
    assert figures.get("accuracy") == one.evaluate(X, y).get("accuracy")


@losses
@pytest.mark.filterwarnings("ignore:x has a mean square of")
def test_a_weight_of_0_leaves_a_row_out(loss, y):
    keep = W > 0
    x = X.copy()
    x[~keep] *= 1e150  # whatever it is
    one, history = fit(loss, x, y, epochs=4, batch_size=ROWS, sample_weight=keep)
    other, expected = fit(loss, X[keep], y[keep], epochs=4, batch_size=ROWS)
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-10)


@losses
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_weights_that_are_alike_change_nothing(loss, y, batch_size):
    plain, expected = fit(loss, X, y, epochs=3, batch_size=batch_size, validation_data=(X, y))
    for value in (1, 2.5):
        trainer, history = fit(
            loss,
            X,
            y,
            epochs=3,
            batch_size=batch_size,
            sample_weight=np.full(ROWS, value),
            validation_data=(X, y, np.full(ROWS, value)),
        )
        np.testing.assert_allclose(weights(trainer), weights(plain), rtol=1e-10, atol=1e-13)
        for name, values in history.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-10)


def test_a_loss_that_overrides_a_built_in_one_is_asked():
    class Twice(nn.CrossEntropyLoss):
        def forward_backward(self, output, target):
            loss, grad = super().forward_backward(output, target)
            return 2 * loss, 2 * grad

    one, history = fit(Twice, X, LABELS, batch_size=7, sample_weight=W)
    other, expected = fit(
        nn.CrossEntropyLoss,
        X,
        LABELS,
        optimizer=lambda p: optim.SGD(p, lr=0.2, momentum=0.9),
        batch_size=7,
        sample_weight=W,
    )
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-10)
    np.testing.assert_allclose(history["loss"], np.multiply(expected["loss"], 2), rtol=1e-12)


def test_an_infinite_loss_of_weight_0_counts_nothing():
    output = np.array([[1.0, 2.0], [np.inf, 0.0]])
    loss, grad = nn.MSELoss().weighted(output, np.zeros((2, 2)), np.array([1.0, 0.0]))
    assert loss == 2.5
    np.testing.assert_array_equal(grad, [[1.0, 2.0], [0.0, 0.0]])
    assert nn.MSELoss().weighted(output[:1], np.zeros((1, 2)), np.zeros(1))[0] == 0


def test_several_heads():
    heads = nn.Heads(nn.Linear(5, CLASSES), nn.Linear(5, 1))
    loss = nn.HeadsLoss(heads, [nn.CrossEntropyLoss(), nn.MSELoss()], weights=[1, 0.5])
    results = []
    for x, labels, values, sample_weight in (
        (X, LABELS, X[:, 0], W),
        (np.repeat(X, W, axis=0), np.repeat(LABELS, W), np.repeat(X[:, 0], W), None),
    ):
        model = nn.Sequential(
            nn.Heads(nn.Linear(5, CLASSES), nn.Linear(5, 1)), seed=0, dtype="float64"
        )
        loss = nn.HeadsLoss(model[0], [nn.CrossEntropyLoss(), nn.MSELoss()], weights=[1, 0.5])
        trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
        trainer.fit(
            x,
            [labels, values],
            epochs=3,
            batch_size=1000,
            seed=0,
            sample_weight=sample_weight,
            verbose=False,
        )
        results.append(weights(trainer))
    np.testing.assert_allclose(*results, rtol=1e-10)


# The same bits


@losses
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_program_gives_the_bits_of_the_loop(loss, y, batch_size, dtype, isa):
    results = []
    for compiled in (True, False):
        trainer, history = fit(
            loss,
            X,
            y,
            dtype,
            lambda p: optim.Adam(p, clip_norm=1.0),
            compiled,
            epochs=2,
            batch_size=batch_size,
            sample_weight=W + 0.5,
            validation_data=(X, y, W),
        )
        results.append((history, weights(trainer).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_program_of_several_heads_gives_the_bits_of_the_loop(batch_size, dtype):
    results = []
    for compiled in (True, False):
        heads = nn.Heads(a=nn.Linear(8, CLASSES), b=nn.Sequential(nn.Linear(8, 1)))
        model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), heads, seed=0, dtype=dtype)
        loss = nn.HeadsLoss(
            heads,
            {"a": nn.CrossEntropyLoss(weight=[1, 2, 3]), "b": nn.MSELoss()},
            weights={"b": 0.3},
        )
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        trainer = Trainer(model, loss, optimizer, compile=compiled)
        targets = {"a": LABELS, "b": X[:, 0]}
        history = trainer.fit(
            X,
            targets,
            epochs=2,
            batch_size=batch_size,
            seed=0,
            sample_weight=W + 0.5,
            validation_data=(X, targets, W + 0.5),
            verbose=False,
        )
        batches = [
            (X[:25], {"a": LABELS[:25], "b": X[:25, 0]}, W[:25]),
            (X[25:], {"a": LABELS[25:], "b": X[25:, 0]}, W[25:]),
        ]
        history |= trainer.fit(batches, epochs=2, verbose=False)
        results.append((history, weights(trainer).tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("n", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(n, threads):
    rng = np.random.default_rng(0)
    x, y, sample_weight = (
        rng.standard_normal((3000, 5)),
        rng.integers(0, CLASSES, 3000),
        rng.random(3000),
    )
    results = set()
    for count in (1, n):
        threads(count)
        trainer, _ = fit(
            nn.CrossEntropyLoss,
            x,
            y,
            "float32",
            batch_size=1500,
            epochs=2,
            sample_weight=sample_weight,
        )
        results.add(weights(trainer).tobytes())
    assert len(results) == 1


def test_calls_that_end_early_count_each_row_once(compiler_options):
    expected = fit(
        nn.CrossEntropyLoss,
        X,
        LABELS,
        batch_size=3,
        epochs=4,
        sample_weight=W + 0.5,
        validation_data=(X, LABELS, W),
    )
    compiler_options(max_seconds=0.0)
    trainer, history = fit(
        nn.CrossEntropyLoss,
        X,
        LABELS,
        batch_size=3,
        epochs=4,
        sample_weight=W + 0.5,
        validation_data=(X, LABELS, W),
    )
    assert history == expected[1]
    np.testing.assert_array_equal(weights(trainer), weights(expected[0]))


def test_batches_with_weights():
    whole, expected = fit(
        nn.CrossEntropyLoss,
        X,
        LABELS,
        epochs=3,
        batch_size=8,
        shuffle=False,
        seed=None,
        sample_weight=W + 1,
    )
    for augmented in (False, True):
        trainer = make(nn.CrossEntropyLoss)
        batches = [
            (X[i : i + 8], LABELS[i : i + 8], (W + 1)[i : i + 8].tolist())
            for i in range(0, ROWS, 8)
        ]
        assert (
            trainer.fit(
                batches, epochs=3, validation_data=batches if augmented else None, verbose=False
            )["loss"]
            == expected["loss"]
        )
        np.testing.assert_array_equal(weights(trainer), weights(whole))


OPTIMIZERS = {
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, clip_norm=1.0),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.5),
}


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "loop"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("empty", [[0], [2], [4], [1, 2], [0, 1, 2, 3]])
def test_a_batch_in_which_no_row_counts_is_a_batch_as_in_arrays(empty, optimizer, compiled, dtype):
    """In training and in validation; normalization, dropout and the optimizer see it too."""
    sample_weight = W + 1.0
    for batch in empty:
        sample_weight[8 * batch : 8 * batch + 8] = 0
    batches = [
        (X[i : i + 8], LABELS[i : i + 8], sample_weight[i : i + 8]) for i in range(0, ROWS, 8)
    ]
    results = []
    for arguments in (
        {"x": X, "y": LABELS, "sample_weight": sample_weight, "batch_size": 8, "shuffle": False},
        {"x": batches},
    ):
        model = nn.Sequential(
            nn.Linear(5, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.2),
            nn.Tanh(),
            nn.Linear(8, CLASSES),
            seed=0,
            dtype=dtype,
        )
        trainer = Trainer(
            model,
            nn.CrossEntropyLoss(),
            OPTIMIZERS[optimizer](model.parameters()),
            compile=compiled,
        )
        history = trainer.fit(**arguments, epochs=2, verbose=False)
        figures = trainer.fit(**arguments, validation_data=batches, verbose=False)
        expected = trainer.evaluate(X, LABELS, sample_weight=sample_weight)
        assert figures["val_loss"] == [pytest.approx(expected["loss"], rel=1e-6)]
        results.append(
            (
                history,
                figures,
                {name: values.tobytes() for name, values in model.state_dict().items()},
            )
        )
    assert results[0] == results[1]


def test_heads_and_losses_of_a_user_take_a_batch_in_which_no_row_counts():
    for loss, y in (("heads", {"a": LABELS, "b": X[:, 0]}), ("cubes", SOFT)):
        heads = nn.Heads(a=nn.Linear(5, CLASSES), b=nn.Linear(5, 1))
        net, criterion = (
            (heads, nn.HeadsLoss(heads, {"a": nn.CrossEntropyLoss(), "b": nn.MSELoss()}))
            if loss == "heads"
            else (nn.Linear(5, CLASSES), Cubes())
        )
        trainer = Trainer(
            nn.Sequential(net, seed=0), criterion, optim.SGD(net.parameters(), lr=0.01)
        )
        parts = [slice(0, 20), slice(20, 40)]
        cut = [
            {name: column[part] for name, column in y.items()} if isinstance(y, dict) else y[part]
            for part in parts
        ]
        batches = [
            (X[part], target, np.full(20, weight))
            for part, target, weight in zip(parts, cut, (0.0, 1.0), strict=True)
        ]
        history = trainer.fit(batches, epochs=2, validation_data=batches, verbose=False)
        assert np.isfinite(list(history.values())).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stream_in_which_no_row_counts_is_an_error_that_changes_nothing(optimizer):
    trainer = make(nn.CrossEntropyLoss, optimizer=OPTIMIZERS[optimizer])
    batches = [(X[i : i + 8], LABELS[i : i + 8], np.zeros(8)) for i in range(0, 16, 8)]
    trainer.fit(X, LABELS, seed=0, verbose=False)
    before, memory = (
        weights(trainer),
        [state.arrays for state in trainer.optimizer._copy_state().values()],
    )
    with pytest.raises(
        ValueError,
        match=r"^sample_weight is 0 for every sample: expected a positive weight for at least one",
    ):
        trainer.fit(iter(batches), verbose=False)
    np.testing.assert_array_equal(weights(trainer), before)
    for state, values in zip(trainer.optimizer._copy_state().values(), memory, strict=True):
        np.testing.assert_array_equal(state.arrays, values)
    assert (trainer.epoch, trainer.history) == (1, {})
    with pytest.raises(ValueError, match=r"^sample_weight is 0 for every sample"):
        trainer.evaluate(batches)
    with pytest.raises(ValueError, match=r"^validation sample_weight is 0 for every sample"):
        trainer.fit(X, LABELS, validation_data=batches, verbose=False)


def test_weights_of_rows_that_are_converted():
    one, _ = fit(
        nn.CrossEntropyLoss,
        X.astype("f4"),
        LABELS,
        "float32",
        batch_size=7,
        epochs=2,
        sample_weight=W,
    )
    other, _ = fit(
        nn.CrossEntropyLoss, X, LABELS, "float32", batch_size=7, epochs=2, sample_weight=W
    )
    np.testing.assert_array_equal(weights(one), weights(other))


# With scikit-learn and PyTorch


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
@settings(max_examples=20, deadline=None)
def test_the_loss_is_a_weighted_mean(seed, scale):
    rng = np.random.default_rng(seed)
    output, sample_weight = rng.standard_normal((9, 4)), scale * rng.random(9)
    labels = rng.integers(0, 4, 9)
    rows = [nn.CrossEntropyLoss().forward(output[i : i + 1], labels[i : i + 1]) for i in range(9)]
    assert nn.CrossEntropyLoss().weighted(output, labels, sample_weight)[0] == pytest.approx(
        np.average(rows, weights=sample_weight), rel=1e-10
    )


def test_torch_finds_the_same():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    output, labels, sample_weight = (
        rng.standard_normal((9, 4)),
        rng.integers(0, 4, 9),
        rng.random(9),
    )
    classes = np.array([1.0, 2.0, 0.5, 3.0])
    tensor = torch.tensor(output, requires_grad=True)
    rows = torch.nn.functional.cross_entropy(
        tensor, torch.tensor(labels), weight=torch.tensor(classes), reduction="none"
    )
    expected = (rows * torch.tensor(sample_weight)).sum() / (sample_weight * classes[labels]).sum()
    expected.backward()
    value, grad = nn.CrossEntropyLoss(weight=classes).weighted(output, labels, sample_weight)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=1e-12)


# What is rejected

BAD = {
    "too few": (
        np.ones(39),
        ValueError,
        r"sample_weight has shape \(39,\), expected \(40,\): a number for each sample",
    ),
    "a column": (
        np.ones((40, 1)),
        ValueError,
        r"sample_weight has shape \(40, 1\), expected \(40,\)",
    ),
    "a number": (1.0, ValueError, r"sample_weight has shape \(\), expected \(40,\)"),
    "negative": (
        np.r_[np.ones(39), -1],
        ValueError,
        r"sample_weight holds -1\.0: weights must not be negative",
    ),
    "nan": (
        np.r_[np.ones(39), np.nan],
        ValueError,
        r"sample_weight holds nan at \(39,\): every value must be finite",
    ),
    "infinite": (np.r_[np.inf, np.ones(39)], ValueError, r"sample_weight holds inf at \(0,\)"),
    "nothing": (
        np.zeros(40),
        ValueError,
        "sample_weight is 0 for every sample: expected a positive weight for at least one",
    ),
    "words": (["a"] * 40, TypeError, "sample_weight has dtype <U1, expected real numbers"),
}


@pytest.mark.parametrize(("sample_weight", "error", "message"), BAD.values(), ids=BAD)
def test_weights_that_are_none(sample_weight, error, message):
    trainer = make(nn.CrossEntropyLoss, "float32")
    before = weights(trainer)
    for call in (
        lambda: trainer.fit(X, LABELS, sample_weight=sample_weight, verbose=False),
        lambda: trainer.evaluate(X, LABELS, sample_weight=sample_weight),
        lambda: trainer.fit(X, LABELS, validation_data=(X, LABELS, sample_weight), verbose=False),
        lambda: trainer.fit([(X, LABELS, sample_weight)], verbose=False),
    ):
        with pytest.raises(error, match=message):
            call()
    np.testing.assert_array_equal(weights(trainer), before)


def test_weights_are_not_changed_and_may_be_of_any_kind():
    given = W.astype(np.uint8)
    given.flags.writeable = False
    results = {
        fit(nn.CrossEntropyLoss, X, LABELS, sample_weight=w)[1]["loss"][0]
        for w in (given, W.tolist(), W.astype(">f4"), np.repeat(W, 2)[::2])
    }
    assert len(results) == 1
