"""L-BFGS: what it reaches, how it fits into `Trainer.fit`, and what it rejects."""

import copy
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("scipy")

from cnet import Trainer, nn, optim, to_torch
from cnet.augment import Augment

X = np.random.default_rng(0).standard_normal((60, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 3
LABELS = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)


def make(loss=nn.CrossEntropyLoss, dtype="float64", layers=(), **settings):
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *layers, nn.Linear(8, 2), seed=0, dtype=dtype)
    return Trainer(model, loss(), optim.LBFGS(model.parameters(), **settings))


def weights(trainer):
    return np.concatenate([p.data.ravel() for p in trainer.model.parameters()])


# What it reaches


def test_a_linear_model_is_solved_exactly(dtype):
    model = nn.Sequential(nn.Linear(4, 1), seed=0, dtype=dtype)
    trainer = Trainer(model, nn.MSELoss(), optim.LBFGS(model.parameters(), tol=1e-9))
    history = trainer.fit(X, Y, verbose=False)
    np.testing.assert_allclose(
        model[0].weight.data.ravel(), [1, -2, 0.5, 0], atol=1e-5 if dtype == "float64" else 1e-3
    )
    assert len(history["loss"]) == 1
    assert history["loss"][0] < (1e-10 if dtype == "float64" else 1e-6)


def test_it_classifies_better_than_as_many_steps_of_sgd():
    trainer = make(max_iter=100)
    history = trainer.fit(X, LABELS, validation_data=(X, LABELS), verbose=False)
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-12)
    assert history["accuracy"] == history["val_accuracy"]
    assert history["accuracy"][0] > 0.95
    assert history["loss"][0] == pytest.approx(trainer.optimizer.losses[-1], rel=1e-12)
    assert trainer.optimizer.losses == sorted(trainer.optimizer.losses, reverse=True)
    assert (trainer.epoch, trainer.global_step) == (1, 1)
    sgd = make()
    sgd.optimizer = optim.SGD(sgd.model.parameters(), lr=0.1)
    assert (
        sgd.fit(X, LABELS, epochs=100, batch_size=60, verbose=False)["loss"][-1]
        > 2 * history["loss"][0]
    )


def test_scipy_finds_the_same():
    from scipy.optimize import minimize

    trainer, other = make(max_iter=20), make()
    parameters = other.model.parameters()

    def objective(packed):
        for parameter, values in zip(
            parameters, np.split(packed, np.cumsum([p.size for p in parameters])[:-1]), strict=True
        ):
            parameter.data = values.reshape(parameter.shape)
        loss, grad = other.loss.forward_backward(other.model.forward(X, training=True), LABELS)
        other.model.backward(grad)
        return loss, np.concatenate([p.grad.ravel() for p in parameters])

    expected = minimize(
        objective,
        weights(other),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20, "gtol": 1e-5},
    )
    trainer.fit(X, LABELS, verbose=False)
    np.testing.assert_array_equal(weights(trainer), expected.x)
    assert len(trainer.optimizer.losses) == expected.nit + 1
    assert trainer.optimizer.losses[-1] == expected.fun


def test_torch_comes_to_the_same_minimum():
    torch = pytest.importorskip("torch")
    model = nn.Sequential(nn.Linear(4, 1), seed=0, dtype="float64")
    theirs = to_torch(model)  # the same start: where they end differs by what they call near enough
    y = np.sin(Y)
    trainer = Trainer(model, nn.MSELoss(), optim.LBFGS(model.parameters(), tol=1e-12))
    optimizer = torch.optim.LBFGS(
        theirs.parameters(), max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(
            theirs(torch.from_numpy(X)), torch.from_numpy(y)[:, None]
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    trainer.fit(X, y, verbose=False)
    assert trainer.evaluate(X, y)["loss"] == pytest.approx(closure().item(), rel=1e-8)
    np.testing.assert_allclose(
        model[0].weight.data.ravel(), theirs[0].weight.detach().numpy().ravel(), atol=1e-4
    )


def test_settings_end_it():
    for settings, ended in (
        ({"max_iter": 3}, "ITERATIONS"),
        ({"max_eval": 4}, "EVALUATIONS|FUNC"),
        ({"tol": 0.1}, "GRADIENT|PGTOL"),
    ):
        trainer = make(**settings)
        trainer.fit(X, LABELS, verbose=False)
        assert len(trainer.optimizer.losses) <= 10
        assert trainer.optimizer.converged == ("tol" in settings)
        assert any(word in trainer.optimizer.message.upper() for word in ended.split("|"))
    one, other = make(history_size=1), make()
    for trainer in (one, other):
        trainer.fit(X, LABELS, verbose=False)
    assert len(one.optimizer.losses) != len(other.optimizer.losses)


def test_some_parameters_alone():
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2), seed=0)
    before = model[0].weight.data.copy()
    history = Trainer(model, nn.CrossEntropyLoss(), optim.LBFGS(model[2].parameters())).fit(
        X, LABELS, epochs=2, verbose=False
    )
    np.testing.assert_array_equal(model[0].weight.data, before)
    assert history["loss"][1] <= history["loss"][0]


def test_weights_of_rows():
    w = np.random.default_rng(1).integers(0, 3, 60)
    one, other = make(tol=1e-8, max_iter=10), make(tol=1e-8, max_iter=10)
    one.fit(X, LABELS, sample_weight=w, verbose=False)
    other.fit(np.repeat(X, w, axis=0), np.repeat(LABELS, w), verbose=False)
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-4, atol=1e-5)


def test_heads_and_layers_of_users():
    class Square(nn.Module):
        def forward(self, x, training=False):
            self.x = x
            return x * x

        def backward(self, grad):
            return grad * 2 * self.x

    trainer = make(layers=[Square(), nn.LayerNorm(8)])
    losses = trainer.fit(X, LABELS, epochs=2, verbose=False)["loss"]
    assert losses[1] <= losses[0] < 0.3


# Within a trainer


def test_batches_are_all_rows():
    whole, other = make(), make()
    expected = whole.fit(X, LABELS, verbose=False)
    assert other.fit(X, LABELS, batch_size=60, shuffle=False, verbose=False) == expected
    np.testing.assert_array_equal(weights(whole), weights(other))
    with pytest.raises(
        ValueError, match="batch_size is 32, but LBFGS needs all 60 samples at once"
    ):
        other.fit(X, LABELS, batch_size=32, verbose=False)
    with pytest.raises(ValueError, match="LBFGS needs all samples at once: pass arrays x and y"):
        other.fit([(X, LABELS)], verbose=False)


def test_what_is_random_is_rejected():
    with pytest.raises(
        ValueError, match=r"the same result each time, but Dropout.* draws random numbers"
    ):
        make(layers=[nn.Dropout(0.1)]).fit(X, LABELS, verbose=False)
    with pytest.raises(
        ValueError, match="LBFGS needs the same samples each time: leave augment out"
    ):
        make().fit(X, LABELS, augment=Augment(shift=1), verbose=False)


def test_an_interrupt_leaves_the_last_iteration():
    class Interrupted(nn.CrossEntropyLoss):
        calls = 0

        def forward_backward(self, output, target):
            self.calls += 1
            if self.calls > 12:
                raise KeyboardInterrupt
            return super().forward_backward(output, target)

    trainer = make(Interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, LABELS, verbose=False)
    assert len(trainer.optimizer.losses) > 3
    assert trainer.evaluate(X, LABELS)["loss"] == pytest.approx(
        trainer.optimizer.losses[-1], rel=1e-12
    )


def test_divergence_leaves_the_weights_from_before():
    model = nn.Sequential(nn.Linear(4, 1), seed=0)
    model[0].weight.data[...] = 1e30
    trainer = Trainer(model, nn.MSELoss(), optim.LBFGS(model.parameters()))
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            FloatingPointError,
            match=r"training diverged in epoch 1: the loss of step 1 is inf.* epoch$",
        ),
    ):
        trainer.fit(X, Y, verbose=False)
    np.testing.assert_array_equal(model[0].weight.data, np.float32(1e30))


def test_checkpoints_copies_and_pickles(tmp_path):
    trainer, other = make(max_iter=3), make(max_iter=3)
    trainer.fit(X, LABELS, verbose=False)
    trainer.save_checkpoint(tmp_path / "c")
    other.load_checkpoint(tmp_path / "c")
    twins = [other, copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))]
    trainer.fit(X, LABELS, verbose=False)
    for twin in twins:
        twin.fit(X, LABELS, verbose=False)
        np.testing.assert_array_equal(weights(twin), weights(trainer))


# By hand


def test_a_closure_is_needed():
    with pytest.raises(TypeError, match=r"call step\(closure\)"):
        make().optimizer.step()


def test_it_returns_the_loss_before_as_torch_does():
    parameter = nn.Parameter((2,), "float64")
    parameter.data = np.array([3.0, -1.0])
    optimizer = optim.LBFGS([parameter])

    def closure():
        parameter.grad = 2 * parameter.data
        return float((parameter.data**2).sum())

    assert optimizer.step(closure) == 10
    np.testing.assert_allclose(parameter.data, 0, atol=1e-6)
    assert optimizer.converged


# What is rejected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_iter": 0}, "max_iter is 0, expected an integer of at least 1"),
        ({"max_iter": 2.5}, r"max_iter is 2\.5, expected an integer"),
        ({"max_iter": None}, "max_iter is None"),
        ({"history_size": 0}, "history_size is 0"),
        ({"max_eval": -1}, "max_eval is -1"),
        ({"tol": -1}, "tol is -1, expected a finite number of at least 0"),
        ({"tol": np.nan}, "tol is nan"),
    ],
)
def test_settings_out_of_bounds(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_groups_and_schedules_are_rejected():
    model = nn.Sequential(nn.Linear(4, 2), seed=0)
    with pytest.raises(ValueError, match="LBFGS got 2 groups of parameters, expected one"):
        optim.LBFGS([{"params": model[0].weight}, {"params": model[0].bias}])
    with pytest.raises(ValueError, match="LBFGS has no setting lr that could follow a schedule"):
        optim.lr_scheduler.StepLR(optim.LBFGS(model.parameters()), 2)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ImportError, match=r'LBFGS needs SciPy: pip install "cnet\[lbfgs\]"'):
        make()
