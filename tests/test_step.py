"""`Trainer.step`: single steps on mini-batches that the caller passes."""

import copy
import pickle

import numpy as np
import pytest
from small_nets import normed, training_state, two_heads, two_losses

import cnet
from cnet import Trainer, nn, optim
from cnet._training.compiled import CompiledEngine

SIZES = (8, 8, 5, 13, 8, 1200)


def plain(end=3):
    return nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, end), seed=1)


def images():
    return nn.Sequential(
        nn.Rescale(1 / 255), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3), seed=1
    )


def rows(rng, n):
    return rng.standard_normal((n, 5)).astype("f4")


def labels(rng, n):
    return rng.integers(0, 3, n)


TASKS = {
    "labels": (normed, lambda model: nn.CrossEntropyLoss(), rows, labels),
    "soft targets": (
        plain,
        lambda model: nn.CrossEntropyLoss(weight=[1, 2, 3]),
        rows,
        lambda rng, n: rng.dirichlet([1, 1, 1], n),
    ),
    "numbers": (
        lambda: normed(1),
        lambda model: nn.MSELoss(),
        lambda rng, n: rng.standard_normal((5, n)).T,
        lambda rng, n: rng.standard_normal(n),
    ),
    "uint8 images": (
        images,
        lambda model: nn.CrossEntropyLoss(),
        lambda rng, n: rng.integers(0, 256, (n, 1, 4, 4), np.uint8),
        labels,
    ),
    "heads": (
        two_heads,
        lambda model: two_losses(model, nn.L1Loss),
        rows,
        lambda rng, n: {"kind": labels(rng, n), "size": rng.standard_normal((n, 2))},
    ),
}


def make(task="labels", optimizer=optim.Adam, lr=0.01, **settings):
    model = TASKS[task][0]()
    return Trainer(model, TASKS[task][1](model), optimizer(model.parameters(), lr=lr), **settings)


def batch(rng, n=8):
    return rows(rng, n), labels(rng, n)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "eager"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("task", TASKS)
def test_steps_are_those_of_fit(task, weighted, compiled, rng, isa):
    batches = [(TASKS[task][2](rng, n), TASKS[task][3](rng, n), rng.random(n)) for n in SIZES]
    batches = batches if weighted else [(x, y) for x, y, _ in batches]
    one, other = make(task), make(task, compile=compiled)
    losses = []
    for x, y, *weights in batches:
        losses.append(other.step(x, y, sample_weight=weights[0] if weights else None))
    history = one.fit(batches, verbose=False)
    assert training_state(other) == training_state(one)
    assert all(type(loss) is float for loss in losses)
    weights = [batch[2].sum() if weighted else len(batch[0]) for batch in batches]
    np.testing.assert_allclose(np.average(losses, weights=weights), history["loss"][0], rtol=1e-6)


@pytest.mark.parametrize("n", [1, 8, 2000])
@pytest.mark.parametrize("optimizer", [optim.SGD, optim.NAdam])
def test_a_given_gradient_is_that_of_the_loss(optimizer, n, rng, isa):
    x, y = batch(rng, n)
    by_loss, by_grad, by_function, eager = trainers = [
        Trainer(model, nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=0.1), compile=c)
        for model, c in [(plain(), True), (plain(), True), (plain(), True), (plain(), False)]
    ]
    loss = nn.CrossEntropyLoss()
    for _ in range(3):
        value, grad = loss.forward_backward(by_grad.model(x), y)
        assert by_grad.step(x, grad=grad) == 0
        assert eager.step(x, grad=grad.tolist()) == 0
        assert by_function.step(x, grad=lambda output: loss.forward_backward(output, y)) == value
        assert by_loss.step(x, y) == value
    assert all(training_state(trainer) == training_state(by_loss) for trainer in trainers)


def test_a_function_may_return_the_gradient_alone(rng):
    x, y = batch(rng)
    one, other = make("soft targets"), make("soft targets")
    for _ in range(2):
        grad = one.model(x) - np.eye(3)[y]
        assert one.step(x, grad=grad) == 0
        assert other.step(x, grad=lambda output: output - np.eye(3)[y]) == 0
    assert training_state(one) == training_state(other)


def double_rate(trainer):
    trainer.optimizer.param_groups[0]["lr"] *= 2


def clip(trainer):
    trainer.optimizer.clip_norm = 1e-3


def freeze(trainer):
    trainer.model[0].weight.requires_grad = False


def assign_weights(trainer):
    trainer.model[0].weight.data = np.ones((5, 9))


def load_weights(trainer):
    trainer.model.load_state_dict({k: v / 2 for k, v in trainer.model.state_dict().items()})


def load_optimizer(trainer):
    saved = trainer.optimizer.state_dict()
    for moments in saved["state"].values():
        moments["step"] += 3
    trainer.optimizer.load_state_dict(saved)


def step_by_hand(trainer):
    for parameter in trainer.model.parameters():
        parameter.grad = np.ones(parameter.shape, parameter.dtype)
    trainer.optimizer.step()


def replace_layer(trainer):
    trainer.model.layers[1] = nn.Identity()


def change_dropout(trainer):
    trainer.model[3].p = 0.9


def other_loss(trainer):
    trainer.loss = nn.CrossEntropyLoss(label_smoothing=0.5)


def fit(trainer):
    x, y = batch(np.random.default_rng(5), 30)
    trainer.fit(x, y, epochs=2, seed=0, verbose=False)


def to_float64(trainer):
    trainer.model.to("float64")


def new_optimizer(trainer):
    trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.1)


CHANGES = [
    double_rate,
    clip,
    freeze,
    assign_weights,
    load_weights,
    load_optimizer,
    step_by_hand,
    change_dropout,
    other_loss,
    fit,
    new_optimizer,
]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_changes_between_steps_are_seen(change, rng):
    one, other = make(), make(compile=False)
    unchanged = make()
    for i in range(6):
        if i == 3:
            change(one)
            change(other)
        x, y = batch(rng)
        assert one.step(x, y) == other.step(x, y)
        unchanged.step(x, y)
    assert training_state(one) == training_state(other) != training_state(unchanged)


def test_the_number_of_threads_may_change(rng, threads):
    one, other = make(), make()
    for n in (1, 2, 3, 1):
        x, y = batch(rng, 64)
        other.step(x, y)
        threads(n)
        one.step(x, y)
    assert training_state(one) == training_state(other)


def test_lbfgs_takes_a_step(rng):
    x, y = batch(rng, 40)
    model = plain()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.LBFGS(model.parameters()))
    before = trainer.evaluate(x, y)["loss"]
    assert trainer.step(x, y) < 0.5 * before


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((), {}, TypeError, r"expected step\(x, y\) or step\(x, grad=...\), got neither"),
        ((labels,), {"grad": 1}, TypeError, "got both"),
        ((), {"grad": np.zeros((8, 3)), "sample_weight": np.ones(8)}, TypeError, "multiply grad"),
        ((), {"grad": np.zeros((8, 2))}, ValueError, r"grad has shape \(8, 2\), .*\(n, 3\)"),
        ((), {"grad": np.zeros(8)}, ValueError, r"grad has shape \(8,\), expected"),
        ((), {"grad": np.zeros((7, 3))}, ValueError, "x has 8 samples, y 7 targets"),
        ((), {"grad": np.full((8, 3), np.nan)}, ValueError, "grad holds nan"),
        ((), {"grad": lambda output: output[:, :2]}, ValueError, r"gradient of shape \(8, 2\)"),
        ((), {"grad": lambda output: output * np.inf}, ValueError, "grad holds"),
        ((np.full(8, 3),), {}, ValueError, "y holds label 3, but the model has 3 outputs"),
        ((np.zeros(7, int),), {}, ValueError, "x has 8 samples, y 7 targets"),
        ((np.zeros(8, int),), {"sample_weight": -np.ones(8)}, ValueError, "negative"),
    ],
)
def test_arguments_that_do_not_fit_change_nothing(arguments, settings, error, message, rng):
    trainer = make()
    trainer.step(*batch(rng))
    before = training_state(trainer)
    with pytest.raises(error, match=message):
        trainer.step(rows(rng, 8), *arguments, **settings)
    assert training_state(trainer) == before


@pytest.mark.parametrize("compiled", [True, False])
def test_samples_that_are_not_finite_change_nothing(compiled, rng):
    trainer = make(compile=compiled)
    x, y = batch(rng)
    before = training_state(trainer)
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match=r"x holds nan at \(3, 2\)"):
        trainer.step(x, y)
    assert training_state(trainer) == before


@pytest.mark.parametrize("compiled", [True, False])
def test_a_loss_that_is_not_finite_changes_nothing(compiled, rng):
    model = nn.Sequential(nn.Linear(5, 1), seed=0)
    trainer = Trainer(
        model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1, momentum=0.9), compile=compiled
    )
    x = rows(rng, 8)
    trainer.step(x, x[:, 0])
    before = training_state(trainer)
    with pytest.raises(FloatingPointError, match=r"the mini-batch is inf\..*before the step"):
        trainer.step(x, np.full(8, 1e38))
    assert training_state(trainer) == before
    trainer.step(x, x[:, 0])
    assert trainer.global_step == 2


def test_arrays_of_the_user_are_not_changed(rng):
    trainer = make("soft targets")
    x, y, grad = rows(rng, 8), rng.dirichlet([1, 1, 1], 8), rng.standard_normal((8, 3))
    weights = rng.random(8)
    before = [array.tobytes() for array in (x, y, grad, weights)]
    for array in (x, y, grad, weights):
        array.flags.writeable = False
    trainer.step(x, y, sample_weight=weights)
    trainer.step(x, grad=grad)
    assert before == [array.tobytes() for array in (x, y, grad, weights)]


def test_a_step_within_fit_is_rejected(rng):
    trainer = make()
    x, y = batch(rng, 30)
    with pytest.raises(RuntimeError, match="this model is being trained already"):
        trainer.fit(x, y, callbacks=lambda trainer, logs: trainer.step(x, y), verbose=False)
    trainer.step(x, y)


def test_a_model_that_shares_a_layer_with_one_in_training_takes_no_step(rng):
    trainer, x, y = make(), *batch(rng, 30)
    model = nn.Sequential(trainer.model[0], nn.Linear(9, 3), seed=0)
    other = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="shares a layer"):
        trainer.fit(x, y, callbacks=lambda trainer, logs: other.step(x, y), verbose=False)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_continues_alike(copied, rng):
    one = make()
    one.step(*batch(rng))
    other = copied(one)
    x, y = batch(rng)
    assert one.step(x, y) == other.step(x, y)
    assert training_state(one) == training_state(other)


def test_a_checkpoint_continues_alike(rng, tmp_path):
    one, other = make(), make()
    for _ in range(3):
        one.step(*batch(rng))
    one.save_checkpoint(tmp_path / "checkpoint.safetensors")
    other.load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert other.global_step == 3
    x, y = batch(rng)
    assert one.step(x, y) == other.step(x, y)
    assert training_state(one) == training_state(other)


def test_a_step_that_an_interrupt_aborted_is_taken_again(rng, monkeypatch):
    one, other = make(), make()
    x, y = batch(rng)
    aborted, call = [], CompiledEngine._call

    def abort_once(self, *arguments):
        if not aborted:
            aborted.append(True)
            return np.empty(0), np.empty((1, 1)), None
        return call(self, *arguments)

    monkeypatch.setattr(CompiledEngine, "_call", abort_once)
    assert one.step(x, y) == other.step(x, y)
    assert aborted
    assert training_state(one) == training_state(other)


def test_steps_reinforce(rng):
    """Policy gradients on a task whose reward depends on the sign of a feature."""
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
    for _ in range(200):
        x = rng.standard_normal((64, 4)).astype("f4")
        logits = model(x)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        actions = (rng.random(64) < p[:, 1]).astype(int)
        rewards = np.where(actions == (x[:, 0] > 0), 1.0, -1.0)
        trainer.step(x, grad=(p - np.eye(2)[actions]) * rewards[:, None] / 64)
    x = rng.standard_normal((500, 4)).astype("f4")
    assert ((model(x).argmax(axis=1) == (x[:, 0] > 0)).mean()) > 0.95
