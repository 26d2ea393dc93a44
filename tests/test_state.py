"""States: which ones are taken, what is said of those that are not, and that nothing is changed by
them.
"""

import copy
import pathlib

import numpy as np
import pytest

from cnet import Trainer, from_torch, nn, optim


def net(seed=0):
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), seed=seed)


def assert_same(a, b):
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(value, b.state_dict()[name], err_msg=name)


def trained(seed=0):
    """A network whose running means and counts are its own."""
    model = net(seed)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    rng = np.random.default_rng(seed)
    trainer.fit(
        rng.standard_normal((20, 3)),
        rng.standard_normal((20, 2)),
        batch_size=5,
        seed=0,
        verbose=False,
    )
    return model


@pytest.mark.parametrize("strict", [True, False])
def test_a_count_of_batches_may_be_missing(strict):
    """As PyTorch has it for states that are older than the count."""
    state = trained(1).state_dict()
    count = state.pop("1.num_batches_tracked")
    model = trained(2)
    model[1].num_batches_tracked.data = 17
    assert model.load_state_dict(state, strict=strict) is model
    assert model[1].num_batches_tracked.data == 17 != count
    model[1].num_batches_tracked.data = count
    assert_same(model, trained(1))


def test_without_strict_what_is_on_one_side_alone_is_left_out():
    model, state = net(1), net(2).state_dict()
    before = model.state_dict()
    changed = {
        "0.weight": state["0.weight"],
        "1.running_mean": np.ones(4),
        "head.weight": np.ones((7, 7)),
    }
    assert model.load_state_dict(changed, False) is model
    expected = before | {name: changed[name] for name in ("0.weight", "1.running_mean")}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, expected[name])


PREFIX = (
    r": names there begin with '{}'{}\. Pass {{name.removeprefix\('{}'\): value for name, value "
    r"in state.items\(\)}}$"
)
RENAMED = {
    "DataParallel": (
        "module.",
        PREFIX.format(r"module\.", ", as DataParallel saves them", r"module\."),
    ),
    "compiled": (
        "_orig_mod.",
        PREFIX.format(r"_orig_mod\.", ", as torch.compile saves them", r"_orig_mod\."),
    ),
    "both": (
        "module._orig_mod.",
        PREFIX.format(r"module\._orig_mod\.", "", r"module\._orig_mod\."),
    ),
    "Lightning": ("model.", PREFIX.format(r"model\.", "", r"model\.")),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("prefix", "hint"), RENAMED.values(), ids=RENAMED)
def test_prefixes_of_other_libraries_get_a_hint(prefix, hint, strict):
    model, state = net(), {prefix + name: value for name, value in trained().state_dict().items()}
    del state[f"{prefix}1.num_batches_tracked"]
    with pytest.raises(KeyError, match=hint):
        model.load_state_dict(state, strict)
    assert_same(model, net())
    model.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    np.testing.assert_array_equal(model[0].weight.data, trained()[0].weight.data)


REFUSED = {
    "missing": (
        lambda s: s.pop("3.bias"),
        KeyError,
        r"^the state has no 3\.bias; it has 0\.weight, 0\.bias, .*3\.weight$",
    ),
    "unknown": (
        lambda s: s.update(extra=1),
        KeyError,
        r"^the state has extra, which this model does not have; it has 0\.weight, .*3\.bias: "
        r"strict=False leaves out ",
    ),
    "shape": (
        lambda s: s.update({"3.bias": np.zeros(3)}),
        ValueError,
        r"3\.bias has shape \(3,\) in the state, expected \(2,\)",
    ),
    "text": (
        lambda s: s.update({"3.bias": ["a", "b"]}),
        TypeError,
        r"3\.bias has dtype <U1, expected real numbers",
    ),
    "masked": (
        lambda s: s.update({"3.bias": np.ma.array([1.0, 2.0], mask=[0, 1])}),
        ValueError,
        r"3\.bias is masked at \(1,\)",
    ),
    "a whole checkpoint": (
        lambda s: (
            s.update(model_state_dict=dict(s), epoch=3),
            [s.pop(name) for name in [*s] if "." in name],
        ),
        KeyError,
        r"it has model_state_dict, epoch: pass state\['model_state_dict'\], which has them$",
    ),
    "other names": (
        lambda s: [s.update({f"layer{i}": s.pop(name)}) for i, name in enumerate([*s])],
        KeyError,
        r": its shapes are those of the model, in order\. If its layers are too, pass "
        r"dict\(zip\(model\.state_dict\(\), state\.values\(\)\)\)$",
    ),
    "nothing": (dict.clear, KeyError, r"^the state has no 0\.weight, .*; it has nothing$"),
}


@pytest.mark.parametrize(("change", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_states_that_are_rejected_change_nothing(change, error, message):
    model, state = net(), net(1).state_dict()
    change(state)
    with pytest.raises(error, match=message) as caught:
        model.load_state_dict(state)
    assert str(caught.value)[0] not in "'\"", "a KeyError is shown as text, not as its repr"
    assert type(copy.copy(caught.value)) is error
    assert_same(model, net())


@pytest.mark.parametrize("state", [{}, {"other": np.ones(3)}])
def test_without_strict_something_has_to_match(state):
    model = net()
    with pytest.raises(KeyError, match=r"^the state has none of 0\.weight"):
        model.load_state_dict(state, strict=False)
    with pytest.raises(
        ValueError, match=r"0\.weight has shape \(1,\) in the state, expected \(4, 3\)"
    ):
        model.load_state_dict({"0.weight": [1.0]}, strict=False)
    assert nn.ReLU().load_state_dict({}).state_dict() == {}
    assert_same(model, net())


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([np.ones(3)], "state is of type list, expected a dict of arrays$"),
        (net(), r"state is of type Sequential, expected a dict of arrays: pass its state_dict\(\)"),
        (
            "m.safetensors",
            "state is of type str, expected a dict of arrays: for a file use cnet.load",
        ),
        (pathlib.Path("m"), "expected a dict of arrays: for a file use cnet.load"),
        (None, "state is of type NoneType"),
    ],
    ids=["list", "model", "text", "path", "None"],
)
def test_what_is_no_state(state, message):
    with pytest.raises(TypeError, match=message):
        net().load_state_dict(state)


def test_states_of_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    ).eval()
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    expected = theirs(torch.tensor(x)).detach().numpy()
    with pytest.raises(
        KeyError, match=r"names there begin with 'module\.', as DataParallel saves them"
    ):
        net().load_state_dict(torch.nn.DataParallel(theirs).state_dict())
    for state in (theirs.state_dict(), theirs.double().state_dict()):
        np.testing.assert_allclose(net(1).load_state_dict(state)(x), expected, rtol=1e-5, atol=1e-6)
    del state["1.num_batches_tracked"]
    theirs.load_state_dict(dict(state))
    net().load_state_dict(state)
    np.testing.assert_allclose(
        net(1).load_state_dict(theirs.half().state_dict())(x), expected, rtol=1e-2, atol=1e-2
    )
    with pytest.raises(
        ValueError,
        match=r"dtype is 'float16', expected 'float32' or 'float64': convert the network with "
        r"\.float\(\)",
    ):
        from_torch(theirs)
    for kind in (torch.bfloat16, torch.float8_e4m3fn):
        state = {
            name: value.to(kind) if value.is_floating_point() else value
            for name, value in theirs.state_dict().items()
        }
        with pytest.raises(
            TypeError,
            match=r"0\.weight cannot be read as an array of real numbers: .*: convert it with "
            r"0\.weight\.float\(\)",
        ):
            net().load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"dtype is 'bfloat16', .*: convert the network with \.float\(\)"
    ):
        from_torch(theirs.bfloat16())
    with pytest.raises(TypeError, match=r"pass its state_dict\(\)"):
        net().load_state_dict(theirs)
