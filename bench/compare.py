"""Times training steps of cnet beside those of NumPy, PyTorch, JAX and scikit-learn: ``python
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

from _cases import CASES, GRID, TABLE
from _harness import IMAGES, QUICK, SECONDS, PeerError, PeerProcess, measure, write_data
from _report import add_output_arguments, machine, publish, render
from peers import PEERS

GRID_PEERS = ["cnet", "NumPy", "PyTorch", "JAX"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--grid",
        action="store_true",
        help="a network with one hidden layer, by batch size and width, instead of the networks "
        "of the table",
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        choices=[*TABLE, *GRID],
        metavar="ROW",
        help=f"only these, of {', '.join(TABLE)}; of the grid, 784-16-10@1 and so on",
    )
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=list(PEERS),
        metavar="PEER",
        help=f"libraries, of {', '.join(PEERS)}; not all of them for the grid",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument(
        "--dense",
        action="store_true",
        help="images without a 0: what is black becomes the least 8-bit grayscale value",
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="how many times each library is timed"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the images and three short rounds: to try it out",
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
    options.rows = options.rows or list(GRID if options.grid else TABLE)
    options.peers = options.peers or (GRID_PEERS if options.grid else list(PEERS))
    if len({row in GRID for row in options.rows}) > 1:
        parser.error("rows of the grid and of the table do not go together")
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        parser.error("--plot needs Matplotlib: pip install matplotlib")
    return options


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    images, rounds, seconds = QUICK if options.quick else (IMAGES, options.rounds, SECONDS)
    data = write_data(folder, images, least=int(options.dense))
    results: dict[str, Any] = {
        "machine": machine(),
        "data": data,
        "threads": options.threads,
        "rounds": rounds,
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
            results["rows"][row] = measure(CASES[row], peers, rounds, seconds)
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
