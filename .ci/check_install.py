"""What an import of the installed cnet costs and leaves alone: run with `python -I`, so that no source folder is in reach."""

import subprocess
import sys

# Beyond numpy, which the script that calls this one has anyhow.
COST_LIMIT_MS = 60
REPEATS = 15

# Processor time: other jobs on the machine count little.
IMPORT = "import time; start = time.process_time(); import {}; print((time.process_time() - start) * 1e3)"

STATE = """
import os, pathlib, signal, sys
import numpy  # its OpenBLAS starts threads, and with them the C library takes a signal

def state():
    status = pathlib.Path("/proc/self/status")
    caught = [line for line in status.read_text().splitlines() if line.startswith("SigCgt")] if status.exists() else None
    return {
        "environment": dict(os.environ),
        "signal handlers": ([signal.getsignal(number) for number in sorted(signal.valid_signals())], caught),
        # A library built with -ffast-math makes the processor flush denormal numbers to zero, for the whole process.
        "denormal numbers": sys.float_info.min / 2 != 0,
    }

before = state()
import cnet
after = state()
print(*(name for name in before if before[name] != after[name] or not after["denormal numbers"]), sep=", ")
"""


def python(code):
    return subprocess.run([sys.executable, "-I", "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


changed = python(STATE)
if changed:
    sys.exit(f"check_install: import cnet changes the process: {changed}")

costs = {"numpy": [], "cnet": []}
for _ in range(REPEATS):
    for module, times in costs.items():
        times.append(float(python(IMPORT.format(module))))
numpy, cnet = (min(times) for times in costs.values())  # what else the machine does only adds
print(f"import: numpy {numpy:.0f} ms, cnet {cnet:.0f} ms, so cnet itself {cnet - numpy:.0f} ms (limit {COST_LIMIT_MS})")
if cnet - numpy > COST_LIMIT_MS:
    sys.exit("check_install: import cnet takes too long")
