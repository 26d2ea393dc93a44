"""Calls of the command ``cnet`` in process, and the files that its tests read."""

import contextlib
import io
import re

import numpy as np
import pytest

import cnet
from cnet.cli import main

Image = pytest.importorskip("PIL.Image")
ImageDraw = pytest.importorskip("PIL.ImageDraw")


def make_images(labels, rng):
    """A bar per class, at its own place: easy to learn."""
    images = rng.integers(0, 60, (len(labels), 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4:24, 4 + 2 * label : 6 + 2 * label] = 255
    return images


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small gain nothing from threads, and would wait for each other on a busy
    machine.
    """
    before = cnet.get_num_threads()
    cnet.set_num_threads(1)
    yield
    cnet.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A file of 200 training and 50 test images, as Keras has it."""
    rng = np.random.default_rng(0)
    train, test = np.arange(200, dtype=np.uint8) % 10, np.arange(50, dtype=np.uint8) % 10
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez(
        path,
        x_train=make_images(train, rng),
        y_train=train,
        x_test=make_images(test, rng),
        y_test=test,
    )
    return str(path)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The file of a network that knows these data."""
    path = str(tmp_path_factory.mktemp("trained") / "bars.safetensors")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", "--data", data, "--hidden", "16", "--out", path, "--quiet"]) == 0
    return path


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "m.safetensors")


@pytest.fixture
def seven(tmp_path):
    """A photo-like picture of a dark 7 on light."""
    path = tmp_path / "seven.png"
    image = Image.new("RGB", (200, 150), (235, 230, 220))
    ImageDraw.Draw(image).line(
        [(60, 30), (120, 30), (85, 120)], fill=(20, 20, 60), width=11, joint="curve"
    )
    image.save(path)
    return str(path)


def succeeds(capsys, *argv):
    """What a command prints to standard output."""
    code = main(argv)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def fails(capsys, *argv, code=1):
    """The one line in which a command says what is wrong."""
    assert main(argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    if code == 2:
        assert re.fullmatch(r"Try: cnet( \w+)? --help", lines.pop())
    assert len(lines) == 1
    assert re.match(r"cnet( \w+)?: error: ", lines[0])
    return lines[0]
