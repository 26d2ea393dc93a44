"""Whatever users pass: every dtype and layout gives what the plain array gives, or a sentence that
says what is wrong.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from cnet import Trainer, nn, optim
from cnet._data.samples import Rows
from cnet._utils.arrays import as_input, as_real

FEATURES, CLASSES = 6, 3

# Inputs


def plain(rng, dtype, rows):
    """A C-contiguous array of small numbers that every dtype holds exactly."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random((rows, FEATURES)) < 0.5
    low = 0 if dtype.kind == "u" else -8
    values = rng.integers(low, 9, (rows, FEATURES))
    return (values / 4 if dtype.kind == "f" else values).astype(dtype)


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(a.tobytes(), np.uint8)
    return raw[1:].view(a.dtype).reshape(a.shape)


def every_other(a):
    wide = np.zeros((2 * a.shape[0], 3 * a.shape[1], *a.shape[2:]), a.dtype)
    wide[::2, 1::3] = a
    return wide[::2, 1::3]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


class Wrapped:
    """An array of another library."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


LAYOUTS = {
    "plain": np.copy,
    "Fortran": np.asfortranarray,
    "reversed rows": lambda a: a[::-1].copy()[::-1],
    "reversed columns": lambda a: a[:, ::-1].copy()[:, ::-1],
    "every other": every_other,
    "transposed": lambda a: a.T.copy().T,
    "read-only": read_only,
    "bytes": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned": misaligned,
    "misaligned bytes": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(
        a.shape
    ),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "list": lambda a: a.tolist(),
    "list of arrays": list,
    "objects": lambda a: a.astype(object),
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "wrapped": Wrapped,
    "subclass": lambda a: a.view(np.recarray),
    "odd strides where there is one row": lambda a: (
        as_strided(a, a.shape, (12345, *a.strides[1:])) if len(a) == 1 else a
    ),
}

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "g"]

cases = given(
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
    rows=st.sampled_from([1, 2, 5, 40]),
    real=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)


def model(real="float32"):
    return nn.Sequential(
        nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES), seed=0, dtype=real
    )


def trainer(real="float32", loss=None):
    net = model(real)
    return Trainer(
        net, loss or nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    )


def state(trainer):
    return b"".join(p.data.tobytes() for p in trainer.model.parameters())


class Untouched:
    """Checks that what a user passed is what it was."""

    def __init__(self, *given):
        self.given = [a for a in given if isinstance(a, np.ndarray)]
        self.before = [a.copy() for a in self.given]
        self.flags = [a.flags.writeable for a in self.given]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if error[0] is None:
            for a, before, writeable in zip(self.given, self.before, self.flags, strict=True):
                np.testing.assert_array_equal(a, before)
                assert a.flags.writeable == writeable


@cases
@settings(max_examples=150, deadline=None)
def test_inference(dtype, layout, rows, real, seed):
    a = plain(np.random.default_rng(seed), dtype, rows)
    x = LAYOUTS[layout](a)
    net = model(real)
    with Untouched(x):
        expected = net(a.astype(real))
        np.testing.assert_array_equal(net(x), expected)
        np.testing.assert_array_equal(net.forward(x), expected)
        assert net(x).dtype == real


@cases
@settings(max_examples=150, deadline=None)
def test_fit_and_evaluate(dtype, layout, rows, real, seed):
    rng = np.random.default_rng(seed)
    a = plain(rng, dtype, rows)
    labels = rng.integers(0, CLASSES, rows)
    x = LAYOUTS[layout](a)
    one, other = trainer(real), trainer(real)
    with Untouched(x, labels):
        figures = one.fit(
            x, labels, epochs=2, batch_size=3, seed=1, validation_data=(x, labels), verbose=False
        )
        assert figures == other.fit(
            a.astype(real),
            labels,
            epochs=2,
            batch_size=3,
            seed=1,
            validation_data=(a.astype(real), labels),
            verbose=False,
        )
        assert state(one) == state(other)
        assert one.evaluate(x, labels) == other.evaluate(a.astype(real), labels)


@cases
@settings(max_examples=100, deadline=None)
def test_manual_steps(dtype, layout, rows, real, seed):
    rng = np.random.default_rng(seed)
    a = plain(rng, dtype, rows)
    labels = rng.integers(0, CLASSES, rows)
    x = LAYOUTS[layout](a)
    results = []
    with Untouched(x):
        for batch in (x, a.astype(real)):
            t = trainer(real)
            loss = t.loss.forward(t.model.forward(batch, training=True), labels)
            dx = t.model.backward(t.loss.backward())
            t.optimizer.step()
            results.append((loss, dx.tobytes(), state(t)))
    assert results[0] == results[1]


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
    rows=st.sampled_from([1, 2, 5, 40]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_labels(layout, dtype, rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    labels = rng.integers(0, 2 if dtype == "?" else CLASSES, rows)
    y = labels.astype(dtype)
    y = (
        y
        if layout == "reversed columns"
        else every_other(y[:, None])[:, 0]
        if layout == "every other"
        else LAYOUTS[layout](y)
    )
    one, other = trainer(), trainer()
    with Untouched(y):
        assert one.fit(x, y, batch_size=3, seed=1, verbose=False) == other.fit(
            x, labels, batch_size=3, seed=1, verbose=False
        )
        assert state(one) == state(other)
        assert nn.CrossEntropyLoss().forward(other.model(x), y) == nn.CrossEntropyLoss().forward(
            other.model(x), labels
        )


@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(DTYPES),
    rows=st.sampled_from([1, 2, 5, 40]),
    loss=st.sampled_from([nn.MSELoss, nn.CrossEntropyLoss]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_targets_of_two_axes(layout, dtype, rows, loss, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    targets = np.eye(CLASSES)[rng.integers(0, CLASSES, rows)]
    y = LAYOUTS[layout](targets.astype(dtype))
    one, other = trainer(loss=loss()), trainer(loss=loss())
    with Untouched(y):
        assert one.fit(x, y, batch_size=3, seed=1, verbose=False) == other.fit(
            x, targets, batch_size=3, seed=1, verbose=False
        )
        assert state(one) == state(other)


def test_kernels_get_aligned_memory(rng):
    """Compilers may rely on it, though many processors do not."""
    x, y = misaligned(rng.standard_normal((8, FEATURES))), misaligned(rng.integers(0, CLASSES, 8))
    assert not x.flags.aligned
    assert as_real(x, x.dtype, "x").flags.aligned
    assert as_input(x).flags.aligned
    part = Rows(x, x.dtype).take(np.arange(8))
    assert part.flags.aligned
    np.testing.assert_array_equal(part, x)
    assert nn.CrossEntropyLoss().prepare_target(y, (CLASSES,), x.dtype).flags.aligned
    assert nn.MSELoss().prepare_target(x, (FEATURES,), x.dtype).flags.aligned


@pytest.mark.parametrize(
    "spelling",
    [
        lambda y: y,
        lambda y: y[:, None],
        lambda y: np.eye(CLASSES)[y],
        lambda y: np.eye(CLASSES, dtype=bool)[y],
    ],
)
def test_spellings_of_labels_that_train_alike(spelling, rng):
    x = rng.standard_normal((20, FEATURES))
    y = rng.integers(0, CLASSES, 20)
    one, other = trainer(), trainer()
    figures, expected = (
        t.fit(x, labels, epochs=2, seed=0, verbose=False)
        for t, labels in ((one, spelling(y)), (other, y))
    )
    assert figures["accuracy"] == expected["accuracy"]
    np.testing.assert_allclose(figures["loss"], expected["loss"], rtol=1e-6)


def test_images_of_any_layout(rng):
    images = rng.integers(0, 8, (30, 4, 5), np.uint8)
    y = rng.integers(0, CLASSES, 30)
    states = set()
    for x in (
        images,
        np.asfortranarray(images),
        every_other(images),
        images.transpose(2, 0, 1).copy().transpose(1, 2, 0),
        read_only(images),
    ):
        net = nn.Sequential(nn.Flatten(), nn.Linear(20, CLASSES), seed=0)
        t = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))
        with Untouched(x):
            t.fit(x, y, epochs=2, batch_size=7, seed=0, verbose=False)
        states.add(state(t))
    assert len(states) == 1


def test_rows_repeated_without_memory(rng):
    """A stride of zero: one row, seen many times."""
    row = rng.standard_normal(FEATURES).astype(np.float32)
    x = np.broadcast_to(row, (50, FEATURES))
    y = np.broadcast_to(np.int64(1), 50)
    one, other = trainer(), trainer()
    assert one.fit(x, y, seed=0, verbose=False) == other.fit(
        x.copy(), y.copy(), seed=0, verbose=False
    )
    np.testing.assert_array_equal(one.model(x), other.model(x.copy()))
    overlapping = as_strided(np.arange(60, dtype=np.float32), (50, FEATURES), (4, 4))
    np.testing.assert_array_equal(one.model(overlapping), one.model(overlapping.copy()))
    assert one.fit(overlapping, y, seed=0, verbose=False) == other.fit(
        overlapping.copy(), y, seed=0, verbose=False
    )


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8", ">f4"])
def test_memory_mapped_files(dtype, tmp_path, rng):
    a = plain(rng, dtype, 50)
    y = rng.integers(0, CLASSES, 50)
    np.save(tmp_path / "x.npy", a)
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one, other = trainer(), trainer()
    history = one.fit(
        mapped, np.load(tmp_path / "y.npy", mmap_mode="r"), epochs=2, seed=0, verbose=False
    )
    assert history == other.fit(a, y, epochs=2, seed=0, verbose=False)
    np.testing.assert_array_equal(one.model(mapped), other.model(a))


def test_more_than_two_to_the_31_elements():
    """Indices are wide enough: a virtual array, whose every row is the same."""
    rows = 2**31 // FEATURES + 10
    x = np.broadcast_to(np.arange(FEATURES, dtype=np.float32), (rows, FEATURES))
    last = Rows(x, np.dtype(np.float32)).take(np.array([0, rows - 1]))
    np.testing.assert_array_equal(last, x[:2])


def test_bytes_are_not_copied_as_floats(rng):
    """20 MB of uint8 would be 80 MB of float32, and 2.4 MB 9.4."""
    images = rng.integers(0, 8, (26_000, 784), np.uint8)
    y = rng.integers(0, 10, len(images))
    net = nn.Sequential(nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10), seed=0)
    t = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))
    t.fit(images[:100], y[:100], verbose=False)
    for x in (images, np.asfortranarray(images[:3_000]), images[:3_000, ::-1]):
        labels = y[: len(x)]
        for work in (
            lambda x=x, labels=labels: t.fit(x, labels, batch_size=256, verbose=False),
            lambda x=x, labels=labels: t.evaluate(x, labels),
            lambda x=x: net(x),
        ):
            tracemalloc.start()
            try:
                work()
                assert tracemalloc.get_traced_memory()[1] < 7e6
            finally:
                tracemalloc.stop()


def test_training_reads_memory_as_it_is(rng):
    """Floats of the network's dtype are not copied either, nor are labels of 64 bits."""
    x = rng.standard_normal((50_000, 100)).astype(np.float32)  # 20 MB
    y = rng.integers(0, CLASSES, len(x))
    net = nn.Sequential(nn.Linear(100, CLASSES), seed=0)
    t = Trainer(net, nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=0.1))
    tracemalloc.start()
    try:
        t.fit(x, y, batch_size=256, verbose=False)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


# What is rejected

X = np.random.default_rng(0).standard_normal((10, FEATURES)).astype(np.float32)
Y = np.arange(10) % CLASSES


class Sparse:
    shape = (10, FEATURES)

    def toarray(self):
        raise AssertionError("a sparse matrix may not fit into memory")


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("can't be had")


NO_NUMBERS = {
    "complex": (X * 1j, "has dtype complex64, expected real numbers"),
    "text": (X.astype(str), "has dtype <U32, expected real numbers"),
    "bytes": (X.astype("S8"), r"has dtype \|S8, expected real numbers"),
    "dates": (X.astype("M8[s]"), r"has dtype datetime64\[s\], expected real numbers"),
    "records": (np.zeros(10, "f4,f4"), "has dtype .*, expected real numbers"),
    "objects": ([[object()] * FEATURES] * 10, "cannot be read as an array of real numbers: float"),
    "complex objects": ((X * 1j).astype(object), "cannot be read as an array of real numbers"),
    "words": ([["a"] * FEATURES] * 10, "has dtype <U1, expected real numbers"),
    "words among objects": (
        np.array([["a"] * FEATURES] * 10, object),
        r"holds the text 'a' at \(0, 0\), expected real numbers: numbers in text become "
        r"numbers by .*astype\(float\), and labels by np.unique\(",
    ),
    "numbers in text": (X.astype(str).astype(object), "holds the text '"),
    "numbers in bytes": (X.astype("S8").astype(object), "holds the text b'"),
    "ragged": (
        [[1.0] * FEATURES, [1.0]],
        "cannot be read as an array of real numbers: setting an array element with a sequence",
    ),
    "huge integers": (
        [[10**400] * FEATURES] * 10,
        "cannot be read as an array of real numbers: int too large to convert to float",
    ),
    "dictionary": ({"a": 1}, "cannot be read as an array of real numbers"),
    "sparse": (
        Sparse(),
        r"is a sparse matrix, which cnet does not take: convert it with .*\.toarray\(\)",
    ),
    "broken": (Broken(), "cannot be read as an array of real numbers: can't be had"),
}


@pytest.mark.parametrize(("x", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_no_numbers(x, message):
    t = trainer()
    before = state(t)
    for call in (
        lambda: t.fit(x, Y, verbose=False),
        lambda: t.evaluate(x, Y),
        lambda: t.model(x),
        lambda: t.model.forward(x),
    ):
        with pytest.raises(TypeError, match=f"x {message}"):
            call()
    with pytest.raises(TypeError, match=f"validation x {message}"):
        t.fit(X, Y, validation_data=(x, Y), verbose=False)
    for loss in (nn.CrossEntropyLoss(), nn.MSELoss()):
        with pytest.raises(TypeError, match=f"y {message}"):
            trainer(loss=loss).fit(X, x, verbose=False)
        with pytest.raises(TypeError, match=f"y {message}"):
            loss.forward(X, x)
        with pytest.raises(TypeError, match=f"output {message}"):
            loss.forward(x, Y)
    assert state(t) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_numbers_that_are_not_finite_are_named_with_their_place(bad, dtype):
    x = X.astype(dtype)
    x[7, 2] = bad
    t = trainer()
    for call in (
        lambda: t.fit(x, Y, verbose=False),
        lambda: t.evaluate(x, Y),
        lambda: t.fit(np.asfortranarray(x), Y, verbose=False),
    ):
        with pytest.raises(
            ValueError, match=rf"x holds {bad} at \(7, 2\): every value must be finite$"
        ):
            call()
    with pytest.raises(ValueError, match=rf"validation x holds {bad} at \(7, 2\)"):
        t.fit(X, Y, validation_data=(x, Y), verbose=False)
    y = Y.astype(dtype)
    y[4] = bad
    with pytest.raises(ValueError, match=rf"y holds {bad} at \(4,\): every value must be finite"):
        t.fit(X, y, verbose=False)
    soft = np.eye(CLASSES, dtype=dtype)[Y]
    soft[4, 1] = bad
    for loss in (nn.CrossEntropyLoss(), nn.MSELoss()):
        with pytest.raises(
            ValueError, match=rf"y holds {bad} at \(4, 1\): every value must be finite"
        ):
            trainer(loss=loss).fit(X, soft, verbose=False)


def test_the_place_is_found_in_large_data():
    x = np.zeros((10_000, 2), np.float32)
    x[9_000, 1] = np.nan
    with pytest.raises(ValueError, match=r"x holds nan at \(9000, 1\)"):
        Trainer(net := nn.Linear(2, 2), nn.CrossEntropyLoss(), optim.SGD(net.parameters())).fit(
            x, np.zeros(10_000, int), verbose=False
        )


def test_numbers_that_only_a_wider_float_holds():
    x = X.astype(np.float64)
    x[3, 1] = -1e300
    with pytest.raises(
        ValueError, match=r"x holds -1e\+300 at \(3, 1\): every value must be finite in float32"
    ):
        trainer().fit(x, Y, verbose=False)
    assert trainer("float64").evaluate(x, Y)["loss"] > 0
    y = np.zeros((10, CLASSES))
    y[3, 1] = 1e300
    for loss in (nn.MSELoss(), nn.CrossEntropyLoss()):
        with pytest.raises(
            ValueError, match=r"y holds 1e\+300 at \(3, 1\): every value must be finite in float32"
        ):
            trainer(loss=loss).fit(X, y, verbose=False)


BAD_TARGETS = {
    "too large": (Y + 1, "y holds label 3, but the model has 3 outputs, so labels are 0 to 2"),
    "negative": (Y - 1, "y holds label -1, but the model has 3 outputs"),
    "huge unsigned": (Y.astype("u8") + np.uint64(2**63), "y holds label 9223372036854775810, but"),
    "huge float": (Y * 1e300, r"y holds label 2e\+300, but"),
    "fractions": (Y + 0.5, "y holds fractions, expected labels: whole numbers from 0"),
    "too wide": (
        np.eye(4)[Y],
        r"y has shape \(10, 4\), expected labels \(n,\) or soft targets \(n, 3\): the "
        r"model has 3 outputs",
    ),
    "too many axes": (np.zeros((10, 3, 1)), r"y has shape \(10, 3, 1\), expected labels"),
    "a number": (5, r"y has shape \(\), expected labels"),
    "negative weights": (-np.eye(3)[Y], r"y holds -1\.0: soft targets must not be negative"),
    "too few": (Y[:9], "x has 10 samples, y 9 targets: expected one target per sample"),
    "none": (Y[:0], "x has 10 samples, y 0 targets: expected one target per sample"),
    "too many": (
        np.eye(3)[np.tile(Y, 2)],
        "x has 10 samples, y 20 targets: expected one target per sample",
    ),
}


@pytest.mark.parametrize(("y", "message"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_targets_that_do_not_fit(y, message):
    t = trainer()
    for call in (lambda: t.fit(X, y, verbose=False), lambda: t.evaluate(X, y)):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(
        ValueError,
        match=message.replace("x has", "validation x has").replace(
            "samples, y", "samples, validation y"
        ),
    ):
        t.fit(X, Y, validation_data=(X, y), verbose=False)
    if "samples, y" not in message:
        with pytest.raises(ValueError, match=message):
            nn.CrossEntropyLoss().forward(t.model(X), y)
        with pytest.raises(ValueError, match=r"\(x has shape \(10, 6\), y "):
            t.evaluate(X, y)
        with pytest.raises(ValueError, match=r"\(validation x has shape \(10, 6\), validation y "):
            t.fit(X, Y, validation_data=(X, y), verbose=False)


def test_a_loss_wants_as_many_targets_as_outputs():
    with pytest.raises(ValueError, match="target has 2 samples, output 3"):
        nn.CrossEntropyLoss().forward(np.ones((3, 2)), [0, 1])
    with pytest.raises(ValueError, match="target has 2 samples, output 3"):
        nn.MSELoss().forward(np.ones((3, 2)), np.ones((2, 2)))


@pytest.mark.parametrize(
    "y",
    [np.zeros((10, 1)), np.zeros(10), np.zeros((10, 2, 3)), 1.0],
    ids=["column", "row", "three axes", "number"],
)
def test_targets_of_mean_squared_error_do_not_broadcast(y):
    with pytest.raises(
        ValueError, match=r"y has shape .*, expected \(n, 3\): the shape of the outputs"
    ):
        trainer(loss=nn.MSELoss()).fit(X, y, verbose=False)


def test_classification_takes_outputs_of_one_axis():
    images = nn.Sequential(nn.Identity(), nn.Tanh())
    with pytest.raises(
        ValueError,
        match=r"CrossEntropyLoss takes outputs of shape \(n, classes\), the "
        r"model's are \(n, 2, 3\)",
    ):
        nn.CrossEntropyLoss().forward(images(np.ones((4, 2, 3))), [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            X[0],
            r"takes input of shape \(n, 6\), got \(n,\); for a single sample pass x\[None\] \(x "
            r"has shape \(6,\), y \(10,\)\)",
        ),
        (X[:, :5], r"takes input of shape \(n, 6\), got \(n, 5\)"),
        (
            X.reshape(10, 2, 3),
            r"got \(n, 2, 3\); put nn.Flatten\(\) before it, or reshape x to \(n, 6\)",
        ),
        (X[:, :0], r"got \(n, 0\)"),
        (1.0, "x is a single number, expected an array with one sample per row"),
        (X[:0], "x has no samples"),
        ([], "x has no samples"),
    ],
    ids=["one row", "narrow", "not flat", "no features", "number", "no rows", "empty list"],
)
def test_inputs_that_do_not_fit(x, message):
    t = trainer()
    before = state(t)
    for call in (lambda: t.fit(x, Y, verbose=False), lambda: t.evaluate(x, Y)):
        with pytest.raises(ValueError, match=message):
            call()
    assert state(t) == before
    assert t.epoch == 0


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epochs": -1}, ValueError, "epochs is -1, expected an integer of at least 0"),
        ({"epochs": 2.5}, TypeError, r"epochs is 2\.5, expected an integer of at least 0"),
        ({"epochs": "3"}, TypeError, "epochs is '3', expected"),
        ({"epochs": None}, TypeError, "epochs is None, expected"),
        ({"batch_size": 0}, ValueError, "batch_size is 0, expected an integer of at least 1"),
        ({"batch_size": -5}, ValueError, "batch_size is -5, expected"),
        ({"batch_size": 32.0}, TypeError, r"batch_size is 32\.0, expected"),
        ({"seed": -1}, ValueError, "seed is -1, expected an integer of at least 0, or None"),
        ({"seed": 1.5}, TypeError, r"seed is 1\.5, expected an integer of at least 0, or None"),
        (
            {"validation_data": X},
            TypeError,
            r"validation_data is of type ndarray, expected a pair \(x, y\)",
        ),
        (
            {"validation_data": (X, Y, Y, Y)},
            TypeError,
            r"validation_data is of type tuple, expected a pair \(x, y\)",
        ),
        ({"validation_data": (X,)}, TypeError, "validation_data is of type tuple, expected a pair"),
        ({"validation_data": 0.1}, TypeError, "validation_data is of type float, expected a pair"),
        (
            {"validation_data": (X, Y[:3])},
            ValueError,
            "validation x has 10 samples, validation y 3 targets: expected one target per sample",
        ),
        ({"validation_data": (X[:0], Y[:0])}, ValueError, "validation x has no samples"),
        (
            {"callbacks": 3},
            TypeError,
            r"callbacks is 3, expected a callback or a list such as \[callback\]",
        ),
        (
            {"callbacks": [3]},
            TypeError,
            "3 is not a callback: expected a cnet.callbacks.Callback or a function",
        ),
        ({"callbacks": [dict]}, TypeError, "is not a callback"),
    ],
    ids=[
        "epochs -1",
        "epochs 2.5",
        "epochs in text",
        "epochs None",
        "batch_size 0",
        "batch_size -5",
        "batch_size 32.0",
        "seed -1",
        "seed 1.5",
        "validation x alone",
        "validation with two arrays too many",
        "validation x in a tuple",
        "validation fraction",
        "validation targets too few",
        "validation without rows",
        "callbacks a number",
        "callbacks with a number",
        "callbacks with a class",
    ],
)
def test_settings_of_fit_are_checked_before_the_first_step(settings, error, message):
    t = trainer()
    before = state(t)
    with pytest.raises(error, match=message):
        t.fit(X, Y, **{"verbose": False, **settings})
    assert state(t) == before
    assert t.epoch == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"model": [nn.Linear(6, 3)]},
            r"model is .*, expected one such as nn.Sequential\(\.\.\.\)",
        ),
        ({"model": nn.Linear}, "model is .*, expected one such as"),
        (
            {"loss": nn.CrossEntropyLoss},
            r"loss is .*, expected one such as nn.CrossEntropyLoss\(\)",
        ),
        ({"loss": "cross_entropy"}, "loss is 'cross_entropy', expected one such as"),
        (
            {"optimizer": "sgd"},
            r"optimizer is 'sgd', expected one such as optim.SGD\(model.parameters\(\), lr=0.1\)",
        ),
    ],
)
def test_a_trainer_wants_a_model_a_loss_and_an_optimizer(arguments, message):
    net = model()
    with pytest.raises(TypeError, match=message):
        Trainer(
            **{
                "model": net,
                "loss": nn.CrossEntropyLoss(),
                "optimizer": optim.SGD(net.parameters()),
                **arguments,
            }
        )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda p: optim.SGD(p, lr=-0.1),
            ValueError,
            r"lr is -0\.1, expected a finite number of at least 0",
        ),
        (lambda p: optim.SGD(p, lr=float("nan")), ValueError, "lr is nan"),
        (lambda p: optim.SGD(p, lr=float("inf")), ValueError, "lr is inf"),
        (lambda p: optim.SGD(p, lr="0.1"), ValueError, r"lr is '0\.1'"),
        (lambda p: optim.SGD(p, lr=None), ValueError, "lr is None"),
        (lambda p: optim.SGD(p, momentum=-1), ValueError, "momentum is -1"),
        (lambda p: optim.SGD(p, weight_decay=-1), ValueError, "weight_decay is -1"),
        (
            lambda p: optim.SGD(p, nesterov=True),
            ValueError,
            r"nesterov needs momentum, such as momentum=0\.9",
        ),
        (lambda p: optim.SGD([]), ValueError, "the optimizer got no parameters"),
        (
            lambda p: optim.SGD(nn.ReLU().parameters()),
            ValueError,
            "the optimizer got no parameters",
        ),
        (
            lambda p: optim.SGD(model()),
            TypeError,
            r"the optimizer got Linear.*: pass model.parameters\(\)",
        ),
        (
            lambda p: optim.SGD(model().state_dict()),
            TypeError,
            r"the optimizer got '0.weight', expected parameters",
        ),
        (
            lambda p: optim.SGD([*p, *p]),
            ValueError,
            "a parameter appears twice: each belongs to one group, once",
        ),
        (
            lambda p: optim.SGD([{"params": p}, {"params": p[:1]}]),
            ValueError,
            "a parameter appears twice",
        ),
        (
            lambda p: optim.SGD([{"params": p, "learning_rate": 1}]),
            ValueError,
            "parameter group 0 sets learning_rate, which is not one of lr, momentum",
        ),
        (
            lambda p: optim.SGD([{"lr": 1}]),
            TypeError,
            "parameter group 0 is .*, expected a dict such as",
        ),
        (
            lambda p: optim.SGD([{"params": p[:1]}, p[1]]),
            TypeError,
            "parameter group 1 is Parameter.*, expected a dict",
        ),
        (lambda p: optim.SGD([{"params": p, "lr": -1}]), ValueError, "lr is -1"),
    ],
)
def test_settings_of_optimizers_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make(model().parameters())


def test_labels_out_of_range_are_rejected_by_the_quick_path_too():
    """`forward_backward` leaves the check of whole data sets to `prepare_target`; the kernel still
    looks.
    """
    with pytest.raises(ValueError, match=r"label 3 of sample 1 is outside 0\.\.2"):
        nn.CrossEntropyLoss().forward_backward(np.ones((2, 3)), np.array([0, 3]))
