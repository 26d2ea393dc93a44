"""What holds of an installation whatever it was built with."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import cnet
from cnet._core import _isa, _threads, loops
from cnet._utils.config import config


def test_the_version_is_that_of_the_metadata():
    assert importlib.metadata.version("cnet") == cnet.__version__


def test_type_checkers_find_the_types():
    core = Path(_isa.__file__)
    assert Path(cnet.__file__).with_name("py.typed").exists()
    for module in ("_float32", "_float64", "_isa", "_loops", "_threads"):
        assert core.with_name(f"{module}.pyi").exists(), module


def test_the_stub_names_all_that_the_compiled_core_has():
    stub = Path(_isa.__file__).with_name("_loops.pyi").read_text().split("class Loops(Protocol):")
    names = re.findall(r"^    (?:def )?(\w+)[(:]", stub[1], re.M)
    for dtype in (np.float32, np.float64):
        core = loops(np.dtype(dtype))
        assert set(names) == {name for name in dir(core) if not name.startswith("_")} - {
            "signal",
            "sys",
            "threading",
        }


def test_the_plainest_instruction_set_is_in_every_build_and_runs_everywhere():
    compiled, available = _isa.compiled_isas(), _isa.available_isas()
    assert compiled[0] in {"baseline", "neon"}
    assert compiled[0] == available[0]
    assert [name for name in compiled if name in available] == list(available)


def test_a_source_folder_says_that_it_is_not_installed(tmp_path):
    """In a clone, the folder cnet comes before the installed package on the path."""
    sources = Path(cnet.__file__).parent
    shutil.copytree(
        sources, tmp_path / "cnet", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONSAFEPATH", "PYTHONPATH")
    }
    result = subprocess.run(
        [sys.executable, "-c", "import cnet"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (
        "ImportError: cnet's compiled core is missing: this is a source folder, not an installed "
        "package."
    ) in result.stderr


def test_show_config_reports_the_build(capsys):
    cnet.show_config()
    shown = capsys.readouterr().out
    assert all(value in shown for value in config().values())
    assert config()["OpenMP"].startswith("yes" if _threads.openmp() else "no")


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has the GIL"
)
def test_an_import_leaves_the_gil_off():
    """A single extension module without the declaration would turn it on again for the whole
    process.
    """
    code = "import cnet, sys; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-I", "-W", "error", "-c", code], timeout=120, check=True)
