"""Several heads on one trunk: outputs, gradients, losses, training."""

import copy
import json

import numpy as np
import pytest
from test_gradients import check_module

import cnet
from cnet import nn, optim


def net(**settings):
    heads = nn.Heads(
        digit=nn.Linear(6, 4),
        parity=nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)),
        size=nn.Linear(6, 1),
    )
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), heads, **settings), heads


LOSSES = {"digit": nn.CrossEntropyLoss(), "parity": nn.CrossEntropyLoss(), "size": nn.MSELoss()}


@pytest.fixture
def data(rng):
    x = rng.standard_normal((50, 3))
    digit = rng.integers(0, 4, 50)
    return x, {"digit": digit, "parity": digit % 2, "size": x.sum(axis=1)}


def trainer(model, loss, **settings):
    return cnet.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1, **settings))


def test_outputs_stand_side_by_side(data):
    model, heads = net(seed=0)
    output = model(data[0])
    trunk = model[:2](data[0])
    for part, head in zip(heads.split(output), heads.heads.values(), strict=True):
        np.testing.assert_array_equal(part, head(trunk))
        assert np.shares_memory(part, output)
    assert [part.shape[1] for part in heads.split(output)] == [4, 2, 1]
    assert model.output_shape((3,)) == (7,)
    assert list(nn.Heads(nn.Linear(2, 1), nn.Linear(2, 3)).heads) == ["0", "1"]


def test_one_loss_for_all_by_hand(rng):
    heads = nn.Heads(nn.Linear(3, 4), nn.Linear(3, 4))
    loss = nn.HeadsLoss(heads, nn.CrossEntropyLoss(), weights=[1, 0.5])
    output, y = rng.standard_normal((6, 8)), rng.integers(0, 4, (6, 2))
    first, second = (
        nn.CrossEntropyLoss().forward_backward(output[:, s].copy(), y[:, i].copy())
        for i, s in enumerate((slice(4), slice(4, 8)))
    )
    for target in (
        y,
        [y[:, 0], y[:, 1]],
        tuple(y.T.tolist()),
        {"0": y[:, 0], "1": np.eye(4)[y[:, 1]]},
    ):
        assert loss.forward(output, target) == pytest.approx(first[0] + 0.5 * second[0], rel=1e-12)
        np.testing.assert_allclose(
            loss.backward(), np.concatenate([first[1], 0.5 * second[1]], axis=1)
        )


def test_gradients(isa, data, rng):
    model, heads = net(seed=1, dtype="float64")
    loss = nn.HeadsLoss(heads, LOSSES, weights={"parity": 0.3, "size": 2})
    check_module(model, loss, data[0][:7], {name: y[:7] for name, y in data[1].items()}, rng)


def test_training_and_evaluation(data):
    x, y = data
    model, heads = net(seed=0)
    loss = nn.HeadsLoss(heads, LOSSES, weights={"size": 0.1})
    fitted = trainer(model, loss)
    history = fitted.fit(x, y, epochs=60, seed=0, validation_data=(x, y), verbose=False)
    assert list(history) == [
        "loss",
        "accuracy_digit",
        "accuracy_parity",
        "val_loss",
        "val_accuracy_digit",
        "val_accuracy_parity",
    ]
    assert history["loss"][-1] < 0.75 * history["loss"][0]
    scores = fitted.evaluate(x, y)
    digit, parity, size = heads.split(model(x))
    assert scores["accuracy_digit"] == (digit.argmax(axis=1) == y["digit"]).mean()
    assert scores["accuracy_parity"] == (parity.argmax(axis=1) == y["parity"]).mean()
    parts = (
        LOSSES["digit"].forward(digit, y["digit"]),
        LOSSES["parity"].forward(parity, y["parity"]),
        LOSSES["size"].forward(size, y["size"]),
    )
    assert scores["loss"] == pytest.approx(parts[0] + parts[1] + 0.1 * parts[2], rel=1e-5)


def test_two_digits_in_one_picture():
    """What a network with two heads is most often for."""
    images, labels = cnet.datasets.digits(train=1500, test=0, seed=0).train
    pairs = np.concatenate([images[:750], images[750:]], axis=1)
    heads = nn.Heads(upper=nn.Linear(64, 10), lower=nn.Linear(64, 10))
    model = nn.Sequential(nn.Linear(1568, 64), nn.ReLU(), heads, seed=0)
    history = trainer(model, nn.HeadsLoss(heads, nn.CrossEntropyLoss())).fit(
        pairs, [labels[:750], labels[750:]], epochs=15, seed=0, verbose=False
    )
    assert history["accuracy_upper"][-1] > 0.8
    assert history["accuracy_lower"][-1] > 0.8


def test_a_single_head_trains_as_without_heads(data):
    x, y = data
    body = [nn.Linear(3, 6, seed=1), nn.Tanh(), nn.Linear(6, 4, seed=2)]
    plain = nn.Sequential(*copy.deepcopy(body), seed=0)
    heads = nn.Heads(body[2])
    headed = nn.Sequential(*body[:2], heads, seed=0)
    expected = trainer(plain, nn.CrossEntropyLoss()).fit(
        x, y["digit"], epochs=2, seed=0, verbose=False
    )
    got = trainer(headed, nn.HeadsLoss(heads, nn.CrossEntropyLoss())).fit(
        x, [y["digit"]], epochs=2, seed=0, verbose=False
    )
    assert got["loss"] == expected["loss"]
    assert got["accuracy_0"] == expected["accuracy"]
    for a, b in zip(plain.parameters(), headed.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_heads_without_classes_have_no_accuracy(data):
    x, y = data
    heads = nn.Heads(nn.Linear(3, 1), nn.Linear(3, 1))
    history = trainer(nn.Sequential(heads, seed=0), nn.HeadsLoss(heads, nn.MSELoss())).fit(
        x, [y["size"], y["size"]], verbose=False
    )
    assert list(history) == ["loss"]


def test_the_line_of_an_epoch(data, capsys):
    x, y = data
    model, heads = net(seed=0)
    trainer(model, nn.HeadsLoss(heads, LOSSES)).fit(x, y, validation_data=(x, y))
    head, line = capsys.readouterr().err.splitlines()
    accuracies = ["accuracy", "digit", "accuracy", "parity"]
    assert head.split() == [
        "epoch",
        "seconds",
        "loss",
        *accuracies,
        "val.",
        "loss",
        "val.",
        *accuracies[:2],
        "val.",
        *accuracies[2:],
    ]
    assert line.count("%") == 4
    assert len(head) == len(line)


def test_state_files_and_text(tmp_path, capsys, data):
    model, heads = net(seed=0)
    assert [name for name in model.state_dict() if name.startswith("2.")][:4] == [
        "2.digit.weight",
        "2.digit.bias",
        "2.parity.0.weight",
        "2.parity.0.bias",
    ]
    model.save(tmp_path / "m.safetensors")
    loaded = cnet.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(model)
    assert "(digit): Linear(in_features=6, out_features=4)" in repr(heads)
    np.testing.assert_array_equal(loaded(data[0]), model(data[0]))
    assert loaded[2].widths == (4, 2, 1)
    model.summary()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:-2]] == [
        "0",
        "1",
        "2.digit",
        "2.parity.0",
        "2.parity.1",
        "2.parity.2",
        "2.size",
    ]
    assert "(n, 2)" in lines[7]
    assert repr(nn.HeadsLoss(heads, LOSSES)).startswith(
        "HeadsLoss(digit=1 * CrossEntropyLoss(), parity=1 *"
    )


def test_copies(data):
    model, heads = net(seed=0)
    model.forward(data[0], training=True)
    twin = copy.deepcopy(model)
    np.testing.assert_array_equal(twin(data[0]), model(data[0]))
    with pytest.raises(RuntimeError, match=r"call forward\(x, training=True\) before backward"):
        twin[2].backward(np.ones((50, 7)))
    with pytest.raises(RuntimeError, match=r"call forward\(output, target\) before backward\(\)"):
        nn.HeadsLoss(heads, LOSSES).backward()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Heads(), ValueError, "Heads has no heads"),
        (
            lambda: nn.Heads(nn.ReLU(), b=nn.ReLU()),
            ValueError,
            "some heads have names and some have not",
        ),
        (lambda: nn.Heads(nn.Linear), TypeError, "head 0 is .*: construct it"),
        (lambda: nn.Heads(a=3), TypeError, "head a is 3, expected a layer or network"),
        (
            lambda: nn.Heads(**{"a.b": nn.ReLU()}),
            ValueError,
            r"a head is called 'a\.b', expected a name without dots",
        ),
        (
            lambda: nn.Heads(nn.Linear(3, 2), nn.Linear(4, 2)),
            ValueError,
            r"head 1: Linear\(in_features=4.*takes input of shape \(n, 4\), got \(n, 3\)",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 2), nn.Heads(nn.Linear(3, 1))),
            ValueError,
            r"layer 1: head 0: Linear",
        ),
        (
            lambda: nn.Heads(nn.ReLU())(np.ones((2, 3, 4))),
            ValueError,
            r"head 0 has outputs of shape \(n, 3, 4\), expected one axis",
        ),
        (
            lambda: nn.Heads(nn.ReLU()).split(np.ones((2, 3))),
            ValueError,
            r"output has shape \(2, 3\), expected samples with the outputs of 0",
        ),
        (
            lambda: nn.HeadsLoss(nn.Linear(2, 3), nn.MSELoss()),
            TypeError,
            r"heads is Linear\(.*\), expected the nn\.Heads at the end of the network",
        ),
        (
            lambda: nn.HeadsLoss(net()[1], [nn.MSELoss()]),
            ValueError,
            "losses is .*, expected one for each head: digit, parity, size",
        ),
        (
            lambda: nn.HeadsLoss(net()[1], {"digit": nn.MSELoss()}),
            ValueError,
            "losses are for digit, expected one for each head: digit, parity, size",
        ),
        (
            lambda: nn.HeadsLoss(net()[1], [1, 2, 3]),
            TypeError,
            "the loss of head digit is 1, expected one such as",
        ),
        (lambda: nn.HeadsLoss(net()[1], LOSSES, weights=[1, 2]), ValueError, "weights is"),
        (
            lambda: nn.HeadsLoss(net()[1], LOSSES, weights={"other": 2}),
            ValueError,
            "weights are for",
        ),
        (
            lambda: nn.HeadsLoss(net()[1], LOSSES, weights=[1, 2, -3]),
            ValueError,
            "the weight of head size is -3, expected a finite number of at least 0",
        ),
    ],
)
def test_settings_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            {"digit": [0], "parity": [0]},
            "y are for digit, parity, expected one for each head: digit, parity, size",
        ),
        ([[0], [0]], "y is .*, expected one for each head"),
        (
            [[0, 1], [0, 1], [0.5]],
            r"the heads have different numbers of targets: .*\(x has shape \(2, 3\), y "
            r"\(2,\), \(2,\), \(1,\)\)",
        ),
        ([[0, 4], [0, 1], [0.5, 1]], "head digit: y holds label 4, but the model has 4 outputs"),
        (
            [[0, 1], [0, 1], [[0.5, 1], [1, 1]]],
            r"head size: y has shape \(2, 2\), expected \(n, 1\)",
        ),
        ([[0], [0], [0.5]], "x has 2 samples, y 1 targets: expected one target per sample"),
    ],
)
def test_targets_that_do_not_fit(y, message):
    model, heads = net(seed=0)
    with pytest.raises(ValueError, match=message):
        trainer(model, nn.HeadsLoss(heads, LOSSES)).fit(np.ones((2, 3)), y, verbose=False)


def test_targets_of_the_wrong_type_name_their_head():
    model, heads = net(seed=0)
    y = [["a", "b"], [0, 1], [0.5, 1]]
    with pytest.raises(TypeError, match="head digit: y has dtype <U1"):
        trainer(model, nn.HeadsLoss(heads, LOSSES)).fit(np.ones((2, 3)), y, verbose=False)


def test_a_model_that_does_not_end_with_the_heads():
    model, heads = net(seed=0)
    with pytest.raises(
        ValueError, match=r"the model's outputs have shape \(n, 6\), expected those of the heads"
    ):
        trainer(model[:2], nn.HeadsLoss(heads, LOSSES)).fit(
            np.ones((2, 3)), [[0, 1], [0, 1], [0.5, 1]], verbose=False
        )


@pytest.mark.parametrize(
    "described",
    [
        {"heads": {}},
        {"heads": []},
        {"heads": {"a": 3}},
        {"heads": {"": {"type": "ReLU"}}},
        {"heads": {"self": {"type": "ReLU"}}},
    ],
)
def test_files_that_describe_no_heads(described, tmp_path):
    from safetensors.numpy import save

    path = tmp_path / "m"
    path.write_bytes(
        save({}, {"cnet": "1", "architecture": json.dumps({"type": "Heads", **described})})
    )
    with pytest.raises(ValueError, match="cannot be read as a model"):
        cnet.load(path)
