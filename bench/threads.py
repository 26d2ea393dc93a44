"""How much faster cnet's steps of training are on more threads, and whether its choice is right:
``python bench/threads.py``.

The networks of the table, measured as `compare.py` does it, with a process for each number of
threads. Then searches that train many small networks, on an idle machine and on one whose cores are
all kept busy by other processes: with the number of threads that cnet chooses by itself, and with
one. ``--busy`` measures these alone.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cases import CASES, TABLE
from _harness import HERE, QUICK, Effort, PeerProcess, measure, write_data
from _report import about, add_output_arguments, layout, machine, publish, ratios, row_times, spread

TRAINED = [name for name, case in TABLE.items() if not case.predict]
SEARCHES = {"one after another": 1, "by two threads of Python": 2}
"""How networks are trained, and by how many threads of Python."""
CHOSEN, ONE = "cnet's choice", "one thread"


def numbers_of_threads() -> list[int]:
    """All up to 8, then powers of two, and as many as there are cores."""
    cores = int(machine()["cores"])
    return sorted(
        {*range(1, min(cores, 8) + 1), *(1 << i for i in range(4, cores.bit_length())), cores}
    )


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured: a peer of `_harness.measure` for each number of threads."""
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    results: dict[str, Any] = {
        "machine": machine(),
        "data": write_data(folder, effort.images),
        "rounds": effort.rounds,
        "rows": {},
    }
    results["date"] = datetime.now(UTC).date().isoformat()
    with ExitStack() as stack:
        peers = [
            stack.enter_context(PeerProcess("cnet", threads, folder, str(threads)))
            for threads in options.threads
        ]
        results["cnet"] = peers[0].call("describe")["version"]
        for row in options.rows:
            results["rows"][row] = measure(CASES[row], peers, effort)
    return results


class Search:
    """A process of `_search.py`."""

    def __init__(self, workers: int, threads: int | None) -> None:
        env = {
            name: value
            for name, value in os.environ.items()
            if name not in ("CNET_NUM_THREADS", "OMP_NUM_THREADS")
        }
        if threads is not None:
            env["CNET_NUM_THREADS"] = str(threads)
        command = [sys.executable, HERE / "_search.py", str(workers)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def __enter__(self) -> "Search":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def seconds(self) -> float:
        """How long a search takes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


@contextmanager
def kept_busy(cores: int) -> Iterator[None]:
    """Other processes keep so many cores busy."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def search(rounds: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each round, which takes turns, by what is searched where and by the number of
    threads.
    """
    results: dict[str, dict[str, list[float]]] = {}
    cores = int(machine()["cores"])
    for where, others in (("idle machine", 0), (f"{cores} other processes", cores)):
        for how, workers in SEARCHES.items():
            row = results[f"{how}, {where}"] = {CHOSEN: [], ONE: []}
            with kept_busy(others), Search(workers, None) as chosen, Search(workers, 1) as one:
                for i in range(rounds):
                    print(f"{how}, {where}: round {i + 1} of {rounds}", file=sys.stderr, flush=True)
                    for name, process in (
                        ((CHOSEN, chosen), (ONE, one)) if i % 2 else ((ONE, one), (CHOSEN, chosen))
                    ):
                        row[name].append(process.seconds() * 1e3)
    return results


def render_search(results: dict[str, Any], markdown: bool) -> str:
    """A line for each search."""
    lines = [["search", CHOSEN, ONE, "speed-up"]]
    for name, row in results["search"].items():
        lines.append(
            [
                name,
                spread(row[CHOSEN], markdown),
                spread(row[ONE], markdown),
                spread(ratios(row, ONE, CHOSEN), markdown),
            ]
        )
    notes = [
        "Milliseconds in which eight networks 64-64-10 are trained by Adam for 20 epochs of 1,347 "
        f"rows in batches of 32, evaluated and used, and the speed-up of {CHOSEN} over {ONE}: "
        f"medians of {results['search rounds']} interleaved "
        f"rounds{'' if markdown else ' (least-greatest)'}, from the first on",
        about(results["machine"]),
    ]
    return "\n".join([layout(lines, markdown), "", *(f"- {note}" for note in notes)])


def render(results: dict[str, Any], markdown: bool) -> str:
    """A line for each network; for each number of threads a column of times, and one of
    speed-ups.
    """
    first, *others = next(iter(results["rows"].values()))
    lines = [["threads", first, *(head for name in others for head in (name, "speed-up"))]]
    for row_name, row in results["rows"].items():
        times = row_times(row)
        cells = [spread(times.get(first, []), markdown)]
        for name in others:
            cells += [
                spread(times.get(name, []), markdown),
                spread(ratios(times, first, name), markdown),
            ]
        lines.append([CASES[row_name].title, *cells])
    notes = [
        f"Microseconds a step, and the speed-up over {first}: medians of {results['rounds']} "
        f"interleaved rounds{'' if markdown else ' (least-greatest)'}",
        f"{about(results['machine'])}; cnet {results['cnet']}",
        f"{results['data']}; {results['date']}",
    ]
    return "\n".join([layout(lines, markdown), "", *(f"- {note}" for note in notes)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=numbers_of_threads(),
        help="numbers of threads; the first is what others are compared with",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=TRAINED,
        default=TRAINED,
        metavar="ROW",
        help=f"networks, of {', '.join(TRAINED)}",
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="how many times each number of threads is timed"
    )
    parser.add_argument(
        "--busy",
        action="store_true",
        help="measure searches alone, on an idle machine and on a busy one",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer images, and three short rounds: to try it out",
    )
    add_output_arguments(parser)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": machine()}
    reports = []
    if not options.busy:
        with TemporaryDirectory() as folder:
            results = run(options, Path(folder))
        reports.append(render(results, options.markdown))
    results["search rounds"] = 3 if options.quick else options.rounds
    results["search"] = search(results["search rounds"])
    reports.append(render_search(results, options.markdown))
    publish(results, "\n\n".join(reports), options)


if __name__ == "__main__":
    main()
