"""Layers, networks, parameters and initializers, without training."""

import copy
import itertools
import pickle
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from cnet import nn

LAYERS = {
    "linear": lambda: nn.Linear(6, 6, seed=3),
    "no bias": lambda: nn.Linear(6, 6, bias=False, seed=3),
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softmax": nn.Softmax,
    "elu": lambda: nn.ELU(0.5),
    "gelu": nn.GELU,
    "gelu tanh": lambda: nn.GELU("tanh"),
    "layer norm": lambda: nn.LayerNorm(6),
    "layer norm alone": lambda: nn.LayerNorm(6, eps=1e-3, elementwise_affine=False),
    "flatten": nn.Flatten,
    "identity": nn.Identity,
    "nested": lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6), seed=3),
}

each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def net(*sizes, activation=nn.ReLU, **settings):
    layers = [
        layer
        for n_in, n_out in itertools.pairwise(sizes)
        for layer in (nn.Linear(n_in, n_out), activation())
    ]
    return nn.Sequential(*layers[:-1], **settings)


def weights(model):
    return [parameter.data.copy() for parameter in model.parameters()]


def assert_same(a, b):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


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
def test_bad_seeds_are_refused(seed):
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


# Initialisers


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
def test_unknown_initializers_are_refused(initializer):
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


def test_an_initializer_that_gives_another_shape_is_refused():
    with pytest.raises(
        ValueError, match=r"gave values of shape \(3, 2\), the parameter has \(2, 3\)"
    ):
        nn.Linear(2, 3, weight_init=Preset(np.ones((3, 2))), seed=0)


# Sequential


def test_a_list_of_layers_is_the_same_net():
    layers = [nn.Linear(5, 4, seed=0), nn.ReLU()]
    assert (
        list(nn.Sequential(layers))
        == layers
        == list(nn.Sequential(*layers))
        == list(nn.Sequential(tuple(layers)))
    )


def test_layers_by_index_and_slice():
    model = net(5, 4, 3, 2, seed=0)
    x = np.ones((2, 5), np.float32)
    assert len(model) == 5
    assert model[-1] is model.layers[4]
    head, tail = model[:2], model[2:]
    assert isinstance(head, nn.Sequential)
    assert head[0] is model[0]
    np.testing.assert_array_equal(tail(head(x)), model(x))
    with pytest.raises(IndexError):
        model[5]
    with pytest.raises(ValueError, match="Sequential has no layers"):
        model[5:]


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ((), ValueError, "no layers, expected at least one"),
        (([],), ValueError, "no layers, expected at least one"),
        (
            (nn.Linear(2, 2), 3),
            TypeError,
            r"layer 1 is 3, expected a layer such as nn\.Linear\(784, 10\)",
        ),
        ((nn.ReLU,), TypeError, "layer 0 is .*ReLU.*: construct it"),
        ((nn.Linear(2, 2), nn.MSELoss()), TypeError, r"layer 1 is MSELoss\(\), expected a layer"),
        (([nn.ReLU()], nn.ReLU()), TypeError, "layer 0 is "),
    ],
)
def test_what_is_no_layer_is_refused(layers, error, message):
    with pytest.raises(error, match=message):
        nn.Sequential(*layers)


def test_a_layer_that_appears_twice_is_refused_also_within_a_nested_net():
    relu = nn.ReLU()
    with pytest.raises(ValueError, match="a layer appears twice"):
        nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu)
    with pytest.raises(ValueError, match="a layer appears twice"):
        nn.Sequential(nn.Linear(2, 2), relu, nn.Sequential(nn.Linear(2, 2), relu))


def test_shapes_that_do_not_match_are_found_at_construction():
    with pytest.raises(
        ValueError,
        match=r"layer 2: Linear\(in_features=5, out_features=3\) takes input of shape \(n, 5\), "
        r"got \(n, 4\)$",
    ):
        nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"layer 1: Linear\(in_features=9"):
        nn.Sequential(nn.Linear(6, 4), nn.Sequential(nn.ReLU(), nn.Linear(9, 3)))


def test_a_net_that_cannot_be_leaves_its_layers_alone():
    layer = nn.Linear(6, 4, seed=0)
    with pytest.raises(ValueError, match="layer 1"):
        nn.Sequential(layer, nn.Linear(5, 3), dtype="float64")
    assert layer.weight.dtype == np.float32


def test_the_dtype_of_a_net():
    assert net(3, 2).dtype == np.float32
    assert net(3, 2, dtype="float64").dtype == np.float64
    assert net(3, 2, dtype="float64")(np.ones((1, 3), np.float32)).dtype == np.float64
    assert nn.Sequential(nn.Linear(3, 2, dtype=np.float64)).dtype == np.float64
    layer = nn.Linear(3, 2, seed=0)
    before = layer.weight.data.copy()
    assert nn.Sequential(layer, dtype="float64")[0].weight.data.dtype == np.float64
    np.testing.assert_array_equal(layer.weight.data, before)


def test_mixed_dtypes_are_refused():
    layers = nn.Linear(3, 2), nn.Linear(2, 2, dtype="float64")
    with pytest.raises(
        ValueError,
        match=r"layers have different dtypes \(float32, float64\): give Sequential the dtype that "
        r"all shall have",
    ):
        nn.Sequential(*layers)
    assert nn.Sequential(*layers, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "int64", int, "nonsense", ">f4", None])
def test_other_dtypes_are_refused(dtype):
    makers = [lambda: nn.Linear(3, 2, dtype=dtype), lambda: nn.Parameter((3,), dtype)]
    if dtype is not None:  # which keeps the dtype of the layers
        makers += [
            lambda: nn.Sequential(nn.Linear(3, 2), dtype=dtype),
            lambda: nn.Sequential(nn.ReLU(), dtype=dtype),
        ]
    for make in makers:
        with pytest.raises(ValueError, match=r"dtype is .*, expected 'float32' or 'float64'"):
            make()


@pytest.mark.parametrize(
    "make",
    [nn.ReLU, nn.Softmax, nn.Identity, nn.Flatten, lambda: nn.Sequential(nn.Tanh(), nn.Identity())],
)
def test_what_has_no_parameters_works_in_the_dtype_of_its_input(make):
    for given, expected in (
        ("f4", "f4"),
        ("f8", "f8"),
        (">f8", "f8"),
        ("f2", "f4"),
        ("i4", "f4"),
        ("u1", "f4"),
    ):
        for rows in (1, 1500):
            x = np.ones((rows, 3), given)
            assert make()(x).dtype == np.dtype(expected)
            assert make().forward(x).dtype == np.dtype(expected)


# Parameters and state


@pytest.mark.parametrize("size", [0, -1])
def test_sizes_are_checked(size):
    with pytest.raises(
        ValueError, match=f"in_features is {size}, expected an integer of at least 1"
    ):
        nn.Linear(size, 2)
    with pytest.raises(
        ValueError, match=f"out_features is {size}, expected an integer of at least 1"
    ):
        nn.Linear(2, size)


@pytest.mark.parametrize("size", [2.0, "2", None])
def test_sizes_are_integers(size):
    with pytest.raises(TypeError, match=r"in_features is .*, expected an integer of at least 1"):
        nn.Linear(size, 2)


@pytest.mark.parametrize(
    "slope",
    [
        -0.1,
        float("inf"),
        float("nan"),
        pytest.param(10**400, id="10**400"),
        1e39,
        "0.1",
        None,
    ],
)
def test_slopes_are_checked(slope):
    with pytest.raises(
        ValueError, match=r"negative_slope is .*, expected a finite number of at least 0"
    ):
        nn.LeakyReLU(slope)


def test_numpy_numbers_will_do():
    assert nn.Linear(np.int32(3), np.uint8(2)).config() == {"in_features": 3, "out_features": 2}
    assert nn.LeakyReLU(np.float32(0.5)).config() == {"negative_slope": 0.5}


def test_a_parameter():
    parameter = nn.Parameter((np.int64(2), 3), np.float64)
    assert parameter.shape == (2, 3)
    assert parameter.size == 6
    assert parameter.dtype == np.dtype(np.float64)
    assert parameter.grad is None
    assert not parameter.initialized
    assert repr(parameter) == "Parameter(shape=(2, 3), dtype=float64)"
    assert nn.Parameter((4,)).dtype == np.float32
    parameter.data = np.arange(6).reshape(3, 2).T
    np.testing.assert_array_equal(parameter.data, [[0, 2, 4], [1, 3, 5]])
    assert parameter.data.flags.c_contiguous
    values = parameter.data
    parameter.data = np.zeros((2, 3))
    assert parameter.data is values, "optimizers and users hold on to the array"
    with pytest.raises(ValueError, match=r"the values have shape \(3, 2\), the parameter \(2, 3\)"):
        parameter.data = np.zeros((3, 2))
    with pytest.raises(TypeError, match="data has dtype complex128"):
        parameter.data = np.zeros((2, 3), complex)


def test_state_has_pytorchs_names_and_shapes():
    model = nn.Sequential(
        nn.Linear(5, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 3, bias=False), nn.Tanh()), seed=0
    )
    state = model.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "0.weight": (4, 5),
        "0.bias": (4,),
        "2.0.weight": (3, 4),
    }
    np.testing.assert_array_equal(state["0.weight"].T, model[0].weight.data)
    assert all(value.flags.c_contiguous for value in state.values())
    assert [name for name, _ in model.named_parameters()] == list(state)


def test_the_state_is_a_copy():
    model = net(5, 4, seed=0)
    state = model.state_dict()
    state["0.weight"][...] = 7
    assert not (model[0].weight.data == 7).any()
    model.load_state_dict(state)
    state["0.weight"][...] = 8
    assert (model[0].weight.data == 7).all()


def test_state_round_trip():
    a, b = net(5, 4, 3, seed=0), net(5, 4, 3, seed=1)
    assert b.load_state_dict(a.state_dict()) is b
    assert_same(a, b)
    c = net(5, 4, 3, dtype="float64")
    c.load_state_dict(a.state_dict())
    assert_same(a, c)
    c.load_state_dict({name: value.tolist() for name, value in a.state_dict().items()})
    assert_same(a, c)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda s: s.pop("2.bias"),
            KeyError,
            "the state has no 2.bias; it has 0.weight, 0.bias, 2.weight",
        ),
        (
            lambda s: s.update(extra=1),
            KeyError,
            "the state has extra, which this model has not; it has 0.weight, 0.bias, 2.weight, "
            "2.bias",
        ),
        (
            lambda s: s.update({"2.weight": s["2.weight"].T}),
            ValueError,
            r"2.weight has shape \(4, 3\) in the state, expected \(3, 4\)",
        ),
        (
            lambda s: s.update({"2.bias": s["2.bias"][:1]}),
            ValueError,
            r"2.bias has shape \(1,\) in the state, expected \(3,\)",
        ),
        (
            lambda s: s.update({"2.bias": 1.0}),
            ValueError,
            r"2.bias has shape \(\) in the state, expected \(3,\)",
        ),
        (
            lambda s: s.update({"2.bias": ["a", "b", "c"]}),
            TypeError,
            "2.bias has dtype <U1, expected real numbers",
        ),
        (lambda s: s.update({"2.bias": s["2.bias"] * 1j}), TypeError, "2.bias has dtype complex64"),
        (lambda s: s.clear(), KeyError, "it has nothing"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, message):
    model = net(5, 4, 3, seed=0)
    before = weights(model)
    state = net(5, 4, 3, seed=1).state_dict()
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    for got, expected in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(got, expected)


# Text


def table(capsys):
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line.rstrip()) for line in lines[:-1]}) == 1, "columns are aligned"
    return [line.rsplit(maxsplit=2 if "(n" not in line else 3) for line in lines[2:-2]], lines[-1]


def test_summary_shows_nested_layers_under_their_names_in_the_state(capsys):
    nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Sequential(nn.Linear(128, 10, bias=False), nn.Softmax())
    ).summary()
    rows, total = table(capsys)
    assert [row[0].split()[0] for row in rows] == ["0", "1", "2.0", "2.1"]
    assert [(row[1] + row[2], row[3]) for row in rows] == [
        ("(n,128)", "100,480"),
        ("(n,128)", "0"),
        ("(n,10)", "1,280"),
        ("(n,10)", "0"),
    ]
    assert total == "total: 101,760 parameters, 407.0 kB as float32"


def test_summary_of_a_net_whose_input_shape_is_not_known(capsys):
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    model.summary()
    rows, total = table(capsys)
    assert [row[1:] for row in rows] == [["?", "0"], ["?", "0"]]
    assert total == "total: 0 parameters, 0.0 kB as float32"
    nn.Sequential(nn.Flatten(), nn.Linear(784, 10, dtype="float64")).summary((28, 28))
    rows, total = table(capsys)
    assert rows[0][1] + rows[0][2] == "(n,784)"
    assert total == "total: 7,850 parameters, 62.8 kB as float64"
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 784\), got \(n, 756\)"):
        nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).summary((28, 27))


def test_summary_of_a_layer_alone(capsys):
    nn.Linear(3, 2).summary()
    rows, _ = table(capsys)
    assert rows[0][0].startswith("0 Linear")


def test_notebooks_show_a_table():
    class Strange(nn.Module):
        def __repr__(self):
            return "<script>alert('&')</script>"

    table = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Flatten(),
        Strange(),
        nn.Heads(digit=nn.Linear(72, 10), parity=nn.Linear(72, 2)),
        seed=0,
    )._repr_html_()
    rows = [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(table).iter("tr")
    ]  # well-formed, and so escaped
    assert rows == [
        ["layer", "output", "parameters"],
        ["0 Conv2d(in_channels=1, out_channels=2, kernel_size=3)", "?", "20"],
        ["1 Flatten()", "?", "0"],
        ["2 <script>alert('&')</script>", "(n, 72)", "0"],
        ["3.digit Linear(in_features=72, out_features=10)", "(n, 10)", "730"],
        ["3.parity Linear(in_features=72, out_features=2)", "(n, 2)", "146"],
    ]
    assert "<script" not in table
    assert "<caption>total: 896 parameters, 3.6 kB as float32</caption>" in table
    assert nn.Linear(3, 2)._repr_html_().count("<tr>") == 2


def test_repr():
    assert repr(nn.Linear(3, 2)) == "Linear(in_features=3, out_features=2)"
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.LeakyReLU(0.25)) == "LeakyReLU(negative_slope=0.25)"
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(nn.init.He()) == "He(distribution='uniform')"
    assert (
        repr(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())))
        == "Sequential(\n  (0): ReLU()\n  (1): Sequential(\n    (0): Tanh()\n  )\n)"
    )


# Forward and backward manually


@each_layer
def test_backward_before_forward_is_an_error(make, rng):
    layer = make()
    x = rng.standard_normal((4, 6)).astype(np.float32)
    if isinstance(layer, nn.Identity):
        return  # which needs to keep nothing
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        layer.backward(x)
    layer.forward(x)
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        layer.backward(x)
    layer.forward(x, training=True)
    assert layer.backward(x).shape == x.shape


ELEMENT_LOSSES = (
    nn.MSELoss,
    nn.L1Loss,
    nn.HuberLoss,
    nn.QuantileLoss,
    nn.PoissonNLLLoss,
    nn.BCEWithLogitsLoss,
)
LOSSES = [
    nn.CrossEntropyLoss(),
    nn.CrossEntropyLoss(label_smoothing=0.1),
    nn.NLLLoss(),
    *(loss() for loss in ELEMENT_LOSSES),
]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_backward_of_a_loss_before_forward_is_an_error(loss):
    with pytest.raises(RuntimeError, match=r"call forward\(output, target\) before backward\(\)"):
        loss.backward()


@each_layer
def test_gradients_of_another_shape_are_refused(make, rng):
    layer = make()
    if isinstance(layer, nn.Identity | nn.Flatten):
        return
    layer.forward(rng.standard_normal((4, 6)), training=True)
    for shape in [(4, 5), (3, 6), (6, 4), (24,), (4, 6, 1)]:
        with pytest.raises(
            ValueError, match=re.escape(f"got a gradient of shape {shape}, expected (4, 6)")
        ):
            layer.backward(np.ones(shape))


@each_layer
def test_training_does_not_change_what_forward_gives(make, rng):
    layer = make()
    x = rng.standard_normal((4, 6)).astype(np.float32)
    np.testing.assert_array_equal(layer.forward(x, training=True), layer.forward(x))


@each_layer
def test_gradients_may_be_of_any_layout(make, rng):
    layer = make()
    layer.forward(rng.standard_normal((4, 6)).astype(np.float32), training=True)
    grad = rng.integers(-3, 4, (4, 6)).astype(np.float32)
    expected = layer.backward(grad)
    read_only = grad.copy()
    read_only.flags.writeable = False
    for other in (
        np.asfortranarray(grad),
        grad[::-1].copy()[::-1],
        grad.astype(">f4"),
        grad.astype("i8"),
        grad.tolist(),
        read_only,
    ):
        np.testing.assert_array_equal(layer.backward(other), expected)
    positive = np.abs(grad)
    np.testing.assert_array_equal(
        layer.backward(positive.astype(np.uint8)),
        layer.backward(positive),
        "gradients are no 8-bit grayscale values",
    )


def test_outputs_of_a_loss_are_no_gray_levels():
    output, target = np.array([[200], [3]], np.uint8), [[1.0], [1.0]]
    assert nn.MSELoss().forward(output, target) == nn.MSELoss().forward(
        output.astype(np.float32), target
    )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_losses_of_no_rows(loss, dtype):
    output = np.zeros((0, 3), dtype)
    target = output if isinstance(loss, ELEMENT_LOSSES) else np.zeros(0, int)
    assert loss.forward(output, target) == 0
    assert loss.backward().shape == (0, 3)
    assert loss.forward_backward(output, target)[1].shape == (0, 3)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_forward_backward_gives_the_bits_of_forward_and_backward(loss, isa, dtype, rng):
    output = rng.random((9, 4)).astype(dtype)
    target = (
        rng.random((9, 4)).astype(dtype)
        if isinstance(loss, ELEMENT_LOSSES)
        else rng.integers(0, 4, 9)
    )
    value, grad = loss.forward_backward(output, target)
    assert loss.forward(output, target) == value
    np.testing.assert_array_equal(loss.backward(), grad)


def test_mean_squared_error_of_rows_of_any_shape(rng):
    output, target = rng.random((2, 3, 4, 5)), rng.random((2, 3, 4, 5))
    loss = nn.MSELoss()
    assert loss.forward(output, target) == pytest.approx(((output - target) ** 2).mean())
    np.testing.assert_allclose(loss.backward(), 2 * (output - target) / output.size)
    with pytest.raises(ValueError, match=r"y has shape \(\), expected \(n,\)"):
        loss.forward(np.zeros(3), 1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.HuberLoss(0), "delta is 0, expected a finite number above 0"),
        (lambda: nn.QuantileLoss(1), "quantile is 1, expected a number above 0 and below 1"),
        (lambda: nn.PoissonNLLLoss(eps=-1), "eps is -1"),
        (
            lambda: nn.CrossEntropyLoss(label_smoothing=1.5),
            "label_smoothing is 1.5, expected a number from 0 to 1",
        ),
        (
            lambda: nn.CrossEntropyLoss([1, -1]),
            r"weight is \[1, -1\], expected a finite number of at least 0 for each class",
        ),
        (
            lambda: nn.CrossEntropyLoss([1, 2]).forward(np.zeros((1, 3)), [0]),
            "weight has 2 numbers, but the model has 3 outputs",
        ),
        (
            lambda: nn.PoissonNLLLoss().forward([[1.0]], [-1]),
            "y holds -1.0: targets of PoissonNLLLoss are at least 0",
        ),
        (
            lambda: nn.BCEWithLogitsLoss().forward([[1.0]], [2]),
            "y holds 2.0: targets of BCEWithLogitsLoss are from 0 to 1",
        ),
    ],
)
def test_settings_and_targets_out_of_bounds_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_batch_whose_classes_have_no_weight_teaches_nothing():
    loss, grad = nn.CrossEntropyLoss([0, 1]).forward_backward(np.array([[1.0, 2.0]]), np.array([0]))
    assert loss == 0
    np.testing.assert_array_equal(grad, 0)


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


def test_inputs_of_other_shapes_are_refused_with_a_hint():
    linear = nn.Linear(4, 2)
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 4\), got \(n, 5\)$"):
        linear(np.ones((3, 5)))
    with pytest.raises(
        ValueError, match=r"got \(n, 2, 2\); put nn.Flatten\(\) before it, or reshape x to \(n, 4\)"
    ):
        linear(np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match=r"got \(n,\); for a single row pass x\[None\]"):
        linear(np.ones(4))
    with pytest.raises(ValueError, match=r"got \(n,\); for rows of one number pass x\[:, None\]"):
        nn.Linear(1, 2)(np.ones(4))
    with pytest.raises(
        ValueError, match="x is a single number, expected an array with one row per example"
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


# Copies


@each_layer
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_compute_the_same_and_leave_the_training_batch_behind(make, duplicate, rng):
    layer = make()
    x = rng.standard_normal((50, 6)).astype(np.float32)
    layer(x)
    size = len(pickle.dumps(layer))
    layer.forward(x, training=True)
    assert len(pickle.dumps(layer)) == size, "a pickle holds no data that the model was trained on"
    twin = duplicate(layer)
    np.testing.assert_array_equal(twin(x), layer(x))
    assert repr(twin) == repr(layer)
    twin.forward(x, training=True)
    layer.forward(x, training=True)
    np.testing.assert_array_equal(twin.backward(x), layer.backward(x))


def test_a_deep_copy_has_weights_of_its_own():
    model = net(5, 4, seed=0)
    twin = copy.deepcopy(model)
    twin[0].weight.data[...] = 0
    assert (model[0].weight.data != 0).all()


def test_inputs_that_overflow_warn_as_numpy_does():
    model = net(2, 2, seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model(np.array([[1e300, 0]]))
    assert [str(w.message) for w in caught] == ["overflow encountered in cast"]


# Layers that users write


class Scale(nn.Module):
    """A layer with its own parameter."""

    def __init__(self, width):
        self.factor = nn.Parameter((width,), initializer=nn.init.Uniform(1, 2))

    def forward(self, x, training=False):
        if training:
            self.x = x
        return x * self.factor.data

    def backward(self, grad):
        self.factor.grad = (grad * self.x).sum(axis=0)
        return grad * self.factor.data


class Residual(nn.Module):
    """A layer made of layers."""

    def __init__(self, width):
        self.body = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.scale = Scale(width)

    def forward(self, x, training=False):
        return x + self.scale.forward(self.body.forward(x, training), training)

    def backward(self, grad):
        return grad + self.body.backward(self.scale.backward(grad))


def test_parameters_of_layers_in_layers_are_found():
    model = nn.Sequential(nn.Linear(4, 3), Residual(3), seed=0)
    names = ["0.weight", "0.bias", "1.body.0.weight", "1.body.0.bias", "1.scale.factor"]
    assert list(model.state_dict()) == names
    twin = nn.Sequential(nn.Linear(4, 3), Residual(3), seed=1)
    twin.load_state_dict(model.state_dict())
    assert_same(model, twin)
    assert nn.Sequential(Residual(3), dtype="float64").dtype == np.float64
    shared = nn.Tanh()
    residual = Residual(3)
    residual.body = shared
    with pytest.raises(ValueError, match="a layer appears twice"):
        nn.Sequential(shared, residual)


def test_gradients_through_layers_that_users_write(rng):
    from test_gradients import check_module

    model = nn.Sequential(nn.Linear(4, 3), Residual(3), nn.Linear(3, 2), seed=0, dtype="float64")
    check_module(
        model, nn.CrossEntropyLoss(), rng.standard_normal((5, 4)), np.array([0, 1, 1, 0, 1]), rng
    )


def test_what_a_module_must_define():
    module = nn.Module()
    with pytest.raises(TypeError, match=r"Module does not define forward\(x, training=False\)"):
        module(np.ones((1, 1)))
    with pytest.raises(TypeError, match=r"Module does not define backward\(grad\)"):
        module.backward(np.ones((1, 1)))
    with pytest.raises(TypeError, match=r"Loss does not define forward\(output, target\)"):
        nn.Loss().forward([1], [1])
    with pytest.raises(TypeError, match=r"Loss does not define backward\(\)"):
        nn.Loss().backward()
    with pytest.raises(TypeError, match="Initializer does not define __call__"):
        nn.init.Initializer()((1,), np.random.default_rng())
