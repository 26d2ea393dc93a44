"""Layers of images: convolution and pooling, and what other layers do with channels last in
memory.
"""

import copy
import pickle
import re
import tracemalloc

import numpy as np
import pytest
from test_gradients import check_module

import cnet
from cnet import nn

LAYERS = {
    "conv": lambda: nn.Conv2d(3, 4, 3, seed=3),
    "conv with everything": lambda: nn.Conv2d(
        3, 17, (2, 3), stride=(1, 2), padding=(0, 1), bias=False, seed=3
    ),
    "max pool": lambda: nn.MaxPool2d(2),
    "max pool with everything": lambda: nn.MaxPool2d((3, 2), stride=(1, 2), padding=1),
    "avg pool": lambda: nn.AvgPool2d((2, 3), padding=(1, 0)),
    "relu": nn.ReLU,
    "nested": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 3, 1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        seed=3,
    ),
    "flatten": nn.Flatten,
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


@pytest.fixture
def x(rng):
    return rng.standard_normal((5, 3, 8, 7)).astype(np.float32)


def last(a):
    """The same array with channels last in memory."""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def is_last(a):
    return a.transpose(0, 2, 3, 1).flags.c_contiguous


def small_cnn(**settings):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 2, padding=1),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
        **settings,
    )


@each_layer
def test_any_layout_in_gives_the_same(make, x, rng):
    layer = make()
    out = layer.forward(x, training=True)
    grad = rng.integers(-3, 4, out.shape).astype(np.float32)
    expected = layer.backward(grad)
    assert expected.shape == x.shape
    assert out.shape == (len(x), *layer.output_shape(x.shape[1:]))
    turned = (
        [last, np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a[::-1].copy()[::-1]]
        if out.ndim == 4
        else [np.asfortranarray]
    )
    for turn in (
        last,
        np.asfortranarray,
        lambda a: a.astype(">f4"),
        lambda a: a[::-1].copy()[::-1],
    ):
        np.testing.assert_array_equal(layer.forward(turn(x), training=True), out)
        for turn_grad in turned:
            np.testing.assert_array_equal(layer.backward(turn_grad(grad)), expected)
    for values in (grad.tolist(), grad.astype(np.int8), grad.astype(np.float64)):
        np.testing.assert_array_equal(layer.backward(values), expected)


@each_layer
def test_inputs_are_not_changed_and_not_needed_later(make, x):
    layer = make()
    before = x.copy()
    grad = layer.backward(layer.forward(x, training=True).copy()).copy()
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(
        layer.backward(layer.forward(last(x), training=True).copy()), grad
    )


def test_images_stay_channels_last_from_layer_to_layer(x):
    for layer in (nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AvgPool2d(2)):
        assert is_last(layer(x))
    for layer in (nn.ReLU(), nn.Tanh()):
        assert layer.forward(x, training=True).flags.c_contiguous
        out = layer.forward(last(x), training=True)
        assert is_last(out)
        assert is_last(layer.backward(out))
        assert is_last(layer.backward(np.ascontiguousarray(out)))
    assert nn.Flatten()(last(x)).flags.c_contiguous
    np.testing.assert_array_equal(nn.Flatten()(last(x)), x.reshape(5, -1))


def test_images_of_one_channel_are_not_copied(rng):
    layer = nn.Conv2d(1, 2, 3)
    x = rng.standard_normal((2, 1, 5, 5)).astype(np.float32)
    layer.forward(x, training=True)
    assert np.shares_memory(layer._x, x)


def test_uint8_is_numbers_like_any_other(x):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 7), np.uint8)
    for make in (LAYERS["conv"], LAYERS["max pool"]):
        np.testing.assert_array_equal(make()(pixels), make()(pixels.astype(np.float32)))


@each_layer
def test_rows_do_not_depend_on_how_they_are_split(make, isa, rng):
    layer = make()
    x = rng.standard_normal((1100, 3, 8, 7)).astype(np.float32)
    whole = layer(x)
    for rows in (0, 1, 7, 1024):
        np.testing.assert_array_equal(np.concatenate([layer(x[:rows]), layer(x[rows:])]), whole)
    np.testing.assert_array_equal(layer.forward(x, training=True), whole)


@pytest.mark.parametrize("rows", [1, 8, 33])
def test_same_bits_for_any_number_of_threads(rows, isa, dtype, rng, threads):
    x, grad = rng.standard_normal((rows, 2, 9, 9)), rng.standard_normal((rows, 3))
    results = []
    for n in (1, 2, 3, 7):
        threads(n)
        model = small_cnn(seed=1, dtype=dtype)
        results.append(
            [
                model.forward(x, training=True),
                model.backward(grad),
                *(parameter.grad for parameter in model.parameters()),
            ]
        )
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_gradients_through_a_net(isa, rng):
    smooth = nn.Tanh(), nn.AvgPool2d(2)  # finite differences mean nothing at a kink
    layers = (
        nn.Conv2d(2, 6, 3),
        *smooth,
        nn.Conv2d(6, 4, 2, padding=1, bias=False),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    model = nn.Sequential(*layers, seed=1, dtype="float64")
    check_module(
        model, nn.CrossEntropyLoss(), rng.standard_normal((4, 2, 9, 9)), np.array([0, 2, 1, 1]), rng
    )


def test_no_images():
    model = small_cnn(seed=0)
    assert model(np.zeros((0, 2, 9, 9))).shape == (0, 3)
    model.forward(np.zeros((0, 2, 9, 9)), training=True)
    assert model.backward(np.zeros((0, 3))).shape == (0, 2, 9, 9)
    assert all((parameter.grad == 0).all() for parameter in model.parameters())


def test_nan_stays_where_it_is(x):
    x[1, 0, 3, 3] = np.nan
    for make in (LAYERS["conv"], LAYERS["max pool"], LAYERS["avg pool"]):
        out = make()(x)
        assert np.isnan(out[1]).any()
        assert not np.isnan(out[[0, 2, 3, 4]]).any()
    x[1, 0] = np.inf
    x[1, 0, 3, 3] = np.nan
    for layer in (nn.MaxPool2d(8, padding=4), nn.MaxPool2d(5, stride=1)):
        out = layer(x)[1, 0]
        assert np.isnan(out).any()
    assert (nn.MaxPool2d(2)(np.full((1, 1, 2, 2), -np.inf)) == -np.inf).all()


def test_memory_is_not_spent_on_an_unfolded_batch(rng):
    x = rng.standard_normal((64, 32, 28, 28)).astype(np.float32)
    layer = nn.Conv2d(32, 8, 3, padding=1, seed=0)
    layer.forward(x, training=True)
    kept = x.nbytes
    tracemalloc.start()
    layer.backward(layer.forward(x, training=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * kept


# Shapes


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.Conv2d(3, 4, 3),
            (2, 8, 8),
            r"Conv2d\(in_channels=3, .*\) takes images of shape \(n, 3, height, width\), got "
            r"\(n, 2, 8, 8\)$",
        ),
        (
            nn.Conv2d(1, 4, 3),
            (28, 28),
            r"got \(n, 28, 28\); for images of one channel pass x\[:, None\]",
        ),
        (nn.Conv2d(1, 4, 3), (784,), r"got \(n, 784\); reshape x to images"),
        (
            nn.Conv2d(3, 4, 3),
            (8, 8, 3),
            r"got \(n, 8, 8, 3\); channels come first: pass x\.transpose\(0, 3, 1, 2\)",
        ),
        (nn.Conv2d(3, 4, 3), (), r"got \(n,\)$"),
        (
            nn.Conv2d(3, 4, (3, 5), padding=(1, 0)),
            (3, 2, 4),
            r"takes images of at least 1 x 5 pixels, got 2 x 4",
        ),
        (
            nn.MaxPool2d(2),
            (784,),
            r"MaxPool2d\(kernel_size=2\) takes images of shape \(n, channels, height, "
            r"width\), got \(n, 784\)",
        ),
        (nn.AvgPool2d(3), (1, 2, 2), "takes images of at least 3 x 3 pixels, got 2 x 2"),
        (nn.MaxPool2d(2), (1, 0, 4), "takes images of at least 2 x 2 pixels, got 0 x 4"),
    ],
)
def test_images_that_do_not_fit(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(np.zeros((2, *shape)))
    with pytest.raises(ValueError, match=message):
        layer.forward(np.zeros((2, *shape)), training=True)


def test_shapes_are_checked_through_a_net():
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 20\), got \(n, 16\)"):
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(20, 2))(np.zeros((1, 1, 4, 4)))


@each_layer
def test_gradients_of_another_shape_are_rejected(make, x):
    layer = make()
    if isinstance(layer, nn.Flatten):
        return
    out = layer.forward(x, training=True)
    for shape in [
        (4, *out.shape[1:]),
        out.shape[:3],
        (*out.shape[:2], out.shape[3], out.shape[2] + 1),
        (out.size,),
    ]:
        with pytest.raises(
            ValueError, match=re.escape(f"got a gradient of shape {shape}, expected {out.shape}")
        ):
            layer.backward(np.ones(shape))


@each_layer
def test_backward_before_forward_is_an_error(make, x):
    layer = make()
    out = layer.forward(x)
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        layer.backward(out)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.Conv2d(0, 1, 3),
            ValueError,
            "in_channels is 0, expected an integer of at least 1",
        ),
        (lambda: nn.Conv2d(1, 1.5, 3), TypeError, r"out_channels is 1\.5, expected an integer"),
        (
            lambda: nn.Conv2d(1, 1, 0),
            ValueError,
            r"kernel_size is 0, expected an integer of at least 1, or a pair of them "
            r"\(height, width\)",
        ),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), TypeError, r"kernel_size is \(3, 3, 3\), expected"),
        (lambda: nn.Conv2d(1, 1, "3"), TypeError, "kernel_size is '3', expected"),
        (lambda: nn.Conv2d(1, 1, 3, stride=(1, 0)), ValueError, r"stride is \(1, 0\), expected"),
        (
            lambda: nn.Conv2d(1, 1, 3, padding=-1),
            ValueError,
            "padding is -1, expected an integer of at least 0",
        ),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), TypeError, "padding is 'full', expected"),
        (lambda: nn.MaxPool2d(2.0), TypeError, r"kernel_size is 2\.0, expected"),
        (
            lambda: nn.AvgPool2d(3, padding=2),
            ValueError,
            "padding is 2, expected at most half of kernel_size, which is 3",
        ),
        (lambda: nn.Conv2d(1, 1, 3, weight_init="best"), ValueError, "initializer is 'best'"),
        (lambda: nn.Conv2d(1, 1, 3, dtype="float16"), ValueError, "dtype is 'float16'"),
    ],
)
def test_settings_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Parameters, text, files


def test_weights_have_pytorchs_names_and_shapes_in_the_state(rng):
    model = nn.Sequential(
        nn.Conv2d(3, 5, (2, 4)), nn.ReLU(), nn.Conv2d(5, 6, 1, bias=False), seed=0
    )
    state = model.state_dict()
    assert {name: value.shape for name, value in state.items()} == {
        "0.weight": (5, 3, 2, 4),
        "0.bias": (5,),
        "2.weight": (6, 5, 1, 1),
    }
    kernel = rng.standard_normal((1, 1, 2, 3))
    layer = nn.Conv2d(1, 1, (2, 3), bias=False, dtype="float64").load_state_dict({"weight": kernel})
    x = rng.standard_normal((1, 1, 2, 3))
    assert layer(x).item() == pytest.approx((x * kernel).sum())
    with pytest.raises(
        ValueError, match=r"weight has shape \(1, 1, 3, 2\) in the state, expected \(1, 1, 2, 3\)"
    ):
        layer.load_state_dict({"weight": kernel.transpose(0, 1, 3, 2)})


@pytest.mark.parametrize(
    ("activation", "variance"), [(nn.ReLU, 2 / (9 * 30)), (nn.Tanh, 2 / (9 * 30 + 9 * 20))]
)
def test_initial_weights_suit_the_activation_behind_them(activation, variance):
    model = nn.Sequential(nn.Conv2d(30, 20, 3), nn.MaxPool2d(2), activation(), seed=0)
    assert model[0].weight.data.var() == pytest.approx(variance, rel=0.05)
    assert (model[0].bias.data == 0).all()


def test_repr_and_summary(capsys):
    assert repr(nn.Conv2d(3, 4, (2, 3), stride=2, padding=(0, 1), bias=False)) == (
        "Conv2d(in_channels=3, out_channels=4, kernel_size=(2, 3), stride=2, padding=(0, 1), "
        "bias=False)"
    )
    assert repr(nn.MaxPool2d(2, stride=2)) == "MaxPool2d(kernel_size=2)"
    assert (
        repr(nn.AvgPool2d((2, 3), 1, (1, 1)))
        == "AvgPool2d(kernel_size=(2, 3), stride=1, padding=1)"
    )
    small_cnn().summary((2, 9, 9))
    lines = capsys.readouterr().out.splitlines()
    assert "(n, 6, 7, 7)" in lines[2]
    assert "114" in lines[2]
    assert "(n, 4, 2, 2)" in lines[7]
    small_cnn().summary()
    assert "?" in capsys.readouterr().out.splitlines()[2]


def test_saved_and_loaded(tmp_path, x):
    model = nn.Sequential(
        nn.Conv2d(3, 17, (2, 3), (1, 2), (0, 1), bias=False),
        nn.MaxPool2d((3, 2), (1, 2), 1),
        nn.AvgPool2d((2, 1)),
        nn.Flatten(),
        seed=0,
    )
    model.save(tmp_path / "m.safetensors")
    loaded = cnet.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(model)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded[0].config() == model[0].config()


@each_layer
@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "pickle"],
)
def test_copies_leave_the_training_batch_behind(make, duplicate, x):
    layer = make()
    size = len(pickle.dumps(layer))
    out = layer.forward(x, training=True)
    assert len(pickle.dumps(layer)) == size
    twin = duplicate(layer)
    np.testing.assert_array_equal(twin(x), layer(x))
    for each in (twin, layer):
        each.forward(x, training=True)
    np.testing.assert_array_equal(twin.backward(out), layer.backward(out))


def test_training_a_cnn():
    data = cnet.datasets.digits(train=1500, test=300, seed=0)
    x, y = data.train
    images = x.reshape(-1, 1, 28, 28)
    layers = (
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(400, 10), seed=0)
    trainer = cnet.Trainer(
        model, nn.CrossEntropyLoss(), cnet.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    )
    trainer.fit(images, y, epochs=3, seed=0, verbose=False)
    assert trainer.evaluate(data.test.x.reshape(-1, 1, 28, 28), data.test.y)["accuracy"] > 0.8
