"""Names of a package whose modules are imported when they are used."""

import importlib
import sys
from collections.abc import Callable
from typing import Any


def lazy(
    package: str,
    homes: dict[str, str],
    missing: Callable[[str], AttributeError] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package with `__all__`.

    Parameters
    ----------
    package : str
        Name of the package.
    homes : dict of str
        For each such name, its module in the package.
    missing : function or None
        Returns the error for the name of an attribute that is not there.
    """
    module = sys.modules[package]

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise (
                missing(name)
                if missing
                else AttributeError(f"module {package!r} has no attribute {name!r}")
            )
        value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(module, name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(module), *module.__all__})

    return __getattr__, __dir__
