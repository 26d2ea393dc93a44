"""The import rule: a package imports those below it, and no modules import each other in a circle.

This is the one place that states the order. Imports within functions and for type checkers count.
"""

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "cnet"
FLOORS = [
    ("_core", "_version"),
    ("_utils",),
    ("nn", "_data", "datasets", "metrics"),
    ("optim", "augment"),
    ("_compiler", "callbacks"),
    ("_io",),
    ("_training",),
    ("sklearn", "plot"),
    ("cnet",),
    ("cli",),
    ("__main__",),
]
"""From bottom to top. Packages of one floor do not import each other."""

pytestmark = pytest.mark.skipif(not ROOT.exists(), reason="the sources are not beside the tests")


def names():
    """Names of all modules, with their files."""
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


@pytest.fixture(scope="module")
def graph():
    """For each module, the modules of cnet that it imports."""
    modules = dict(names())

    def imported(path):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (name if name in modules else node.module for name in full)
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)

    return {
        name: {other for other in imported(path) if other in modules and other != name}
        for name, path in modules.items()
    }


def package(module):
    """The package, or module, directly under cnet."""
    return [*module.split("."), "cnet"][1] if module != "cnet" else "cnet"


def test_imports_go_down(graph):
    floor = {name: i for i, floor in enumerate(FLOORS) for name in floor}
    assert {package(module) for module in graph} <= {*floor}, "add the package to FLOORS"
    upward = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if package(module) != package(other) and floor[package(module)] <= floor[package(other)]
    ]
    assert not upward


def test_no_modules_import_each_other_in_a_circle(graph):
    [*graphlib.TopologicalSorter(graph).static_order()]
