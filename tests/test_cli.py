"""The command ``cnet``: information, help, errors, and as its own process where signals, pipes and
encodings matter.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import commands
import pytest
from commands import fails, succeeds

import cnet
from cnet import nn
from cnet.cli import main

# Fixtures of these tests.
one_thread, data, trained, out, seven = (
    commands.one_thread,
    commands.data,
    commands.trained,
    commands.out,
    commands.seven,
)


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
        (["--lr", "nan"], "--lr: 'nan' is not a finite number above 0"),
        (["--lr", "inf"], "--lr: 'inf'"),
        (["--lr", "1e999"], "--lr: '1e999'"),
        (["--lr", "0"], "--lr: '0'"),
        (["--lr", "-0.1"], "--lr: '-0.1'"),
        (["--momentum", "1"], "--momentum: '1' is not a number of at least 0 and below 1"),
        (["--weight-decay=-1e-4"], "--weight-decay: '-1e-4' is not a finite number of at least 0"),
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
    assert "validation is 200, expected an integer from 0 to 199" in fails(
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
