"""The command ``cnet``: mostly called in process; as its own process where signals, pipes and
encodings matter.
"""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import cnet
from cnet import nn
from cnet.cli import main
from cnet.cli._picture import Style, draw

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


# Training


def test_train_says_what_it_does_and_saves_the_net(capsys, data, out):
    assert (
        main(
            [
                "train",
                "--data",
                data,
                "--hidden",
                "16,12",
                "--activation",
                "tanh",
                "--epochs",
                "3",
                "--validation",
                "20",
                "--out",
                out,
            ]
        )
        == 0
    )
    captured = capsys.readouterr()
    heading = dict(re.split(" +", line, maxsplit=1) for line in captured.out.splitlines()[:5])
    assert heading["data"] == f"{data}: 180 training, 20 validation, 50 test images"
    assert heading["network"] == "784 - 16 - 12 - 10, tanh: 12,894 parameters"
    assert heading["optimizer"] == "SGD, learning rate 0.1"
    assert heading["training"] == "3 epochs of 6 steps, batches of 32, seed 0"
    assert re.match(r"\d+ threads?, \w+; cnet ", heading["machine"])
    assert re.search(
        rf"^Trained for 3 epochs in \d+\.\d s, saved to {re.escape(out)}$", captured.out, re.M
    )
    assert re.search(
        r"^Test: loss \d\.\d{4}, accuracy \d+\.\d\d % \(\d+ of 50\)$", captured.out, re.M
    )
    assert [type(layer).__name__ for layer in cnet.load(out)] == [
        "Linear",
        "Tanh",
        "Linear",
        "Tanh",
        "Linear",
    ]


def test_progress_goes_to_standard_error_without_control_characters(capsys, data, out):
    assert (
        main(
            [
                "train",
                "--data",
                data,
                "--hidden",
                "8",
                "--epochs",
                "10",
                "--validation",
                "20",
                "--out",
                out,
            ]
        )
        == 0
    )
    lines = [line for line in capsys.readouterr().err.split("\n") if line]
    assert len(lines) == 11
    assert all(line.isprintable() and len(line) <= 80 for line in lines)
    assert lines[0].split() == [
        "epoch",
        "seconds",
        "loss",
        "accuracy",
        "val.",
        "loss",
        "val.",
        "accuracy",
    ]
    assert re.fullmatch(
        r" +10/10 +\d+\.\d +\d+\.\d{4} +\d+\.\d\d % +\d+\.\d{4} +\d+\.\d\d %", lines[-1]
    )


def test_bar_in_a_terminal(monkeypatch, data, out):
    """What is left on the screen is the table; the bar was there while an epoch ran."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with contextlib.redirect_stdout(io.StringIO()):
        assert (
            main(
                [
                    "train",
                    "--data",
                    data,
                    "--hidden",
                    "8",
                    "--epochs",
                    "2",
                    "--batch-size",
                    "50",
                    "--out",
                    out,
                ]
            )
            == 0
        )
    written = sys.stderr.getvalue()
    assert re.search(r"\repoch 1/2 \|.*\| +\d+ %, .* left", written)
    assert all(len(part) <= 80 for part in re.split("[\r\n]", written))
    for line in ("epoch +seconds", "1/2 +", "2/2 +"):
        assert re.search(rf"[\r\n] *{line}", written)


def test_quiet_prints_the_result_alone(capsys, data, out):
    assert main(["train", "--data", data, "--epochs", "1", "--out", out, "--quiet"]) == 0
    captured = capsys.readouterr()
    assert re.fullmatch(r"Test: loss .* of 50\)\n", captured.out)
    assert captured.err == ""


def test_default_is_the_embedded_digits(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = succeeds(capsys, "train", "--epochs", "1")
    assert output.startswith("data       digits: ")
    assert "784 - 128 - 10, relu" in output
    assert cnet.load("model.safetensors")(np.zeros((1, 784))).shape == (1, 10)


def test_same_seed_same_net(capsys, data, tmp_path):
    states = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        succeeds(
            capsys,
            "train",
            "--data",
            data,
            "--hidden",
            "4",
            "--epochs",
            "2",
            "--seed",
            seed,
            "--out",
            str(tmp_path / name),
            "--quiet",
        )
        states.append(cnet.load(tmp_path / name).state_dict())
    a, b, c = states
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["0.weight"], c["0.weight"])


@pytest.mark.parametrize("text", ["", "none", "None"])
def test_no_hidden_layer(capsys, data, out, text):
    output = succeeds(
        capsys, "train", "--data", data, "--hidden", text, "--epochs", "1", "--out", out
    )
    assert "784 - 10: 7,850 parameters" in output
    assert len(cnet.load(out)) == 1


def test_optimizer_settings_are_shown_and_used(capsys, data, tmp_path):
    common = ("train", "--data", data, "--hidden", "4", "--epochs", "1", "--out")
    output = succeeds(
        capsys,
        *common,
        str(tmp_path / "a"),
        "--momentum",
        "0.9",
        "--nesterov",
        "--weight-decay",
        "1e-4",
        "--lr",
        ".02",
        "--batch-size",
        "200",
    )
    assert "SGD, learning rate 0.02, Nesterov momentum 0.9, weight decay 0.0001\n" in output
    assert "1 epoch of 1 step, batches of 200" in output
    succeeds(capsys, *common, str(tmp_path / "b"), "--lr", ".02", "--batch-size", "200")
    a, b = (cnet.load(tmp_path / name).state_dict()["0.weight"] for name in "ab")
    assert not np.array_equal(a, b)


def test_threads(capsys, data, out):
    try:
        output = succeeds(
            capsys,
            "train",
            "--data",
            data,
            "--hidden",
            "none",
            "--epochs",
            "1",
            "--threads",
            "2",
            "--out",
            out,
        )
        assert (
            f"machine    {'2 threads' if cnet.get_num_threads() == 2 else '1 thread'}, " in output
        )  # 1 in a serial build
    finally:
        cnet.set_num_threads(1)


def test_data_without_test_set(capsys, tmp_path, out):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 10
    path = str(tmp_path / "labeled.csv")
    np.savetxt(
        path, np.column_stack([labels, make_images(labels, rng).reshape(30, 784)]), "%d", ","
    )
    common = ("train", "--data", path, "--hidden", "none", "--epochs", "1", "--out", out)
    assert "hold some out with --validation" in succeeds(capsys, *common)
    assert "\nValidation: loss " in succeeds(capsys, *common, "--validation", "10")
    assert "all 30 images: loss " in succeeds(capsys, "evaluate", out, "--data", path)


def test_divergence_is_one_line(capsys, data, out):
    assert main(["train", "--data", data, "--lr", "1e30", "--out", out, "--quiet"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"cnet: error: training diverged in epoch 1: .*\n", captured.err)
    assert not os.path.exists(out)


def test_late_divergence_saves_the_last_good_net(capsys, data, out, monkeypatch):
    def fit(trainer, *args, **options):
        trainer.epoch = 3
        raise FloatingPointError("training diverged in epoch 4")

    monkeypatch.setattr(cnet.Trainer, "fit", fit)
    assert main(["train", "--data", data, "--out", out, "--quiet"]) == 1
    assert (
        capsys.readouterr().err
        == f"cnet: error: training diverged in epoch 4. Saved the network of epoch 3 to {out}\n"
    )
    assert cnet.load(out)


def test_ctrl_c_saves_the_net(capsys, data, out, monkeypatch):
    def fit(trainer, *args, **options):
        trainer.epoch = 10
        raise KeyboardInterrupt

    monkeypatch.setattr(cnet.Trainer, "fit", fit)
    assert main(["train", "--data", data, "--out", out, "--quiet"]) == 130
    assert (
        capsys.readouterr().err
        == f"cnet: interrupted in epoch 10 of 10: saved the network trained so far to {out}\n"
    )
    assert cnet.load(out)


def test_ctrl_c_elsewhere(capsys, monkeypatch):
    def show_config():
        raise KeyboardInterrupt

    monkeypatch.setattr(cnet, "show_config", show_config)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "cnet: interrupted\n"


# Evaluation


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


# Prediction


def test_predict_arrays(capsys, tmp_path, trained):
    labels = np.array([3, 1, 4])
    images = make_images(labels, np.random.default_rng(1))
    shapes = {
        "n28": images,
        "n784": images.reshape(3, 784),
        "channel": images[:, None],
        "fortran": np.asfortranarray(images),
        "float": images / 255,
    }
    outputs = set()
    for name, array in shapes.items():
        np.save(tmp_path / f"{name}.npy", array)
        outputs.add(
            succeeds(capsys, "predict", trained, str(tmp_path / f"{name}.npy")).replace(
                f"{name}.npy", "*"
            )
        )
    assert len(outputs) == 1
    lines = outputs.pop().splitlines()
    assert [re.sub(r"\(\d+\.\d %\)$", "", line) for line in lines] == [
        f"{tmp_path / '*'}[{i}]: {label} " for i, label in enumerate(labels)
    ]


def test_a_net_that_rescales_8_bit_pixels_itself_reads_the_same(
    capsys, data, trained, out, tmp_path
):
    nn.Sequential(nn.Rescale(1 / 255), *cnet.load(trained)).save(out)
    assert succeeds(capsys, "evaluate", out, "--data", data) == succeeds(
        capsys, "evaluate", trained, "--data", data
    )
    images = make_images([3, 1, 4], np.random.default_rng(1))
    for array in (images, images / 255):
        np.save(tmp_path / "images.npy", array)
        assert succeeds(capsys, "predict", out, str(tmp_path / "images.npy")) == succeeds(
            capsys, "predict", trained, str(tmp_path / "images.npy")
        )


def test_predict_one_array(capsys, tmp_path, trained):
    image = make_images([7], np.random.default_rng(1))[0]
    for array in (image, image.reshape(784)):
        np.save(tmp_path / "one.npy", array)
        assert succeeds(capsys, "predict", trained, str(tmp_path / "one.npy")).startswith(
            f"{tmp_path / 'one.npy'}: 7 ("
        )


def test_predict_json(capsys, tmp_path, trained, seven):
    path = str(tmp_path / "two.npy")
    np.save(path, make_images([5, 6], np.random.default_rng(1)))
    results = json.loads(succeeds(capsys, "predict", trained, path, seven, "--json"))
    assert [(result["file"], result["index"]) for result in results] == [
        (path, 0),
        (path, 1),
        (seven, 0),
    ]
    assert [result["prediction"] for result in results[:2]] == [5, 6]
    assert all(sum(result["probabilities"]) == pytest.approx(1, abs=1e-5) for result in results)


def test_predict_picture_that_is_no_terminal_is_plain_ascii(capsys, trained, seven):
    output = succeeds(capsys, "predict", trained, seven, "--picture")
    assert output.isascii()
    lines = output.split("\n")[:-1]
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 80 for line in lines[:-1])
    assert len(lines) == 15
    assert [line[30:33].strip() for line in lines[2:12]] == list("0123456789")
    assert lines[-1].startswith(f"{seven}: ")


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((28, 28), np.int64), "dtype int64, expected uint8"),
        (np.full((28, 28), 255.0), "floats outside 0 to 1"),
        (np.full((28, 28), np.nan), "floats outside 0 to 1"),
        (np.zeros((8, 8), np.uint8), r"has shape \(8, 8\), expected one image"),
        (np.zeros((0, 784), np.uint8), ""),
        (np.array(1.0), r"has shape \(\)"),
        (np.array([None]), "cannot be read as an array"),
    ],
)
def test_arrays_that_are_no_images(capsys, tmp_path, trained, array, problem):
    path = str(tmp_path / "bad.npy")
    np.save(path, array)
    assert re.search(problem, fails(capsys, "predict", trained, path))


@pytest.mark.parametrize("name", ["bad.npy", "bad.png", "bad.jpg"])
@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"\x93NUMPY\x01\x00\xff\xff", b"\x89PNG\r\n\x1a\n\x00", b"PK\x03\x04"],
)
def test_malformed_files(capsys, tmp_path, trained, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert f"{path} cannot be read as an" in fails(capsys, "predict", trained, str(path))


def test_an_array_that_claims_more_than_it_has(capsys, tmp_path, trained):
    path = tmp_path / "huge.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 784)}
        )
        file.write(bytes(784))
    assert f"{path} cannot be read as an array" in fails(capsys, "predict", trained, str(path))


@pytest.mark.parametrize(
    "header",
    [
        b"(10",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        b"[" * 5000,
        b"{'descr': '|u1'}",
        b"\xff\n",
    ],
)
def test_arrays_with_a_malformed_header(capsys, tmp_path, trained, header):
    path = tmp_path / "bad.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(784))
    assert f"{path} cannot be read as an array" in fails(capsys, "predict", trained, str(path))


def test_truncated_images(capsys, tmp_path, trained, seven):
    content = Path(seven).read_bytes()
    path = tmp_path / "cut.png"
    for size in range(8, len(content) - 12, 97):
        path.write_bytes(content[:size])
        assert "cannot be read as an image" in fails(capsys, "predict", trained, str(path))


def test_a_missing_pillow_says_what_to_install(capsys, monkeypatch, trained, seven):
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert 'pip install "cnet[image]"' in fails(capsys, "predict", trained, seven)


def test_nothing_is_printed_before_all_files_are_read(capsys, trained, seven):
    assert "there is no such file" in fails(capsys, "predict", trained, seven, "nosuch.png")


# Pictures in a terminal


def test_half_blocks_have_two_gray_pixels_a_cell():
    image = np.zeros((28, 28), np.uint8)
    image[0, 0], image[1, 1] = 255, 128
    lines = draw(image, np.eye(10)[3], Style.GRAYS).splitlines()
    assert len(lines) == 14
    assert lines[0].startswith("\x1b[38;5;255;48;5;232m▀\x1b[38;5;232;48;5;244m▀")
    assert lines[0].endswith("m▀\x1b[0m")
    assert lines[5].endswith(" 3 " + "█" * 30 + " 100.0 %")


def test_ramp_and_bars_in_ascii():
    image = np.zeros((28, 28))
    image[:2, :2] = 1
    lines = draw(image, np.full(10, 0.1), Style.ASCII).splitlines()
    assert lines[0] == "@@"
    assert lines[2].endswith(f" 0 {'###':30}  10.0 %")


def test_more_bars_than_rows():
    lines = draw(np.zeros((28, 28)), np.full(20, 0.05), Style.UNICODE).splitlines()
    assert len(lines) == 20
    assert lines[19].split()[0] == "19"


@pytest.mark.parametrize(
    ("encoding", "environment", "grays"),
    [
        ("utf-8", {"TERM": "xterm-256color"}, True),
        ("utf-8", {"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ("utf-8", {"TERM": "dumb"}, False),
        ("utf-8", {}, False),
        ("ascii", {"TERM": "xterm-256color"}, False),
    ],
)
def test_what_a_terminal_is_shown(monkeypatch, encoding, environment, grays):
    from cnet.cli import _console

    class Terminal:
        def isatty(self):
            return True

    Terminal.encoding = encoding
    for name in ("TERM", "NO_COLOR", "COLORTERM", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert _console.shows_grays() is grays


# Information and help


def test_info(capsys):
    assert succeeds(capsys, "info").startswith("cnet  ")


def test_info_of_a_model(capsys, trained):
    output = succeeds(capsys, "info", trained)
    assert re.search(f"^file +{re.escape(trained)}$", output, re.M)
    assert re.search(r"^cnet_version +\d", output, re.M)
    assert "0 Linear(in_features=784, out_features=16)" in output
    assert "total: 12,730 parameters" in output


def test_metadata_cannot_write_to_the_terminal(capsys, out):
    from safetensors.numpy import save_file

    model = nn.Sequential(nn.Linear(2, 2), seed=0)
    architecture = (
        '{"type": "Sequential", "layers": [{"type": "Linear", "in_features": 2, "out_features": '
        "2}]}"
    )
    save_file(
        model.state_dict(),
        out,
        {"cnet": "1", "architecture": architecture, "note": "a\x1b[31mb\nc\x07"},
    )
    assert "note         a\\x1b[31mb c\\x07\n" in succeeds(capsys, "info", out)


def test_no_arguments_is_help(capsys):
    assert succeeds(capsys) == succeeds(capsys, "--help")


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"], ["info"]])
def test_help_fits_into_80_columns(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    output = succeeds(capsys, *command, "--help")
    assert "examples:" in output
    assert all(len(line) <= 80 for line in output.splitlines())


def test_version(capsys):
    assert succeeds(capsys, "--version") == f"cnet {cnet.__version__}\n"


# What is wrong


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--activation", "rleu"],
            "--activation: 'rleu' is not one of relu, leaky_relu, tanh, sigmoid, identity (did "
            "you mean relu?)",
        ),
        (["--epochs", "0"], "--epochs: '0' is not an integer of at least 1"),
        (["--epochs", "1_0"], "--epochs: '1_0' is not an integer"),
        (["--epochs", "٣"], "--epochs: "),
        (["--epochs", "9" * 5000], "--epochs: "),
        (["--batch-size", "2.5"], "--batch-size: '2.5' is not an integer of at least 1"),
        (["--lr", "nan"], "--lr: 'nan' is not a number greater than 0"),
        (["--lr", "inf"], "--lr: 'inf'"),
        (["--lr", "1e999"], "--lr: '1e999'"),
        (["--lr", "0"], "--lr: '0'"),
        (["--lr", "-0.1"], "--lr: '-0.1'"),
        (["--momentum", "1"], "--momentum: '1' is not a number of at least 0 and below 1"),
        (["--weight-decay=-1e-4"], "--weight-decay: '-1e-4' is not a number of at least 0"),
        (
            ["--hidden", "128,-3"],
            "--hidden: '-3' is not an integer from 1 to 65536: expected sizes such as 128 or "
            "128,64, or none",
        ),
        (["--hidden", "128,"], "--hidden: '' is not an integer"),
        (["--hidden", "65537"], "--hidden: '65537'"),
        (["--seed", "-1"], "--seed: '-1' is not an integer of at least 0"),
        (["--threads", "0"], "--threads: '0' is not an integer from 1 to 4096"),
        (["--validation", "x"], "--validation: 'x' is not an integer of at least 0"),
        (["--nesterov"], "--nesterov requires --momentum"),
        (["--epoch", "3"], "unknown option --epoch (did you mean --epochs?)"),
        (["--epoch=3"], "unknown option --epoch (did you mean --epochs?)"),
        (["digits"], "unexpected argument 'digits'"),
    ],
)
def test_wrong_values(capsys, options, problem):
    assert fails(capsys, "train", *options, code=2).startswith(f"cnet train: error: {problem}")


def test_unknown_commands(capsys):
    assert "'train', 'evaluate', 'predict', 'info'" in fails(capsys, "tran", code=2)
    assert "MODEL, FILE" in fails(capsys, "predict", code=2)


def test_unknown_data(capsys):
    assert "'mnits' (did you mean mnist?); expected digits, mnist or a path" in fails(
        capsys, "train", "--data", "mnits"
    )


def test_validation_that_leaves_nothing(capsys, data):
    assert "validation must be an integer from 0 to 199" in fails(
        capsys, "train", "--data", data, "--validation", "200"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [("nowhere/m", "there is no folder"), (".", "is a folder"), ("x" * 300, "")],
)
def test_output_is_checked_before_training(capsys, tmp_path, monkeypatch, name, problem):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cnet.Trainer, "fit", None)
    assert problem in fails(capsys, "train", "--out", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="needs a device file")
def test_output_that_is_a_device(capsys):
    """Saving moves a file into place, which would put it where the device was."""
    assert "is not a regular file" in fails(capsys, "train", "--out", os.devnull)


@pytest.mark.parametrize("command", ["evaluate", "info"])
def test_files_that_are_no_models(capsys, tmp_path, command):
    path = tmp_path / "bad.safetensors"
    assert f"{path}: there is no such file" in fails(capsys, command, str(path))
    path.write_bytes(b"nonsense")
    assert f"{path} cannot be read as a model" in fails(capsys, command, str(path))


def test_names_in_errors_cannot_write_to_the_terminal(capsys):
    assert "'a\\n\\x1b[31mb'" in fails(capsys, "train", "--data", "a\n\x1b[31mb")
    assert "a \\x1b[31mb: there is no such file" in fails(capsys, "info", "a\n\x1b[31mb")


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("CNET_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        main(["info", "nosuch"])


# As a process


def environment(**settings):
    root = str(Path(cnet.__file__).parents[1])
    return {
        **os.environ,
        "PYTHONPATH": root,
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "",
        "CNET_NUM_THREADS": "1",
        **settings,
    }


def run(*argv, **settings):
    return subprocess.run(
        [sys.executable, "-m", "cnet", *argv],
        capture_output=True,
        env=environment(**settings),
        timeout=60,
        check=False,
    )


def test_python_m():
    result = run("--version")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (
        0,
        f"cnet {cnet.__version__}".encode(),
        b"",
    )


def test_nothing_heavy_is_imported_for_help():
    code = (
        "import sys; from cnet.cli import main; main(['--help']); sys.exit(bool({'PIL', 'tqdm', "
        "'safetensors', 'pooch'} & sys.modules.keys()))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.DEVNULL,
            env=environment(),
            timeout=60,
            check=False,
        ).returncode
        == 0
    )


def test_ascii_terminal(tmp_path, trained, seven):
    name = tmp_path / "sieben-für-zwölf.png"
    name.write_bytes(Path(seven).read_bytes())
    result = run(
        "predict", trained, str(name), "--picture", PYTHONIOENCODING="ascii", PYTHONUTF8="1"
    )
    assert result.returncode == 0, result.stderr
    assert b"sieben-f\\xfcr-zw\\xf6lf.png: " in result.stdout
    assert result.stdout.isascii()


@contextlib.contextmanager
def ended_in_time(process):
    """Reading from a process comes to an end, even if it hangs."""
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_sigint_while_training(data, out):
    command = [
        sys.executable,
        "-m",
        "cnet",
        "train",
        "--data",
        data,
        "--epochs",
        "1000000",
        "--out",
        out,
    ]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        ) as process,
        ended_in_time(process),
    ):
        while b"2/1000000" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(
        r"cnet: interrupted in epoch \d+ of 1000000: saved the network trained so far to ",
        stderr.decode(),
    )
    assert b"Traceback" not in stderr
    assert b"Test" not in stdout
    assert cnet.load(out)


@pytest.mark.skipif(os.name != "posix", reason="pipes break differently")
@pytest.mark.parametrize("argv", [["info"], ["--help"]])
def test_closed_pipe(argv):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "cnet", *argv],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "cnet", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=60,
            check=False,
        )
    assert (result.returncode, result.stderr) == (1, b"cnet: error: No space left on device\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_in_a_terminal(data, trained, seven, out):
    """Half blocks for a single image, and a bar while an epoch runs."""
    import pty

    def terminal_output(*argv):
        primary, secondary = pty.openpty()
        settings = environment(TERM="xterm-256color", PYTHONIOENCODING="utf-8", NO_COLOR="")
        with (
            subprocess.Popen(
                [sys.executable, "-m", "cnet", *argv],
                stdout=secondary,
                stderr=secondary,
                env=settings,
            ) as process,
            ended_in_time(process),
        ):
            os.close(secondary)
            output = b""
            with contextlib.suppress(OSError):  # the end of a pseudo-terminal
                while chunk := os.read(primary, 4096):
                    output += chunk
        os.close(primary)
        assert process.returncode == 0
        return output.decode()

    assert "\x1b[38;5;" in terminal_output("predict", trained, seven)
    assert "\r\n" in terminal_output("train", "--data", data, "--epochs", "2", "--out", out)
