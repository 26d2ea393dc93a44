"""Write the stub of the compiled core, `cnet/_core/_loops.pyi`, from the Cython sources.

``python .ci/stubs.py`` writes it; ``--check`` compares it with the one that is there.
"""

import re
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).parent.parent / "cnet/_core"
STUB = CORE / "_loops.pyi"
HEAD = '''"""The compiled core for one dtype. Written by .ci/stubs.py."""

from typing import Any, Protocol, TypeAlias

from numpy.typing import NDArray

Array = NDArray[Any] | None
'''
TYPES = {
    **dict.fromkeys(["int", "Py_ssize_t", "int64_t", "uint32_t", "uint64_t"], "int"),
    **dict.fromkeys(["double", "real"], "float"),
    "bint": "bool",
    "tuple": "tuple[int, ...]",
    "list": "list[Any]",
}
FUNCTION = re.compile(r"^( *)(?:cp)?def (?:(\w+) )?(\w+)\(([^)]*)\)(?: -> (\w+))?[^:\n]*:\n", re.M)
ATTRIBUTE = re.compile(r"cdef (?:readonly|public) (\w+) (\w+)")


def argument(text: str) -> str:
    """A parameter of Cython as one of Python."""
    declared, _, default = text.partition("=")
    *kinds, name = declared.split()
    if not kinds:
        return name if name == "self" else f"{name}: Any"
    kind = "Array" if "[" in declared else TYPES.get(kinds[-1], f"_{kinds[-1]}")
    if default == "None" and kind != "Array":
        kind += " | None"
    return f"{name}: {kind}" + (" = ..." if default else "")


def function(match: re.Match[str], method: bool) -> str:
    """A function of Cython as a line of the stub."""
    _, kind, name, text, returned = match.groups()
    parts = [part.strip() for part in re.sub(r"\[[^]]*\]", "[]", text).split(",")]
    arguments = [argument(part) for part in parts if part]
    if not method:
        arguments.insert(0, "self")
    name = name.replace("__cinit__", "__init__")
    returned = TYPES.get(returned, returned) if returned else TYPES.get(kind or "", "None")
    return f"    def {name}({', '.join(arguments)}) -> {returned}: ...\n"


def stub() -> str:
    """The whole stub."""
    files = re.findall(r'include "(\w+\.pxi)"', (CORE / "bindings/loops.pxi").read_text())
    aliases = "\n# In the class below, its own attributes hide these names.\n"
    classes, functions = "", ""
    for file in files:
        source = (CORE / "bindings" / file).read_text()
        blocks = re.split(r"(?m)^(?=cdef class |def |cpdef |[a-zA-Z_#])", source)
        for block in blocks:
            if block.startswith("cdef class "):
                name = block.split()[2].rstrip(":")
                aliases += f"_{name}: TypeAlias = {name}\n"
                classes += f"\nclass {name}:\n"
                for kind, attribute in ATTRIBUTE.findall(block):
                    classes += f"    {attribute}: {TYPES[kind]}\n"
                for match in FUNCTION.finditer(block):
                    if match[3] != "__dealloc__":
                        if block[: match.start()].endswith("@property\n"):
                            classes += "    @property\n"
                        classes += function(match, method=True)
                functions += f"    {name}: type[_{name}]\n"
            elif (match := FUNCTION.match(block)) and not match[3].startswith("_"):
                functions += function(match, method=False)
    constants = "    CODES: dict[str, int]\n    MIN_CAPACITY: int\n    NO_ACTIVATION: int\n"
    return f"{HEAD}{classes}{aliases}\nclass Loops(Protocol):\n{constants}{functions}"


def formatted() -> str:
    """The stub as ruff writes it."""
    command = ["ruff", "format", "-q", "--no-cache", "--stdin-filename", str(STUB), "-"]
    return subprocess.run(command, input=stub(), capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if "--check" not in sys.argv:
        STUB.write_text(formatted())
    elif STUB.read_text() != formatted():
        sys.exit(f"{STUB} is not what the sources say: run python .ci/stubs.py")
