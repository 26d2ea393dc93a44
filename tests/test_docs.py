"""Docstrings, the guide and README.md: every example runs and shows what it says, and every public
name is explained.
"""

import ast
import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

import cnet
from cnet import datasets

MODULES = [
    info.name
    for info in pkgutil.walk_packages(cnet.__path__, "cnet.")
    if not info.name.startswith("cnet._core.") and not info.name.endswith("__main__")
]
PUBLIC = [
    "cnet",
    "cnet.nn",
    "cnet.nn.init",
    "cnet.optim",
    "cnet.optim.lr_scheduler",
    "cnet.datasets",
    "cnet.augment",
    "cnet.callbacks",
    "cnet.metrics",
    "cnet.plot",
]
if importlib.util.find_spec("sklearn"):
    PUBLIC.append("cnet.sklearn")
else:
    MODULES = [
        name for name in MODULES if not name.startswith(("cnet.sklearn", "cnet.optim._lbfgs"))
    ]  # SciPy comes with scikit-learn
NEEDED = {"cnet._io.torch": "torch", "cnet._io.torch_layers": "torch", "cnet._io.onnx": "onnx"}
"""What examples import that the test suite does not require."""


@pytest.fixture
def as_it_was(monkeypatch, tmp_path):
    """Examples set the number of threads and write files; they must not need the network."""
    before = cnet.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal, whatever runs the tests
    monkeypatch.setattr(
        socket.socket,
        "connect",
        lambda self, address: pytest.fail(f"an example connects to {address}"),
    )
    yield
    cnet.set_num_threads(before)


@pytest.mark.parametrize("name", ["cnet", *MODULES])
def test_examples_show_what_happens(name, as_it_was, capsys):
    if name in NEEDED:
        pytest.importorskip(NEEDED[name])
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test)
    assert not runner.failures, capsys.readouterr().out


def names_of(module):
    """What a module offers: its __all__, or else what it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and callable(value)
    ]


def public():
    for name in PUBLIC:
        module = importlib.import_module(name)
        for attribute in names_of(module):
            value = getattr(module, attribute)
            if not inspect.ismodule(value) and callable(value):
                yield pytest.param(value, id=f"{name}.{attribute}")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_modules_say_what_they_are(name):
    module = importlib.import_module(name)
    assert len(module.__doc__.splitlines()[0]) > 10
    assert names_of(module)
    assert all(hasattr(module, attribute) for attribute in names_of(module))


def section(doc, title):
    """The text of a section of a numpydoc docstring."""
    found = re.search(
        rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\w[\w ]*\n-{{3,}}\n|\Z)",
        doc,
        re.MULTILINE | re.DOTALL,
    )
    return found.group(1) if found else ""


@pytest.mark.parametrize("value", list(public()))
def test_public_names_have_a_summary_an_example_and_their_parameters(value):
    doc = inspect.getdoc(value)
    assert doc, "no docstring"
    summary = doc.split("\n\n")[0]
    assert summary.endswith("."), summary
    if not section(doc, "Parameters") and getattr(
        value, "__match_args__", ()
    ):  # a record, which functions make: its fields are explained
        for field in value.__match_args__:
            assert re.search(
                rf"^(\w+, )*{field}\b.* : ", section(doc, "Attributes"), re.MULTILINE
            ), f"the field {field} is not explained"
        return
    assert ">>> " in section(doc, "Examples"), "no example"
    parameters = [
        name
        for name, parameter in inspect.signature(value).parameters.items()
        if name != "self"
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    text = section(doc, "Parameters")
    for name in parameters:
        assert re.search(rf"^(\*?\w+, )*{re.escape(name)}\b.* : ", text, re.MULTILINE), (
            f"the parameter {name} is not explained"
        )


def methods():
    for param in public():
        (value,) = param.values
        if inspect.isclass(value):
            for name, method in vars(value).items():
                if not name.startswith("_") and (
                    inspect.isfunction(method) or isinstance(method, property)
                ):
                    yield pytest.param(value, name, id=f"{value.__name__}.{name}")


@pytest.mark.parametrize(("kind", "name"), list(methods()))
def test_public_methods_are_explained(kind, name):
    """Where they are first defined; `inspect` finds it for those that override."""
    assert inspect.getdoc(getattr(kind, name)) or name == "data", (
        f"{kind.__name__}.{name} has no docstring"
    )


ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted({*DOCS.glob("*.md"), ROOT / "README.md"} - {DOCS / "README.md"})
WORDS = {"torch": "torch", "onnx.reference": "onnx", "sklearn": "sklearn", "plot.": "matplotlib"}
"""What blocks that have these words cannot do without."""

here = pytest.mark.skipif(
    not DOCS.exists(), reason="the folder of the guide is not beside that of the tests"
)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A folder for CNET_DATA, with a few hundred drawn digits again and again in place of MNIST."""
    folder = tmp_path_factory.mktemp("data") / "mnist"
    folder.mkdir()
    data = datasets.digits(train=600, test=200, flatten=False)
    x, y = (np.concatenate([part] * 10) for part in (data.train.x[:, 0], data.train.y))
    np.savez(
        folder / "mnist.npz", x_train=x, y_train=y, x_test=data.test.x[:, 0], y_test=data.test.y
    )
    return folder.parent


def blocks(page):
    """Each block of Python, at its line of the page, with what it prints: a block of text behind
    it.
    """
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(
        r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", text, re.MULTILINE | re.DOTALL
    ):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1], found[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_a_page_show_what_happens(page, as_it_was, mnist, monkeypatch):
    monkeypatch.setenv("CNET_DATA", str(mnist))
    namespace = {"__name__": page.stem}
    for code, expected in blocks(page):
        for word, module in WORDS.items():
            if word in code and importlib.util.find_spec(module) is None:
                pytest.skip(f"the rest of the page needs {module}")
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            exec(compile(code, str(page), "exec"), namespace)
        if expected is not None:
            assert doctest.OutputChecker().check_output(
                expected, shown.getvalue(), doctest.ELLIPSIS
            ), shown.getvalue()


@here
@pytest.mark.parametrize("name", PUBLIC)
def test_the_reference_has_every_public_name_and_no_other(name):
    page = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    module = importlib.import_module(name)
    listed = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    modules = {
        attribute for attribute in names_of(module) if inspect.ismodule(getattr(module, attribute))
    }
    assert sorted(listed) == sorted({*names_of(module)} - modules - {"__version__"})
    assert all(f"({name}.{attribute}.md)" in page for attribute in modules)
    assert f"\n{name}\n" in (DOCS / "reference" / "index.md").read_text(encoding="utf-8")


@here
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tests_that_a_page_names_are_there(page):
    for path, name in re.findall(
        r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text(encoding="utf-8")
    ):
        functions = {
            node.name
            for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body
            if isinstance(node, ast.FunctionDef)
        }
        assert not name or name in functions, f"{path} has no {name}"


@here
def test_every_yes_of_the_comparison_names_a_test():
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in (DOCS / "comparison.md").read_text(encoding="utf-8").splitlines()
        if line[:1] == "|"
    ]
    assert any(cells[1] == "no" for cells in rows)
    for cells in rows:
        assert cells[1] in ("cnet", "---", "no") or "`tests/" in cells[-1], cells
