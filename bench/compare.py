"""Times training steps and predictions of cnet and of other libraries: ``python
bench/compare.py``.

README.md in this folder says what is measured and how to read it.
"""

import argparse
import importlib.util
import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cases import CASES, GRID, TABLES
from _harness import QUICK, Effort, PeerError, PeerProcess, measure, write_data
from _report import add_output_arguments, machine, publish, render
from peers import PEERS

GRID_PEERS = ["cnet", "NumPy", "PyTorch", "JAX"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Times training steps and predictions of cnet and of other libraries. Each "
        "library runs in a process of its own, in turns; libraries that are not installed are "
        "left out.",
        epilog=_rows(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--table",
        choices=list(TABLES),
        default="mnist",
        help="mnist: networks that classify images of digits (default); nets: networks and data "
        "of other kinds, such as tables, time series, and images in color; predict: predictions "
        "of one and of 10,000 samples; grid: one hidden layer, by batch size and width",
    )
    parser.add_argument(
        "--rows", nargs="+", choices=list(CASES), metavar="ROW", help="only these, listed below"
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=list(PEERS),
        metavar="PEER",
        help=f"only these libraries, of {', '.join(PEERS)}; the grid has {', '.join(GRID_PEERS)}",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of every library (default: 1)"
    )
    parser.add_argument(
        "--dense",
        action="store_true",
        help="images without a 0: what is black becomes the least 8-bit grayscale value",
    )
    parser.add_argument(
        "--rounds", type=int, default=Effort().rounds, help="rounds of timings (default: 7)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer images, and three short rounds: to try it out",
    )
    parser.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="report on what --json has written, instead of measuring",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the ratios, with Matplotlib, as PNG, SVG or PDF",
    )
    parser.add_argument("--dark", action="store_true", help="draw for a dark page")
    add_output_arguments(parser)
    options = parser.parse_args()
    options.rows = options.rows or list(TABLES[options.table])
    options.peers = options.peers or (GRID_PEERS if options.table == "grid" else list(PEERS))
    if len({row in GRID for row in options.rows}) > 1:
        parser.error("rows of the grid and of other tables do not go together")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs Matplotlib: pip install matplotlib")
    return options


def _rows() -> str:
    """The rows of each table, for the help."""
    lines = []
    for table, cases in TABLES.items():
        lines += [f"rows of {table}:"]
        if table == "grid":
            lines += ["  784-WIDTH-10@BATCH, such as 784-16-10@1", ""]
            continue
        lines += [*(f"  {name:26}{case.title}" for name, case in cases.items()), ""]
    return "\n".join(lines)


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    data = write_data(folder, effort.images, least=int(options.dense))
    results: dict[str, Any] = {
        "machine": machine(),
        "data": data,
        "threads": options.threads,
        "rounds": effort.rounds,
        "peers": {},
        "rows": {},
    }
    results["date"] = datetime.now(UTC).date().isoformat()
    with ExitStack() as stack:
        peers = []
        for name in options.peers:
            peer = stack.enter_context(PeerProcess(name, options.threads, folder))
            try:
                results["peers"][name] = peer.call("describe")
                peers.append(peer)
            except PeerError as error:
                results["peers"][name] = {"error": str(error)}
        for row in options.rows:
            results["rows"][row] = measure(CASES[row], peers, effort)
    return results


def main() -> None:
    """Measure and print."""
    options = arguments()
    if options.load:
        results = json.loads(options.load.read_text())
    else:
        with TemporaryDirectory() as folder:
            results = run(options, Path(folder))
    publish(results, render(results, options.markdown), options)
    if options.plot:
        import _plot

        _plot.save(results, options.plot, options.dark)


if __name__ == "__main__":
    main()
