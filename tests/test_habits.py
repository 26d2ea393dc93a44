"""What users of PyTorch and Keras type by habit: it does the same here, or an error says what to
type.
"""

import copy
import inspect
import json
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import cnet
from cnet import Trainer, nn, optim
from cnet._utils import answers as _answers

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


# Settings that mean what cnet does


@pytest.mark.parametrize(
    ("with_them", "without"),
    [
        (lambda: nn.ReLU(inplace=True), nn.ReLU),
        (lambda: nn.ReLU(True), nn.ReLU),
        (lambda: nn.LeakyReLU(0.2, True), lambda: nn.LeakyReLU(0.2)),
        (lambda: nn.ELU(0.5, inplace=True), lambda: nn.ELU(0.5)),
        (lambda: nn.Dropout(0.5, True), lambda: nn.Dropout(0.5)),
        (lambda: nn.Dropout(0.5, inplace=False), lambda: nn.Dropout(0.5)),
        (lambda: nn.Softmax(dim=1), nn.Softmax),
        (lambda: nn.Softmax(-1), nn.Softmax),
        (lambda: nn.Softmax(dim=None), nn.Softmax),
        (lambda: nn.Flatten(1), nn.Flatten),
        (lambda: nn.Flatten(start_dim=1, end_dim=-1), nn.Flatten),
        (lambda: nn.Linear(3, 2, device="cpu"), lambda: nn.Linear(3, 2)),
        (
            lambda: nn.Linear(3, 2, True, device=None, dtype=np.float64),
            lambda: nn.Linear(3, 2, dtype="float64"),
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, 1, 1, 1, 1, False),
            lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False),
        ),
        (lambda: nn.Conv2d(3, 4, 3, padding="same"), lambda: nn.Conv2d(3, 4, 3, padding=1)),
        (
            lambda: nn.Conv2d(3, 4, (5, 1), padding="same", dilation=[1, 1]),
            lambda: nn.Conv2d(3, 4, (5, 1), padding=(2, 0)),
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, stride=2, padding="valid"),
            lambda: nn.Conv2d(3, 4, 3, stride=2),
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=np.int64(1), padding_mode="zeros", device="cpu"),
            lambda: nn.Conv2d(3, 4, 3),
        ),
        (lambda: nn.MaxPool2d(2, None, 0, 1, False, False), lambda: nn.MaxPool2d(2)),
        (lambda: nn.MaxPool2d(2, dilation=1, ceil_mode=False), lambda: nn.MaxPool2d(2)),
        (lambda: nn.AvgPool2d(2, None, 0, False, True, None), lambda: nn.AvgPool2d(2)),
        (lambda: nn.BatchNorm1d(3, 1e-5, 0.1, True, True), lambda: nn.BatchNorm1d(3)),
        (
            lambda: nn.BatchNorm2d(3, track_running_stats=True, bias=True, device="cpu"),
            lambda: nn.BatchNorm2d(3),
        ),
        (lambda: nn.LayerNorm(3, device="cpu", bias=False), lambda: nn.LayerNorm(3, bias=False)),
        (
            lambda: nn.CrossEntropyLoss(None, reduction="mean", ignore_index=-100),
            nn.CrossEntropyLoss,
        ),
        (lambda: nn.NLLLoss(reduction="mean", ignore_index=-100), nn.NLLLoss),
        (lambda: nn.MSELoss(reduction="mean"), nn.MSELoss),
        (lambda: nn.L1Loss(reduction="mean"), nn.L1Loss),
        (lambda: nn.HuberLoss("mean", 0.5), lambda: nn.HuberLoss(delta=0.5)),
        (lambda: nn.HuberLoss(0.5), lambda: nn.HuberLoss(delta=0.5)),
        (lambda: nn.PoissonNLLLoss(True, False, reduction="mean"), nn.PoissonNLLLoss),
        (lambda: nn.BCEWithLogitsLoss(reduction="mean"), nn.BCEWithLogitsLoss),
        (lambda: nn.CrossEntropyLoss().to("cpu"), nn.CrossEntropyLoss),
        (
            lambda: nn.Parameter((3,), True, dtype="float64"),
            lambda: nn.Parameter((3,), dtype="float64"),
        ),
    ],
)
def test_neutral_settings_are_taken_and_leave_no_trace(with_them, without):
    one, other = with_them(), without()
    assert repr(one) == repr(other)
    if isinstance(one, nn.Module):
        assert one.config() == other.config()
        assert vars(one).keys() == vars(other).keys()
        assert one.dtype == other.dtype


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Conv2d(1, 2, 3, 1, 1, 2),
            "dilation is 2, and cnet has only 1: a custom layer",
        ),
        (lambda: nn.Conv2d(2, 2, 3, groups=2), "groups is 2"),
        (
            lambda: nn.Conv2d(2, 2, 3, padding_mode="reflect"),
            r"padding_mode is 'reflect', and cnet has only 'zeros': pad the images with numpy\.pad",
        ),
        (
            lambda: nn.Conv2d(2, 2, 4, padding="same"),
            r"padding is 'same' for a kernel_size of \(4, 4\), which needs more on one side",
        ),
        (
            lambda: nn.Conv2d(2, 2, 3, stride=2, padding="same"),
            r"padding is 'same' for a stride of \(2, 2\)",
        ),
        (lambda: nn.Conv2d(2, 2, 3, device="cuda"), "device is 'cuda', and cnet has only 'cpu'"),
        (lambda: nn.MaxPool2d(2, dilation=(1, 2)), r"dilation is \(1, 2\)"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "return_indices is True"),
        (
            lambda: nn.MaxPool2d(3, 2, 1, 1, False, True),
            "ceil_mode is True, and cnet has only False: pad the images",
        ),
        (lambda: nn.AvgPool2d(2, count_include_pad=False), "count_include_pad is False"),
        (lambda: nn.AvgPool2d(2, divisor_override=3), "divisor_override is 3"),
        (lambda: nn.BatchNorm1d(3, track_running_stats=False), "track_running_stats is False"),
        (
            lambda: nn.BatchNorm1d(3, bias=False),
            "bias is False, and cnet has only True: affine=False leaves out",
        ),
        (lambda: nn.Softmax(0), "dim is 0, and cnet has only -1: samples have one axis"),
        (lambda: nn.Flatten(0), "start_dim is 0"),
        (lambda: nn.Flatten(1, 2), "end_dim is 2"),
        (lambda: nn.ReLU(inplace="yes"), "inplace is 'yes'"),
        (
            lambda: nn.MSELoss(reduction="sum"),
            "reduction is 'sum', and cnet has only 'mean': a loss is the mean over the batch",
        ),
        (lambda: nn.CrossEntropyLoss(reduction="none"), "reduction is 'none'"),
        (lambda: nn.HuberLoss("sum"), "reduction is 'sum'"),
        (lambda: nn.CrossEntropyLoss(ignore_index=0), "ignore_index is 0, .*sample_weight of 0"),
        (lambda: nn.PoissonNLLLoss(True, True), "full is True"),
        (
            lambda: optim.SGD(net().parameters(), 0.1, 0.9, 0.5),
            r"dampening is 0\.5, and cnet has only 0: multiply lr by 1 - dampening",
        ),
        (
            lambda: optim.SGD(net().parameters(), 0.1, 0.9, True),
            r"dampening is True, .*nesterov is given by its name",
        ),
        (
            lambda: optim.LBFGS(net().parameters(), 0.1),
            r"lr is 0\.1, and cnet has only 1: L-BFGS searches along",
        ),
        (
            lambda: nn.init.Normal(0),
            r"std is 0, expected a finite number above 0, or nn\.init\.Zeros\(\) for zeros",
        ),
    ],
)
def test_other_settings_are_rejected_with_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.init.Normal(0, 0.01),
            "positional argument",
        ),  # PyTorch and Keras have the mean first
        (lambda: nn.CrossEntropyLoss(None, 0.1), "positional argument"),
        (
            lambda: optim.SGD(net().parameters(), learning_rate=0.1),
            r"SGD\(\) got an unexpected keyword argument 'learning_rate': it is called lr",
        ),
        (
            lambda: optim.AdamW(net().parameters(), beta_1=0.9),
            r"AdamW\(\) got .* 'beta_1': both are betas=\(beta_1, beta_2\)",
        ),
        (lambda: optim.RMSprop(net().parameters(), rho=0.9), "it is called alpha"),
        (lambda: optim.Adam(net().parameters(), weight_deccay=0.9), r"did you mean weight_decay\?"),
        (
            lambda: optim.LBFGS(net().parameters(), line_search_fn="strong_wolfe"),
            "there is a line search",
        ),
        (
            lambda: nn.BCEWithLogitsLoss(pos_weight=[1.0]),
            r"BCEWithLogitsLoss\(\) got .* 'pos_weight': .*sample_weight",
        ),
        (lambda: nn.MSELoss(size_average=True), "leave it out: a loss is the mean over the batch"),
        (lambda: nn.CrossEntropyLoss(from_logits=True), "CrossEntropyLoss .*take logits"),
        (lambda: nn.CrossEntropyLoss(label_smothing=0.1), r"did you mean label_smoothing\?"),
        (
            lambda: nn.Parameter([0.1, 0.2]),
            r"shape is \[0\.1, 0\.2\], expected a tuple of integers such as \(3, 2\), or an "
            r"array of values",
        ),
        (
            lambda: nn.Parameter(np.array([3, 2])),
            "a parameter got an array of int64, expected its values as floats, or its shape as a "
            "tuple",
        ),
        (
            lambda: nn.Sequential({"a": nn.ReLU()}),
            r"layers have no names here, so pass \*layers\.values\(\)",
        ),
    ],
)
def test_arguments_that_are_not_there(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_help_shows_the_arguments():
    assert list(inspect.signature(nn.Conv2d).parameters)[:9] == [
        *(
            "in_channels",
            "out_channels",
            "kernel_size",
            "stride",
            "padding",
            "dilation",
            "groups",
            "bias",
            "padding_mode",
        )
    ]
    assert "validation_data" in inspect.signature(Trainer.fit).parameters
    assert list(inspect.signature(optim.SGD).parameters)[:4] == [
        "params",
        "lr",
        "momentum",
        "dampening",
    ]
    assert list(inspect.signature(nn.CrossEntropyLoss).parameters) == [
        "weight",
        "label_smoothing",
        "ignore_index",
        "reduction",
    ]


# What is called on modules, parameters and losses


def test_methods_of_a_module_that_change_nothing():
    model = net()
    before = state(model)
    assert model.train() is model.train(False) is model.eval() is model.cpu() is model
    assert (
        model.to("cpu") is model.to(np.float32) is model.to(device="cpu", dtype="float32") is model
    )
    model.train()
    np.testing.assert_array_equal(model(X), net()(X))
    np.testing.assert_array_equal(state(model), before)
    for device in ("cuda", "cuda:0", "mps"):
        with pytest.raises(ValueError, match=f"device is '{device}'"):
            model.to(device)
    for dtype in ("float64", np.float64):
        with pytest.raises(
            ValueError,
            match=r"of float32: give another dtype at construction, such as nn\.Sequential\("
            r'\.\.\., dtype="float64"\)',
        ):
            model.to(dtype)


def test_modules_within_modules():
    model = nn.Sequential(nn.Linear(5, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 3)))
    assert list(model.children()) == [model[0], model[1]]
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "1.0", "1.1"]
    assert [module for _, module in model.named_modules()] == list(model.modules())
    seen = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Sequential"]


def test_gradients_are_forgotten():
    model = net()
    model.backward(nn.CrossEntropyLoss().forward_backward(model.forward(X, training=True), Y)[1])
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    optim.SGD(model.parameters()).zero_grad(set_to_none=False)


def test_a_parameter_stands_for_its_values():
    layer = nn.Linear(3, 2, seed=0)
    weight = layer.weight
    np.testing.assert_array_equal(np.asarray(weight), weight.data)
    assert np.shares_memory(np.asarray(weight), weight.data)
    assert not np.shares_memory(np.array(weight), weight.data)
    assert np.asarray(weight, "f8").dtype == np.float64
    np.testing.assert_allclose(np.ones((1, 3)) @ weight + layer.bias, layer([[1, 1, 1]]), rtol=1e-6)
    assert (weight.numel(), weight.size, weight.ndim, weight.shape) == (6, 6, 2, (3, 2))
    assert nn.Parameter(np.ones((1, 1))).item() == 1
    np.testing.assert_array_equal(np.asarray(nn.Buffer((2,), fill=3)), [3, 3])
    with pytest.raises(
        AttributeError,
        match="'Parameter' object has no attribute 'mean': its values are data, an array of NumPy",
    ):
        weight.mean()
    for twin in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        np.testing.assert_array_equal(twin, weight)


def test_a_parameter_is_made_of_values():
    values = np.arange(6.0).reshape(2, 3)
    parameter = nn.Parameter(values)
    assert parameter.initialized
    assert parameter.dtype == np.float32
    np.testing.assert_array_equal(parameter.data, values)
    parameter.data[...] = 0
    assert values.any()
    assert nn.Parameter(values, False, dtype="float64").requires_grad is False
    assert nn.Buffer(np.array([1, 2]), dtype=np.int64).data.tolist() == [1, 2]


def test_values_are_not_assigned_to_the_name_of_a_parameter():
    layer = nn.Linear(3, 2, seed=0)
    with pytest.raises(
        TypeError,
        match=r"weight is a parameter or buffer, and was assigned a ndarray: assign values to "
        r"weight\.data",
    ):
        layer.weight = np.ones((3, 2))
    layer.weight.data = np.ones((3, 2))
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(layer(np.ones((1, 3))), [[3, 3]])
    norm = nn.BatchNorm1d(3)
    with pytest.raises(TypeError, match=r"running_mean\.data"):
        norm.running_mean = 0.0


def test_a_loss_is_called_and_is_a_float():
    model, criterion = net(), nn.CrossEntropyLoss()
    output = model.forward(X, training=True)
    loss = criterion(output, Y)
    assert loss == loss.item() == criterion.forward(output, Y)
    assert isinstance(loss, float)
    assert type(loss.item()) is float
    assert json.dumps({"loss": loss}) == json.dumps({"loss": loss.item()})
    assert f"{loss:.3f}" == f"{loss.item():.3f}"
    for made in (copy.copy(loss), pickle.loads(pickle.dumps(loss))):
        assert made == loss
    with pytest.raises(
        AttributeError,
        match=r"there is no graph of operations.*call model\.backward\(criterion\.backward\(\)\)",
    ):
        loss.backward()
    model.backward(criterion.backward())
    assert model[0].weight.grad is not None
    assert nn.HeadsLoss(heads := nn.Heads(nn.Linear(5, 3)), criterion)(heads(X), [Y]) > 0


def test_a_loop_of_pytorch_needs_one_other_line():
    def train(model, by_habit):
        model, criterion = model.train(), nn.CrossEntropyLoss().to("cpu")
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for start in range(0, N, 10):
            x, y = X[start : start + 10], Y[start : start + 10]
            optimizer.zero_grad(set_to_none=True)
            output = model.forward(x, training=True)
            loss = criterion(output, y) if by_habit else criterion.forward(output, y)
            model.backward(criterion.backward())
            optimizer.step()
            losses.append(loss.item() if by_habit else loss)
        return losses, state(model.eval())

    (losses, one), (expected, other) = train(net(), True), train(net(), False)
    assert losses == expected
    np.testing.assert_array_equal(one, other)


# Names that are not there


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: nn.Dense,
            r"^module 'cnet\.nn' has no attribute 'Dense': use nn\.Linear\(in_features, "
            r"out_features\)$",
        ),
        (lambda: nn.Relu, r"^module 'cnet\.nn' has no attribute 'Relu' \(did you mean ReLU\?\)$"),
        (lambda: nn.Crossentropyloss, r"did you mean CrossEntropyLoss\?"),
        (lambda: nn.Conv2D, r"use nn\.Conv2d"),
        (
            lambda: nn.LSTM,
            "cnet does not have it; a custom layer is a function or a small class, see "
            "docs/extending",
        ),
        (lambda: nn.Conv1d, "cnet does not have it"),
        (lambda: nn.Mish, "cnet does not have it"),
        (lambda: nn.KLDivLoss, "a custom loss"),
        (lambda: nn.BCELoss, r"use nn\.BCEWithLogitsLoss, and leave out the nn\.Sigmoid"),
        (lambda: nn.ModuleList, r"use nn\.Sequential, or assign each module"),
        (lambda: nn.functional, "layers and losses are classes"),
        (lambda: nn.Nonsense, r"^module 'cnet\.nn' has no attribute 'Nonsense'$"),
        (lambda: nn.init.kaiming_normal_, r'weight_init="he"\) or nn\.init\.He\("normal"\)'),
        (lambda: nn.init.Xaviar, r"did you mean Xavier\?"),
        (lambda: optim.Adagrad, "cnet has SGD, Adam, AdamW, NAdam, RMSprop and LBFGS"),
        (lambda: optim.adam, r"did you mean Adam\?"),
        (lambda: optim.StepLR, r"it is optim\.lr_scheduler\.StepLR"),
        (lambda: cnet.tensor, "arrays are NumPy's"),
        (lambda: cnet.no_grad, r"leave it out: model\(x\) keeps nothing"),
        (lambda: cnet.manual_seed, r"nn\.Sequential\(\.\.\., seed=0\)"),
        (lambda: cnet.Linear, r"it is nn\.Linear$"),
        (lambda: cnet.AdamW, r"it is optim\.AdamW$"),
        (lambda: cnet.save, r"model\.save"),
        (lambda: cnet.Trayner, r"did you mean Trainer\?"),
        (
            lambda: net().fit,
            r"^'Sequential' object has no attribute 'fit': a trainer does it: "
            r"cnet\.Trainer\(model, loss, optimizer\)\.fit",
        ),
        (lambda: net().predict, r"call the model: model\(x\)"),
        (lambda: net().append, r"nn\.Sequential\(\*model, nn\.ReLU\(\)\) is a longer one"),
        (lambda: net().cuda, "cnet computes on the CPU"),
        (lambda: net().training, r"model\.forward\(x, training=True\) is training"),
        (lambda: net().double, 'dtype="float64"'),
        (lambda: net().laiers, r"did you mean layers\?"),
        (
            lambda: nn.Linear(3, 2).wieght,
            r"'Linear' object has no attribute 'wieght' \(did you mean weight\?\)",
        ),
        (lambda: nn.MSELoss()([[1.0]], [1.0]).detach, "use it as it is"),
        (
            lambda: nn.MSELoss()([[1.0]], [1.0]).nonsense,
            "'LossValue' object has no attribute 'nonsense'$",
        ),
    ],
)
def test_names_that_are_not_there_are_answered(ask, message):
    with pytest.raises(AttributeError, match=message):
        ask()
    for module in (cnet, nn, optim, nn.init):
        assert not hasattr(module, "_no_such_thing")


def test_what_answers_name_is_there():
    """Each `nn.Name`, `optim.Name` and `cnet.name` that an answer tells to use."""
    tables = {
        name: table
        for name, table in vars(_answers).items()
        if isinstance(table, dict) and name.isupper()
    }
    assert len(tables) > 10
    for table in tables.values():
        for answer in table.values():
            for module, name in re.findall(r"\b(nn|optim|cnet|datasets)\.(\w+)", answer):
                if module != "cnet" or name != "sklearn":
                    assert hasattr(
                        {"nn": nn, "optim": optim, "cnet": cnet, "datasets": cnet.datasets}[module],
                        name,
                    ), answer
    for names, module in (
        (_answers.NN, nn),
        (_answers.OPTIM, optim),
        (_answers.TOP, cnet),
        (_answers.INIT, nn.init),
        (_answers.MODULE, nn.Sequential),
    ):
        for name, answer in names.items():
            if answer not in (_answers.OWN_LAYER, _answers.OWN_LOSS, _answers.OWN_OPTIMIZER):
                assert name == "sklearn" or not hasattr(module, name), (
                    f"{name} is there: it needs no answer"
                )


def trainer():
    model = net()
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (
            lambda: trainer().fit(X, Y, validation_split=0.1),
            TypeError,
            r"Trainer\.fit\(\) got .* 'validation_split': split the data before: data = "
            r"datasets\.split",
        ),
        (
            lambda: trainer().fit(X, Y, class_weight={0: 1}),
            TypeError,
            r"nn\.CrossEntropyLoss\(weight=",
        ),
        (
            lambda: trainer().fit(X, Y, initial_epoch=3),
            TypeError,
            "fit continues after the epochs of earlier calls",
        ),
        (lambda: trainer().fit(X, Y, validation_freq=2), TypeError, "evaluated after each epoch"),
        (lambda: trainer().fit(X, Y, workers=2), TypeError, "DataLoader"),
        (lambda: trainer().fit(X, Y, epoch=2), TypeError, r"'epoch' \(did you mean epochs\?\)"),
        (
            lambda: trainer().fit(X, Y, nonsense=2),
            TypeError,
            r"unexpected keyword argument 'nonsense'$",
        ),
        (lambda: trainer().evaluate(X, Y, verbose=0), TypeError, "leave it out: nothing is shown"),
        (
            lambda: trainer().evaluate(X, Y, batch_size=10),
            TypeError,
            "the result does not depend on it",
        ),
        (
            lambda: Trainer(net(), nn.MSELoss(), optim.SGD(net().parameters()), epochs=3),
            TypeError,
            "'epochs': pass it to fit",
        ),
        (
            lambda: Trainer(net(), "mse", optim.SGD(net().parameters())),
            TypeError,
            r"loss is 'mse', expected one such as nn\.MSELoss\(\)",
        ),
        (
            lambda: Trainer(net(), "sparse_categorical_crossentropy", None),
            TypeError,
            r"expected one such as nn\.CrossEntropyLoss\(\) for logits",
        ),
        (
            lambda: Trainer(net(), "best", None),
            TypeError,
            r"loss is 'best', expected one such as nn\.CrossEntropyLoss\(\)",
        ),
        (
            lambda: Trainer(net(), nn.MSELoss(), "Adam"),
            TypeError,
            r"optimizer is 'Adam', expected one such as optim\.Adam\(model\.parameters\(\)\)",
        ),
        (
            lambda: trainer().predict,
            AttributeError,
            r"'Trainer' object has no attribute 'predict': call the model: trainer\.model\(x\)",
        ),
        (lambda: trainer().train, AttributeError, r"use fit\(x, y, epochs=\.\.\.\)"),
        (lambda: trainer().evalute, AttributeError, r"did you mean evaluate\?"),
    ],
)
def test_habits_of_keras_are_answered(ask, error, message):
    with pytest.raises(error, match=message):
        ask()


@pytest.mark.parametrize("verbose", [0, False])
def test_verbose_as_in_keras(verbose, capfd):
    history = trainer().fit(X, Y, verbose=verbose)
    assert capfd.readouterr() == ("", "")
    assert history.history["loss"] == history["loss"]
    assert history == dict(history)


@pytest.mark.parametrize("verbose", [1, 2, True, "auto"])
def test_verbose_shows_progress(verbose, capfd):
    trainer().fit(X, Y, verbose=verbose)
    assert "loss" in capfd.readouterr().err


def test_metrics_are_there_after_an_import():
    code = (
        "import cnet; cnet.metrics.accuracy([1], [1]); import sys; assert not {'torch', "
        "'sklearn', 'difflib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# A forward without `training`


class Plain(nn.Module):
    """As one writes it for PyTorch."""

    def __init__(self):
        self.body = nn.Sequential(nn.Linear(5, 5, seed=1), nn.Tanh())

    def forward(self, x):
        return x + self.body.forward(x, training=True)

    def backward(self, grad):
        return grad + self.body.backward(grad)


class Told(Plain):
    def forward(self, x, training=False):
        return super().forward(x)


class Last(Plain):
    def forward(self, x, mask=None, *, training=False):
        assert mask is None
        return super().forward(x)


class Anything(Plain):
    def forward(self, *args, **kwargs):
        return super().forward(args[0])


class Inherits(Plain):
    pass


@pytest.mark.parametrize("layer", [Plain, Told, Last, Anything, Inherits])
def test_a_forward_without_training_is_called_without_it(layer):
    def trained(layer):
        model = nn.Sequential(layer, nn.Linear(5, 3), seed=0)
        history = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)).fit(
            X, Y, epochs=2, seed=0, validation_data=(X, Y), verbose=False
        )
        return history, model

    (history, model), (expected, other) = trained(layer()), trained(Told())
    assert history == expected
    np.testing.assert_array_equal(model(X), other(X))
    own = model[0]
    for x in (X, X.tolist()):
        np.testing.assert_array_equal(
            own.forward(np.asarray(x, "f4"), training=True), own.forward(np.asarray(x, "f4"))
        )
        np.testing.assert_array_equal(own.forward(np.asarray(x, "f4"), True), own(x))
    alone = Trainer(layer(), nn.MSELoss(), optim.SGD(layer().parameters()))
    assert alone.evaluate(X, X)["loss"] > 0


def test_a_layer_without_a_way_back_says_what_it_needs():
    class OneWay(nn.Module):
        def forward(self, x):
            return x

    model = nn.Sequential(nn.Linear(5, 3), OneWay(), seed=0)
    with pytest.raises(
        TypeError,
        match=r"OneWay does not define backward\(grad\): there is no automatic "
        r"differentiation.*docs/extending",
    ):
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters())).fit(
            X, Y, verbose=False
        )
