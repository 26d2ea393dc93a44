"""The examples run in their small size, as scripts, without a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cnet

FOLDER = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(FOLDER.glob("[!_]*.py"))


@pytest.mark.skipif(not SCRIPTS, reason="the folder of examples is not beside that of the tests")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs_and_prints_a_table(script, tmp_path):
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(Path(cnet.__file__).parent.parent),
        "PYTHONIOENCODING": "utf-8",
    }
    environment.pop("CNET_DATA", None)  # the same little data everywhere
    environment.pop("PYTHONSAFEPATH", None)  # what examples share lies beside them
    command = [sys.executable, "-W", "error", str(script)]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    assert "| --" in result.stdout
