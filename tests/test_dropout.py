"""Dropout: what it drops, and what that depends on."""

import copy
import pickle

import numpy as np
import pytest

import cnet
from cnet import nn


def mask(layer, x):
    return layer.forward(x, training=True) != 0


@pytest.fixture
def x(rng):
    return 1 + rng.random((40, 50)).astype(np.float32)


def test_in_inference_it_passes_its_input_on(x):
    np.testing.assert_array_equal(nn.Dropout(0.9)(x), x)
    np.testing.assert_array_equal(nn.Dropout(0.9).forward(x), x)
    np.testing.assert_array_equal(
        nn.Dropout(0.5)(np.array([[51, 255]], np.uint8)), np.array([[51, 255]], np.float32)
    )


@pytest.mark.parametrize("p", [0, 0.1, 0.5, 0.9, 1])
def test_how_many_are_dropped_and_how_the_others_are_scaled(p, isa, dtype):
    x = np.ones((400, 1000), dtype)
    out = nn.Dropout(p, seed=0).forward(x, training=True)
    assert out.dtype == dtype
    assert (out == 0).mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / x.size))
    np.testing.assert_allclose(out[out != 0], 1 / (1 - p) if p < 1 else 0, rtol=1e-6)
    for axis in (0, 1):  # no row, no column is special
        assert (out == 0).mean(axis=axis) == pytest.approx(p, abs=5.5 * np.sqrt(p * (1 - p) / 400))


def test_the_gradient_passes_where_the_value_did(dtype, rng):
    layer = nn.Dropout(0.3, seed=0)
    x, grad = 1 + rng.random((20, 33)).astype(dtype), 1 + rng.random((20, 33)).astype(dtype)
    out = layer.forward(x, training=True)
    np.testing.assert_allclose(layer.backward(grad), grad * (out / x), rtol=1e-6)


def test_each_batch_has_a_mask_of_its_own_and_the_seed_gives_them_all(x):
    a, b, other = nn.Dropout(0.5, seed=1), nn.Dropout(0.5, seed=1), nn.Dropout(0.5, seed=2)
    masks = [mask(a, x) for _ in range(3)]
    assert a.step == 3
    for one in masks:
        np.testing.assert_array_equal(mask(b, x), one)
        assert abs((mask(other, x) == one).mean() - 0.5) < 0.1
    assert abs((masks[0] == masks[1]).mean() - 0.5) < 0.1
    b.forward(x)
    assert b.step == 3, "inference draws nothing"
    b.step = 1
    np.testing.assert_array_equal(mask(b, x), masks[1])
    other.key, other.step = a.key, 2
    np.testing.assert_array_equal(mask(other, x), masks[2])


def test_the_mask_depends_on_the_place_in_the_batch_and_on_nothing_else(x, isa, threads):
    masks = []
    for n in (1, 2, 3, 7):
        threads(n)
        masks.append(mask(nn.Dropout(0.5, seed=1), x))
        np.testing.assert_array_equal(
            mask(nn.Dropout(0.5, seed=1), -x[:7].astype(np.float64)), masks[0][:7]
        )
    for other in masks[1:]:
        np.testing.assert_array_equal(other, masks[0])


def test_the_same_mask_on_every_instruction_set(x):
    from cnet._core import _isa

    before, masks = _isa.active_isa(), []
    try:
        for name in _isa.available_isas():
            _isa.use_isa(name)
            masks.append(mask(nn.Dropout(0.5, seed=1), x))
    finally:
        _isa.use_isa(before)
    for other in masks[1:]:
        np.testing.assert_array_equal(other, masks[0])


def test_a_net_seeds_its_layers_each_differently(x):
    def make(seed):
        inner = nn.Sequential(nn.Tanh(), nn.Dropout(0.5))
        return nn.Sequential(
            nn.Dropout(0.5),
            nn.Dropout(0.5),
            inner,
            nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)),
            seed=seed,
        )

    def layers(model):
        return [module for module in model.modules() if isinstance(module, nn.Dropout)]

    a, b, other = make(3), make(3), make(None)
    assert len({layer.key for model in (a, other) for layer in layers(model)}) == 10
    assert [layer.key for layer in layers(a)] == [layer.key for layer in layers(b)]
    mine = nn.Dropout(0.5, seed=8)
    key = mine.key
    assert nn.Sequential(mine, seed=3)[0].key == key, "a layer that has a seed keeps it"
    inner = nn.Sequential(nn.Dropout(0.5))
    used = inner[0].key
    assert nn.Sequential(inner, seed=3)[0][0].key == used


def test_weights_do_not_depend_on_dropout():
    a = nn.Sequential(nn.Linear(5, 4), nn.Dropout(), nn.Linear(4, 3), seed=0)
    b = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), seed=0)
    np.testing.assert_array_equal(a[2].weight.data, b[2].weight.data)
    model = nn.Sequential(nn.Linear(300, 200), nn.Dropout(), nn.ReLU(), seed=0)
    assert model[0].weight.data.var() == pytest.approx(2 / 300, rel=0.03), (
        "the suggestion is looked for behind it"
    )


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_a_copy_goes_on_with_the_masks_that_would_have_come(duplicate, x):
    layer = nn.Dropout(0.5, seed=0)
    mask(layer, x)
    size = len(pickle.dumps(layer))
    assert size < 500
    twin = duplicate(layer)
    np.testing.assert_array_equal(mask(twin, x), mask(layer, x))
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        duplicate(layer).backward(x)


def test_images_with_channels_last(rng):
    x = 1 + rng.random((3, 4, 5, 6)).astype(np.float32)
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    layer = nn.Dropout(0.5, seed=0)
    out = layer.forward(turned, training=True)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(layer.backward(x), np.where(out == 0, 0, 2 * x))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), "0.5", None])
def test_settings_are_checked(p):
    with pytest.raises(ValueError, match=r"p is .*, expected a number from 0 to 1"):
        nn.Dropout(p)
    with pytest.raises((TypeError, ValueError), match="seed is"):
        nn.Dropout(0.5, seed=-1)


def test_gradients_of_another_shape_are_rejected(x):
    layer = nn.Dropout(0.5)
    layer.forward(x, training=True)
    with pytest.raises(ValueError, match=r"got a gradient of shape \(4, 5\), expected \(40, 50\)"):
        layer.backward(np.ones((4, 5)))


def test_training_gives_the_same_bits_for_the_same_seed_and_any_number_of_threads(
    rng, threads, tmp_path
):
    x, y = rng.standard_normal((300, 8)).astype(np.float32), rng.integers(0, 3, 300)
    weights = []
    for n, seed in ((1, 0), (2, 0), (3, 0), (1, 1)):
        threads(n)
        model = nn.Sequential(
            nn.Linear(8, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, 3), seed=seed
        )
        trainer = cnet.Trainer(
            model, nn.CrossEntropyLoss(), cnet.optim.SGD(model.parameters(), lr=0.1)
        )
        trainer.fit(x, y, epochs=2, seed=0, verbose=False)
        weights.append(model[0].weight.data)
    np.testing.assert_array_equal(weights[1], weights[0])
    np.testing.assert_array_equal(weights[2], weights[0])
    assert not np.array_equal(weights[3], weights[0])
    model.save(tmp_path / "m.safetensors")
    assert repr(cnet.load(tmp_path / "m.safetensors")) == repr(model)
