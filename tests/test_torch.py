"""The same as PyTorch, where PyTorch has the same thing. Runs where torch==2.13.0 is installed, as
in CI.
"""

import copy
import inspect
import itertools

import numpy as np
import pytest

from cnet import Trainer, datasets, nn, optim
from cnet.callbacks import Callback

torch = pytest.importorskip(
    "torch", reason="PyTorch is not a requirement of the test suite: pip install torch==2.13.0"
)


def pair(*sizes, activation="ReLU", dtype="float32", seed=0):
    """A network here and the same one in PyTorch, with the same weights."""
    ours, theirs = [], []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        if i:
            ours.append(getattr(nn, activation)())
            theirs.append(getattr(torch.nn, activation)())
        ours.append(nn.Linear(n_in, n_out))
        theirs.append(torch.nn.Linear(n_in, n_out, dtype=getattr(torch, dtype)))
    model, net = nn.Sequential(*ours, seed=seed, dtype=dtype), torch.nn.Sequential(*theirs)
    net.load_state_dict(
        {name: torch.from_numpy(value) for name, value in model.state_dict().items()}
    )
    return model, net


@pytest.fixture(scope="module")
def digits():
    return datasets.digits(train=9600, test=0, normalize=True).train


def relative(got, expected):
    return np.abs(got - expected).max() / np.abs(expected).max()


# In float32, an input of ReLU sooner or later lies on the other side of zero by a rounding, after
# which two trainings part whoever is right: 100 steps are few enough. float64 makes that unlikely,
# and shows any difference in the formulas.
@pytest.fixture(
    scope="module",
    params=[
        ("float32", 100, 1e-4, "SGD", {"lr": 0.05}),
        ("float64", 300, 1e-9, "SGD", {"lr": 0.1}),
        ("float64", 300, 1e-9, "SGD", {"lr": 0.05, "momentum": 0.9}),
        ("float64", 300, 1e-9, "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
        ("float64", 300, 1e-9, "SGD", {"lr": 0.1, "weight_decay": 1e-3}),
        ("float64", 300, 1e-7, "Adam", {}),
    ],
    ids=["plain float32", "plain", "momentum", "nesterov", "decay", "Adam"],
)
def deep_training(request, digits):
    """A training of a deep network in PyTorch, which depends on no instruction set of ours: model,
    data, optimizer, losses, and their tolerance.
    """
    arithmetic, steps, tolerance, name, settings = request.param
    model, net = pair(784, 100, 200, 200, 10, dtype=arithmetic)
    x, y = digits[0][: 32 * steps].astype(arithmetic), digits[1][: 32 * steps]
    optimizer, criterion = (
        getattr(torch.optim, name)(net.parameters(), **settings),
        torch.nn.CrossEntropyLoss(),
    )
    losses = []
    for start in range(0, len(x), 32):
        optimizer.zero_grad()
        loss = criterion(
            net(torch.from_numpy(x[start : start + 32])), torch.from_numpy(y[start : start + 32])
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return (
        model,
        (x, y),
        lambda parameters: getattr(optim, name)(parameters, **settings),
        losses,
        tolerance,
    )


def test_the_steps_of_a_deep_net_follow_pytorch(deep_training, isa):
    model, data, optimizer, expected, tolerance = deep_training
    model, losses = copy.deepcopy(model), []
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer(model.parameters()))

    class Record(Callback):
        def on_batch_end(self, trainer, step, loss):
            losses.append(loss)

    trainer.fit(*data, epochs=1, batch_size=32, shuffle=False, callbacks=[Record()], verbose=False)
    assert len(losses) >= 100
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(losses, expected, rtol=tolerance)


@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "Tanh", "Sigmoid", "ELU", "GELU"])
def test_outputs_and_gradients(activation, isa, dtype, rng):
    model, net = pair(20, 33, 7, activation=activation, dtype=str(dtype))
    x = rng.standard_normal((13, 20)).astype(dtype)
    y = rng.integers(0, 7, 13)
    tensor = torch.from_numpy(x).requires_grad_()
    output = net(tensor)
    torch.nn.CrossEntropyLoss()(output, torch.from_numpy(y)).backward()

    ours = model.forward(x, training=True)
    dx = model.backward(nn.CrossEntropyLoss().forward_backward(ours, y)[1])
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert relative(ours, output.detach().numpy()) <= tolerance
    assert relative(dx, tensor.grad.numpy()) <= tolerance
    for parameter, theirs in zip(model.parameters(), net.parameters(), strict=True):
        assert relative(parameter.grad.T, theirs.grad.numpy()) <= tolerance


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_from_near_zero_to_the_ends_of_the_range(approximate, isa, dtype):
    powers = 10.0 ** np.arange(*((-38, 39) if dtype == np.float32 else (-300, 301)))
    x = np.concatenate(
        [
            *(sign * values for sign in (-1, 1) for values in (powers, np.linspace(0, 12, 481))),
            [-np.inf, np.nan],
        ]
    ).astype(dtype)[:, None]
    tensor = torch.from_numpy(x).requires_grad_()
    output = torch.nn.GELU(approximate)(tensor)
    output.sum().backward()
    layer = nn.GELU(approximate)
    ours, slopes = layer.forward(x, training=True), layer.backward(np.ones_like(x))
    step = np.finfo(dtype).eps
    expected = output.detach().numpy()
    assert np.all(np.abs(ours - expected)[:-2] <= 4 * step * np.abs(x[:-2]))
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    expected = tensor.grad.numpy()
    known = np.isfinite(expected)  # beyond the root of the largest number, PyTorch's own is NaN
    np.testing.assert_allclose(slopes[known], expected[known], atol=64 * step, rtol=0)
    assert np.all(np.isfinite(slopes[:-2]))


@pytest.mark.parametrize("soft", [False, True])
def test_losses(soft, isa, dtype, rng):
    x = 5 * rng.standard_normal((9, 6)).astype(dtype)
    target = rng.dirichlet(np.ones(6), 9).astype(dtype) if soft else rng.integers(0, 6, 9)
    tensor = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.CrossEntropyLoss()(tensor, torch.from_numpy(target))
    expected.backward()
    loss, grad = nn.CrossEntropyLoss().forward_backward(x, target)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6)
    assert relative(grad, tensor.grad.numpy()) <= 1e-6

    t = rng.standard_normal((9, 6)).astype(dtype)
    tensor = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.MSELoss()(tensor, torch.from_numpy(t))
    expected.backward()
    loss, grad = nn.MSELoss().forward_backward(x, t)
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6)
    assert relative(grad, tensor.grad.numpy()) <= 1e-6


def test_saved_weights_load_into_pytorch(tmp_path, rng):
    from safetensors.torch import load_file

    _, net = pair(5, 4, 3)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), seed=7)
    model.save(tmp_path / "m.safetensors")
    net.load_state_dict(load_file(tmp_path / "m.safetensors"))
    x = rng.standard_normal((6, 5)).astype(np.float32)
    np.testing.assert_allclose(
        net(torch.from_numpy(x)).detach().numpy(), model(x), rtol=1e-5, atol=1e-6
    )


def test_a_state_dict_of_tensors_and_tensors_as_data_are_taken(rng):
    model, net = pair(5, 4, 3)
    other = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), seed=2)
    other.load_state_dict(net.state_dict())
    x = torch.from_numpy(rng.standard_normal((6, 5)).astype(np.float32))
    np.testing.assert_array_equal(other(x), model(x))


SIZES = [(3, 1, 0), ((2, 3), (1, 2), (0, 1)), (5, 3, 2), (1, 2, 0), ((4, 2), 1, (3, 0))]


def same_gradients(layer, theirs, x, rng, tolerance):
    """Output and gradients of a layer here and in PyTorch, for the same weights."""
    tensor = torch.from_numpy(x).requires_grad_()
    output = theirs(tensor)
    ours = layer.forward(x, training=True)
    assert ours.shape == tuple(output.shape)
    assert relative(ours, output.detach().numpy()) <= tolerance
    grad = rng.standard_normal(ours.shape).astype(x.dtype)
    output.backward(torch.from_numpy(grad))
    assert relative(layer.backward(grad), tensor.grad.numpy()) <= tolerance
    for parameter, other in zip(layer.parameters(), theirs.parameters(), strict=True):
        assert relative(parameter.grad.T, other.grad.numpy()) <= tolerance
        parameter.grad = other.grad = None


def copied(layer, theirs):
    """A layer of PyTorch with the state of one here."""
    theirs.load_state_dict(
        {name: torch.from_numpy(value) for name, value in layer.state_dict().items()}
    )
    return theirs


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_convolution(sizes, bias, isa, dtype, rng):
    layer = nn.Conv2d(3, 18, *sizes, bias=bias, seed=0, dtype=dtype)
    theirs = copied(
        layer, torch.nn.Conv2d(3, 18, *sizes, bias=bias, dtype=getattr(torch, str(dtype)))
    )
    same_gradients(
        layer,
        theirs,
        rng.standard_normal((7, 3, 9, 11)).astype(dtype),
        rng,
        1e-5 if dtype == np.float32 else 1e-12,
    )


@pytest.mark.parametrize("kind", ["MaxPool2d", "AvgPool2d"])
@pytest.mark.parametrize(
    "sizes", [(2,), (3, 2, 1), ((2, 3), (1, 2), (0, 1)), (3, 1, 0), (1, 2, 0)], ids=str
)
def test_pooling(kind, sizes, isa, dtype, rng):
    x = rng.integers(0, 4, (5, 3, 9, 11)).astype(dtype)  # many equal values
    same_gradients(
        getattr(nn, kind)(*sizes),
        getattr(torch.nn, kind)(*sizes),
        x,
        rng,
        1e-6 if dtype == np.float32 else 1e-14,
    )


def test_infinities_and_nan_in_pools(isa, dtype):
    x = np.array(
        [
            [-np.inf, 1],
            [np.inf, 2],
            [np.nan, 3],
            [np.inf, np.nan],
            [np.nan, np.inf],
            [-np.inf, -np.inf],
            [np.nan, -np.inf],
        ],
        dtype,
    )
    x = x.reshape(7, 1, 1, 2)
    np.testing.assert_array_equal(
        nn.MaxPool2d((1, 2))(x), torch.nn.MaxPool2d((1, 2))(torch.from_numpy(x)).numpy()
    )


# In float32 two values of a pool that differ by a rounding change places sooner or later, and the
# two trainings part.
@pytest.fixture(scope="module", params=[("float32", 20, 1e-3), ("float64", 40, 1e-9)], ids=str)
def cnn_training(request, digits):
    """A training of a CNN in PyTorch: model, data, losses, and their tolerance."""
    arithmetic, steps, tolerance = request.param
    layers = (
        ("Conv2d", 1, 32, 3),
        ("ReLU",),
        ("MaxPool2d", 2),
        ("Conv2d", 32, 64, 3),
        ("ReLU",),
        ("MaxPool2d", 2),
    )
    layers += ("Flatten",), ("Linear", 1600, 128), ("ReLU",), ("Linear", 128, 10)
    model = nn.Sequential(
        *(getattr(nn, name)(*sizes) for name, *sizes in layers), seed=0, dtype=arithmetic
    )
    net = torch.nn.Sequential(*(getattr(torch.nn, name)(*sizes) for name, *sizes in layers)).to(
        getattr(torch, arithmetic)
    )
    net.load_state_dict(
        {name: torch.from_numpy(value) for name, value in model.state_dict().items()}
    )
    x, y = digits[0][:640].reshape(-1, 1, 28, 28).astype(arithmetic), digits[1][:640]
    batches = [
        (x[start : start + 32], y[start : start + 32]) for start in np.arange(steps) % 20 * 32
    ]
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9), []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = torch.nn.CrossEntropyLoss()(net(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, batches, losses, tolerance


def test_steps_of_a_cnn_follow_pytorch(cnn_training, isa):
    model, batches, expected, tolerance = cnn_training
    model, criterion, losses = copy.deepcopy(model), nn.CrossEntropyLoss(), []
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for images, labels in batches:
        loss, grad = criterion.forward_backward(model.forward(images, training=True), labels)
        model.backward_params(grad)
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < 0.7 * losses[0]
    np.testing.assert_allclose(losses, expected, rtol=tolerance)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ELU", {"alpha": 0.3}),
        ("GELU", {}),
        ("GELU", {"approximate": "tanh"}),
        ("SiLU", {}),
        ("Softplus", {}),
        ("Softplus", {"beta": 3.0}),
        ("GroupNorm", {"num_groups": 1, "num_channels": 3}),
        ("GroupNorm", {"num_groups": 3, "num_channels": 3, "eps": 0.01}),
        ("GroupNorm", {"num_groups": 1, "num_channels": 3, "affine": False}),
        ("LayerNorm", {"normalized_shape": 11}),
        ("LayerNorm", {"normalized_shape": (9, 11), "eps": 0.01}),
        ("LayerNorm", {"normalized_shape": (3, 9, 11), "bias": False}),
        ("LayerNorm", {"normalized_shape": 11, "elementwise_affine": False}),
    ],
    ids=str,
)
def test_layers_without_memory(name, settings, isa, dtype, rng):
    ours, theirs = (getattr(module, name)(**settings) for module in (nn, torch.nn))
    ours = nn.Sequential(ours, dtype=dtype)[0]
    for parameter in ours.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    theirs = copied(ours, theirs.to(getattr(torch, str(dtype))))
    same_gradients(
        ours,
        theirs,
        rng.standard_normal((7, 3, 9, 11)).astype(dtype),
        rng,
        1e-5 if dtype == np.float32 else 1e-12,
    )


@pytest.mark.parametrize(
    "settings", [{}, {"momentum": None, "eps": 1e-2}, {"affine": False, "momentum": 0.7}], ids=str
)
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d"])
def test_batch_norm(kind, settings, isa, dtype, rng):
    ours, theirs = (
        getattr(module, kind)(5, **settings, dtype=d)
        for module, d in ((nn, dtype), (torch.nn, getattr(torch, str(dtype))))
    )
    for parameter in ours.parameters():
        parameter.data = rng.standard_normal(parameter.shape)
    copied(ours, theirs)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for _ in range(3):
        x = (3 + rng.standard_normal((200, 5) if kind == "BatchNorm1d" else (6, 5, 8, 7))).astype(
            dtype
        )
        same_gradients(ours, theirs, x, rng, tolerance)
    for name, value in theirs.state_dict().items():
        assert relative(ours.state_dict()[name], value.numpy()) <= tolerance, name
        assert ours.state_dict()[name].dtype == value.numpy().dtype
    assert relative(ours(x), theirs.eval()(torch.from_numpy(x)).detach().numpy()) <= tolerance


@pytest.fixture
def double_precision():
    """PyTorch keeps the product of NAdam's momenta in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
        ("Adam", {}),
        ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
        ("Adam", {"lr": 0.01, "amsgrad": True}),
        ("AdamW", {}),
        ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
        ("NAdam", {}),
        ("NAdam", {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1, "momentum_decay": 0.1}),
        ("NAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        ("RMSprop", {}),
        ("RMSprop", {"lr": 0.001, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
        ("RMSprop", {"lr": 0.001, "momentum": 0.9}),
        ("RMSprop", {"lr": 0.001, "momentum": 0.9, "centered": True}),
        ("RMSprop", {"lr": 0.001, "centered": True}),
    ],
)
def test_300_steps_of_each_optimizer_follow_pytorch(name, settings, isa, rng, double_precision):
    """Gradients are given, so that nothing but the optimizer's arithmetic may differ."""
    ours, theirs = (
        nn.Linear(5, 4, seed=0, dtype="float64"),
        torch.nn.Linear(5, 4, dtype=torch.float64),
    )
    theirs.load_state_dict(
        {key: torch.from_numpy(value) for key, value in ours.state_dict().items()}
    )
    optimizer, other = (
        getattr(optim, name)(ours.parameters(), **settings),
        getattr(torch.optim, name)(theirs.parameters(), **settings),
    )
    for step in range(300):
        for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
            parameter.grad = (0.98**step) * rng.standard_normal(parameter.shape)
            tensor.grad = torch.from_numpy(parameter.grad.T.copy())
        optimizer.step()
        other.step()
    for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert relative(parameter.data.T, tensor.detach().numpy()) <= 1e-11


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RMSprop"])
def test_settings_of_optimizers_have_pytorchs_names_and_defaults(name):
    def defaults(kind):
        return {key: value.default for key, value in inspect.signature(kind).parameters.items()}

    ours, theirs = defaults(getattr(optim, name)), defaults(getattr(torch.optim, name))
    differing = {
        key for key, value in ours.items() if not key.startswith("clip_") and theirs[key] != value
    }
    assert differing <= ({"lr"} if name == "SGD" else set())


@pytest.mark.parametrize("limits", [{"clip_norm": 0.5}, {"clip_norm": 50.0}, {"clip_value": 0.3}])
def test_limits_of_gradients_follow_pytorch(limits, dtype, isa, rng):
    ours = [nn.Parameter((70, 80), dtype), nn.Parameter((5,), dtype)]
    theirs = [
        torch.nn.Parameter(torch.zeros(p.shape, dtype=getattr(torch, str(dtype)))) for p in ours
    ]
    for parameter, tensor in zip(ours, theirs, strict=True):
        parameter.data = np.zeros(parameter.shape)
        parameter.grad = rng.standard_normal(parameter.shape).astype(dtype)
        tensor.grad = torch.from_numpy(parameter.grad.copy())
    optim.SGD(ours, lr=1.0, **limits).step()
    if "clip_norm" in limits:
        torch.nn.utils.clip_grad_norm_(theirs, limits["clip_norm"])
    else:
        torch.nn.utils.clip_grad_value_(theirs, limits["clip_value"])
    for parameter, tensor in zip(ours, theirs, strict=True):
        assert relative(parameter.grad, tensor.grad.numpy()) <= (
            1e-6 if dtype == np.float32 else 1e-14
        )
        np.testing.assert_array_equal(parameter.data, -parameter.grad)


@pytest.mark.parametrize(
    ("name", "settings", "target"),
    [
        ("CrossEntropyLoss", {"weight": [0.5, 1, 3, 0.1, 2, 1]}, "labels"),
        ("CrossEntropyLoss", {"label_smoothing": 0.2}, "labels"),
        ("CrossEntropyLoss", {"weight": [0.5, 1, 3, 0.1, 2, 1], "label_smoothing": 0.2}, "labels"),
        ("CrossEntropyLoss", {"weight": [0.5, 1, 3, 0.1, 2, 1], "label_smoothing": 0.2}, "soft"),
        ("L1Loss", {}, "real"),
        ("HuberLoss", {}, "real"),
        ("HuberLoss", {"delta": 0.3}, "real"),
        ("SmoothL1Loss", {}, "real"),
        ("SmoothL1Loss", {"beta": 0.3}, "real"),
        ("SmoothL1Loss", {"beta": 0.0}, "real"),
        ("PoissonNLLLoss", {}, "counts"),
        ("PoissonNLLLoss", {"log_input": False}, "counts"),
        ("BCEWithLogitsLoss", {}, "soft"),
    ],
)
def test_losses_with_settings(name, settings, target, isa, dtype, rng):
    x = 2 * rng.standard_normal((9, 6)).astype(dtype)
    x = np.abs(x) + dtype.type(0.1) if "log_input" in settings else x
    targets = {
        "labels": rng.integers(0, 6, 9),
        "soft": rng.dirichlet(np.ones(6), 9).astype(dtype),
        "real": rng.standard_normal((9, 6)).astype(dtype),
        "counts": rng.poisson(2, (9, 6)).astype(dtype),
    }
    ours = getattr(nn, name)(**settings)
    if "weight" in settings:
        settings = {
            **settings,
            "weight": torch.tensor(settings["weight"], dtype=getattr(torch, str(dtype))),
        }
    theirs = getattr(torch.nn, name)(**settings)
    tensor = torch.from_numpy(x).requires_grad_()
    expected = theirs(tensor, torch.from_numpy(targets[target]))
    expected.backward()
    loss, grad = ours.forward_backward(x, targets[target])
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-6 if dtype == np.float32 else 1e-13)
    assert relative(grad, tensor.grad.numpy()) <= (1e-6 if dtype == np.float32 else 1e-13)
