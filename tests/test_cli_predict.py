"""``cnet predict``, called in process, and its pictures in a terminal."""

import json
import re
import sys
from pathlib import Path

import commands
import numpy as np
import pytest
from commands import fails, make_images, succeeds

import cnet
from cnet import nn
from cnet.cli._picture import Style, draw

# Fixtures of these tests.
one_thread, data, trained, out, seven = (
    commands.one_thread,
    commands.data,
    commands.trained,
    commands.out,
    commands.seven,
)


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
