"""Times training steps of cnet beside those of NumPy, PyTorch, JAX and scikit-learn: ``python bench/compare.py``.

README.md in this folder says what is measured and how to read it.
"""

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cases import CASES
from _harness import HERE, PeerError, PeerProcess, environment, measure
from _report import machine, render
from peers import PEERS

IMAGES = 59_000


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(CASES), default=list(CASES), metavar="ROW", help=f"rows of the table, of {', '.join(CASES)}")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), metavar="PEER", help=f"libraries, of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument("--rounds", type=int, default=7, help="how many times each library is timed")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images and three short rounds: to try it out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every timing there")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    return parser.parse_args()


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    images, rounds, seconds = (IMAGES // 10, 3, 0.1) if options.quick else (IMAGES, options.rounds, 0.5)
    data = subprocess.run([sys.executable, HERE / "_data.py", folder, str(images)], env=environment(options.threads), stdout=subprocess.PIPE, text=True)
    if data.returncode:
        sys.exit("The data could not be loaded, see above. (This needs cnet installed, or built in place and on PYTHONPATH.)")
    results: dict[str, Any] = {"machine": machine(), "data": data.stdout.strip(), "threads": options.threads, "rounds": rounds, "peers": {}, "rows": {}}
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
    with TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(render(results, options.markdown))


if __name__ == "__main__":
    main()
