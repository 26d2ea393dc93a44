"""``cnet train``, called in process."""

import contextlib
import io
import os
import re
import sys

import commands
import numpy as np
import pytest
from commands import make_images, succeeds

import cnet
from cnet.cli import main

# Fixtures of these tests.
one_thread, data, out = (commands.one_thread, commands.data, commands.out)


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
