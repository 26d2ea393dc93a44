"""How much faster cnet's steps of training are on more threads: ``python bench/threads.py``.

The nets of the table, measured as `compare.py` does it, with a process for each number of threads.
"""

import argparse
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cases import CASES, TABLE
from _harness import IMAGES, QUICK, SECONDS, PeerProcess, measure, write_data
from _report import about, add_output_arguments, layout, machine, publish, ratios, row_times, spread

TRAINED = [name for name, case in TABLE.items() if case.training]


def numbers_of_threads() -> list[int]:
    """All up to 8, then powers of two, and as many as there are cores."""
    cores = int(machine()["cores"])
    return sorted({*range(1, min(cores, 8) + 1), *(1 << i for i in range(4, cores.bit_length())), cores})


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured: a peer of `_harness.measure` for each number of threads."""
    images, rounds, seconds = QUICK if options.quick else (IMAGES, options.rounds, SECONDS)
    results: dict[str, Any] = {"machine": machine(), "data": write_data(folder, images), "rounds": rounds, "rows": {}}
    results["date"] = datetime.now(UTC).date().isoformat()
    with ExitStack() as stack:
        peers = [stack.enter_context(PeerProcess("cnet", threads, folder, str(threads))) for threads in options.threads]
        results["cnet"] = peers[0].call("describe")["version"]
        for row in options.rows:
            results["rows"][row] = measure(CASES[row], peers, rounds, seconds)
    return results


def render(results: dict[str, Any], markdown: bool) -> str:
    """A line for each net; for each number of threads a column of times, and one of speed-ups."""
    first, *others = next(iter(results["rows"].values()))
    lines = [["threads", first, *(head for name in others for head in (name, "speed-up"))]]
    for row_name, row in results["rows"].items():
        times = row_times(row)
        cells = [spread(times.get(first, []), markdown)]
        for name in others:
            cells += [spread(times.get(name, []), markdown), spread(ratios(times, first, name), markdown)]
        lines.append([CASES[row_name].title, *cells])
    notes = [
        f"Microseconds a step, and the speed-up over {first}: medians of {results['rounds']} interleaved rounds{'' if markdown else ' (least-greatest)'}",
        f"{about(results['machine'])}; cnet {results['cnet']}",
        f"{results['data']}; {results['date']}",
    ]
    return "\n".join([layout(lines, markdown), "", *(f"- {note}" for note in notes)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=numbers_of_threads(), help="numbers of threads; the first is what others are compared with")
    parser.add_argument("--rows", nargs="+", choices=TRAINED, default=TRAINED, metavar="ROW", help=f"nets, of {', '.join(TRAINED)}")
    parser.add_argument("--rounds", type=int, default=7, help="how many times each number of threads is timed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images and three short rounds: to try it out")
    add_output_arguments(parser)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    publish(results, render(results, options.markdown), options)


if __name__ == "__main__":
    main()
