"""Arrays that lie in files, such as those of h5py and zarr: read batch by batch, with the bits of
an array in memory.
"""

import importlib
from contextlib import suppress

import numpy as np
import pytest

from cnet import Trainer, nn, optim
from cnet._utils.arrays import as_array, is_stored
from cnet._utils.stored import Stored
from cnet.augment import Augment

ROWS, FEATURES, CLASSES = 600, 6, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, FEATURES)).astype(np.float32)
Y = RNG.integers(0, CLASSES, ROWS)
IMAGES = RNG.integers(0, 256, (ROWS, 2, 5, 5), np.uint8)


class OfSlices:
    """An array of a library that reads slices alone, and counts the rows that it is asked for."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read = []

    def __getitem__(self, key):
        if not isinstance(key, slice):
            raise NotImplementedError("slices only")
        return self.counted(self.values[key])

    def counted(self, values):
        self.read.append(len(values))
        return values.copy()


class OfSelections(OfSlices):
    """The same of one that takes row numbers that increase, as h5py does, and is loath to be read
    as a whole.
    """

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self.counted(self.values[key])
        if not (np.diff(key) > 0).all():
            raise TypeError("Indexing elements must be in increasing order")
        return self.counted(self.values[key])

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        pytest.fail("it was read as a whole")


class Scaled(OfSlices):
    """As netCDF's variables: what is read is of another type than what is stored."""

    def __init__(self, values):
        super().__init__(values.astype(np.float32))
        self.dtype = np.dtype(np.int16)


def in_h5py(values, folder):
    file = pytest.importorskip("h5py").File(folder / f"{len(list(folder.iterdir()))}.h5", "w")
    return file.create_dataset(
        "x",
        data=values,
        chunks=(min(50, len(values)) or 1, *values.shape[1:]),
        maxshape=(None, *values.shape[1:]),
        compression="gzip",
    )


def in_zarr(values, folder):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        str(folder / f"{len(list(folder.iterdir()))}.zarr"),
        shape=values.shape,
        dtype=values.dtype,
        chunks=(70, *values.shape[1:]),
    )
    array[:] = values
    return array


STORES = {
    "slices": lambda values, folder: OfSlices(values),
    "selections": lambda values, folder: OfSelections(values),
    "h5py": in_h5py,
    "zarr": in_zarr,
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    """A function that stores an array where it is read in parts."""
    return lambda values: STORES[request.param](values, tmp_path)


def make(images=False, dtype="float32", compiled=True):
    layers = (
        [nn.Rescale(1 / 255), nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, CLASSES)]
        if images
        else [nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES)]
    )
    model = nn.Sequential(*layers, seed=0, dtype=dtype)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
        compile=compiled,
    )


def state(trainer):
    return b"".join(p.data.tobytes() for p in trainer.model.parameters())


DATA = {
    "float32": X,
    "float64": X.astype(np.float64),
    "float16": X.astype(np.float16),
    "int16": (3 * X).astype(np.int16),
    "images": IMAGES,
}


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "loop"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", DATA)
def test_the_bits_are_those_of_arrays_in_memory(kind, shuffle, compiled, store):
    x = DATA[kind]
    one, other = (make(kind == "images", compiled=compiled) for _ in range(2))
    settings = {"epochs": 2, "batch_size": 32, "shuffle": shuffle, "seed": 1, "verbose": False}
    weights = RNG.random(ROWS)
    expected = one.fit(x, Y, validation_data=(x, Y, weights), sample_weight=weights, **settings)
    stored, targets = store(x), store(Y)
    assert (
        other.fit(
            stored,
            targets,
            validation_data=(stored, store(Y), store(weights)),
            sample_weight=store(weights),
            **settings,
        )
        == expected
    )
    assert state(one) == state(other)
    assert one.evaluate(x, Y) == other.evaluate(stored, targets)
    np.testing.assert_array_equal(one.model(x), other.model(stored))
    np.testing.assert_array_equal(one.model(x[:50]), other.model(store(x[:50])))


@pytest.mark.parametrize("kind", [OfSlices, OfSelections])
def test_rows_are_read_batch_by_batch(kind):
    """Nothing asks for more rows at a time than a batch; before training, for floats, than a
    block.
    """
    numbers = (3 * X).astype(np.int16)
    stored, labels = kind(numbers), kind(Y)
    trainer = make()
    looked_at = 256  # to tell whether the inputs are too large
    trainer.fit(numbers, Y, verbose=False)
    trainer.fit(stored, labels, epochs=3, batch_size=32, verbose=False)
    assert max(stored.read) == 32 if kind is OfSelections else max(stored.read) < 32
    assert sum(stored.read) == 3 * ROWS + 1  # one row tells the dtype
    assert labels.read == [ROWS]
    for work, more in (
        (lambda x: trainer.evaluate(x, Y), looked_at),
        (trainer.model, 0),
        (lambda x: trainer.fit(X, Y, validation_data=(x, Y), verbose=False), looked_at),
    ):
        stored = kind(numbers)
        work(stored)
        assert max(stored.read) == 256
        assert sum(stored.read) == ROWS + 1 + more
    stored = kind(X)
    trainer.fit(stored, Y, epochs=3, batch_size=32, verbose=False)
    assert max(stored.read) == 256
    assert sum(stored.read) == 4 * ROWS + 1, "once to look for numbers that are not finite"


def test_long_rows_are_read_a_few_at_a_time():
    stored = OfSlices(np.zeros((40, 1 << 19), np.uint8))
    model = nn.Sequential(nn.Linear(1 << 19, 1), seed=0)
    assert model(stored).shape == (40, 1)
    assert max(stored.read) == 8


@pytest.mark.parametrize(
    "settings", [{"shift": 1, "seed": 0}, {"standardize": True, "seed": 0}], ids=str
)
def test_augmented_images(settings, store):
    one, other = make(images=True), make(images=True)
    arguments = {"epochs": 2, "batch_size": 50, "seed": 1, "verbose": False}
    first, second = Augment(**settings), Augment(**settings)
    expected = one.fit(IMAGES, Y, augment=first, validation_data=(IMAGES, Y), **arguments)
    stored = store(IMAGES)
    assert (
        other.fit(stored, Y, augment=second, validation_data=(stored, Y), **arguments) == expected
    )
    assert state(one) == state(other)
    np.testing.assert_array_equal(first(IMAGES[:30]), second(store(IMAGES[:30])))


def test_standardization_measures_block_by_block():
    images = IMAGES.astype(np.float64)
    images[:, 0, 0, 0] = 0.1
    stored = OfSelections(images)
    augment = Augment(standardize=True).fit(stored)
    np.testing.assert_allclose(augment.mean, images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(augment.std[0, 0, 1:], images.std(axis=0)[0, 0, 1:], rtol=1e-12)
    assert augment.std[0, 0, 0] == 0
    assert max(stored.read) == 256


def test_batches_that_are_stored(store):
    one, other = make(), make()
    batches = [(X[i : i + 100], Y[i : i + 100]) for i in range(0, ROWS, 100)]
    expected = one.fit(batches, epochs=2, validation_data=batches, verbose=False)
    stored = [(store(x), store(y)) for x, y in batches]
    assert other.fit(stored, epochs=2, validation_data=stored, verbose=False) == expected
    assert state(one) == state(other)


def test_all_rows_at_once_where_the_optimizer_needs_them(store):
    states = []
    for x in (X, store(X)):
        model = nn.Sequential(nn.Linear(FEATURES, CLASSES), seed=0)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.LBFGS(model.parameters(), max_iter=3))
        trainer.fit(x, Y, verbose=False)
        states.append(state(trainer))
    assert states[0] == states[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2"])
def test_numbers_that_are_not_finite_are_found_before_the_first_step(bad, dtype, store):
    x = X.astype(dtype)
    x[577, 2] = bad
    trainer = make()
    before = state(trainer)
    with pytest.raises(
        ValueError, match=rf"^x holds {bad} at \(577, 2\): every value must be finite"
    ):
        trainer.fit(store(x), Y, verbose=False)
    with pytest.raises(ValueError, match=rf"validation x holds {bad} at \(577, 2\)"):
        trainer.fit(X, Y, validation_data=(store(x), Y), verbose=False)
    assert state(trainer) == before


def test_what_does_not_fit_is_rejected(store):
    trainer = make()
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 6\), got \(n, 5\)"):
        trainer.fit(store(X[:, :5]), Y, verbose=False)
    with pytest.raises(
        ValueError, match="x has 600 samples, y 599 targets: expected one target per sample"
    ):
        trainer.fit(store(X), store(Y[:599]), verbose=False)
    with pytest.raises(TypeError, match="y is missing"):
        trainer.fit(store(X), verbose=False)
    with pytest.raises(TypeError, match=r"x\[0:1\] has dtype complex64, expected real numbers"):
        trainer.fit(store(X.astype(np.complex64)), Y, verbose=False)
    with pytest.raises(ValueError, match="x has no samples"):
        trainer.fit(store(X[:0]), Y[:0], verbose=False)
    assert trainer.model(store(X[:0])).shape == (0, CLASSES)


def test_the_dtype_is_that_of_what_is_read():
    trainer, other = make(), make()
    assert trainer.fit(Scaled(X), Y, seed=0, verbose=False) == other.fit(
        X, Y, seed=0, verbose=False
    )
    assert state(trainer) == state(other)


def test_values_that_are_masked_as_they_are_read():
    class Masked(OfSelections):
        def counted(self, values):
            return np.ma.masked_equal(values, 7)

    x = np.ones((ROWS, FEATURES), np.int16)
    make().fit(Masked(x), Y, verbose=False)
    x[300, 1] = 7
    with pytest.raises(ValueError, match=r"x\[.*\] is masked at \(.*, 1\)"):
        make().fit(Masked(x), Y, verbose=False)


@pytest.mark.parametrize("seed", range(5))
def test_rows_come_in_the_order_that_was_asked_for(seed, store):
    rng = np.random.default_rng(seed)
    stored = Stored(store(X), "x")
    for size in (1, 2, 30, 300, 700):
        rows = rng.integers(0, ROWS, size)
        np.testing.assert_array_equal(stored[rows], X[rows])
    for part in (
        slice(None),
        slice(10, 300),
        slice(590, 1000),
        slice(None, None, 7),
        slice(5, 2),
        slice(-3, None),
        slice(None, None, -1),
    ):
        np.testing.assert_array_equal(stored[part], X[part])


def test_an_error_while_reading_passes():
    class Broken(OfSelections):
        def counted(self, values):
            if len(self.read) > 10:
                raise OSError("the disk is gone")
            return super().counted(values)

    trainer = make()
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(Broken((3 * X).astype(np.int8)), Y, verbose=False)
    assert np.isfinite(trainer.model(X)).all()


def in_memory():
    yield X
    yield np.ma.array(X)
    yield X.tolist()
    yield memoryview(X)
    yield np.float32(1)
    for module, make in {
        "torch": lambda torch: torch.tensor(X),
        "pandas": lambda pandas: pandas.Series(X[:, 0]),
        "polars": lambda polars: polars.Series(X[:, 0]),
        "pyarrow": lambda pyarrow: pyarrow.array(X[:, 0]),
        "xarray": lambda xarray: xarray.DataArray(X),
        "dask.array": lambda dask: dask.from_array(X),
    }.items():
        with suppress(ImportError):
            yield make(importlib.import_module(module))


def test_what_lies_in_memory_is_taken_as_it_is():
    for x in in_memory():
        assert not is_stored(x)
        assert as_array(x, "x").dtype == np.float32 or isinstance(x, list)


def test_a_closed_file(tmp_path):
    x = in_h5py(X, tmp_path)
    x.file.close()
    with pytest.raises((TypeError, ValueError), match=r"x cannot be read|closed|Invalid|[Nn]ot"):
        make().fit(x, Y, verbose=False)
