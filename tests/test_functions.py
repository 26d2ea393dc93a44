"""Plain functions as layers and as losses."""

import numpy as np
import pytest

import cnet
from cnet import nn, optim


def tanh(x):
    y = np.tanh(x)
    return y, lambda grad: grad * (1 - y * y)


def squares(output, target):
    difference = output - target
    return np.mean(difference**2), 2 * difference / difference.size


def pairs(x):
    """Another number of columns."""
    return np.hstack([x, -x]), lambda grad: grad[:, : x.shape[1]] - grad[:, x.shape[1] :]


def trained(layer, loss, rng, **settings):
    x = rng.standard_normal((40, 3))
    model = nn.Sequential(nn.Linear(3, 8), layer, nn.Linear(8, 2), seed=0, dtype="float64")
    trainer = cnet.Trainer(model, loss, optim.Adam(model.parameters(), lr=0.01))
    history = trainer.fit(
        x, x[:, :2] ** 2, epochs=4, seed=0, validation_data=(x, x[:, :2]), verbose=False, **settings
    )
    return history, model(x)


def test_they_train_as_the_layer_and_the_loss_do():
    by_class, by_function = (
        trained(layer, loss, np.random.default_rng(0))
        for layer, loss in ((nn.Tanh(), nn.MSELoss()), (tanh, squares))
    )
    for name in by_class[0]:
        np.testing.assert_allclose(by_function[0][name], by_class[0][name], rtol=1e-9)
    np.testing.assert_allclose(by_function[1], by_class[1], rtol=1e-9)


def test_a_gradient_may_be_a_list():
    def listed(output, target):
        loss, grad = squares(output, target)
        return loss, grad.tolist()

    (history, out), (expected, expected_out) = (
        trained(tanh, loss, np.random.default_rng(0)) for loss in (listed, squares)
    )
    for name in ("loss", "val_loss"):
        assert history[name] == expected[name]
    np.testing.assert_array_equal(out, expected_out)


def test_rows_have_weights_and_heads_have_functions(rng):
    history, _ = trained(tanh, squares, rng, sample_weight=np.arange(40.0))
    assert np.isfinite(history["loss"]).all()
    heads = nn.Heads(a=nn.Linear(8, 2), b=nn.Linear(8, 2))
    model = nn.Sequential(nn.Linear(3, 8), heads, seed=0)
    trainer = cnet.Trainer(
        model,
        nn.HeadsLoss(heads, {"a": squares, "b": nn.MSELoss()}),
        optim.SGD(model.parameters(), lr=0.01),
    )
    x = rng.standard_normal((20, 3))
    assert len(trainer.fit(x, {"a": x[:, :2], "b": x[:, 1:]}, epochs=2, verbose=False)["loss"]) == 2


def test_shapes_follow_the_function():
    model = nn.Sequential(nn.Linear(3, 4), pairs, nn.Linear(8, 2), seed=0)
    assert model.output_shape((3,)) == (2,)
    with pytest.raises(ValueError, match=r"layer 2.*takes input of shape"):
        nn.Sequential(nn.Linear(3, 4), pairs, nn.Linear(4, 2))


def test_no_gradient_has_to_pass_a_first_layer(rng):
    x, y = rng.random((30, 5), np.float32), rng.integers(0, 2, 30)
    model = nn.Sequential(np.log1p, nn.Linear(5, 2), seed=0)
    assert "FunctionLayer(log1p)" in repr(model)
    cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)).fit(
        x, y, verbose=False
    )
    np.testing.assert_allclose(model(x), model[1](np.log1p(x)))
    late = nn.Sequential(nn.Linear(5, 2), np.log1p, seed=0)
    with pytest.raises(
        RuntimeError, match=r"FunctionLayer\(log1p\) has no way back.*return \(output, backward\)"
    ):
        late.backward(late.forward(x, training=True))


def test_what_functions_return_is_checked(rng):
    x, model = np.ones((4, 3)), nn.Sequential(nn.Linear(3, 2), seed=0)
    for loss, error, message in (
        (lambda output, target: 1.0, TypeError, "returned float, expected \\(loss, gradient"),
        (lambda output, target: (1.0, output[:1]), ValueError, r"gradient of shape \(1, 2\)"),
    ):
        trainer = cnet.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(error, match=message):
            trainer.fit(x, x[:, :2], verbose=False)
    with pytest.raises(ValueError, match="expected one output for each"):
        nn.Sequential(nn.Linear(3, 2), lambda x: x.sum())
    with pytest.raises(RuntimeError, match="call forward before backward"):
        cnet.Trainer(model, squares, optim.SGD(model.parameters(), lr=0.1)).loss.backward()


def test_classes_are_still_to_be_constructed():
    with pytest.raises(TypeError, match="construct it"):
        nn.Sequential(nn.Linear(3, 2), nn.ReLU)
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(TypeError, match="loss is"):
        cnet.Trainer(model, nn.MSELoss, optim.SGD(model.parameters(), lr=0.1))


def test_a_file_cannot_name_a_function(tmp_path):
    with pytest.raises(TypeError, match="save its weights with state_dict"):
        nn.Sequential(nn.Linear(3, 2), tanh).save(tmp_path / "model.safetensors")
