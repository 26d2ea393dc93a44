"""``cnet evaluate``, called in process."""

import re

import commands
import numpy as np
import pytest
from commands import fails, succeeds

import cnet
from cnet import nn
from cnet.cli import main

# Fixtures of these tests.
one_thread, data, trained, out = (
    commands.one_thread,
    commands.data,
    commands.trained,
    commands.out,
)


def test_evaluate(capsys, data, trained):
    lines = succeeds(capsys, "evaluate", trained, "--data", data).splitlines()
    assert re.fullmatch(
        rf"{re.escape(data)}, test 50 images: loss 0\.\d{{4}}, accuracy 100\.00 % \(50 of 50\)",
        lines[0],
    )
    assert lines[1] == ""
    matrix = lines[3:]
    assert matrix[0].split() == [*"0123456789", "recognized"]
    assert [line.split() for line in matrix[1:]] == [
        [str(i), *"." * i, "5", *"." * (9 - i), "100.0", "%"] for i in range(10)
    ]
    assert all(len(line) <= 80 for line in lines[1:])


def test_evaluate_agrees_with_the_trainer(capsys, data, out):
    assert main(["train", "--data", data, "--epochs", "1", "--out", out]) == 0
    line = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("Test: ")
    ).removeprefix("Test: ")
    assert line in succeeds(capsys, "evaluate", out, "--data", data)
    model = cnet.load(out)
    with np.load(data) as arrays:
        figures = cnet.Trainer(
            model, nn.CrossEntropyLoss(), cnet.optim.SGD(model.parameters())
        ).evaluate(arrays["x_test"].reshape(-1, 784) / 255, arrays["y_test"])
    assert line.startswith(
        f"loss {figures['loss']:.4f}, accuracy {100 * figures['accuracy']:.2f} %"
    )


def test_a_net_that_ends_in_softmax(capsys, data, trained, out):
    nn.Sequential(*cnet.load(trained), nn.Softmax()).save(out)
    assert succeeds(capsys, "evaluate", out, "--data", data) == succeeds(
        capsys, "evaluate", trained, "--data", data
    )
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 10:12] = 255
    np.save(path := out + ".npy", image)
    assert succeeds(capsys, "predict", out, path) == succeeds(capsys, "predict", trained, path)


def test_a_net_that_takes_images(capsys, data, out):
    nn.Sequential(nn.Flatten(), nn.Linear(784, 10), seed=0).save(out)
    assert " of 50)" in succeeds(capsys, "evaluate", out, "--data", data)


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [((5, 10), r"takes input of shape \(n, 5\)"), ((784, 1), r"outputs have shape \(1,\)")],
)
def test_nets_for_something_else(capsys, data, out, sizes, problem):
    nn.Sequential(nn.Linear(*sizes), seed=0).save(out)
    assert re.search(
        f"does not classify images of 28x28 pixels: .*{problem}",
        fails(capsys, "evaluate", out, "--data", data),
    )


def test_a_net_with_weights_that_are_not_finite(capsys, data, out):
    model = nn.Sequential(nn.Linear(784, 10), seed=0)
    model[0].weight.data = np.full((784, 10), np.nan)
    model.save(out)
    assert "not finite" in fails(capsys, "evaluate", out, "--data", data)
