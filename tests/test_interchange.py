"""Networks from PyTorch and to it. Runs where PyTorch is installed, as in CI; `test_onnx` has other
runtimes.
"""

import io
import subprocess
import sys

import numpy as np
import pytest
from nets import LAYERS, kinds, layer, random_net

import cnet
from cnet import nn

torch = pytest.importorskip(
    "torch", reason="PyTorch is not a requirement of the test suite: pip install torch==2.13.0"
)

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def same_outputs(ours, theirs, x):
    """Outputs agree, and are of the same dtype; PyTorch's module may be in training."""
    before = theirs.training
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    theirs.train(before)
    got = ours(x)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    assert np.abs(got - expected).max() <= TOLERANCE[str(x.dtype)] * np.abs(expected).max()


def there_and_back(model, shape, dtype, rng):
    theirs = cnet.to_torch(model)
    x = rng.standard_normal((6, *shape)).astype(dtype)
    same_outputs(model, theirs, x)
    state = theirs.state_dict()
    assert list(state) == list(model.state_dict())
    back = cnet.from_torch(theirs)
    assert repr(back) == repr(model)
    np.testing.assert_array_equal(back(x), model(x))
    for name, value in back.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])
        assert value.dtype == model.state_dict()[name].dtype == state[name].numpy().dtype
    return theirs


@pytest.mark.parametrize(("kind", "settings", "shape"), LAYERS, ids=str)
def test_layers_go_to_pytorch_and_back(kind, settings, shape, dtype, rng):
    theirs = there_and_back(layer(kind, settings, rng, str(dtype)), shape, dtype, rng)
    assert type(theirs).__name__ == kind
    assert type(theirs) is getattr(torch.nn, kind, type(theirs))
    assert theirs.training
    assert all(parameter.requires_grad for parameter in theirs.parameters())


def test_every_layer_is_among_those():
    assert {kind for kind, _, _ in LAYERS} == kinds()


@pytest.mark.parametrize("seed", range(20))
def test_nets_go_to_pytorch_and_back(seed, dtype):
    rng = np.random.default_rng(seed)
    model, shape = random_net(rng, str(dtype))
    there_and_back(model, shape, dtype, rng)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: torch.nn.Conv2d(3, 4, (3, 5), padding="same"), (3, 9, 11)),
        (lambda: torch.nn.Conv2d(3, 4, 3, stride=2, padding="valid"), (3, 9, 11)),
        (lambda: torch.nn.MaxPool2d(3, dilation=(1, 1)), (3, 9, 11)),
        (lambda: torch.nn.ReLU(inplace=True), (5,)),
        (lambda: torch.nn.Softmax(1), (5,)),
        (lambda: torch.nn.BatchNorm1d(5).eval(), (5,)),
    ],
)
def test_other_ways_to_say_it(make, shape, rng):
    theirs = make()
    same_outputs(
        cnet.from_torch(theirs), theirs, rng.standard_normal((6, *shape)).astype(np.float32)
    )


def test_names_and_nets_in_nets(rng):
    theirs = torch.nn.Sequential()
    theirs.add_module("first", torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh()))
    theirs.add_module("last", torch.nn.Linear(4, 3))
    ours = cnet.from_torch(theirs)
    assert list(ours.state_dict()) == ["0.0.weight", "0.0.bias", "1.weight", "1.bias"]
    same_outputs(ours, theirs, rng.standard_normal((6, 5)).astype(np.float32))


def test_a_layer_in_two_places_becomes_two(rng):
    activation, dense = torch.nn.Tanh(), torch.nn.Linear(4, 4)
    theirs = torch.nn.Sequential(dense, activation, dense, activation)
    ours = cnet.from_torch(theirs)
    assert len(set(map(id, ours))) == 4
    same_outputs(ours, theirs, rng.standard_normal((6, 4)).astype(np.float32))


def test_weights_are_copied(rng):
    theirs = torch.nn.Linear(5, 4)
    ours = cnet.from_torch(theirs)
    again = cnet.to_torch(ours)
    before = ours.state_dict()
    with torch.no_grad():
        theirs.weight.zero_()
        again.weight.zero_()
    np.testing.assert_array_equal(ours.state_dict()["weight"], before["weight"])
    ours.weight.data = np.ones((5, 4))
    assert not again.weight.any()


def test_what_comes_from_pytorch_is_trained_and_saved(tmp_path, rng):
    model = cnet.from_torch(
        torch.nn.Sequential(
            torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(8, 3)
        )
    )
    x, y = rng.standard_normal((60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    before = model.state_dict()["0.weight"]
    cnet.Trainer(model, nn.CrossEntropyLoss(), cnet.optim.SGD(model.parameters(), lr=0.1)).fit(
        x, y, seed=0, verbose=False
    )
    assert (model.state_dict()["0.weight"] != before).any()
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(cnet.load(tmp_path / "m.safetensors")(x), model(x))


def test_what_goes_to_pytorch_is_trained_pickled_and_draws_no_random_numbers(rng):
    state = torch.get_rng_state()
    theirs = cnet.to_torch(
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), seed=0)
    )
    assert torch.equal(torch.get_rng_state(), state)
    theirs(torch.ones(6, 5)).sum().backward()
    torch.optim.SGD(theirs.parameters(), lr=0.1).step()
    file = io.BytesIO()
    torch.save(theirs.state_dict(), file)
    assert theirs[1].num_batches_tracked == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.nn.LSTM(3, 4),
            r"^the module is torch\.nn\.LSTM: .*Sequential, Linear, Conv2d",
        ),
        (
            lambda: torch.nn.Sequential(
                torch.nn.Linear(3, 4),
                torch.nn.Sequential(torch.nn.ReLU(), torch.nn.LSTM(3, 4)),
                torch.nn.Mish(),
            ),
            r"^layer 1\.1 is torch\.nn\.LSTM, layer 2 is torch\.nn\.Mish: ",
        ),
        (
            lambda: type("Net", (torch.nn.Sequential,), {})(torch.nn.ReLU()),
            r"^the module is \S+\.Net: ",
        ),
        (lambda: torch.nn.LazyLinear(3), r"LazyLinear"),
        (lambda: np.ones(3), r"expected a torch\.nn\.Module"),
        (lambda: nn.Linear(3, 4), r"expected a torch\.nn\.Module"),
    ],
)
def test_layers_that_cnet_has_not(make, message):
    with pytest.raises(TypeError, match=message):
        cnet.from_torch(make())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.nn.Conv2d(1, 2, 3, dilation=(2, 1)),
            r"dilation is \(2, 1\), and cnet has only 1",
        ),
        (lambda: torch.nn.Conv2d(2, 2, 3, groups=2), "groups is 2"),
        (
            lambda: torch.nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"),
            "padding_mode is 'reflect', and cnet has only 'zeros'",
        ),
        (lambda: torch.nn.Conv2d(1, 2, (3, 2), padding="same"), "padding is 'same'"),
        (lambda: torch.nn.MaxPool2d(2, dilation=2), "dilation is 2"),
        (lambda: torch.nn.MaxPool2d(2, ceil_mode=True), "ceil_mode is True"),
        (lambda: torch.nn.MaxPool2d(2, return_indices=True), "return_indices is True"),
        (lambda: torch.nn.AvgPool2d(2, ceil_mode=True), "ceil_mode is True"),
        (lambda: torch.nn.AvgPool2d(2, count_include_pad=False), "count_include_pad is False"),
        (lambda: torch.nn.AvgPool2d(2, divisor_override=3), "divisor_override is 3"),
        (
            lambda: torch.nn.BatchNorm1d(2, track_running_stats=False),
            "track_running_stats is False",
        ),
        (lambda: torch.nn.Flatten(0), "start_dim is 0"),
        (lambda: torch.nn.Flatten(1, 2), "end_dim is 2"),
        (lambda: torch.nn.Softmax(0), "dim is 0"),
        (lambda: torch.nn.LeakyReLU(-0.1), "negative_slope is -0.1"),
        (
            lambda: torch.nn.Linear(3, 4).half(),
            "dtype is 'float16', expected 'float32' or 'float64'",
        ),
        (lambda: torch.nn.Linear(3, 4).bfloat16(), "dtype is 'bfloat16'"),
        (
            lambda: prune(torch.nn.Linear(3, 4)),
            "it has bias, weight_orig, weight_mask, expected weight, bias",
        ),
    ],
)
def test_settings_that_cnet_has_not(make, message):
    with pytest.raises(ValueError, match=rf"^layer 1\.0 is torch\.nn\.\w+: {message}"):
        cnet.from_torch(torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(make())))


def hooked(module, register, *arguments):
    getattr(module, register)(*arguments)
    return module


def with_forward(module):
    module.forward = lambda x: 3 * x
    return module


def mixed(module):
    module.bias = torch.nn.Parameter(module.bias.double())
    return module


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hooked(
                torch.nn.Linear(3, 4), "register_forward_hook", lambda module, x, y: 3 * y
            ),
            "it has forward hooks, which cnet would leave out",
        ),
        (
            lambda: hooked(
                torch.nn.ReLU(), "register_forward_pre_hook", lambda module, x: (3 * x[0],)
            ),
            "it has forward hooks",
        ),
        (
            lambda: hooked(
                torch.nn.Linear(3, 4), "register_full_backward_hook", lambda module, x, y: None
            ),
            "it has backward hooks",
        ),
        (
            lambda: hooked(
                torch.nn.Sequential(torch.nn.Linear(3, 4)),
                "register_forward_hook",
                lambda module, x, y: 3 * y,
            ),
            "it has forward hooks",
        ),
        (lambda: with_forward(torch.nn.Linear(3, 4)), "its forward was replaced"),
        (lambda: with_forward(torch.nn.Sequential(torch.nn.ReLU())), "its forward was replaced"),
        (
            lambda: torch.nn.Linear(3, 4, device="meta"),
            "its parameters are on the meta device, where they have no values",
        ),
        (lambda: torch.nn.BatchNorm1d(3, device="meta"), "its parameters are on the meta device"),
        (
            lambda: torch.nn.Linear(3, 4).half(),
            "dtype is 'float16', expected 'float32' or 'float64'",
        ),
        (
            lambda: mixed(torch.nn.Linear(3, 4)),
            "its parameters are of several dtypes: float32, float64",
        ),
        (
            lambda: torch.nn.BatchNorm1d(3, bias=False),
            "it has weight, running_mean, .*, expected weight, bias",
        ),
        (
            lambda: torch.nn.utils.spectral_norm(torch.nn.Linear(3, 4)),
            "it has bias, weight_orig, .*, expected weight, bias",
        ),
    ],
)
def test_what_a_module_does_beside_its_class_is_not_left_out(make, message, nested):
    module = (
        torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(make())) if nested else make()
    )
    with pytest.raises(
        ValueError,
        match=rf"^{r'layer 1.0' if nested else 'the module'} is torch\.nn\.\w+: {message}",
    ):
        cnet.from_torch(module)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 4)),
            r"ParametrizedLinear \(call .*remove_parametrizations first\)",
        ),
        (
            lambda: torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(3, 4, 3)),
            "remove_parametrizations first",
        ),
        (
            lambda: torch.nn.DataParallel(torch.nn.Linear(3, 4)),
            r"DataParallel \(pass the module in it, module\.module\)",
        ),
        (
            lambda: torch.compile(torch.nn.Linear(3, 4), backend="eager"),
            r"OptimizedModule \(pass the module that was compiled, module\._orig_mod\)",
        ),
    ],
)
def test_modules_that_wrap_others_say_what_to_pass(make, message):
    with pytest.raises(TypeError, match=message):
        cnet.from_torch(make())
    with pytest.raises(TypeError, match=rf"^layer 0 is .*{message}"):
        cnet.from_torch(torch.nn.Sequential(make()))


def test_what_is_frozen_stays_frozen():
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)
    )
    theirs[0].requires_grad_(False)
    theirs[2].bias.requires_grad_(False)
    frozen = ["0.weight", "0.bias", "2.bias"]
    ours = cnet.from_torch(theirs)
    back = cnet.to_torch(ours)
    for net in (ours, back):
        assert [
            name for name, parameter in net.named_parameters() if not parameter.requires_grad
        ] == frozen


def prune(module):
    import torch.nn.utils.prune

    return torch.nn.utils.prune.identity(module, "weight")


def test_what_pytorch_has_not():
    class Own(nn.Linear):
        pass

    with pytest.raises(
        TypeError, match=r"^layer 0\.0 is Own, layer 1 is Heads: .*Sequential, Linear"
    ):
        cnet.to_torch(nn.Sequential(nn.Sequential(Own(3, 4)), nn.Heads(nn.Linear(4, 2))))
    with pytest.raises(TypeError, match="expected a module of cnet"):
        cnet.to_torch(torch.nn.Linear(3, 4))


def test_cnet_does_not_import_pytorch():
    code = "import sys, cnet; assert not {'torch', 'onnx'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        cnet.to_torch(nn.Linear(3, 4))
