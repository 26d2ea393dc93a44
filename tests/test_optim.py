"""Optimizers: their settings, groups and states. Schedules are in test_lr_scheduler.py."""

import copy
import re

import numpy as np
import pytest

from cnet import Trainer, nn, optim


def net(seed=1):
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=seed)


@pytest.mark.parametrize(
    ("construct", "error", "message"),
    [
        (
            lambda p: optim.Adam(p, lr=-1),
            ValueError,
            "lr is -1, expected a finite number of at least 0",
        ),
        (
            lambda p: optim.Adam(p, betas=(0.9, 1.0)),
            ValueError,
            r"betas\[1\] is 1.0, expected a number of at least 0 and below 1",
        ),
        (lambda p: optim.Adam(p, betas=0.9), ValueError, "betas is 0.9, expected two numbers"),
        (lambda p: optim.AdamW([{"params": p, "eps": "x"}]), ValueError, "eps is 'x'"),
        (lambda p: optim.RMSprop(p, alpha=1), ValueError, "alpha is 1, expected"),
        (
            lambda p: optim.SGD(p, clip_norm=0),
            ValueError,
            "clip_norm is 0, expected a finite number above 0, or None",
        ),
        (lambda p: optim.Adam(p, clip_value=np.nan), ValueError, "clip_value is nan"),
        (
            lambda p: optim.SGD([{"params": p[:1]}, {"params": p[1:], "lr": -1}]),
            ValueError,
            "parameter group 1: lr is -1",
        ),
        (
            lambda p: optim.SGD(p, 0.1, True),
            ValueError,
            "momentum is True, expected a finite number of at least 0",
        ),
        (lambda p: optim.SGD(p, 10**400), ValueError, "lr is 1000"),
        (lambda p: optim.SGD(p, 1j), ValueError, "lr is 1j"),
        (lambda p: optim.SGD(p, clip_norm=True), ValueError, "clip_norm is True"),
        (
            lambda p: optim.SGD([{"params": {*p}}]),
            TypeError,
            "parameter group 0 has a set of parameters, which has no order",
        ),
        (
            lambda p: optim.SGD([{"params": p, "name": 3}]),
            ValueError,
            "parameter group 0 has the name 3, expected a string",
        ),
        (lambda p: optim.SGD([{"params": p, "initial_lr": "x"}]), ValueError, "initial_lr is 'x'"),
    ],
)
def test_settings_out_of_bounds_are_rejected(construct, error, message):
    with pytest.raises(error, match=message):
        construct(list(net().parameters()))


def test_a_gradient_that_is_not_finite_is_not_hidden_by_a_limit():
    parameter = nn.Parameter((3,))
    parameter.data = np.zeros(3)
    parameter.grad = np.array([1, np.nan, 2], np.float32)
    optim.SGD([parameter], clip_norm=1.0, clip_value=0.5).step()
    assert np.isnan(parameter.data).all()


# Groups, which may be changed at any time


class Own(optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def _update(self, parameter, settings):
        parameter.data -= settings["lr"] * parameter.grad


@pytest.mark.parametrize(
    "where", ["step", "fit", "within fit, compiled", "within fit, layer by layer"]
)
@pytest.mark.parametrize(
    ("optimizer", "change", "message"),
    [
        (optim.SGD, {"lr": -1}, "lr is -1, expected a finite number of at least 0"),
        (optim.SGD, {"lr": "1e-3"}, "lr is '1e-3', expected a finite number of at least 0"),
        (optim.SGD, {"lr": np.nan}, "lr is nan"),
        (optim.SGD, {"lr": np.inf}, "lr is inf"),
        (optim.SGD, {"lr": None}, "lr is None"),
        (optim.SGD, {"momentum": -0.9}, r"momentum is -0\.9"),
        (optim.SGD, {"weight_decay": [0.1]}, r"weight_decay is \[0\.1\]"),
        (
            optim.SGD,
            {"learning_rate": 0.01},
            "parameter group 0 sets learning_rate, which is not one of lr, momentum",
        ),
        (optim.SGD, {"nesterov": True}, "nesterov needs momentum"),
        (optim.Adam, {"betas": (0.9, 1)}, r"betas\[1\] is 1"),
        (optim.RMSprop, {"alpha": np.nan}, "alpha is nan"),
        (Own, {"lr": -1}, "lr is -1"),
    ],
)
def test_a_setting_that_was_spoiled_is_rejected_by_the_next_step(optimizer, change, message, where):
    model = net()
    optimizer = optimizer(model.parameters(), lr=0.1)
    x, y = np.ones((8, 5), np.float32), np.arange(8) % 3
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, compile="layer" not in where)

    def spoil(trainer=None, logs=None):
        optimizer.param_groups[0].update(change)
        before.update(model.state_dict())

    def go_on():
        if where == "step":
            model.backward(
                nn.CrossEntropyLoss().forward_backward(model.forward(x, training=True), y)[1]
            )
            spoil()
            optimizer.step()
        elif where == "fit":
            spoil()
            trainer.fit(x, y, verbose=False)
        else:
            trainer.fit(x, y, epochs=3, callbacks=[spoil], verbose=False)

    before = {}
    with pytest.raises(ValueError, match=message):
        go_on()
    for name, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_a_setting_that_is_missing_is_said():
    optimizer = optim.SGD(net().parameters())
    del optimizer.param_groups[0]["momentum"]
    with pytest.raises(ValueError, match="parameter group 0 has no momentum"):
        optimizer.step()


def test_groups_may_have_a_name():
    first, second = net().parameters(), net().parameters()
    optimizer = optim.Adam(
        [{"params": first, "name": "one"}, {"params": second, "name": "two", "lr": 0.5}]
    )
    optimizer.step()
    assert [group["name"] for group in optimizer.param_groups] == ["one", "two"]
    assert [group["name"] for group in optimizer.state_dict()["param_groups"]] == ["one", "two"]


def test_a_group_is_added():
    """Layers are trained one after another, as in gradual unfreezing."""
    x, y = np.random.default_rng(0).standard_normal((20, 5)).astype("f4"), np.arange(20) % 3
    model = net()
    optimizer = optim.Adam(model[2].parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer)
    before = model.state_dict()
    trainer.fit(x, y, epochs=2, verbose=False)
    np.testing.assert_array_equal(model.state_dict()["0.weight"], before["0.weight"])
    group = {"params": model[0].parameters(), "lr": 0.05}
    optimizer.add_param_group(group)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05]
    trainer.fit(x, y, epochs=2, verbose=False)
    assert (model.state_dict()["0.weight"] != before["0.weight"]).any()
    for wrong, error, message in (
        ({"params": model[0].weight}, ValueError, "a parameter appears twice"),
        ({"params": [p := nn.Parameter((1,)), p]}, ValueError, "a parameter appears twice"),
        ({"params": [3]}, TypeError, "the optimizer got 3"),
        ({"params": p, "lr": "x"}, ValueError, "parameter group 2: lr is 'x'"),
        (
            {"params": p, "momentum": 0.9},
            ValueError,
            "parameter group 2 sets momentum, which is not one of lr, betas",
        ),
        ([p], TypeError, "parameter group 2 is"),
    ):
        with pytest.raises(error, match=message):
            optimizer.add_param_group(wrong)
    assert len(optimizer.param_groups) == 2


# Steps


def test_a_closure_is_called_before_the_step():
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x, y = np.ones((4, 5), np.float32), np.array([0, 1, 2, 0])

    def closure():
        loss, grad = nn.CrossEntropyLoss().forward_backward(model.forward(x, training=True), y)
        model.backward(grad)
        return loss

    first, second = optimizer.step(closure), optimizer.step(closure)
    assert second < first
    assert optimizer.step() is None


def test_gradients_become_none_or_zeros():
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.forward(np.ones((2, 5)), training=True)
    model.backward(np.ones((2, 3)))
    model[0].bias.grad = None
    optimizer.zero_grad(set_to_none=False)
    for parameter in model.parameters():
        if parameter is model[0].bias:
            assert parameter.grad is None
        else:
            np.testing.assert_array_equal(parameter.grad, np.zeros(parameter.shape))
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


# States


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "AMSGrad": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "NAdam": lambda p: optim.NAdam(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
    "centered": lambda p: optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "own": lambda p: Mean(p),
}


class Mean(optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    def _update(self, parameter, settings):
        mean = self._state.setdefault(parameter, np.zeros_like(parameter.data))
        mean += 0.1 * (parameter.grad - mean)
        parameter.data -= settings["lr"] * mean


def step(model, optimizer, seed):
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.grad = rng.standard_normal(parameter.shape).astype(parameter.dtype)
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_is_all_that_an_optimizer_goes_on_from(name, dtype):
    first, second = (
        nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 4), seed=1, dtype=dtype)
        for _ in range(2)
    )
    one = OPTIMIZERS[name](
        [{"params": first[0].parameters()}, {"params": first[2].parameters(), "name": "last"}]
    )
    for seed in range(5):
        step(first, one, seed)
    one.param_groups[0]["lr"] *= 0.5
    state = one.state_dict()
    kept = copy.deepcopy(state)
    second.load_state_dict(first.state_dict())
    two = OPTIMIZERS[name]([{"params": second[0].parameters()}, {"params": second[2].parameters()}])
    two.load_state_dict(state)
    for seed in range(5, 9):
        for model, optimizer in ((first, one), (second, two)):
            step(model, optimizer, seed)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(ours.data, theirs.data)
    assert two.param_groups[1]["name"] == "last"
    assert two.param_groups[0]["lr"] == one.param_groups[0]["lr"]
    assert_equal(state, kept)  # later steps changed no array of it


def assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    else:
        np.testing.assert_array_equal(a, b)


def test_a_state_goes_into_a_trainer_in_the_middle():
    """A manual loop saves its optimizer, and `Trainer` continues."""
    x, y = np.random.default_rng(0).standard_normal((20, 5)).astype("f4"), np.arange(20) % 3
    trainers = []
    for _ in range(2):
        model = net()
        trainers.append(
            Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01))
        )
    whole, resumed = trainers
    whole.fit(x, y, epochs=3, shuffle=False, verbose=False)
    resumed.model.load_state_dict(whole.model.state_dict())
    resumed.optimizer.load_state_dict(whole.optimizer.state_dict())
    for trainer in trainers:
        trainer.fit(x, y, epochs=2, shuffle=False, verbose=False)
    assert_equal(whole.model.state_dict(), resumed.model.state_dict())


def test_the_state_has_the_names_and_shapes_of_pytorch():
    model = nn.Linear(3, 2, seed=0)
    optimizer = optim.AdamW(model.parameters(), lr=0.1, amsgrad=True)
    step(model, optimizer, 0)
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert {name: np.shape(value) for name, value in state["state"][0].items()} == {
        "step": (),
        "exp_avg": (2, 3),
        "exp_avg_sq": (2, 3),
        "max_exp_avg_sq": (2, 3),
    }
    assert state["param_groups"] == [
        {
            "lr": 0.1,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
            "weight_decay": 0.01,
            "amsgrad": True,
            "params": [0, 1],
        }
    ]


def changed(state, change):
    state = copy.deepcopy(state)
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("state"), 'expected a dictionary with "state" and "param_groups"'),
        (lambda s: s.update(more=1), 'expected a dictionary with "state" and "param_groups"'),
        (lambda s: s.update(state=[1]), 'expected a dictionary with "state" and "param_groups"'),
        (lambda s: s.update(param_groups=[3]), "list of numbers under"),
        (
            lambda s: s.update(param_groups=[]),
            r"the state has groups of \[\] parameters, this optimizer of \[4\]",
        ),
        (lambda s: s["param_groups"][0].update(params=[0, 1, 2]), r"groups of \[3\] parameters"),
        (lambda s: s["param_groups"][0].update(params=[0, 1, 2, 2]), "the state has groups of"),
        (lambda s: s["param_groups"][0].update(lr=-1), "lr is -1"),
        (lambda s: s["param_groups"][0].update(lr="x"), "lr is 'x'"),
        (lambda s: s["param_groups"][0].update(betas=None), "betas is None"),
        (lambda s: s["param_groups"][0].update(more=1), "parameter group 0 sets more"),
        (lambda s: s["param_groups"][0].pop("eps"), "parameter group 0 has no eps"),
        (
            lambda s: s["state"].update({7: s["state"][0]}),
            "the state has a parameter 7, but this optimizer has 4",
        ),
        (lambda s: s["state"].update({"0": s["state"][0]}), "the state has a parameter '0'"),
        (
            lambda s: s["state"].update({True: s["state"][1]}) or s["state"].update({-1: 1}),
            "the state has a parameter -1",
        ),
        (
            lambda s: s["state"].update({3: None}),
            "parameter 3 of the state: it is no dictionary with step and any of exp_avg",
        ),
        (
            lambda s: s["state"][3].update(more=1),
            "parameter 3 of the state: it is no dictionary with step",
        ),
        (lambda s: s["state"][3].pop("step"), "it is no dictionary with step"),
        *(
            (lambda s, value=value: s["state"][3].update(step=value), "step is ")
            for value in (-1, 2**63, 1.5, None, True, "x")
        ),
        (
            lambda s: s["state"][3].update(exp_avg=np.zeros(4, "f4")),
            r"exp_avg is float32 of shape \(4,\), expected an array of float32 of shape \(3,\)",
        ),
        (
            lambda s: s["state"][3].update(exp_avg=np.zeros(3)),
            r"exp_avg is float64 of shape \(3,\)",
        ),
        (lambda s: s["state"][3].update(exp_avg=[0, 0, 0]), "exp_avg is list, expected an array"),
    ],
)
def test_states_that_do_not_fit_change_nothing(change, message):
    model = net()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    step(model, optimizer, 0)
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(
            changed({**before, "param_groups": [{**before["param_groups"][0], "lr": 0.5}]}, change)
        )
    assert_equal(optimizer.state_dict()["state"], before["state"])
    assert optimizer.state_dict()["param_groups"] == before["param_groups"]


def test_a_state_that_is_no_array_is_rejected():
    model = net()
    optimizer = Mean(model.parameters())
    optimizer._state[model[0].weight] = {"mean": 1}
    with pytest.raises(TypeError, match="Mean keeps a dict for a parameter, expected an array"):
        optimizer.state_dict()


# What is said where training diverges


@pytest.mark.parametrize(
    ("lr", "hint"),
    [
        (0.5, "; a learning rate below 0.5 may help, such as 0.05"),
        (1e30, "; a learning rate below 1e+30 may help, such as 0.1"),
        (0.0, "before the epoch$"),
    ],
)
def test_a_rate_that_may_help(lr, hint):
    model = nn.Sequential(nn.Linear(3, 1), seed=0)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr))
    x = np.ones((40, 3), np.float32)
    with pytest.raises(
        FloatingPointError, match=hint if hint.endswith("$") else re.escape(hint) + "$"
    ):
        trainer.fit(x, np.full(40, -1e30), epochs=20, batch_size=8, verbose=False)
