"""The embedded digits: what is drawn, that the same seed draws it again, and what is rejected."""

import numpy as np
import pytest

from cnet import datasets
from cnet.datasets import _digits, _strokes


@pytest.fixture(scope="module")
def drawn():
    """Images of 1000 digits, 100 of each, in [0, 1], and their labels."""
    labels = np.repeat(np.arange(10), 100)
    return datasets.draw_digits(labels, seed=7) / 255, labels


def test_default_form():
    data = datasets.digits(train=25, test=12, normalize=False)
    assert data.train.x.shape == (25, 784)
    assert data.train.x.dtype == np.uint8
    assert data.train.y.shape == (25,)
    assert data.train.y.dtype == np.int64
    assert data.test.x.shape == (12, 784)
    assert data.validation is None


@pytest.mark.parametrize(("flatten", "shape"), [(True, (784,)), (False, (1, 28, 28))])
def test_options(flatten, shape):
    data = datasets.digits(30, 20, validation=10, normalize=True, flatten=flatten, one_hot=True)
    for split, count in ((data.train, 30), (data.validation, 10), (data.test, 20)):
        assert split.x.shape == (count, *shape)
        assert split.x.dtype == np.float32
        assert split.x.min() == 0
        assert 0.9 < split.x.max() <= 1
        assert split.y.shape == (count, 10)
        assert split.y.dtype == np.float32
        np.testing.assert_array_equal(split.y.sum(axis=1), 1)


def test_options_change_the_form_only():
    plain = datasets.digits(20, 10, seed=3, normalize=False)
    shaped = datasets.digits(20, 10, seed=3, normalize=True, flatten=False, one_hot=True)
    np.testing.assert_array_equal(np.rint(shaped.train.x * 255).reshape(20, 784), plain.train.x)
    np.testing.assert_array_equal(shaped.test.y.argmax(axis=1), plain.test.y)


def test_standardize():
    data = datasets.digits(200, 50, standardize=True, normalize=False)
    varying = data.std > 0
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.x.std(axis=0)[varying], 1, atol=1e-4)


def test_without_a_test_split():
    assert datasets.digits(10, 0, normalize=False).test is None


def test_validation_as_a_fraction_is_drawn_in_addition():
    assert len(datasets.digits(20, 0, validation=0.25, normalize=False).validation.x) == 5


def test_pixels_are_floats_in_0_to_1_unless_asked_otherwise():
    data, raw = datasets.digits(20, 10), datasets.digits(20, 10, normalize=False)
    assert (data.train.x.dtype, raw.train.x.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(data.train.x, raw.train.x / np.float32(255))


def test_same_seed_same_digits():
    first, second = (
        datasets.digits(120, 60, validation=30, seed=11, normalize=False) for _ in range(2)
    )
    for a, b in (
        (first.train, second.train),
        (first.validation, second.validation),
        (first.test, second.test),
    ):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def test_other_seed_other_digits():
    labels = [5] * 20
    first, second = datasets.draw_digits(labels, seed=0), datasets.draw_digits(labels, seed=1)
    assert (first != second).any(axis=(1, 2)).all()


def test_splits_are_independent():
    data = datasets.digits(100, 100, validation=100, normalize=False)
    everything = np.vstack([data.train.x, data.validation.x, data.test.x])
    assert len(np.unique(everything, axis=0)) == 300
    assert not np.array_equal(data.train.y, data.test.y)


@pytest.mark.parametrize("count", [1, 9, _digits._BLOCK - 1, _digits._BLOCK, _digits._BLOCK + 1])
def test_asking_for_more_keeps_the_first(count):
    few, many = (
        datasets.digits(count, count, validation=count, normalize=False),
        datasets.digits(300, 300, validation=300, normalize=False),
    )
    for a, b in ((few.train, many.train), (few.validation, many.validation), (few.test, many.test)):
        np.testing.assert_array_equal(a.x, b.x[:count])
        np.testing.assert_array_equal(a.y, b.y[:count])


def test_an_image_depends_on_its_own_label_only():
    labels = np.arange(100) % 10
    changed = labels.copy()
    changed[::2] = 3
    np.testing.assert_array_equal(
        datasets.draw_digits(labels)[1::2], datasets.draw_digits(changed)[1::2]
    )


def test_every_ten_labels_hold_every_digit():
    labels = datasets.digits(200, 10, normalize=False).train.y.reshape(20, 10)
    np.testing.assert_array_equal(np.sort(labels, axis=1), np.tile(np.arange(10), (20, 1)))
    assert len(np.unique(labels, axis=0)) > 15


def test_white_on_black(drawn):
    images, _ = drawn
    # MNIST: mean 0.131, four pixels in five black.
    assert 0.10 < images.mean() < 0.16
    assert 0.7 < (images == 0).mean() < 0.9
    assert (images.max(axis=(1, 2)) > 0.5).all()


def test_the_digits_of_a_seed_are_those_of_earlier_versions(drawn):
    """Mean gray level of the quarters of the images of each digit: results on the embedded digits
    can be compared, and the variants keep their frequencies.
    """
    images, _ = drawn
    quarters = 255 * images.reshape(10, 100, 2, 14, 2, 14).mean(axis=(1, 3, 5))
    expected = [
        [[33.4, 46.9], [44.8, 41.0]],
        [[9.8, 25.3], [18.8, 19.6]],
        [[23.0, 45.8], [48.2, 38.4]],
        [[25.4, 45.9], [34.4, 40.1]],
        [[26.4, 34.0], [30.6, 42.5]],
        [[31.3, 34.9], [29.4, 38.1]],
        [[24.7, 32.9], [41.5, 40.7]],
        [[24.4, 36.3], [22.3, 29.1]],
        [[30.4, 48.6], [46.8, 37.7]],
        [[30.0, 39.8], [29.4, 41.6]],
    ]
    np.testing.assert_allclose(quarters, expected, rtol=0, atol=0.1)


def test_center_of_mass_is_near_pixel_14(drawn):
    images, _ = drawn
    pixel = np.arange(28)
    mass = images.sum(axis=(1, 2))
    for axis in (1, 2):
        center = images.sum(axis=axis) @ pixel / mass
        assert abs(center.mean() - 14) < 0.1
        assert abs(center - 14).max() <= 1 + 1e-6


def test_fits_a_box_of_20_pixels(drawn):
    images, _ = drawn
    dark = images > 0.5
    extent = np.maximum(dark.any(axis=1).sum(axis=1), dark.any(axis=2).sum(axis=1))
    assert extent.max() <= 21
    assert np.median(extent) >= 19


def test_every_class_is_drawn_and_differs(drawn):
    """The nearest mean image names most digits: the labels are right, and no class hides behind
    another.
    """
    images, labels = drawn
    x = images.reshape(-1, 784)
    means = np.stack([x[labels == digit][:50].mean(axis=0) for digit in range(10)])
    unseen = np.concatenate([np.flatnonzero(labels == digit)[50:] for digit in range(10)])
    distance = np.square(x[unseen, None] - means).sum(axis=2)
    correct = distance.argmin(axis=1) == labels[unseen]
    assert correct.mean() > 0.6
    assert all(correct[labels[unseen] == digit].mean() > 0.25 for digit in range(10))


def test_every_variant_can_be_chosen():
    glyphs = _strokes.load_glyphs()
    variants = [len(_strokes.VARIANTS[digit]) for digit in range(10)]
    assert len(glyphs.share) == sum(variants)
    assert (np.diff(glyphs.share) > 0).all()
    np.testing.assert_array_equal(glyphs.share[np.cumsum(variants) - 1], np.arange(1, 11))


@pytest.mark.parametrize("digit", range(10))
def test_strokes_are_sampled_evenly(digit):
    glyphs = _strokes.load_glyphs()
    for g in np.flatnonzero(np.ceil(glyphs.share) - 1 == digit):
        step = np.hypot(*np.diff(glyphs.curves[g], axis=0).T)
        assert (step[glyphs.pen_down[g] == 1] < 1.6 * glyphs.length[g] / _strokes.SAMPLES).all()


def test_the_pen_is_lifted_between_strokes_that_do_not_touch():
    _, _, touching = _strokes._sample("0,0 0,100; 0,100 50,100")
    _, length, apart = _strokes._sample("0,0 0,100; 50,0 50,100")
    assert touching.all()
    assert np.count_nonzero(~apart) == 1
    assert length == pytest.approx(2)


@pytest.mark.parametrize("labels", [[], (), np.empty(0), np.empty(0, np.int8)])
def test_no_labels_no_images(labels):
    images = datasets.draw_digits(labels)
    assert images.shape == (0, 28, 28)
    assert images.dtype == np.uint8


def test_one_label():
    images = datasets.draw_digits([8])
    assert images.shape == (1, 28, 28)
    assert images.dtype == np.uint8


@pytest.mark.parametrize(
    "labels",
    [
        (3, 1, 4),
        np.array([3, 1, 4], np.uint8),
        np.array([3, 1, 4], ">i4"),
        np.array([3, 0, 1, 0, 4])[::2],
    ],
)
def test_labels_of_any_whole_type(labels):
    np.testing.assert_array_equal(datasets.draw_digits(labels), datasets.draw_digits([3, 1, 4]))


def test_labels_stay_as_they_are():
    labels = np.arange(10)
    labels.flags.writeable = False
    datasets.draw_digits(labels)
    np.testing.assert_array_equal(labels, np.arange(10))


@pytest.mark.parametrize(
    ("labels", "error", "sentence"),
    [
        ([0, 10], ValueError, "labels holds 0 to 10, expected 0 to 9"),
        ([-1, 3], ValueError, "labels holds -1 to 3, expected 0 to 9"),
        (5, ValueError, r"labels has shape \(\), expected \(n,\)"),
        ([[1, 2]], ValueError, r"labels has shape \(1, 2\), expected \(n,\)"),
        ([1.0, 2.0], TypeError, "labels has dtype float64, expected integers"),
        ([True], TypeError, "labels has dtype bool, expected integers"),
        (["1"], TypeError, "labels has dtype <U1, expected integers"),
    ],
)
def test_bad_labels(labels, error, sentence):
    with pytest.raises(error, match=sentence):
        datasets.draw_digits(labels)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"train": 0}, ValueError, "train is 0, expected an integer of at least 1"),
        ({"test": -1}, ValueError, "test is -1, expected an integer of at least 0"),
        (
            {"validation": -5},
            ValueError,
            "validation is -5, expected an integer of at least 0, or a fraction below 1 of the 10 "
            "training images",
        ),
        ({"seed": -1}, ValueError, "seed is -1, expected an integer of at least 0"),
        ({"train": 10.0}, TypeError, "train is 10.0, expected an integer of at least 1"),
        (
            {"validation": 1.2},
            ValueError,
            "validation is 1.2, expected an integer of at least 0, or a fraction below 1 of the 10 "
            "training images",
        ),
        ({"test": True}, TypeError, "test is True, expected an integer of at least 0"),
        ({"seed": None}, TypeError, "seed is None, expected an integer of at least 0"),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        datasets.digits(**{"train": 10, "test": 10} | arguments)


def test_numpy_integers_are_whole_numbers():
    data = datasets.digits(np.int64(10), np.uint8(10), seed=np.int32(2), normalize=False)
    np.testing.assert_array_equal(
        data.train.x, datasets.digits(10, 10, seed=2, normalize=False).train.x
    )
