"""Images of two digits: what they show, where the digits come from, and what is rejected."""

import numpy as np
import pytest

from cnet import datasets
from cnet.datasets import Dataset, Split


@pytest.fixture(scope="module")
def source():
    return datasets.digits(60, 20, validation=30, seed=5, normalize=False)


def tagged(counts=(7, 5, 3), dtype=np.uint8, **options):
    """A source whose i-th digit is one bright pixel at column i, in the row of its split."""
    splits = []
    for row, count in enumerate(counts):
        x = np.zeros((count, 28, 28), dtype)
        x[np.arange(count), row, np.arange(count)] = 255 if dtype == np.uint8 else 1
        splits.append(Split(x, np.arange(count) % 10) if count else None)
    return datasets.multi_digit(
        Dataset(*splits), flatten=False, **{"normalize": dtype != np.uint8} | options
    )


def uses(split, row):
    """Which digits of a tagged source are the upper and the lower ones."""
    upper, lower = split.x[:, 0, row, :], split.x[:, 0, 14 + row, :]
    assert (np.count_nonzero(split.x, axis=(1, 2, 3)) == 2).all()
    return upper.argmax(axis=1), lower.argmax(axis=1)


def test_default_form(source):
    data = datasets.multi_digit(source, normalize=False)
    for split, count in ((data.train, 60), (data.validation, 30), (data.test, 20)):
        assert split.x.shape == (count, 42 * 28)
        assert split.x.dtype == np.uint8
        assert split.y.shape == (count, 2)
        assert split.y.dtype == np.int64


def test_an_image_is_its_two_digits_where_either_is_bright(source):
    data = datasets.multi_digit(source, normalize=False)
    digits = [source.train.x[source.train.y == label].reshape(-1, 28, 28) for label in range(10)]
    for image, (upper, lower) in zip(data.train.x.reshape(-1, 42, 28), data.train.y, strict=True):
        above = digits[upper][(digits[upper][:, :14] == image[:14]).all(axis=(1, 2))]
        below = digits[lower][(digits[lower][:, 14:] == image[28:]).all(axis=(1, 2))]
        assert len(above) == len(below) == 1
        np.testing.assert_array_equal(image[14:28], np.maximum(above[0, 14:], below[0, :14]))


def test_no_digit_is_in_two_splits():
    data = tagged(train=100, validation=100, test=100)
    for row, split in enumerate((data.train, data.validation, data.test)):
        upper, lower = uses(split, row)
        np.testing.assert_array_equal(split.y, np.stack([upper, lower], axis=1) % 10)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_digit_is_used_before_any_is_used_again(dtype):
    for used in uses(tagged(dtype=dtype, train=25).train, 0):
        for start in (0, 7, 14):
            assert sorted(used[start : start + 7]) == list(range(7))


def test_asking_for_more_keeps_the_first(source):
    few, many = (
        datasets.multi_digit(source, train=33, normalize=False),
        datasets.multi_digit(source, train=150, normalize=False),
    )
    np.testing.assert_array_equal(few.train.x, many.train.x[:33])


def test_same_seed_same_images(source):
    first, again, other = (
        datasets.multi_digit(source, seed=seed, normalize=False) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.train.x, again.train.x)
    assert not np.array_equal(first.train.y, other.train.y)
    assert not np.array_equal(first.train.y[:30], first.validation.y)
    drawn = [
        datasets.multi_digit(train=10, test=5, seed=seed, normalize=False).train.x
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_options_change_the_form_only(source):
    plain = datasets.multi_digit(source, train=40, validation=10, test=0, normalize=False)
    shaped = datasets.multi_digit(
        source, train=40, validation=0.25, test=0, normalize=True, flatten=False
    )
    assert shaped.test is None
    assert shaped.train.x.shape == (40, 1, 42, 28)
    assert len(shaped.validation.x) == 10
    np.testing.assert_array_equal(np.rint(shaped.train.x * 255).reshape(40, -1), plain.train.x)
    standard = datasets.multi_digit(source, standardize=True, normalize=False)
    np.testing.assert_allclose(standard.train.x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(standard.standardize(plain.train.x[:3]), standard.train.x[:3])


def test_sources_of_any_form(source):
    expected = datasets.multi_digit(source, normalize=False).train
    for options in ({"flatten": False}, {"one_hot": True}):
        data = datasets.multi_digit(
            datasets.digits(60, 20, validation=30, seed=5, normalize=False, **options),
            normalize=False,
        )
        np.testing.assert_array_equal(data.train.x, expected.x)
        np.testing.assert_array_equal(data.train.y, expected.y)


@pytest.mark.parametrize(
    "loaded",
    [
        None,
        datasets.digits(20, 5, validation=5),
        datasets.digits(20, 5, validation=5, normalize=False),
    ],
    ids=["drawn", "floats", "bytes"],
)
def test_pixels_are_floats_in_0_to_1_unless_asked_otherwise(loaded):
    data = datasets.multi_digit(loaded, train=10, test=5)
    assert data.train.x.dtype == data.test.x.dtype == np.float32
    assert data.train.x.max() == 1
    if loaded is None or loaded.train.x.dtype == np.uint8:
        raw = datasets.multi_digit(loaded, train=10, test=5, normalize=False)
        np.testing.assert_array_equal(raw.train.x / np.float32(255), data.train.x)


def test_the_source_is_left_alone(source):
    before = source.train.x.copy()
    datasets.multi_digit(source, normalize=False).train.x[:] = 1
    np.testing.assert_array_equal(source.train.x, before)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"train": 0}, ValueError, "train is 0, expected an integer of at least 1"),
        ({"test": -1}, ValueError, "test is -1, expected an integer of at least 0"),
        ({"train": 2.5}, TypeError, "train is 2.5, expected an integer of at least 1"),
        (
            {"validation": "3"},
            TypeError,
            "validation is '3', expected an integer of at least 0, or a fraction below 1 of the 10 "
            "training images",
        ),
        ({"seed": -1}, ValueError, "seed is -1, expected an integer of at least 0"),
        (
            {"source": 3},
            TypeError,
            r"source is of type int, expected a Dataset such as datasets.mnist\(\)",
        ),
        ({"source": datasets.digits(10, 0, standardize=True)}, ValueError, "already standardized"),
        (
            {"source": datasets.digits(10, 0), "normalize": False},
            ValueError,
            "source holds float32 images, but normalize=False requires uint8: load it",
        ),
        (
            {"source": datasets.digits(10, 0, normalize=False), "test": 5},
            ValueError,
            "source has no test digits for 5 images: load it with some, or pass test=0",
        ),
        (
            {"source": datasets.digits(10, 5, normalize=False), "validation": 0.5},
            ValueError,
            "source has no validation digits",
        ),
        (
            {"source": datasets.split(np.zeros((10, 3)), np.zeros(10))},
            ValueError,
            r"source.train holds inputs of shape \(9, 3\), expected images of 28 x 28",
        ),
        (
            {"source": datasets.split(np.zeros((10, 784)), np.zeros(10))},
            ValueError,
            "source.train has targets float64 of shape",
        ),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        datasets.multi_digit(**{"train": 10} | arguments)
