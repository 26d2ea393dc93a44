"""What the options of the MNIST loader do to inputs and targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import datasets
from cnet.datasets import Dataset, Split


@pytest.fixture(scope="module")
def folder(files, arrays, tmp_path_factory):
    return files.idx(tmp_path_factory.mktemp("mnist"), arrays)


@given(validation=st.integers(1, 59))
@settings(deadline=None)
def test_validation_is_the_end_of_the_training_set(validation, folder, arrays):
    data = datasets.mnist(folder, validation=validation, normalize=False)
    assert len(data.train.x) == len(data.train.y) == 60 - validation
    np.testing.assert_array_equal(
        np.concatenate([data.train.y, data.validation.y]), arrays.train_labels
    )
    np.testing.assert_array_equal(
        np.concatenate([data.train.x, data.validation.x]), arrays.train_images.reshape(60, 784)
    )


@pytest.mark.parametrize("descending", [False, True])
def test_images_that_are_sorted_by_label_are_held_out_from_each_class_or_not_at_all(
    descending, files, arrays, tmp_path
):
    order = np.argsort(arrays.train_labels, kind="stable")[:: -1 if descending else 1]
    folder = files.idx(
        tmp_path,
        arrays._replace(
            train_images=arrays.train_images[order], train_labels=arrays.train_labels[order]
        ),
    )
    with pytest.raises(
        ValueError,
        match="the training images are sorted by label, so the last 10 do not represent all "
        "classes; pass stratify=True",
    ):
        datasets.mnist(folder, validation=10)
    assert datasets.mnist(folder, validation=0).validation is None
    assert len(np.unique(datasets.mnist(folder, validation=10, stratify=True).validation.y)) > 5


def test_no_validation_is_none(folder):
    data = datasets.mnist(folder, validation=0, normalize=False)
    assert data.validation is None
    assert len(data.train.x) == 60


@pytest.mark.parametrize("validation", [60, 5000, -1, 1.0, -0.1])
def test_validation_leaves_a_training_image(validation, folder):
    with pytest.raises(
        ValueError, match=f"validation is {validation}, expected an integer from 0 to 59, or"
    ):
        datasets.mnist(folder, validation=validation, normalize=False)


@pytest.mark.parametrize("validation", ["10", None, True])
def test_validation_is_a_number(validation, folder):
    with pytest.raises(
        TypeError, match=f"validation is {validation!r}, expected an integer from 0 to 59, or"
    ):
        datasets.mnist(folder, validation=validation, normalize=False)


def test_validation_as_a_fraction(folder):
    assert len(datasets.mnist(folder, validation=0.1, normalize=False).validation.x) == 6


def test_validation_of_numpys_integers(folder):
    assert len(datasets.mnist(folder, validation=np.int32(5), normalize=False).validation.x) == 5


def test_normalize_divides_by_255(folder, arrays):
    data = datasets.mnist(folder, validation=10, normalize=True)
    x = np.concatenate([data.train.x, data.validation.x])
    assert x.dtype == data.test.x.dtype == np.float32
    np.testing.assert_array_equal(
        x, arrays.train_images.reshape(60, 784).astype(np.float32) / np.float32(255)
    )
    assert x.min() == 0
    assert x.max() == 1


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_unflattened_images_are_the_same(normalize, standardize, folder):
    options = {"normalize": normalize, "standardize": standardize, "validation": 10}
    flat, square = (
        datasets.mnist(folder, **options),
        datasets.mnist(folder, flatten=False, **options),
    )
    for name in ("train", "validation", "test"):
        x = getattr(square, name).x
        assert x.shape == (len(x), 1, 28, 28)
        np.testing.assert_array_equal(x.reshape(-1, 784), getattr(flat, name).x)


def test_pixels_are_floats_in_0_to_1_unless_asked_otherwise(folder):
    data, raw = (
        datasets.mnist(folder, validation=10),
        datasets.mnist(folder, validation=10, normalize=False),
    )
    for split, bytes_ in (
        (data.train, raw.train),
        (data.validation, raw.validation),
        (data.test, raw.test),
    ):
        assert (split.x.dtype, bytes_.x.dtype) == (np.float32, np.uint8)
        np.testing.assert_array_equal(split.x, bytes_.x / np.float32(255))


def test_one_hot(folder):
    labels, rows = (
        datasets.mnist(folder, validation=10, normalize=False),
        datasets.mnist(folder, validation=10, one_hot=True, normalize=False),
    )
    for name in ("train", "validation", "test"):
        y = getattr(rows, name).y
        assert y.dtype == np.float32
        assert y.shape == (len(y), 10)
        assert y.sum() == len(y)
        np.testing.assert_array_equal(y.argmax(axis=1), getattr(labels, name).y)


@pytest.mark.parametrize("normalize", [False, True])
def test_standardize_by_the_training_split_alone(normalize, folder):
    raw = datasets.mnist(folder, validation=20, normalize=normalize)
    data = datasets.mnist(folder, validation=20, normalize=normalize, standardize=True)
    assert data.train.x.dtype == np.float32
    x = raw.train.x.astype(np.float64)
    for name in ("train", "validation", "test"):
        expected = (getattr(raw, name).x - x.mean(axis=0)) / x.std(axis=0)
        np.testing.assert_allclose(getattr(data, name).x, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(data.mean, x.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(data.std, x.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(data.standardize(raw.test.x), data.test.x)


@given(value=st.integers(0, 255), other=st.integers(0, 255))
@settings(deadline=None)
def test_a_constant_pixel_becomes_0_everywhere(value, other, files, arrays, tmp_path_factory):
    images, test_images = arrays.train_images.copy(), arrays.test_images.copy()
    images[:50, 3, 4] = value
    images[50:, 3, 4] = test_images[:, 3, 4] = other
    changed = arrays._replace(train_images=images, test_images=test_images)
    folder = files.idx(tmp_path_factory.mktemp("constant"), changed)
    data = datasets.mnist(folder, validation=10, standardize=True, flatten=False, normalize=False)
    assert data.std[0, 3, 4] == 0
    assert data.mean[0, 3, 4] == value
    for split in (data.train, data.validation, data.test):
        assert np.isfinite(split.x).all()
        assert not split.x[:, 0, 3, 4].any()


def test_standardize_needs_its_statistics_and_their_shape(folder):
    with pytest.raises(ValueError, match="loaded without standardize=True"):
        datasets.mnist(folder, validation=0, normalize=False).standardize(np.zeros((1, 784)))
    data = datasets.mnist(folder, validation=0, standardize=True, normalize=False)
    with pytest.raises(ValueError, match=r"x has shape \(784,\), expected \(n, 784\)"):
        data.standardize(np.zeros(784))
    data = datasets.mnist(folder, validation=0, standardize=True, flatten=False, normalize=False)
    with pytest.raises(ValueError, match=r"x has shape \(2, 784\), expected \(n, 1, 28, 28\)"):
        data.standardize(np.zeros((2, 784)))


def test_splits_unpack_and_print(folder):
    data = datasets.mnist(folder, validation=10, normalize=False)
    x, y = data.train
    assert x is data.train.x
    assert y is data.train.y
    assert isinstance(data, Dataset)
    assert isinstance(data.test, Split)
    assert repr(data) == (
        "Dataset(\n"
        "    train=Split(x: uint8 (50, 784), y: int64 (50,)),\n"
        "    validation=Split(x: uint8 (10, 784), y: int64 (10,)),\n"
        "    test=Split(x: uint8 (10, 784), y: int64 (10,)),\n"
        ")"
    )
    assert "validation=None" in repr(datasets.mnist(folder, validation=0, normalize=False))


def test_a_data_set_is_itself_alone_and_its_parts_are_not_replaced(folder):
    data = datasets.mnist(folder, validation=10)
    for part, name in ((data, "test"), (data, "mean"), (data.train, "x")):
        with pytest.raises(AttributeError):
            setattr(part, name, None)
    assert data != datasets.mnist(folder, validation=10)
