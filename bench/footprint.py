"""What a library costs before it does anything: time to import, and size on disk. ``python
bench/footprint.py``.

Each import is timed in fresh interpreters, with the files in the system's cache. Sizes are those of
the installed files; the last column counts all that a library needs except NumPy, which every one
of them needs.
"""

import argparse
import importlib.util
import re
import statistics
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

LIBRARIES = {
    "cnet": ("cnet", "cnet"),
    "NumPy": ("numpy", "numpy"),
    "PyTorch": ("torch", "torch"),
    "JAX": ("jax", "jax"),
    "scikit-learn": ("scikit-learn", "sklearn.neural_network"),
}
"""Distribution, and the module that holds what the benchmark uses."""


def import_seconds(module: str, times: int) -> float:
    """Median time of an import; the interpreter's own start is not in it."""
    code = (
        f"from time import perf_counter; start = perf_counter(); import {module}; "
        "print(perf_counter() - start)"
    )
    seconds = [
        float(
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout
        )
        for _ in range(times + 1)
    ]
    return statistics.median(seconds[1:])  # the first may have read from the disk


def needed(distribution: str) -> set[str]:
    """A distribution and all that it needs, without extras."""
    found: set[str] = set()
    new = {distribution}
    while new:
        found |= new
        new = {name for known in new for name in _requirements(known)} - found
    return found


def _requirements(distribution: str) -> set[str]:
    """Those that are installed: others are for other systems."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:  # cnet, built in place
        lines = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())[
            "project"
        ]["dependencies"]
    found = set()
    for line in lines:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        if not re.search(r"\bextra\b", line):
            with suppress(metadata.PackageNotFoundError):
                found.add(metadata.metadata(name)["Name"].lower())
    return found


def megabytes(distribution: str) -> float:
    """Size of the installed files; for a package built in place, of those that its wheel would
    hold.
    """
    try:
        return sum(file.size or 0 for file in metadata.files(distribution) or []) / 1e6
    except metadata.PackageNotFoundError:
        spec = importlib.util.find_spec(distribution)
        folder = Path(spec.origin).parent if spec and spec.origin else Path()
        return (
            sum(
                path.stat().st_size
                for path in folder.rglob("*")
                if path.suffix in {".py", ".pyi", ".typed", ".so", ".pyd"}
            )
            / 1e6
        )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="imports to take the median of")
    options = parser.parse_args()
    print(f"{'':14}{'import, ms':>12}{'size, MB':>12}{'beyond NumPy, MB':>20}")
    for name, (distribution, module) in LIBRARIES.items():
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            print(f"{name:14}{'not installed':>12}")
            continue
        beyond = sum(map(megabytes, needed(distribution) - {"numpy"}))
        milliseconds = import_seconds(module, options.times) * 1e3
        print(f"{name:14}{milliseconds:12.0f}{megabytes(distribution):12.1f}{beyond:20.1f}")


if __name__ == "__main__":
    main()
