"""Batch and layer normalization: state, modes, files."""

import copy
import pickle

import numpy as np
import pytest

import cnet
from cnet import nn


def net(**settings):
    layers = (
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(27, 4),
        nn.BatchNorm1d(4, momentum=None),
        nn.LayerNorm(4),
    )
    return nn.Sequential(*layers, **settings)


@pytest.fixture
def x(rng):
    return rng.standard_normal((8, 2, 5, 5))


def test_the_state_holds_what_pytorchs_does():
    state = net().state_dict()
    names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert [name for name in state if name.startswith("1.")] == [f"1.{name}" for name in names]
    assert state["1.num_batches_tracked"].shape == ()
    assert state["1.num_batches_tracked"].dtype == np.int64
    assert (state["1.running_var"] == 1).all()
    assert nn.LayerNorm((3, 4)).state_dict()["weight"].shape == (3, 4)
    assert list(nn.BatchNorm1d(3, affine=False).state_dict()) == names[2:]
    assert list(nn.LayerNorm(3, bias=False).state_dict()) == ["weight"]
    assert nn.BatchNorm1d(3, affine=False).parameters() == []


def test_a_weight_of_two_axes_lies_as_it_says(rng):
    weight = rng.standard_normal((2, 3))
    layer = nn.LayerNorm((2, 3), dtype="float64").load_state_dict(
        {"weight": weight, "bias": np.zeros((2, 3))}
    )
    plain = nn.LayerNorm((2, 3), elementwise_affine=False)
    x = rng.standard_normal((5, 2, 3))
    np.testing.assert_allclose(layer(x), plain(x) * weight)
    np.testing.assert_array_equal(layer.state_dict()["weight"], weight)


def test_running_statistics_follow_training_and_rule_inference(dtype, rng):
    layer = nn.BatchNorm1d(3, momentum=0.5, dtype=dtype)
    x = 5 + 2 * rng.standard_normal((1000, 3))
    before = layer(x)
    np.testing.assert_allclose(before, x / np.sqrt(1 + 1e-5), rtol=1e-5)
    for _ in range(20):
        layer.forward(x, training=True)
    np.testing.assert_allclose(layer.running_mean.data, x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.running_var.data, x.var(axis=0, ddof=1), rtol=1e-4)
    assert layer.num_batches_tracked.data == 20
    state = layer.state_dict()
    out = layer(x)
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(out.std(axis=0), 1, atol=1e-3)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, state[name], "inference changes nothing")


def test_far_from_zero_no_digits_are_lost(dtype, rng):
    noise = rng.standard_normal((5000, 2))
    x = (1e3 + noise).astype(dtype)
    out = nn.BatchNorm1d(2, eps=0, dtype=dtype).forward(x, training=True)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(
        out,
        (exact - exact.mean(axis=0)) / exact.std(axis=0),
        atol=2e-4 if dtype == np.float32 else 1e-12,
    )


def test_same_bits_for_any_number_of_threads(isa, dtype, rng, threads, x):
    results = []
    for n in (1, 2, 3, 7):
        threads(n)
        model = net(seed=0, dtype=dtype)
        out = model.forward(x, training=True)
        results.append(
            [
                out,
                model.backward(np.ones((8, 4))),
                *model.state_dict().values(),
                *(parameter.grad for parameter in model.parameters()),
            ]
        )
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_in_inference_rows_do_not_depend_on_each_other(isa, dtype, x):
    model = net(seed=0, dtype=dtype)
    model.forward(x, training=True)
    whole = model(x)
    np.testing.assert_array_equal(np.concatenate([model(x[:3]), model(x[3:])]), whole)
    np.testing.assert_array_equal(model(x[::-1]), whole[::-1])
    assert model(x[:0]).shape == (0, 4)


def test_gradients_through_a_net(isa, rng):
    """By hand: what `check_module` does, but each forward pass is one of training."""
    from test_gradients import numerical_gradient

    layers = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3)
    model = nn.Sequential(*layers, seed=0, dtype="float64")
    x, y, loss = rng.standard_normal((7, 4)), rng.integers(0, 3, 7), nn.CrossEntropyLoss()
    dx = model.backward(loss.forward_backward(model.forward(x, training=True), y)[1])
    numerical = numerical_gradient(
        lambda a: loss.forward(model.forward(a, training=True), y), x, np.arange(x.size)
    )
    np.testing.assert_allclose(dx.ravel(), numerical, atol=1e-9)
    for parameter in model.parameters():

        def of_parameter(a, parameter=parameter):
            before = parameter.data.copy()
            parameter.data = a
            value = loss.forward(model.forward(x, training=True), y)
            parameter.data = before
            return value

        numerical = numerical_gradient(
            of_parameter, parameter.data.copy(), np.arange(parameter.size)
        )
        np.testing.assert_allclose(parameter.grad.ravel(), numerical, atol=1e-9)


def test_layouts(rng):
    layer = nn.BatchNorm2d(3)
    x = rng.standard_normal((4, 3, 5, 6)).astype(np.float32)
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    out = layer.forward(x, training=True)
    assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_array_equal(layer.forward(turned, training=True), out)
    np.testing.assert_array_equal(layer.backward(turned), layer.backward(np.asfortranarray(x)))
    pixels = rng.integers(0, 256, (4, 3, 5, 6), np.uint8)
    np.testing.assert_array_equal(layer(pixels), layer(pixels.astype(np.float32)))
    rows = nn.LayerNorm(6)
    np.testing.assert_array_equal(rows(turned), rows(x))
    groups = nn.GroupNorm(3, 3)
    np.testing.assert_array_equal(groups(turned), groups(x))
    np.testing.assert_allclose(groups(x), nn.LayerNorm((5, 6))(x), atol=1e-5)


def test_a_dtype_for_the_whole_net(x):
    model = net(seed=0, dtype="float64")
    assert {state.dtype for name, state in model.state_dict().items() if "num" not in name} == {
        np.dtype("float64")
    }
    assert model.state_dict()["1.num_batches_tracked"].dtype == np.int64
    with pytest.raises(ValueError, match="layers have different dtypes"):
        nn.Sequential(nn.BatchNorm1d(3, affine=False, dtype="float64"), nn.Linear(3, 2))
    assert (
        nn.Sequential(nn.BatchNorm1d(3, affine=False, dtype="float64"))(
            np.ones((2, 3), np.float32)
        ).dtype
        == np.float64
    )


def test_saved_and_loaded(tmp_path, dtype, x):
    model = net(seed=0, dtype=dtype)
    model.forward(x, training=True)
    model.save(tmp_path / "m.safetensors")
    loaded = cnet.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(model)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], value)
        assert loaded.state_dict()[name].dtype == value.dtype
    np.testing.assert_array_equal(loaded(x), model(x))
    kinds = (
        nn.LayerNorm((2, 3), 0.5),
        nn.LayerNorm(3, elementwise_affine=False),
        nn.LayerNorm(3, bias=False),
        nn.BatchNorm1d(3, 0.1, 0.2, affine=False),
    )
    for layer in kinds:
        layer.save(tmp_path / "m.safetensors")
        assert repr(cnet.load(tmp_path / "m.safetensors")) == repr(layer)


def test_a_state_that_does_not_fit_changes_nothing(x):
    model = net(seed=0)
    model.forward(x, training=True)
    before = model.state_dict()
    for change in ({"1.running_mean": np.zeros(4)}, {"1.num_batches_tracked": np.zeros(1)}):
        with pytest.raises(ValueError, match=r"has shape \(.*\) in the state, expected \(.*\)"):
            model.load_state_dict({**before, **change})
    with pytest.raises(KeyError, match=r"the state has no 1\.running_var"):
        model.load_state_dict(
            {name: value for name, value in before.items() if name != "1.running_var"}
        )
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["deepcopy", "pickle"],
)
def test_copies_have_statistics_of_their_own(duplicate, x):
    layer = nn.BatchNorm2d(2)
    layer.forward(x, training=True)
    twin = duplicate(layer)
    np.testing.assert_array_equal(twin(x), layer(x))
    twin.forward(x + 1, training=True)
    assert not np.array_equal(twin.running_mean.data, layer.running_mean.data)
    with pytest.raises(RuntimeError, match="before backward"):
        duplicate(layer).backward(x)


def test_divergence_gives_the_statistics_back(rng):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1), seed=0)
    x, y = rng.standard_normal((64, 3)), rng.standard_normal(64)
    trainer = cnet.Trainer(model, nn.MSELoss(), cnet.optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(x, y, verbose=False)
    before = model.state_dict()
    trainer.optimizer.param_groups[0]["lr"] = 1e30
    with pytest.raises(FloatingPointError, match="training diverged in epoch 2"):
        trainer.fit(x, y, epochs=3, verbose=False)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm1d(0), ValueError, "num_features is 0"),
        (lambda: nn.BatchNorm2d(2.5), TypeError, r"num_features is 2\.5"),
        (
            lambda: nn.BatchNorm1d(2, eps=-1),
            ValueError,
            "eps is -1, expected a finite number of at least 0",
        ),
        (
            lambda: nn.BatchNorm1d(2, momentum=1.5),
            ValueError,
            r"momentum is 1\.5, expected a number from 0 to 1",
        ),
        (
            lambda: nn.LayerNorm(()),
            ValueError,
            r"normalized_shape is \(\), expected at least one axis",
        ),
        (lambda: nn.LayerNorm((2, 0)), ValueError, "normalized_shape is 0"),
        (
            lambda: nn.GroupNorm(3, 4),
            ValueError,
            "num_channels is 4, expected a multiple of num_groups, which is 3",
        ),
        (lambda: nn.GroupNorm(0, 4), ValueError, "num_groups is 0"),
        (lambda: nn.GroupNorm(2, 4)(np.zeros((2, 3))), ValueError, r"takes .* \(n, 4\)"),
        (lambda: nn.LayerNorm(2, dtype="int8"), ValueError, "dtype is 'int8'"),
        (
            lambda: nn.BatchNorm1d(2)(np.zeros((4, 3))),
            ValueError,
            r"BatchNorm1d\(num_features=2\) takes input of shape \(n, 2\), got \(n, 3\)",
        ),
        (
            lambda: nn.BatchNorm2d(2)(np.zeros((4, 2))),
            ValueError,
            r"takes images of shape \(n, 2, height, width\), got \(n, 2\)",
        ),
        (
            lambda: nn.LayerNorm((2, 3))(np.zeros((4, 3))),
            ValueError,
            r"takes input of shape \(n, \.\.\., 2, 3\), got \(n, 3\)",
        ),
        (
            lambda: nn.BatchNorm1d(2).forward(np.zeros((1, 2)), training=True),
            ValueError,
            "got a mini-batch of 1 sample with 1 value of each feature, and needs at least 2",
        ),
    ],
)
def test_what_does_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(6), nn.LayerNorm(6), nn.BatchNorm2d(2), nn.LayerNorm((3, 6))], ids=repr
)
def test_backward_is_checked(layer, rng):
    x = rng.standard_normal(
        (4, 6) if layer.output_shape.__self__.__class__ is nn.BatchNorm1d else (4, 2, 3, 6)
    )
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        layer.backward(x)
    layer.forward(x, training=True)
    with pytest.raises(ValueError, match=r"got a gradient of shape \(2, 6\), expected"):
        layer.backward(np.ones((2, 6)))
    assert layer.backward(x).shape == x.shape


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.BatchNorm1d, (0, 3)), (nn.BatchNorm2d, (0, 3, 4, 5)), (nn.LayerNorm, (0, 3))],
    ids=str,
)
def test_a_training_batch_of_no_rows_changes_nothing(kind, shape, isa, dtype):
    layer = kind(3, dtype=dtype)
    before = layer.state_dict()
    out = layer.forward(np.zeros(shape), training=True)
    assert out.shape == shape
    assert layer.backward(np.zeros(shape)).shape == shape
    for parameter in layer.parameters():
        np.testing.assert_array_equal(parameter.grad, 0)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


class Same(nn.Module):
    """A layer of one's own, with which a network is run layer by layer."""

    def forward(self, x, training=False):
        return x

    def backward(self, grad):
        return grad


@pytest.mark.parametrize("layers", [[], [Same()]], ids=["compiled", "layer by layer"])
def test_a_mini_batch_of_one_sample_is_rejected_before_its_step(layers, rng):
    x, y = rng.standard_normal((9, 3)), rng.standard_normal(9)
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), *layers, nn.Linear(4, 1), seed=0, dtype="float64"
    )
    trainer = cnet.Trainer(model, nn.MSELoss(), cnet.optim.SGD(model.parameters(), lr=0.1))
    before = model.state_dict()
    with pytest.raises(
        ValueError,
        match=r"mini-batch of 1 sample .* choose a batch_size that leaves no single sample for the "
        r"last mini-batch",
    ):
        trainer.fit(x, y, batch_size=4, verbose=False)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    states = []
    for batches in (
        [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])],
        [(x[:4], y[:4]), (x[4:8], y[4:8])],
    ):
        model.load_state_dict(before)
        if len(batches) == 3:
            with pytest.raises(ValueError, match="batch 3: BatchNorm1d"):
                trainer.fit(batches, verbose=False)
        else:
            trainer.fit(batches, verbose=False)
        states.append(model.state_dict())
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])


@pytest.mark.parametrize("layers", [[], [Same()]], ids=["compiled", "layer by layer"])
@pytest.mark.parametrize("optimizer", [cnet.optim.SGD, cnet.optim.Adam])
def test_a_model_in_read_only_arrays_predicts_and_trains_to_the_same_bits(
    layers, optimizer, rng, tmp_path
):
    """As joblib maps them into memory from a file. The file stays as it is."""
    joblib = pytest.importorskip("joblib")
    x, y = rng.standard_normal((8, 3)), rng.standard_normal(8)
    model = nn.Sequential(
        nn.Linear(3, 40), nn.BatchNorm1d(40), *layers, nn.Linear(40, 1), seed=0, dtype="float64"
    )
    joblib.dump(model, tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not mapped[0].weight.data.flags.writeable
    np.testing.assert_array_equal(mapped(x), model(x))
    np.testing.assert_array_equal(mapped[:2].forward(x), model[:2].forward(x))
    content = (tmp_path / "model").read_bytes()
    for net in (model, mapped):
        net.forward(x, training=True)  # manually, then by a trainer
        net.backward(np.ones((8, 1)))
        trainer = cnet.Trainer(net, nn.MSELoss(), optimizer(net.parameters(), lr=0.1))
        trainer.optimizer.step()
        trainer.fit(x, y, epochs=2, seed=0, verbose=False)
    np.testing.assert_array_equal(mapped(x), model(x))
    again = joblib.load(tmp_path / "model", mmap_mode="r")
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again(x), model(x))
    assert (tmp_path / "model").read_bytes() == content
