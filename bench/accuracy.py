"""How long cnet and PyTorch train until they read MNIST well: ``python bench/accuracy.py``.

First the time to each of three accuracies, then that of ten epochs of a usual network, and the
memory that cnet takes for it. Both libraries train from the same weights, with the same settings,
turn by turn; the seeds differ in weights and in the order of the rows. README.md in this folder
says how to read it.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

from _cases import ACCURATE, USUAL, Recipe
from _harness import HERE, PAUSE, QUICK, PeerProcess, environment, write_data
from _report import about, add_output_arguments, digits, layout, machine, publish, ratios, spread

PEERS = ("cnet", "PyTorch")
TARGETS = (0.97, 0.98, 0.985)
IMAGES = 60_000
MAX_EPOCHS = 16
EPOCHS = 10
MEMORY_LIMIT = 80e6
"""Bytes above the data that the project allows itself."""

Runs = dict[str, list[list[dict[str, float]]]]
"""For each library and seed, what `Worker.learn` answered, call after call."""


def train(
    recipe: Recipe, peers: list[PeerProcess], seeds: int, calls: int, epochs: int, target: float
) -> Runs:
    """Train with each seed, up to so many calls of so many epochs, or to a target. Libraries take
    turns, and turns in going first.
    """
    runs: Runs = {peer.name: [] for peer in peers}
    for seed in range(seeds):
        for peer in peers[seed % 2 :] + peers[: seed % 2]:
            sleep(PAUSE)
            peer.call("start", recipe.case.name, seed)
            runs[peer.name].append([])
            for i in range(calls):
                rate = recipe.case.optimizer.learning_rate * recipe.decay**i
                runs[peer.name][-1].append(peer.call("learn", epochs, rate))
                accuracy = runs[peer.name][-1][-1]["accuracy"]
                print(
                    f"{recipe.case.name}, seed {seed}: {peer.name}, epoch {(i + 1) * epochs}: "
                    f"{accuracy:.2%}",
                    file=sys.stderr,
                    flush=True,
                )
                if accuracy >= target:
                    break
    return runs


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that is measured."""
    images, most_epochs, epochs = (
        (QUICK.images, 2, 1) if options.quick else (IMAGES, MAX_EPOCHS, EPOCHS)
    )
    results: dict[str, Any] = {
        "machine": machine(),
        "data": write_data(folder, images),
        "threads": options.threads,
        "seeds": options.seeds,
        "epochs": epochs,
    }
    results["date"] = datetime.now(UTC).date().isoformat()
    command = [sys.executable, str(HERE / "_memory.py"), str(folder), str(epochs)]
    results["memory"] = json.loads(
        subprocess.run(
            command, check=True, stdout=subprocess.PIPE, env=environment(options.threads)
        ).stdout
    )
    with (
        PeerProcess(PEERS[0], options.threads, folder) as first,
        PeerProcess(PEERS[1], options.threads, folder) as second,
    ):
        peers = [first, second]
        results["versions"] = {peer.name: peer.call("describe")["version"] for peer in peers}
        results["accurate"] = train(ACCURATE, peers, options.seeds, most_epochs, 1, TARGETS[-1])
        results["usual"] = train(USUAL, peers, options.seeds, 1, epochs, math.inf)
    return results


def epochs_to(target: float, run: Sequence[dict[str, float]]) -> float:
    """How many epochs it took until test accuracy was first so high; infinite where it never
    was.
    """
    return next((i for i, call in enumerate(run, 1) if call["accuracy"] >= target), math.inf)


def seconds_to(target: float, run: Sequence[dict[str, float]]) -> float:
    """The time of training in these epochs."""
    epochs = epochs_to(target, run)
    return sum(call["seconds"] for call in run[: int(epochs)]) if epochs < math.inf else math.inf


def time_to_accuracy(runs: Runs, markdown: bool) -> str:
    """A line for each library, a column for each target."""
    lines = [[ACCURATE.case.title, *(f"s to {target:.1%}" for target in TARGETS), "s an epoch"]]
    epochs = {
        name: [call["seconds"] for run in seeds for call in run] for name, seeds in runs.items()
    }
    for name, seeds in runs.items():
        lines.append(
            [
                name,
                *(_to_target(target, seeds, markdown) for target in TARGETS),
                spread(epochs[name], markdown),
            ]
        )
    cells = []
    for target in TARGETS:
        seconds = [[seconds_to(target, run) for run in runs[name]] for name in PEERS]
        cells.append(
            spread(
                [
                    theirs / ours
                    for ours, theirs in zip(*seconds, strict=True)
                    if max(ours, theirs) < math.inf
                ],
                markdown,
            )
        )
    ours, theirs = (statistics.median(epochs[name]) for name in PEERS)
    return layout([*lines, ["PyTorch / cnet", *cells, digits(theirs / ours)]], markdown)


def _to_target(target: float, seeds: Sequence[Sequence[dict[str, float]]], markdown: bool) -> str:
    """Times, the median of the epochs, and how many seeds get there unless all do."""
    epochs = [epochs_to(target, run) for run in seeds]
    reached = sum(epoch < math.inf for epoch in epochs)
    if not reached:
        return "never"
    text = (
        f"{spread([seconds_to(target, run) for run in seeds], markdown)}, epoch "
        f"{statistics.median(epochs):g}"
    ).replace("inf", "never")
    return text if reached == len(seeds) else f"{text}; {reached} of {len(seeds)} seeds"


def usual_run(runs: Runs, epochs: int, markdown: bool) -> str:
    """A line for each library: time and accuracy after so many epochs."""
    times = {name: [run[0]["seconds"] for run in seeds] for name, seeds in runs.items()}
    lines = [[f"{USUAL.case.title}, epochs: {epochs}", "s", "PyTorch / cnet", "test accuracy, %"]]
    for name, seeds in runs.items():
        ratio = "" if name == PEERS[0] else spread(ratios(times, name), markdown)
        accuracies = [100 * run[0]["accuracy"] for run in seeds]
        accuracy = (
            f"{statistics.median(accuracies):.2f} ({min(accuracies):.2f}-{max(accuracies):.2f})"
        )
        lines.append([name, spread(times[name], markdown), ratio, accuracy])
    return layout(lines, markdown)


def render(results: dict[str, Any], markdown: bool) -> str:
    """Both tables, and what is needed to judge them."""
    memory = results["memory"]
    above = memory["peak"] - memory["data"]
    verdict = "within" if above <= MEMORY_LIMIT else "**above**"
    notes = [
        f"Medians of {results['seeds']} seeds{'' if markdown else ' (least-greatest)'}; times are "
        "those of training, without evaluation",
        f"{ACCURATE.case.title}: {ACCURATE.case.optimizer}, the learning rate times "
        f"{ACCURATE.decay} after each epoch. {USUAL.case.title}: {USUAL.case.optimizer}",
        "Memory of cnet's run with the images as uint8, in its own process: at most "
        f"{memory['peak'] / 1e6:.0f} MB, {above / 1e6:.0f} MB more than the "
        f"{memory['data'] / 1e6:.0f} MB of the images; {verdict} the limit of "
        f"{MEMORY_LIMIT / 1e6:.0f} MB",
        f"{about(results['machine'])}; threads of each library: {results['threads']}",
        f"{'; '.join(f'{name} {version}' for name, version in results['versions'].items())}",
        f"{results['data']}; {results['date']}",
    ]
    tables = [
        time_to_accuracy(results["accurate"], markdown),
        "",
        usual_run(results["usual"], results["epochs"], markdown),
        "",
    ]
    return "\n".join([*tables, *(f"- {note}" for note in notes)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many times everything is trained")
    parser.add_argument("--threads", type=int, default=1, help="threads of both libraries")
    parser.add_argument(
        "--quick", action="store_true", help="fewer images and epochs: to try it out"
    )
    add_output_arguments(parser)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    publish(results, render(results, options.markdown), options)


if __name__ == "__main__":
    main()
