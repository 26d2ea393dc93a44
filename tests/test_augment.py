"""Augmentation: what it does to images, that seeds decide all of it, and how training uses it. Its
kernel is in the table of cases.
"""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnet
from cnet import datasets, nn, optim
from cnet.augment import Augment, _bases

EVERYTHING = {
    "shift": 2,
    "rotation": 15,
    "scale": 0.1,
    "shear": 10,
    "elastic": (34, 4),
    "noise": 0.1,
    "flip": True,
}


@pytest.fixture(scope="module")
def digits():
    return datasets.digits(train=60, test=20, seed=3)


def places(augment, n, size=64):
    """Where the pixels of n images are read, as (image, x or y, row, column), and which of them lie
    inside the input.
    """
    y, x = np.mgrid[:size, :size].astype(float)
    found = augment(np.broadcast_to(np.stack([x, y, np.ones_like(x)]), (n, 3, size, size)))
    return found[:, :2], found[:, 2] == 1


# Random numbers


@given(seed=st.integers(0, 2**128), cut=st.integers(1, 59), epoch=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_an_image_depends_on_seed_epoch_and_row_alone(seed, cut, epoch, digits):
    x = digits.train.x
    rows = Augment(**EVERYTHING, seed=seed).rows(cnet._data.samples.Rows(x, np.dtype(np.float32)))
    rows.epoch = epoch
    whole = rows.take(np.arange(60))
    order = np.random.default_rng(cut).permutation(60)
    parts = np.concatenate([rows.take(order[:cut]), rows.take(order[cut:])])
    np.testing.assert_array_equal(parts, whole[order])
    np.testing.assert_array_equal(Augment(**EVERYTHING, seed=seed)(x, epoch), whole)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(n, digits, isa, threads):
    augment = Augment(**EVERYTHING, seed=1)
    threads(1)
    alone = augment(digits.train.x)
    threads(n)
    np.testing.assert_array_equal(augment(digits.train.x), alone)


def test_other_seeds_epochs_and_rows_give_other_images(digits):
    x = np.repeat(digits.train.x[:1], 4, axis=0)
    first = Augment(**EVERYTHING, seed=1)
    results = [*first(x), *first(x, epoch=1), *Augment(**EVERYTHING, seed=2)(x)]
    assert len(np.unique(results, axis=0)) == 12


def test_without_a_seed_each_has_its_own(digits):
    first, second = Augment(rotation=15), Augment(rotation=15)
    assert first.seed != second.seed
    np.testing.assert_array_equal(
        Augment(rotation=15, seed=first.seed)(digits.train.x), first(digits.train.x)
    )


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda augment: pickle.loads(pickle.dumps(augment))]
)
def test_copies_do_the_same(duplicate, digits):
    augment = Augment(**EVERYTHING, standardize=True).fit(digits.train.x)
    np.testing.assert_array_equal(duplicate(augment)(digits.train.x), augment(digits.train.x))


# Images in, images out


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (np.uint8, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (np.int16, np.float32),
        (">f8", np.float64),
    ],
)
@pytest.mark.parametrize("shape", [(28, 28), (784,), (1, 28, 28)])
def test_nothing_asked_nothing_done(dtype, result, shape, digits):
    x = digits.train.x.reshape(60, *shape).astype(dtype)
    y = Augment()(x)
    assert y.shape == x.shape
    assert y.dtype == result
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize(
    "spell",
    [
        lambda x: x.tolist(),
        lambda x: x[::-1][::-1],
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    ],
)
def test_images_of_any_layout(spell, digits):
    x = digits.train.x[:7].reshape(-1, 28, 28).astype(np.float64)
    before = x.copy()
    augment = Augment(**EVERYTHING, seed=0)
    np.testing.assert_array_equal(augment(spell(x)), augment(x.copy()))
    np.testing.assert_array_equal(x, before)


def test_uint8_is_numbers_like_any_other(digits):
    augment = Augment(**EVERYTHING, seed=0)
    x = np.rint(255 * digits.train.x).astype(np.uint8)
    np.testing.assert_array_equal(augment(x), augment(x.astype(np.float32)))


def test_flat_rows_of_any_shape(rng):
    x = rng.random((5, 2, 42, 28))
    augment = Augment(**EVERYTHING, shape=(42, 28), seed=0)
    expected = augment(x)
    np.testing.assert_array_equal(augment(x.reshape(5, -1)), expected.reshape(5, -1))
    assert "shape=(42, 28)" in repr(augment)


def test_channels_move_together(rng):
    image = rng.random((4, 1, 20, 31))
    moved = Augment(**EVERYTHING | {"noise": 0}, seed=0)(np.repeat(image, 3, axis=1))
    assert moved.std() > 0.1
    np.testing.assert_array_equal(moved, np.repeat(moved[:, :1], 3, axis=1))


@pytest.mark.parametrize("shape", [(0, 28, 28), (0, 784), (1, 1, 1), (2, 1, 5), (2, 5, 1)])
def test_few_images_of_few_pixels(shape):
    assert Augment(**EVERYTHING, seed=0)(np.ones(shape)).shape == shape


# The affine map


@pytest.mark.parametrize(
    ("settings", "features"),
    [
        ({"shift": 3}, ("move_x", "move_y")),
        ({"rotation": 25}, ("angle",)),
        ({"scale": 0.2}, ("size",)),
        ({"shear": 20}, ("slant",)),
    ],
)
def test_each_setting_draws_uniformly_up_to_itself_and_does_nothing_else(settings, features):
    n, size = 1000, 64
    found, inside = places(Augment(**settings, seed=5), n, size)
    seen = {name: [] for name in ("move_x", "move_y", "angle", "size", "slant")}
    for (x, y), mask in zip(found, inside, strict=True):
        i, j = np.nonzero(mask)
        design = np.stack([np.ones(len(i)), j - (size - 1) / 2, i - (size - 1) / 2], axis=1)
        bx, by = np.linalg.lstsq(design, np.stack([x[mask], y[mask]], axis=1), rcond=None)[0].T
        forward = np.linalg.inv([bx[1:], by[1:]])
        center = -forward @ [bx[0] - (size - 1) / 2, by[0] - (size - 1) / 2]
        seen["move_x"].append(center[0])
        seen["move_y"].append(center[1])
        angle = math.atan2(forward[1, 0], forward[0, 0])
        seen["angle"].append(math.degrees(angle))
        length = math.hypot(*forward[:, 0])
        seen["size"].append(length - 1)
        upright = (
            np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
            @ forward
            / length
        )
        seen["slant"].append(math.degrees(math.atan(upright[0, 1])))
    (most,) = settings.values()
    for name, values in seen.items():
        if name in features:
            assert np.abs(values).max() <= most * (1 + 1e-6)
            np.testing.assert_allclose(
                np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99]),
                np.array([-0.98, -0.5, 0, 0.5, 0.98]) * most,
                atol=0.12 * most,
            )
        else:
            np.testing.assert_allclose(values, 0, atol=1e-6)


def test_shifts_along_both_axes_are_independent():
    found, _ = places(Augment(shift=3, seed=0), 400)
    moves = found[:, :, 32, 32] - 32
    assert abs(np.corrcoef(moves.T)[0, 1]) < 0.15


def test_half_of_the_images_are_mirrored(digits, isa):
    x = digits.train.x.reshape(-1, 28, 28)
    flipped = Augment(flip=True, seed=0)(x)
    mirrored = [
        np.array_equal(after, before[:, ::-1]) for after, before in zip(flipped, x, strict=True)
    ]
    same = [np.array_equal(after, before) for after, before in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 15 < sum(mirrored) < 45


def test_zeros_come_in_from_beyond_the_edges():
    moved = Augment(shift=1000, seed=0)(np.ones((20, 28, 28)))
    assert (moved == 0).mean() > 0.9
    turned = Augment(rotation=180, seed=1)(np.ones((20, 28, 28)))
    assert turned.min() == 0
    assert turned.max() == pytest.approx(1)


def test_the_largest_settings_stay_finite():
    extreme = Augment(
        shift=1e30, rotation=180, scale=1 - 1e-9, shear=90 - 1e-9, elastic=(1e30, 1e30), seed=0
    )
    for x in (np.ones((50, 28, 28), np.float32), np.ones((50, 28, 28))):
        y = extreme(x)
        assert ((y >= 0) & (y <= 1)).all()


# The elastic field


@pytest.mark.parametrize(("alpha", "sigma"), [(34, 4), (8, 2.5), (200, 12)])
def test_displacements_are_as_strong_and_as_smooth_as_those_of_noise_blurred_at_each_pixel(
    alpha, sigma
):
    """Uniform noise of variance 1/3, smoothed by a Gaussian: variance alpha^2 / 3 / (4 pi sigma^2),
    correlation exp(-d^2 / (4 sigma^2)).
    """
    n, size = 400, 96
    found, inside = places(Augment(elastic=(alpha, sigma), seed=0), n, size)
    moves = found - np.mgrid[:size, :size][::-1]
    margin = slice(16, -16)
    assert inside[:, margin, margin].all()
    moves = moves[:, :, margin, margin]
    variance = alpha**2 / 3 / (4 * math.pi * sigma**2)
    assert abs(moves.mean()) < 0.1 * math.sqrt(variance)
    np.testing.assert_allclose(moves.var(axis=(0, 2, 3)), variance, rtol=0.1)
    assert abs((moves[:, 0] * moves[:, 1]).mean()) < 0.05 * variance
    for d in (1, round(sigma), round(2 * sigma)):
        for a, b in ((moves[..., d:, :], moves[..., :-d, :]), (moves[..., d:], moves[..., :-d])):
            np.testing.assert_allclose(
                (a * b).mean() / variance, math.exp(-(d**2) / (4 * sigma**2)), atol=0.05
            )


@pytest.mark.parametrize(("size", "sigma"), [(28, 4), (28, 1), (9, 20), (1, 4), (43, 5.5)])
def test_displacements_are_as_strong_everywhere(size, sigma):
    """Nodes beyond the edges keep the field from fading there."""
    basis_y, basis_x = _bases(30, sigma, size, size, 64, np.dtype(float))
    variance = (
        np.square(basis_y).sum(axis=1)[:, None] * np.square(basis_x[:, :size]).sum(axis=0) / 3
    )
    np.testing.assert_allclose(variance, 30**2 / 3 / (4 * math.pi * sigma**2), rtol=0.05)


# Noise


def test_noise_is_normal(isa):
    noise = Augment(noise=0.5, seed=0)(np.full((100, 28, 28), 3.0)) - 3
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(0.5, rel=0.01)
    shares = [0.0013, 0.0228, 0.1587, 0.5, 0.8413, 0.9772, 0.9987]
    np.testing.assert_allclose(np.quantile(noise, shares), 0.5 * np.arange(-3, 4), atol=0.05)
    flat = noise.reshape(100, -1)
    assert abs(np.corrcoef(flat[:, :-1].ravel(), flat[:, 1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(flat[:-1].ravel(), flat[1:].ravel())[0, 1]) < 0.02


def test_noise_is_the_same_with_and_without_other_distortions():
    x = np.zeros((3, 28, 28))
    np.testing.assert_array_equal(Augment(noise=0.1, seed=0)(x), Augment(**EVERYTHING, seed=0)(x))


# Standardisation


@pytest.mark.parametrize("unit", [1, 255])
def test_standardized_by_what_was_fitted(unit, digits):
    x = np.rint(digits.train.x * 255).astype(np.uint8) if unit == 255 else digits.train.x
    augment = Augment(standardize=True)
    assert augment.fit(x) is augment
    exact = x.astype(np.float64)
    np.testing.assert_allclose(augment.mean, exact.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(augment.std, exact.std(axis=0), atol=1e-12)
    y = augment(x)
    np.testing.assert_array_equal(y, augment.standardized(x))
    varying = augment.std > 1e-3
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=0)[varying], 1, rtol=1e-4)
    assert not y[:, augment.std == 0].any()
    assert not augment.standardized(np.full((1, 784), 200, x.dtype))[:, augment.std == 0].any()


def test_standardized_after_all_else(digits):
    x = digits.train.x
    plain = Augment(**EVERYTHING, seed=0)
    standard = Augment(**EVERYTHING, standardize=True, seed=0).fit(x)
    np.testing.assert_allclose(standard(x), standard.standardized(plain(x)), atol=1e-5)


def test_without_being_asked_nothing_is_standardized(digits):
    np.testing.assert_array_equal(
        Augment(rotation=15).fit(digits.train.x).standardized(digits.train.x),
        Augment()(digits.train.x),
    )


# Training


def train(data, augment, epochs=3, batch_size=32, validation=None, shuffle=True):
    model = nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    history = trainer.fit(
        *data,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=0,
        augment=augment,
        validation_data=validation,
        verbose=False,
    )
    return trainer, history


def weights(trainer):
    return np.concatenate([parameter.data.ravel() for parameter in trainer.model.parameters()])


def test_training_sees_the_images_of_each_epoch(digits):
    augment = Augment(**EVERYTHING, seed=0)
    trainer, _ = train(digits.train, augment, shuffle=False)
    by_hand, _ = train((augment(digits.train.x), digits.train.y), None, epochs=1, shuffle=False)
    for epoch in (1, 2):
        by_hand.fit(augment(digits.train.x, epoch), digits.train.y, shuffle=False, verbose=False)
    np.testing.assert_array_equal(weights(trainer), weights(by_hand))


def test_fitting_twice_is_fitting_once_for_as_many_epochs(digits):
    augment = Augment(**EVERYTHING, seed=0)
    once, _ = train(digits.train, augment, epochs=4)
    twice, _ = train(digits.train, augment, epochs=1)
    twice.fit(*digits.train, epochs=3, seed=0, augment=augment, verbose=False)
    np.testing.assert_array_equal(weights(once), weights(twice))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_training_with_any_number_of_threads_gives_the_same_bits(n, digits, threads):
    augment = Augment(**EVERYTHING, seed=0)
    threads(1)
    alone, _ = train(digits.train, augment)
    threads(n)
    together, _ = train(digits.train, augment)
    np.testing.assert_array_equal(weights(alone), weights(together))


@pytest.mark.parametrize(
    "spell", [lambda x: x.astype(np.float64), np.asfortranarray, lambda x: x[::-1][::-1]]
)
def test_training_data_of_any_form(spell, digits):
    augment = Augment(**EVERYTHING, seed=0)
    expected, _ = train(digits.train, augment)
    trainer, _ = train((spell(digits.train.x), digits.train.y), augment)
    np.testing.assert_allclose(weights(trainer), weights(expected), atol=1e-5)


def test_validation_data_is_not_varied(digits):
    trainer, history = train(
        digits.train, Augment(**EVERYTHING, seed=0), validation=tuple(digits.test)
    )
    assert history["val_loss"][-1] == trainer.evaluate(*digits.test)["loss"]


def test_validation_data_is_standardized_with_training_data(digits):
    augment = Augment(rotation=5, standardize=True, seed=0)
    trainer, history = train(digits.train, augment, validation=tuple(digits.test))
    np.testing.assert_array_equal(augment.mean, Augment().fit(digits.train.x).mean)
    expected = trainer.evaluate(augment.standardized(digits.test.x), digits.test.y)
    assert history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-6)
    before = augment.mean
    train((digits.train.x[:30], digits.train.y[:30]), augment)
    assert augment.mean is before


def test_an_augmented_net_reads_shifted_digits_better():
    data = datasets.digits(train=2000, test=500, seed=0)
    shifted = Augment(shift=4, seed=99)(data.test.x)
    plain, _ = train(data.train, None, epochs=6)
    augmented, _ = train(data.train, Augment(shift=4, seed=0), epochs=6)
    assert (
        augmented.evaluate(shifted, data.test.y)["accuracy"]
        > plain.evaluate(shifted, data.test.y)["accuracy"] + 0.05
    )


# What is rejected


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"shift": -1}, ValueError, "shift is -1, expected a finite number of at least 0"),
        ({"shift": "2"}, TypeError, "shift is '2'"),
        ({"shift": True}, TypeError, "shift is True"),
        ({"shift": math.inf}, ValueError, "shift is inf"),
        ({"rotation": 181}, ValueError, "rotation is 181, expected a number from 0 to 180"),
        ({"rotation": math.nan}, ValueError, "rotation is nan"),
        ({"scale": 1}, ValueError, "scale is 1, expected a number of at least 0 and below 1"),
        ({"shear": 90}, ValueError, "shear is 90, expected a number of at least 0 and below 90"),
        ({"noise": None}, TypeError, "noise is None"),
        (
            {"elastic": 34},
            TypeError,
            r"elastic is 34, expected \(alpha, sigma\), such as \(34, 4\)",
        ),
        ({"elastic": (34, 4, 1)}, TypeError, "expected .alpha, sigma."),
        (
            {"elastic": (34, 0.5)},
            ValueError,
            "sigma of elastic is 0.5, expected a finite number of at least 1",
        ),
        ({"elastic": (-1, 4)}, ValueError, "alpha of elastic is -1"),
        ({"flip": 0.5}, TypeError, "flip is 0.5, expected True or False"),
        ({"standardize": "yes"}, TypeError, "standardize is 'yes', expected True or False"),
        ({"shape": 28}, TypeError, r"shape is 28, expected \(height, width\) in pixels"),
        (
            {"shape": (28, 0)},
            ValueError,
            "width of shape is 0, expected an integer of at least 1",
        ),
        ({"shape": (28, 1.5)}, TypeError, "width of shape is 1.5"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": "a"}, TypeError, "seed is 'a'"),
    ],
)
def test_bad_settings(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        Augment(**settings)


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        (3, ValueError, "x is a single number"),
        (["a"], TypeError, "x has dtype"),
        (np.zeros(5), ValueError, r"samples have shape \(\), expected images"),
        (np.zeros((2, 1, 1, 4, 4)), ValueError, r"samples have shape \(1, 1, 4, 4\)"),
        (
            np.zeros((2, 1176)),
            ValueError,
            r"samples have 1176 elements, expected images that are square: give the "
            r"shape=\(height, width\) of others",
        ),
        (np.zeros((2, 8)), ValueError, "samples have 8 elements, expected images that are square"),
        (np.zeros((2, 0)), ValueError, "samples have 0 elements"),
        (np.zeros((2, 0, 5)), ValueError, r"images of shape \(1, 0, 5\) hold nothing"),
        (np.full((1, 4), np.nan), ValueError, r"x holds nan at \(0, 0\)"),
        (np.zeros((0, 3000, 3000)), ValueError, "images of 3000 x 3000 pixels are too large"),
    ],
)
def test_bad_images(x, error, sentence):
    with pytest.raises(error, match=sentence):
        Augment(shift=1)(x)


@pytest.mark.parametrize(
    ("epoch", "error"),
    [(-1, ValueError), (1 << 32, ValueError), (0.5, TypeError), (None, TypeError)],
)
def test_bad_epochs(epoch, error):
    with pytest.raises(error, match=r"epoch is .*, expected an integer of at least 0"):
        Augment()(np.zeros((1, 4)), epoch)


def test_images_of_another_shape_than_the_one_given():
    with pytest.raises(
        ValueError, match="samples have 784 elements, expected images of 42 x 28 pixels"
    ):
        Augment(shape=(42, 28))(np.zeros((1, 784)))


def test_standardizing_needs_a_fit():
    augment = Augment(standardize=True)
    with pytest.raises(RuntimeError, match=r"call fit\(x\) first"):
        augment(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="x has no samples"):
        augment.fit(np.zeros((0, 4)))
    augment.fit(np.zeros((1, 4)))
    with pytest.raises(
        ValueError, match=r"images of shape \(9,\) differ from those that fit measured, \(4,\)"
    ):
        augment(np.zeros((1, 9)))


def test_training_takes_an_augment_for_images(digits):
    with pytest.raises(
        TypeError,
        match=r"augment is 'rotate', expected one such as cnet.augment.Augment\(rotation=15\)",
    ):
        train(digits.train, "rotate")
    with pytest.raises(
        ValueError, match="samples have 784 elements, expected images of 5 x 5 pixels"
    ):
        train(digits.train, Augment(shape=(5, 5)))


def test_what_is_shown():
    assert (
        repr(Augment(rotation=15, elastic=(34, 4), flip=True, seed=7))
        == "Augment(rotation=15.0, elastic=(34.0, 4.0), flip=True, seed=7)"
    )


def test_kernels_check_sizes():
    core = cnet._core.loops(np.dtype(np.float32))
    augmentation = core.Augmentation(1, 2, 3, np.zeros(2, np.uint32))
    out, x, rows, scratch = (
        np.zeros((1, 6), np.float32),
        np.zeros((2, 6), np.float32),
        np.array([1]),
        np.zeros(augmentation.scratch, np.float32),
    )
    augmentation.run(out, x, rows, rows, 0, scratch)
    for arguments, error, sentence in (
        ((out[:, :5].copy(), x, rows, rows, 0, scratch), ValueError, "out has shape"),
        ((out, x[:, :5].copy(), rows, rows, 0, scratch), ValueError, "x has shape"),
        (
            (out, x, rows + 1, rows, 0, scratch),
            IndexError,
            "sample 2 is outside a data set of 2 samples",
        ),
        ((out, x, np.array([0, 0]), rows, 0, scratch), ValueError, "sources has 2 elements"),
        ((out, x, rows, rows, 0, scratch[:5]), ValueError, "scratch has 5 elements"),
    ):
        with pytest.raises(error, match=sentence):
            augmentation.run(*arguments)
    with pytest.raises(ValueError, match="quantiles"):
        augmentation.noise(1, np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="basis_x"):
        augmentation.elastic(np.zeros((2, 4), np.float32), np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match="mean"):
        augmentation.standardize(np.zeros(5, np.float32), np.zeros(6, np.float32))
