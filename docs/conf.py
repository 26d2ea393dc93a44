"""How Sphinx builds the guide and the reference of the API: docs/README.md has the command."""

from importlib import import_module
from typing import Any

import cnet

project = "cnet"
release = version = cnet.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autosummary"]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "README.md"]
html_theme = "furo"
html_title = f"cnet {release}"
html_show_copyright = False
html_copy_source = False
myst_heading_anchors = 3

# A page for each name that a page of the reference lists. Docstrings tell the types; methods that
# override one without their own docstring are explained where they are first defined.
autosummary_generate = True
autosummary_filename_map = {
    "cnet.datasets.Split": "cnet.datasets.Split-class"
}  # where letters have no case, its own file
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_validation_checks = {
    "GL06",
    "GL07",
    "PR02",
    "PR06",
    "PR10",
    "RT02",
}  # unknown or misplaced sections, unknown parameters, types of another form
numpydoc_validation_exclude = {r"\.set_callbacks$"}  # inherited from scikit-learn, in its own form
default_role = (
    "py:obj"  # what docstrings put between single backticks: a link where it is a public name
)


def _public_bases(app: Any, name: str, obj: Any, options: Any, bases: list[Any]) -> None:
    """Show the classes that a user can derive from, and not those that are shared within cnet."""
    bases[:] = [
        next(kind for kind in base.__mro__ if _is_public(kind)) if isinstance(base, type) else base
        for base in bases
    ]


def _is_public(kind: type) -> bool:
    package, _, private = kind.__module__.partition("._")
    return (
        kind.__name__ in import_module(package).__all__
        if private
        else not kind.__name__.startswith("_")
    )


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-bases", _public_bases)
