"""Frozen parameters: `requires_grad = False` leaves them as they are, as if the optimizer did not
have them.
"""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnet
from cnet import Trainer, nn, optim

N = 40
X = np.random.default_rng(0).standard_normal((N, 5)).astype("f4")
Y = X[:, :3].argmax(axis=1)


def net(dtype="float32"):
    layers = (
        nn.Linear(5, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Linear(8, 6, bias=False),
        nn.LayerNorm(6),
        nn.Tanh(),
        nn.Linear(6, 3),
    )
    return nn.Sequential(*layers, seed=0, dtype=dtype)


def state(model):
    return np.concatenate([value.ravel() for value in model.state_dict().values()])


def trainer():
    model = net()
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


class Plain(nn.Module):
    """A layer of one's own that is made of layers."""

    def __init__(self):
        self.body = nn.Sequential(nn.Linear(5, 5, seed=1), nn.Tanh())

    def forward(self, x):
        return x + self.body.forward(x, training=True)

    def backward(self, grad):
        return grad + self.body.backward(grad)


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "clip_norm": lambda p: optim.Adam(p, lr=0.01, clip_norm=0.05),
    "clip_value": lambda p: optim.RMSprop(p, lr=0.01, clip_value=0.01),
}


def parts(names, model):
    """The parameters that are left to train."""
    return [parameter for name, parameter in model.named_parameters() if name not in names]


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by layers"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    "names",
    [
        ["0.weight", "0.bias"],
        ["1.weight", "4.bias"],
        ["6.weight", "6.bias"],
        ["3.weight", "6.bias", "0.bias"],
        ["0.bias", "6.weight"],
    ],
)
def test_a_frozen_parameter_is_as_one_that_the_optimizer_does_not_have(
    names, make, compiled, dtype
):
    frozen, left_out = net(dtype), net(dtype)
    for name, parameter in frozen.named_parameters():
        parameter.requires_grad = name not in names
    results = []
    for model, optimizer in (
        (frozen, make(frozen.parameters())),
        (left_out, make(parts(names, left_out))),
    ):
        results.append(
            Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled).fit(
                X, Y, epochs=3, batch_size=16, seed=0, verbose=False
            )
        )
    assert results[0] == results[1]
    np.testing.assert_array_equal(state(frozen), state(left_out))
    start = net(dtype).state_dict()
    for name in names:
        np.testing.assert_array_equal(frozen.state_dict()[name], start[name])


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_parameters_are_frozen_and_thawed_at_any_time(data):
    """Between calls of fit, and within one by a callback: what the optimizer remembers waits."""
    plan = data.draw(st.lists(st.sets(st.integers(0, 7)), min_size=2, max_size=4))

    def train(compiled, by_callback):
        model = net()
        parameters = model.parameters()
        assert len(parameters) == 8 + 1
        optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9)

        def freeze(epoch):
            for i, parameter in enumerate(parameters):
                parameter.requires_grad = epoch >= len(plan) or i not in plan[epoch]

        trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled)
        freeze(0)
        if by_callback:
            trainer.fit(
                X,
                Y,
                epochs=len(plan),
                seed=0,
                callbacks=[lambda trainer, logs: freeze(trainer.epoch)],
                verbose=False,
            )
        else:
            for epoch in range(len(plan)):
                freeze(epoch)
                trainer.fit(X, Y, seed=0, verbose=False)
        return state(model)

    expected = train(True, False)
    for compiled, by_callback in ((True, True), (False, True), (False, False)):
        np.testing.assert_array_equal(train(compiled, by_callback), expected)


def test_a_frozen_layer_by_hand():
    model = net()
    assert model[0].requires_grad_(False) is model[0]
    model[3].weight.requires_grad_(False)
    assert [
        name for name, parameter in model.named_parameters() if not parameter.requires_grad
    ] == ["0.weight", "0.bias", "3.weight"]
    before = {name: value.copy() for name, value in model.state_dict().items()}
    optimizer = optim.SGD(
        filter(lambda parameter: parameter.requires_grad, model.parameters()), lr=0.1
    )
    model.backward(nn.CrossEntropyLoss().forward_backward(model.forward(X, training=True), Y)[1])
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == [
        "0.weight",
        "0.bias",
        "3.weight",
    ]
    optimizer.step()
    after = model.state_dict()
    same = {name for name, value in before.items() if np.array_equal(value, after[name])}
    assert {"0.weight", "0.bias", "3.weight"} <= same
    assert "6.weight" not in same
    model.requires_grad_()
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["layer of ones own", "lbfgs", "optimizer of ones own"])
def test_frozen_parameters_elsewhere(kind):
    class SignSGD(optim.Optimizer):
        def _update(self, parameter, settings):
            parameter.data -= 0.01 * np.sign(parameter.grad)

    own = kind == "layer of ones own"
    model = nn.Sequential(
        *([Plain(), nn.Linear(5, 3)] if own else [nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)]),
        seed=0,
    )
    frozen = [model[0].body[0].weight] if own else [model[0].weight, model[2].bias]
    for parameter in frozen:
        parameter.requires_grad = False
    before = [parameter.data.copy() for parameter in frozen]
    make = {
        "lbfgs": optim.LBFGS,
        "optimizer of ones own": lambda p: SignSGD(p, {}),
        "layer of ones own": lambda p: optim.SGD(p, lr=0.1),
    }[kind]
    trainer = Trainer(model, nn.CrossEntropyLoss(), make(model.parameters()))
    first = trainer.evaluate(X, Y)["loss"]
    trainer.fit(X, Y, epochs=2, seed=0, verbose=False)
    assert trainer.evaluate(X, Y)["loss"] < first
    for parameter, values in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(parameter.data, values)


def test_a_net_that_is_frozen_as_a_whole_is_not_trained():
    trainer_ = trainer()
    trainer_.model.requires_grad_(False)
    before = state(trainer_.model)
    with pytest.raises(
        ValueError,
        match="every parameter that the optimizer holds is frozen: requires_grad is False",
    ):
        trainer_.fit(X, Y, verbose=False)
    np.testing.assert_array_equal(state(trainer_.model), before)
    assert trainer_.evaluate(X, Y)["loss"] > 0
    with pytest.raises(ValueError, match="every parameter of the optimizer is frozen"):
        optim.LBFGS(trainer_.model.parameters()).step(lambda: 0.0)
    trainer_.model[6].requires_grad_()
    trainer_.fit(X, Y, verbose=False)
    assert (state(trainer_.model) != before).any()


def test_a_checkpoint_of_a_net_with_frozen_layers_goes_on(tmp_path):
    def make():
        model = net()
        model[0].requires_grad_(False)
        return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))

    whole, first, second = make(), make(), make()
    whole.fit(X, Y, epochs=4, seed=0, verbose=False)
    first.fit(X, Y, epochs=2, seed=0, verbose=False)
    first.save_checkpoint(tmp_path / "c.safetensors")
    second.load_checkpoint(tmp_path / "c.safetensors")
    second.fit(X, Y, epochs=2, verbose=False)
    np.testing.assert_array_equal(state(second.model), state(whole.model))
    whole.model.save(tmp_path / "m.safetensors")
    assert all(
        parameter.requires_grad for parameter in cnet.load(tmp_path / "m.safetensors").parameters()
    )
    assert not copy.deepcopy(whole.model)[0].weight.requires_grad


def test_divergence_restores_frozen_parameters_too():
    trainer_ = trainer()
    trainer_.model[6].requires_grad_(False)
    trainer_.optimizer.param_groups[0]["lr"] = 1e30
    before = state(trainer_.model)
    with pytest.raises(FloatingPointError):
        trainer_.fit(X, Y, epochs=20, seed=0, verbose=False)
    assert np.isfinite(state(trainer_.model)).all()
    assert len(before) == len(state(trainer_.model))


def test_requires_grad_is_of_parameters_and_a_truth_value():
    with pytest.raises(
        AttributeError,
        match=r"requires_grad belongs to parameters: requires_grad_\(False\) freezes all "
        r"parameters of a module",
    ):
        net().requires_grad = False
    for value in (0, None, "no"):
        with pytest.raises(TypeError, match=f"requires_grad is {value!r}, expected True or False"):
            net()[0].weight.requires_grad = value
