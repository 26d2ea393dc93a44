"""Values far from the usual: activations far from zero, windows that reach far beyond their image,
sizes that no memory holds.
"""

import numpy as np
import pytest

from cnet import nn

FAR = {"float32": [6, 9, 12, 1e5, 1e20, 1e38], "float64": [8.5, 9, 12, 1e5, 1e20, 1e155, 1e300]}


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_far_from_zero_is_zero_on_one_side_and_its_input_on_the_other(approximate, dtype, isa):
    far = np.array(FAR[str(dtype)], dtype)[:, None]
    layer = nn.GELU(approximate)
    for compiled in (False, True):
        below, above = (
            layer(x) if compiled else layer.forward(x, training=True) for x in (-far, far)
        )
        np.testing.assert_array_equal(above, far)
        assert np.all(below <= 0)
        np.testing.assert_allclose(below, 0, atol=1e-15)
        np.testing.assert_array_equal(below[2:], 0)
    layer.forward(np.concatenate([-far, far]), training=True)
    slopes = layer.backward(np.ones((2 * len(far), 1), dtype))
    np.testing.assert_allclose(slopes, np.repeat([[0.0], [1.0]], len(far), axis=0), atol=1e-6)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_has_the_sign_of_its_input(approximate, dtype, isa):
    x = np.linspace(0, 40, 8001, dtype=dtype)[:, None]
    layer = nn.GELU(approximate)
    assert np.all(layer(-x) <= 0)
    assert np.all(layer(x) >= 0)
    assert np.all(layer(x) <= x)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_of_infinity_and_nan(approximate, dtype, isa):
    x = np.array([[np.inf], [np.nan]], dtype)
    layer = nn.GELU(approximate)
    np.testing.assert_array_equal(layer(x), x)
    assert not layer(np.array([[-np.inf]], dtype)) > 0  # NaN, as in PyTorch: 0 times infinity


@pytest.mark.parametrize("size", [50, 1000, 2**31, 2**32, 2**33, 2**40])
def test_the_mean_of_a_window_that_reaches_far_beyond_the_image(size, dtype, isa):
    x = np.arange(1.0, 13, dtype=dtype).reshape(1, 1, 3, 4)
    layer = nn.AvgPool2d(size, padding=size // 2)
    expected = x.sum(dtype=np.float64) / float(size) ** 2  # all of the image is in the window
    out = layer.forward(x, training=True)
    assert out.shape == (1, 1, 1, 1)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    np.testing.assert_allclose(
        layer.backward(np.ones_like(out)), np.full_like(x, 1 / float(size) ** 2), rtol=1e-6
    )
    net = nn.Sequential(nn.AvgPool2d((size, size), padding=size // 2), nn.Flatten())
    np.testing.assert_allclose(net(x), expected, rtol=1e-6)  # by the compiled program
    np.testing.assert_array_equal(nn.MaxPool2d(size, padding=size // 2)(x), 12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.AvgPool2d(2**64, padding=2**63),
        lambda: nn.MaxPool2d(2**49),
        lambda: nn.MaxPool2d(2, stride=2**62),
        lambda: nn.Conv2d(1, 1, 3, padding=2**63),
    ],
)
def test_windows_that_no_image_has_are_rejected(make):
    with pytest.raises(
        ValueError, match=r"(kernel_size|stride|padding) is .* at most 281474976710656"
    ):
        make()


@pytest.mark.parametrize(
    ("padding", "stride"),
    [(2**40, 2**40), (2**32, 2**32), (2**31 - 1, 2**31), ((2**45, 0), (2**44, 1))],
)
def test_a_convolution_that_pads_beyond_all_memory_is_rejected_before_a_kernel_runs(
    padding, stride
):
    layer = nn.Conv2d(1, 1, 1, stride=stride, padding=padding, seed=0)
    for make in (
        lambda: layer(np.ones((1, 1, 4, 4), np.float32)),
        lambda: layer.forward(np.ones((1, 1, 4, 4))),
        lambda: layer.output_shape((1, 4, 4)),
    ):
        with pytest.raises(
            ValueError, match=r"pads an image of 4 x 4 pixels to \d+ x \d+, which no memory holds"
        ):
            make()
