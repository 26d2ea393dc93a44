"""Forward and backward manually, and custom layers."""

import re

import numpy as np
import pytest
from small_nets import assert_same, each_layer

from cnet import nn

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
    nn.SmoothL1Loss,
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
def test_gradients_of_another_shape_are_rejected(make, rng):
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
        (lambda: nn.SmoothL1Loss(beta=-1), "beta is -1, expected a finite number of at least 0"),
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
def test_settings_and_targets_out_of_bounds_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_batch_whose_classes_have_no_weight_teaches_nothing():
    loss, grad = nn.CrossEntropyLoss([0, 1]).forward_backward(np.array([[1.0, 2.0]]), np.array([0]))
    assert loss == 0
    np.testing.assert_array_equal(grad, 0)


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
