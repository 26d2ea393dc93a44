"""Docstrings: every example runs and shows what it says, and every public name is explained."""

import doctest
import importlib
import importlib.util
import inspect
import io
import pkgutil
import re
import socket
import sys

import pytest

import cnet

MODULES = [
    info.name for info in pkgutil.walk_packages(cnet.__path__, "cnet.") if not info.name.startswith("cnet._core.") and not info.name.endswith("__main__")
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
    MODULES = [name for name in MODULES if not name.startswith(("cnet.sklearn", "cnet.optim._lbfgs"))]  # SciPy comes with scikit-learn


@pytest.fixture
def as_it_was(monkeypatch, tmp_path):
    """Examples set the number of threads and write files; they must not need the network."""
    before = cnet.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # no terminal, whatever runs the tests
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: pytest.fail(f"an example connects to {address}"))
    yield
    cnet.set_num_threads(before)


@pytest.mark.parametrize("name", ["cnet", *MODULES])
def test_examples_show_what_happens(name, as_it_was, capsys):
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
        name for name, value in vars(module).items() if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value)
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
    found = re.search(rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^\w[\w ]*\n-{{3,}}\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


@pytest.mark.parametrize("value", list(public()))
def test_public_names_have_a_summary_an_example_and_their_parameters(value):
    doc = inspect.getdoc(value)
    assert doc, "no docstring"
    summary = doc.split("\n\n")[0]
    assert summary.endswith("."), summary
    if getattr(value, "__match_args__", ()):  # a record, which functions make: its fields are explained
        for field in value.__match_args__:
            assert re.search(rf"^(\w+, )*{field}\b.* : ", section(doc, "Attributes"), re.MULTILINE), f"the field {field} is not explained"
        return
    assert ">>> " in section(doc, "Examples"), "no example"
    parameters = [
        name
        for name, parameter in inspect.signature(value).parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    text = section(doc, "Parameters")
    for name in parameters:
        assert re.search(rf"^(\*?\w+, )*{re.escape(name)}\b.* : ", text, re.MULTILINE), f"the parameter {name} is not explained"


def methods():
    for param in public():
        (value,) = param.values
        if inspect.isclass(value):
            for name, method in vars(value).items():
                if not name.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                    yield pytest.param(value, name, id=f"{value.__name__}.{name}")


@pytest.mark.parametrize(("kind", "name"), list(methods()))
def test_public_methods_are_explained(kind, name):
    """Where they are first defined; `inspect` finds it for those that override."""
    assert inspect.getdoc(getattr(kind, name)) or name == "data", f"{kind.__name__}.{name} has no docstring"
