"""Networks without training: initial weights, and inference."""

import warnings

import numpy as np
import pytest
from small_nets import assert_same, each_layer, net, weights

from cnet import nn

# Seeds and initial values


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    a, b, other = net(5, 4, 3, seed=7), net(5, 4, 3, seed=7), net(5, 4, 3, seed=8)
    assert_same(a, b)
    assert not np.array_equal(a[0].weight.data, other[0].weight.data)
    assert not np.array_equal(a[0].weight.data.ravel()[:12], a[2].weight.data.ravel()[:12])


def test_without_a_seed_no_two_nets_are_alike():
    assert not np.array_equal(net(5, 4)[0].weight.data, net(5, 4)[0].weight.data)
    assert not np.array_equal(nn.Linear(5, 4).weight.data, nn.Linear(5, 4).weight.data)


def test_weights_do_not_depend_on_layers_without_parameters_being_of_another_kind():
    a = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3), seed=0)
    b = nn.Sequential(nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 3), seed=0)
    assert_same(a, b)


def test_the_same_seed_gives_the_same_numbers_in_both_dtypes():
    a, b = net(5, 4, 3, seed=7, dtype="float32"), net(5, 4, 3, seed=7, dtype="float64")
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y.astype(np.float32))


def test_layers_that_have_values_keep_them():
    first = nn.Linear(5, 4, seed=1)
    before = first.weight.data.copy()
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(4, 3), seed=2)
    np.testing.assert_array_equal(model[0].weight.data, before)
    assert_same(nn.Sequential(*model, seed=99), model)


def test_a_seed_reaches_into_nested_nets():
    def make(seed):
        inner = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 200))
        return nn.Sequential(nn.Sequential(inner), nn.Tanh(), nn.Linear(200, 3), seed=seed)

    assert_same(make(1), make(1))
    assert not np.array_equal(weights(make(1))[0], weights(make(None))[0])
    inner = make(1)[0][0]
    assert inner[0].weight.data.var() == pytest.approx(2 / 300, rel=0.03), (
        "as the network that it is in suggests"
    )
    assert inner[2].weight.data.var() == pytest.approx(2 / 400, rel=0.03)


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net(np.ones((1, 5))),
        lambda net: net.state_dict(),
        lambda net: net.load_state_dict(net.state_dict()),
    ],
)
def test_a_nested_net_that_was_used_keeps_its_weights(use):
    inner = net(5, 4, 3)
    use(inner)
    before = weights(inner)
    outer = nn.Sequential(inner, nn.ReLU(), seed=0)
    for got, expected in zip(weights(outer), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert_same(inner[:1], nn.Sequential(inner[0]))


def test_a_seed_of_a_layer_fills_it_at_once():
    assert not nn.Linear(5, 4).weight.initialized
    a, b = nn.Linear(5, 4, seed=3), nn.Linear(5, 4, seed=3)
    assert a.weight.initialized
    assert a.bias.initialized
    assert_same(a, b)


@pytest.mark.parametrize("seed", [-1, 1.5, "one"])
def test_bad_seeds_are_rejected(seed):
    for make in (
        lambda: nn.Sequential(nn.Linear(1, 1), seed=seed),
        lambda: nn.Linear(1, 1, seed=seed),
    ):
        with pytest.raises(
            (TypeError, ValueError), match=r"seed is .*, expected an integer of at least 0, or None"
        ):
            make()


@pytest.mark.parametrize(
    ("activation", "variance"),
    [
        (nn.ReLU, 2 / 300),
        (nn.LeakyReLU, 2 / 300),
        (nn.Tanh, 2 / 500),
        (nn.Sigmoid, 2 / 500),
        (nn.Softmax, 2 / 500),
        (nn.Identity, 2 / 500),
    ],
)
def test_default_initial_weights_suit_the_activation_behind_them(activation, variance):
    model = nn.Sequential(nn.Linear(300, 200), activation(), nn.Linear(200, 10), seed=0)
    w = model[0].weight.data
    assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
    assert w.var() == pytest.approx(variance, rel=0.03)
    assert np.abs(w).max() <= np.sqrt(3 * variance) * 1.0001
    assert model[2].weight.data.var() == pytest.approx(2 / 210, rel=0.1)
    assert (model[0].bias.data == 0).all()


def test_the_suggestion_is_looked_for_behind_layers_that_have_none_to_give():
    model = nn.Sequential(nn.Linear(300, 200), nn.Flatten(), nn.Identity(), nn.ReLU(), seed=0)
    assert model[0].weight.data.var() == pytest.approx(2 / 300, rel=0.03)
    model = nn.Sequential(nn.Linear(300, 200), nn.Linear(200, 200), nn.ReLU(), seed=0)
    assert model[0].weight.data.var() == pytest.approx(2 / 500, rel=0.03)


def test_a_layer_alone_is_filled_when_first_used():
    layer = nn.Linear(300, 200)
    assert layer(np.ones((1, 300))).shape == (1, 200)
    assert layer.weight.data.var() == pytest.approx(2 / 500, rel=0.03)
    assert (layer.bias.data == 0).all()


# Initializers


@pytest.mark.parametrize(
    ("initializer", "mean", "variance"),
    [
        ("zeros", 0, 0),
        ("ones", 1, 0),
        ("normal", 0, 0.01**2),
        ("uniform", 0, 1 / 12),
        ("xavier", 0, 2 / 500),
        ("HE", 0, 2 / 300),
        (nn.init.Normal(0.5, mean=2), 2, 0.25),
        (nn.init.Uniform(1, 3), 2, 4 / 12),
        (nn.init.He("normal"), 0, 2 / 300),
        (nn.init.Xavier("normal"), 0, 2 / 500),
        (nn.init.Zeros(), 0, 0),
    ],
    ids=str,
)
def test_initializers_by_name_and_as_objects(initializer, mean, variance):
    w = nn.Linear(300, 200, weight_init=initializer, seed=0).weight.data
    assert w.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / w.size) + 1e-12)
    assert w.var() == pytest.approx(variance, rel=0.03, abs=1e-12)


def test_a_given_initializer_takes_precedence_over_the_suggestion():
    model = nn.Sequential(
        nn.Linear(30, 20, weight_init="zeros", bias_init=nn.init.Uniform(1, 2)), nn.ReLU(), seed=0
    )
    assert (model[0].weight.data == 0).all()
    assert ((model[0].bias.data >= 1) & (model[0].bias.data < 2)).all()


@pytest.mark.parametrize(
    "initializer",
    ["kaiming", 3, nn.init.He, lambda shape, rng: np.zeros(shape)],
    ids=["name", "number", "class", "function"],
)
def test_unknown_initializers_are_rejected(initializer):
    with pytest.raises(
        ValueError,
        match=r"initializer is .*, expected one of 'zeros', 'ones', 'normal', 'uniform', 'xavier', "
        r"'he' or an nn\.init\.Initializer",
    ):
        nn.Linear(3, 2, weight_init=initializer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.init.Normal(-1), "std is -1"),
        (lambda: nn.init.Normal(mean=float("inf")), "mean is inf, expected a finite number"),
        (lambda: nn.init.Normal(float("nan")), "std is nan"),
        (lambda: nn.init.Uniform(2, 1), "low is 2 and high is 1"),
        (lambda: nn.init.He("cauchy"), "distribution is 'cauchy'"),
    ],
)
def test_settings_of_initializers_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Preset(nn.init.Initializer):
    def __init__(self, values):
        self.values = values

    def __call__(self, shape, rng):
        return self.values


def test_what_an_initializer_gives_is_copied():
    """Training updates parameters in place, and two layers may have one initializer."""
    values = np.ones((2, 2), np.float32)
    model = nn.Sequential(
        nn.Linear(2, 2, weight_init=Preset(values)),
        nn.Linear(2, 2, weight_init=Preset(values)),
        seed=0,
    )
    model[0].weight.data[...] = 5
    assert (values == 1).all()
    assert (model[1].weight.data == 1).all()


def test_an_initializer_that_gives_another_shape_is_rejected():
    with pytest.raises(
        ValueError, match=r"gave values of shape \(3, 2\), the parameter has \(2, 3\)"
    ):
        nn.Linear(2, 3, weight_init=Preset(np.ones((3, 2))), seed=0)


# Inference


@each_layer
def test_rows_do_not_depend_on_how_they_are_split(make, isa, rng):
    layer = make()
    x = rng.standard_normal((2600, 6)).astype(np.float32)
    whole = layer(x)
    assert whole.shape == x.shape
    for rows in (0, 1, 7, 1024, 1025, 2049):
        parts = layer(x[:rows]), layer(x[rows:])
        assert parts[0].shape == (rows, 6)
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(layer.forward(x), whole)


def test_no_rows(dtype):
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.Softmax(), dtype=dtype)
    out = model(np.zeros((0, 2, 3)))
    assert out.shape == (0, 3)
    assert out.dtype == dtype
    model.forward(np.zeros((0, 2, 3)), training=True)
    assert model.backward(np.zeros((0, 3))).shape == (0, 2, 3)
    assert (model[1].weight.grad == 0).all()


def test_inputs_of_other_shapes_are_rejected_with_a_hint():
    linear = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 4\), got \(n, 5\)$"):
        linear(np.ones((3, 5)))
    with pytest.raises(
        ValueError, match=r"got \(n, 2, 2\); put nn.Flatten\(\) before it, or reshape x to \(n, 4\)"
    ):
        linear(np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match=r"got \(n,\); for a single sample pass x\[None\]"):
        linear(np.ones(4))
    with pytest.raises(
        ValueError, match=r"got \(n,\); for samples of one number pass x\[:, None\]"
    ):
        nn.Linear(1, 2)(np.ones(4))
    with pytest.raises(
        ValueError, match="x is a single number, expected an array with one sample per row"
    ):
        linear(3.0)
    with pytest.raises(
        ValueError, match=r"Softmax\(\) takes input of shape \(n, 6\), got \(n, 2, 3\)"
    ):
        nn.Softmax()(np.ones((1, 2, 3)))


def test_nan_passes_through_a_net(dtype):
    """Inference is not guarded: a row with a NaN gives a row of NaN, and leaves the others
    alone.
    """
    model = net(4, 5, 3, activation=nn.Tanh, seed=0, dtype=dtype)
    x = np.ones((3, 4), dtype)
    x[1, 2] = np.nan
    out = model(x)
    assert np.isnan(out[1]).all()
    np.testing.assert_array_equal(out[::2], model(x[::2]))


def test_inputs_that_overflow_warn_as_numpy_does():
    model = net(2, 2, seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model(np.array([[1e300, 0]]))
    assert [str(w.message) for w in caught] == ["overflow encountered in cast"]
