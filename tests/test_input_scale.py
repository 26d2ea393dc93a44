"""Warnings about inputs that a network cannot learn from as they are."""

import warnings

import numpy as np
import pytest

import cnet
from cnet import nn, optim
from cnet.augment import Augment

LARGE = "x has a mean square of"
UNLIKE = "the data to evaluate has a mean square of"
N = 64


def trainer(*layers, loss=None):
    model = nn.Sequential(*layers, seed=0)
    return cnet.Trainer(
        model, loss or nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1e-9)
    )


def images(rng, dtype="u1", shape=(16,)):
    return rng.integers(0, 256, (N, *shape)).astype(dtype), rng.integers(0, 3, N)


def batches(x, y):
    return [(x[i : i + 16], y[i : i + 16]) for i in range(0, N, 16)]


def warned(fit):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    assert all(
        warning.category is UserWarning and warning.filename == __file__ for warning in caught
    )
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("dtype", ["u1", "i8", "f4", "f8"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "before", [[], [nn.Flatten(), nn.ReLU(), nn.Dropout(0.1)]], ids=["first", "behind others"]
)
def test_large_inputs_get_one_warning_in_a_first_fit(dtype, streamed, before, rng):
    x, y = images(rng, dtype)
    one = trainer(*before, nn.Sequential(nn.Linear(16, 3)))
    arguments = (batches(x, y),) if streamed else (x, y)
    validation = batches(x, y) if streamed else (x, y)
    (message,) = warned(
        lambda: one.fit(*arguments, epochs=2, validation_data=validation, verbose=False)
    )
    assert message.startswith(LARGE)
    assert "where it enters Linear(in_features=16, out_features=3)" in message
    assert all(
        remedy in message for remedy in ("nn.Rescale(1 / 255)", "StandardScaler", "nn.BatchNorm1d")
    )
    assert not warned(lambda: one.fit(*arguments, verbose=False) and one.evaluate(x, y))


def test_convolutions_and_heads_are_first_layers_too(rng):
    x, y = images(rng, shape=(2, 5, 5))
    (message,) = warned(lambda: trainer(nn.Conv2d(2, 3, 5), nn.Flatten()).fit(x, y, verbose=False))
    assert "Conv2d" in message
    heads = nn.Heads(nn.Sequential(nn.BatchNorm1d(50), nn.Linear(50, 3)), nn.Linear(50, 3))
    one = trainer(nn.Flatten(), heads, loss=nn.HeadsLoss(heads, nn.CrossEntropyLoss()))
    (message,) = warned(lambda: one.fit(x, [y, y], verbose=False))
    assert "where it enters Linear(in_features=50" in message


class Own(nn.Module):
    def forward(self, x, training=False):
        return x / 255

    def backward(self, grad):
        return grad / 255


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Rescale(1 / 255), nn.Linear(16, 3)],
        [nn.Rescale(1 / 127.5, -1), nn.Flatten(), nn.Linear(16, 3)],
        [nn.BatchNorm1d(16), nn.Linear(16, 3)],
        [nn.LayerNorm(16), nn.Linear(16, 3)],
        [nn.Sigmoid(), nn.Linear(16, 3)],
        [Own(), nn.Linear(16, 3)],
        [nn.Sequential(Own()), nn.Linear(16, 3)],
        [lambda x: x / 255, nn.Linear(16, 3)],
    ],
    ids=[
        "rescale",
        "rescale about 0",
        "batch norm",
        "layer norm",
        "sigmoid",
        "own layer",
        "own layer inside",
        "function",
    ],
)
def test_no_warning_where_something_brings_inputs_to_scale_or_may_do_so(layers, rng):
    x, y = images(rng)
    one = trainer(*layers)
    assert not warned(lambda: one.fit(x, y, validation_data=(x, y), verbose=False))


def test_no_warning_for_usual_inputs(rng):
    y = rng.integers(0, 3, N)
    for x in (
        rng.standard_normal((N, 16)),
        rng.random((N, 16)),
        rng.integers(0, 17, (N, 16)),
        np.zeros((N, 16)),
        rng.integers(0, 2, (N, 16), np.uint8),
    ):
        assert not warned(lambda x=x: trainer(nn.Linear(16, 3)).fit(x, y, verbose=False))


def test_standardized_by_augmentation(rng):
    x, y = images(rng)
    one = trainer(nn.Linear(16, 3))
    assert not warned(
        lambda: one.fit(
            x, y, augment=Augment(standardize=True), validation_data=(x, y), verbose=False
        )
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_validation_data_that_is_scaled_unlike_training_data(streamed, rng):
    x, y = images(rng)
    scaled = (x / 255).astype(np.float32)
    one = trainer(nn.Linear(16, 3))
    (message,) = warned(
        lambda: one.fit(
            scaled,
            y,
            epochs=2,
            validation_data=batches(x, y) if streamed else (x, y),
            verbose=False,
        )
    )
    assert message.startswith(UNLIKE)
    assert message.endswith("scale both alike")
    (message,) = warned(lambda: one.evaluate(x, y))
    assert message.startswith(UNLIKE)
    assert not warned(lambda: one.evaluate(scaled, y))
    other = trainer(nn.Rescale(1 / 255), nn.Linear(16, 3))
    (message,) = warned(lambda: other.fit(x, y, validation_data=(scaled, y), verbose=False))
    assert message.startswith(UNLIKE)


def test_data_that_is_0_or_larger_than_memory_is_looked_at_in_part(rng):
    one = trainer(nn.Linear(16, 3))
    one.fit(np.zeros((N, 16)), np.zeros(N, int), validation_data=images(rng), verbose=False)

    from cnet._data.samples import Rows
    from cnet._training.input_scale import sample

    assert sample(Rows(np.zeros((5000, 100)), np.dtype("f4"))).shape == (256, 100)
    assert sample(Rows(np.zeros((50, 1 << 17)), np.dtype("f4"))).shape == (2, 1 << 17)
    assert sample(Rows(np.zeros((1, 1 << 19)), np.dtype("f4"))).shape == (1, 1 << 19)


def test_a_warning_that_is_an_error_comes_before_the_first_step(rng):
    one = trainer(nn.Linear(16, 3))
    before = one.model.state_dict()
    with pytest.raises(UserWarning, match=LARGE):
        one.fit(*images(rng), verbose=False)
    assert one.global_step == 0
    np.testing.assert_array_equal(one.model[0].weight.data, before["0.weight"].T)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_estimators_warn_too(solver, rng):
    from cnet.sklearn import MLPClassifier

    one = MLPClassifier(
        4, solver=solver, learning_rate_init=1e-9, max_iter=2, tol=1e9, warm_start=True
    )
    with pytest.warns(UserWarning, match=LARGE):
        one.fit(*images(rng))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one.fit(*images(rng))
    assert not [warning for warning in caught if str(warning.message).startswith(LARGE)]
