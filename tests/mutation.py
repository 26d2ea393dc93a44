"""Mutation test of the package's Python code: ``python tests/mutation.py --seed 1``.

In a copy of the sources, it changes one place at a time and runs the tests that execute this place.
Cosmic Ray makes the mutants. A place is drawn at random, and then one of its mutants, so that an
operator with many replacements counts once. Type annotations, code for type checkers alone and
lines marked ``pragma: no mutate`` are left out.

coverage.py first records which tests execute each line, which takes longer than the suite;
``--record FOLDER`` keeps the record for later calls with the same sources. Exit status 1: less than
95 % of the mutants are killed.
"""

import argparse
import ast
import collections
import difflib
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import coverage
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parent.parent
TARGET = 0.95
FIRST, MAX = 50, 1000  # tests that run before the others of a place, and in all
TYPING = {"final", "overload", "override"}  # decorators without an effect
# Programs that a test starts inherit the name of the test from pytest.
COVERAGE = """[run]
source = cnet
data_file = {}
parallel = true
relative_files = true
sigterm = true
context = ${{PYTEST_CURRENT_TEST-}}
disable_warnings = no-data-collected,module-not-imported,module-not-measured
"""
PYTEST = ["pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]

times = collections.Counter()


# Hooks of the record: pytest -p mutation


def pytest_runtest_logstart(nodeid):
    """The lines that follow are executed by this test."""
    coverage.Coverage.current().switch_context(nodeid)


def pytest_runtest_logreport(report):
    """The time of a test; infinite if it does not pass."""
    times[report.nodeid] += report.duration if report.passed else float("inf")


def pytest_sessionfinish():
    """The times of the tests that pass, where ``Record`` finds them."""
    passed = {test: seconds for test, seconds in times.items() if seconds < float("inf")}
    Path(os.environ["MUTATION_TIMES"]).write_text(json.dumps(passed))


def run(copy, *arguments, limit=None, **environment):
    """Whether a module succeeds in a copy of the sources, and the last line that tells why not."""
    path = {"PYTHONPATH": f"{copy}{os.pathsep}{copy / 'tests'}"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", *arguments],
        cwd=copy,
        env=os.environ | path | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        start_new_session=True,
    )
    try:
        lines = process.communicate(timeout=limit)[0].splitlines()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the programs that tests have started
        process.communicate()
        return False, f"no end in {limit:.0f} s"
    told = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
    return process.returncode == 0, told[0]


class Record:
    """Tests that execute each line of the package, and their times."""

    def __init__(self, copy, folder):
        sources = sorted([*copy.glob("cnet/**/*.py"), *copy.glob("tests/**/test_*.py")])
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
        folder = folder.resolve() / digest[:16]
        lines, times, settings = (folder / name for name in ("lines", "times.json", "coveragerc"))
        if not lines.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            settings.write_text(COVERAGE.format(lines))
            measured = ["coverage", "run", f"--rcfile={settings}", "-m", *PYTEST, "-p", "mutation"]
            names = {"COVERAGE_PROCESS_START": str(settings), "MUTATION_TIMES": str(times)}
            print("record of the tests:", run(copy, *measured, **names)[1], flush=True)
            run(copy, "coverage", "combine", f"--rcfile={settings}")
        self.times = json.loads(times.read_text())
        self.lines = coverage.CoverageData(str(lines))
        self.lines.read()
        measured = {name.removesuffix(" (call)") for name in self.lines.measured_contexts()}
        self.others = sorted(self.times.keys() - measured)
        """Tests that execute no line, such as those of signatures."""

    def executing(self, file, lines=None):
        """Tests that execute one of these lines of a file; any line by default."""
        contexts = self.lines.contexts_by_lineno(str(file))
        names = {name for line in lines or contexts for name in contexts.get(line, ())}
        return {name.removesuffix(" (call)") for name in names} & self.times.keys()

    def tests(self, file, source, line):
        """Tests for a place in a file: the quickest case of each test first."""
        found = (self.executing(file, lines) for lines in nearest(source, line) if lines)
        tests = next(filter(None, found), None)
        if tests is None:  # constants alone: the tests of the package
            files = [
                name for name in self.lines.measured_files() if Path(name).parent == file.parent
            ]
            tests = set().union(*map(self.executing, files))
        cases = collections.Counter()
        order = {}
        for test in sorted(tests, key=self.times.get):
            function = test.partition("[")[0]
            order[test] = cases[function], self.times[test]
            cases[function] += 1
        return sorted(tests, key=order.get)


def nearest(source, line):
    """Lines of the statement at a line; or, since a statement outside of functions runs once for
    all tests, those of the functions of the same class, and of the same file.
    """
    tree = ast.parse(source)
    around = [
        node
        for node in ast.walk(tree)  # outer nodes first
        if isinstance(node, ast.stmt | ast.excepthandler)
        and min(n.lineno for n in [node, *getattr(node, "decorator_list", ())]) <= line
        and line <= node.end_lineno
    ]
    if any(isinstance(n, ast.FunctionDef) and line >= n.body[0].lineno for n in around):
        inner = around[-1]
        body = getattr(inner, "body", None)
        return [range(inner.lineno, body[0].lineno if body else inner.end_lineno + 1)]
    return [
        [
            line
            for function in ast.walk(scope)
            if isinstance(function, ast.FunctionDef)
            for line in range(function.body[0].lineno, function.end_lineno + 1)
        ]
        for scope in [*reversed(around), tree]
    ]


def left_out(node):
    """Parts of a node that have no effect when the code runs."""
    if node.type in ("funcdef", "param") and node.annotation:
        return [node.annotation]
    if node.type == "annassign":
        return [node.children[1]]
    if node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING":
        return [node]
    if node.type == "decorated" and TYPING & {*node.children[0].get_code().strip("@\n ").split()}:
        return [node]
    return []


def mutants(source):
    """Mutants by place: for each, its operator and the number of the operator's occurrence."""
    nodes = list(ast_nodes(get_ast(source)))
    spans = [(part.start_pos, part.end_pos) for node in nodes for part in left_out(node)]
    marked = {n for n, line in enumerate(source.splitlines(), 1) if "pragma: no mutate" in line}
    places = collections.defaultdict(list)
    for operator in map(get_operator, operator_names()):
        if operator.arguments():
            continue
        positions = (place for node in nodes for place in operator().mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            if start[0] in marked or any(a <= start and end <= b for a, b in spans):
                continue
            places[start, end].append((operator, occurrence))
    return places


def mutate(source, choices):
    """The first of these mutants that is Python, and not the same program."""
    for operator, occurrence in choices:
        changed = mutate_code(source, operator(), occurrence)
        try:
            if ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)):
                compile(changed, "mutant", "exec")
                return changed
        except SyntaxError:
            pass
    return None


def sample(copy, number, seed):
    """Mutants drawn at random: file, line, source and mutated source."""
    rng = random.Random(seed)
    sources = {file: file.read_text("utf-8") for file in sorted(copy.glob("cnet/**/*.py"))}
    places = [
        (file, place[0][0], choices)
        for file, source in sources.items()
        for place, choices in sorted(mutants(source).items())
    ]
    rng.shuffle(places)
    drawn = []
    while len(drawn) < number:
        file, line, choices = places.pop()
        rng.shuffle(choices)
        if changed := mutate(sources[file], choices):
            drawn.append((file, line, sources[file], changed))
    return drawn


def write(file, source):
    """A source, and no compiled code of another with the same size and time."""
    file.write_text(source, "utf-8")
    Path(importlib.util.cache_from_source(file)).unlink(missing_ok=True)


def killed(copy, tests, record):
    """Whether one of these tests fails, and which."""
    listed = copy / "mutation.txt"
    for part in tests[:FIRST], tests[FIRST:MAX], record.others:
        if not part:
            continue
        listed.write_text("\n".join(sorted(part, key=lambda test: test.partition("::")[0])))
        limit = 60 + 5 * sum(record.times[test] for test in part)
        passes, told = run(copy, *PYTEST, "-x", "-o", "timeout=60", f"@{listed}", limit=limit)
        if not passes:
            return True, told
    return False, f"survives {len(tests)} tests"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--number", type=int, default=60, help="of mutants (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--record", type=Path, help="folder that keeps the tests of each line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "copy")
        ignored = shutil.ignore_patterns(".*_cache", ".git", ".hypothesis", "__pycache__", "build")
        shutil.copytree(ROOT, copy, ignore=ignored)
        record = Record(copy, options.record or Path(scratch, "record"))
        survivors = 0
        for index, drawn in enumerate(sample(copy, options.number, options.seed), 1):
            file, line, source, changed = drawn
            started = time.monotonic()
            name = file.relative_to(copy)
            write(file, changed)
            dead, told = killed(copy, record.tests(name, source, line), record)
            write(file, source)
            print(f"{index} {name}:{line} {time.monotonic() - started:.0f} s: {told}", flush=True)
            if not dead:
                survivors += 1
                pair = source.splitlines(), changed.splitlines()
                print(*difflib.unified_diff(*pair, str(name), str(name), lineterm=""), sep="\n")
    share = 1 - survivors / options.number
    print(f"{share:.0%} of {options.number} mutants are killed")
    return share < TARGET


if __name__ == "__main__":
    sys.exit(main())
