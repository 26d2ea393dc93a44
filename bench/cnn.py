"""Times training steps of a convolutional network in cnet, PyTorch and JAX: ``python
bench/cnn.py``.

Convolution 3 x 3 to 32 channels, pool, convolution 3 x 3 to 64, pool, 1600-128, dropout 0.5,
128-10; SGD with Nesterov's momentum. Each library starts from its own weights; measured as
`compare.py` does it.
"""

import argparse
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _cases import CNN
from _harness import SECONDS, PeerError, PeerProcess, measure, write_data
from _report import add_output_arguments, machine, publish, render
from peers import CNN_PEERS

IMAGES = 6400
"""Of which a timing takes at least one epoch: 200 steps."""


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    data = write_data(folder, IMAGES)
    results: dict[str, Any] = {
        "machine": machine(),
        "data": data,
        "threads": options.threads,
        "rounds": options.rounds,
        "peers": {},
    }
    results["date"] = datetime.now(UTC).date().isoformat()
    with ExitStack() as stack:
        peers = []
        for name in CNN_PEERS:
            peer = stack.enter_context(PeerProcess(f"cnn: {name}", options.threads, folder, name))
            try:
                results["peers"][name] = peer.call("describe")
                peers.append(peer)
            except PeerError as error:
                results["peers"][name] = {"error": str(error)}
        results["rows"] = {CNN.name: measure(CNN, peers, options.rounds, SECONDS)}
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument(
        "--rounds", type=int, default=7, help="how many times each library is timed"
    )
    add_output_arguments(parser)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    publish(results, render(results, options.markdown), options)


if __name__ == "__main__":
    main()
