"""Sizes and settings of layers, parameters and state."""

import numpy as np
import pytest
from small_nets import assert_same, net, weights

from cnet import nn


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
            "the state has extra, which this model does not have; it has 0.weight, 0.bias, "
            "2.weight, 2.bias",
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
