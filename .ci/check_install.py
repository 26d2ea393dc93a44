"""Check that an import of the installed cnet loads few modules and changes nothing.

Run it with `python -I`, so that no source folder is in reach.
"""

import subprocess
import sys

# Beyond those that numpy imports. A number of modules, not a time, which other jobs on the machine
# would change: bench/footprint.py measures that.
MODULES_LIMIT = 150

MODULES = """
import sys, numpy
before = set(sys.modules)
import cnet
print(len(set(sys.modules) - before))
"""

STATE = """
import os, pathlib, signal, sys
import numpy  # its OpenBLAS starts threads, and with them the C library takes a signal

def state():
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    return {
        "environment": dict(os.environ),
        "signal handlers": (handlers, [line for line in lines if line.startswith("SigCgt")]),
        # A library built with -ffast-math makes the processor flush denormal numbers to zero.
        "denormal numbers": sys.float_info.min / 2 != 0,
    }

before = state()
import cnet
after = state()
changed = [name for name in before if before[name] != after[name]]
print(*changed, *["denormal numbers"] * (not after["denormal numbers"]), sep=", ")
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-I", "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


changed = python(STATE)
if changed:
    sys.exit(f"check_install: import cnet changes the process: {changed}")

modules = int(python(MODULES))
print(f"import cnet loads {modules} modules beyond numpy's (limit {MODULES_LIMIT})")
if modules > MODULES_LIMIT:
    sys.exit("check_install: import cnet loads too many modules")
