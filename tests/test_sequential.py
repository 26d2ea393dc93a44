"""Networks as lists of layers, their dtypes, and copies."""

import copy
import pickle

import numpy as np
import pytest
from small_nets import each_layer, net

from cnet import nn

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
def test_what_is_no_layer_is_rejected(layers, error, message):
    with pytest.raises(error, match=message):
        nn.Sequential(*layers)


def test_a_layer_that_appears_twice_is_rejected_also_within_a_nested_net():
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


def test_mixed_dtypes_are_rejected():
    layers = nn.Linear(3, 2), nn.Linear(2, 2, dtype="float64")
    with pytest.raises(
        ValueError,
        match=r"layers have different dtypes \(float32, float64\): give Sequential the dtype that "
        r"all shall have",
    ):
        nn.Sequential(*layers)
    assert nn.Sequential(*layers, dtype="float32").dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "int64", int, "nonsense", ">f4", None])
def test_other_dtypes_are_rejected(dtype):
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
