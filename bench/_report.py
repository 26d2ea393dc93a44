"""The results as tables, for a terminal or for Markdown, and below them what is needed to judge
them.
"""

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _cases import CASES, GRID, GRID_BATCHES, GRID_WIDTHS, grid_case
from peers import CNET, CNET_COLUMNS, PEERS

Results = dict[str, Any]
"""``machine``, ``data``, ``threads``, ``rounds``, ``date``; ``peers``: version or error; ``rows``:
see `_harness.measure`.
"""

Times = dict[str, list[float]]


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What `publish` looks at."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--markdown", action="store_true", help="print tables in Markdown")


def publish(results: dict[str, Any], report: str, options: argparse.Namespace) -> None:
    """Keep the results where --json says, and print the report."""
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(report)


def machine() -> dict[str, str]:
    """The processor, how many cores of it, and the system."""
    cpu = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        cpu = next(
            (
                line.split(":", 1)[1].strip()
                for line in cpuinfo.read_text().splitlines()
                if line.startswith("model name")
            ),
            cpu,
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu,
        "cores": str(cores),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def about(where: dict[str, str]) -> str:
    """The machine in a line."""
    return f"{where['cpu']}, {where['system']}, Python {where['python']}, {where['cores']} cores"


def render(results: Results, markdown: bool) -> str:
    """The whole report."""
    notes = [
        f"Microseconds a step or prediction: medians of {results['rounds']} interleaved "
        f"rounds{'' if markdown else ' (least-greatest)'}. A ratio is the median of the rounds' "
        "ratios (least-greatest): above 1, cnet is faster.",
        f"{about(results['machine'])}; every library may use {results['threads']}",
        f"{results['data']}; {results['date']}",
        *(f"{name}: {_version(peer)}" for name, peer in results["peers"].items()),
        *_bfloat16(results["rows"]),
        *_checks(results["rows"], results["threads"]),
    ]
    tables = [grid(results, markdown), ""] if GRID.keys() & results["rows"] else []
    return "\n".join([*tables, table(results, markdown), "", *(f"- {note}" for note in notes)])


def grid(results: Results, markdown: bool) -> str:
    """One line a batch size, one column a width of the hidden layer: the ratio to the fastest other
    library.
    """
    lines = [["fastest other / cnet", *(f"width {width}" for width in GRID_WIDTHS)]]
    for batch in GRID_BATCHES:
        times = [
            row_times(results["rows"].get(grid_case(batch, width).name, {}))
            for width in GRID_WIDTHS
        ]
        lines.append(
            [f"batch {batch}", *(f"{_ratio(t, fastest(t))} {fastest(t)}".strip() for t in times)]
        )
    return layout(lines, markdown)


def table(results: Results, markdown: bool) -> str:
    """One line a case, one column a library that was timed."""
    timed = {name for row in results["rows"].values() for name in row_times(row)}
    names = [name for name in results["peers"] if name in timed]
    lines = [["", *names, "fastest other / cnet", "PyTorch / cnet"]]
    for case_name, row in results["rows"].items():
        times = row_times(row)
        cells = [spread(times.get(name, []), markdown) for name in names]
        lines.append(
            [
                CASES[case_name].title,
                *cells,
                f"{_ratio(times, fastest(times))} {fastest(times)}".strip(),
                _ratio(times, "PyTorch"),
            ]
        )
    return layout(lines, markdown)


def row_times(row: dict[str, Any]) -> Times:
    """Microseconds a step, round by round, of the libraries that were timed."""
    return {name: result["us"] for name, result in row.items() if result.get("us")}


def fastest(times: Times) -> str:
    """Name of the fastest library other than cnet that computes in float32; "" for none."""
    return min(
        (name for name in times if name not in CNET_COLUMNS and not PEERS[name].bfloat16),
        key=lambda name: statistics.median(times[name]),
        default="",
    )


def ratios(times: Times, name: str, base: str = CNET) -> list[float]:
    """How many times as long as another a peer took, round by round: a slow minute of the machine
    slows both.
    """
    if name not in times or base not in times:
        return []
    return [theirs / ours for theirs, ours in zip(times[name], times[base], strict=True)]


def spread(values: Sequence[float], brief: bool) -> str:
    """The median, and unless brief the least and the greatest; a dash for nothing."""
    if not values:
        return "-"
    middle = digits(statistics.median(values))
    return middle if brief else f"{middle} ({digits(min(values))}-{digits(max(values))})"


def digits(value: float) -> str:
    """Three of them, or all of an integer's."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(times: Times, name: str) -> str:
    values = ratios(times, name)
    if not values:
        return "-"
    middle = statistics.median(values)
    text = f"{middle:.2f} ({min(values):.2f}-{max(values):.2f})"
    return text if round(middle, 2) >= 1 else f"**slower** {text}"


def _version(peer: dict[str, Any]) -> str:
    if "error" in peer:
        return f"left out: {peer['error']}"
    pools = "; ".join(peer["thread pools"])
    return f"{peer['version']}{f' ({pools})' if pools else ''}"


def _bfloat16(rows: dict[str, Any]) -> list[str]:
    """Ratios to libraries whose arithmetic is less exact, which no other ratio counts."""
    return [
        f"{case_name}: {name}, whose products are in bfloat16, not float32: "
        f"{_ratio(row_times(row), name)} times cnet's"
        for case_name, row in rows.items()
        for name in row_times(row)
        if name in PEERS and PEERS[name].bfloat16
    ]


def _checks(rows: dict[str, Any], threads: int) -> list[str]:
    """What was left out, what was not timed, and whether losses and threads were as they
    should be.
    """
    cells = [
        (case_name, name, result) for case_name, row in rows.items() for name, result in row.items()
    ]
    timed = [(case_name, name, result) for case_name, name, result in cells if "us" in result]
    notes = [
        f"{case_name}: {name} left out: {result['error']}"
        for case_name, name, result in cells
        if "error" in result
    ]
    notes += [
        f"{case_name}: {name} ran {result['remark']}"
        for case_name, name, result in timed
        if result["remark"]
    ]
    if differences := [
        difference for row in rows.values() if (difference := _difference(row)) is not None
    ]:
        notes.append(
            "Losses of the libraries in float32, after equal steps from equal weights and without "
            f"dropout, differ by at most {max(differences):.1e} (relative)."
        )
    compiling: dict[str, list[float]] = {}
    for _, name, result in timed:
        if result["compile_s"] > 0.01:
            compiling.setdefault(name, []).append(result["compile_s"])
    notes += [
        (
            f"{name} compiled for {min(seconds):.1f} to {max(seconds):.1f} s a network, which is "
            "not in its times"
        )
        for name, seconds in compiling.items()
    ]
    for case_name, name, result in timed:
        if max(result["cores"]) > 1.1 * threads:
            notes.append(
                f"{case_name}: {name} kept {max(result['cores']):.1f} cores busy, more than it "
                "was to"
            )
        if max(result["idle_cores"]) > 0.05:
            notes.append(
                f"{case_name}: {name} kept {max(result['idle_cores']):.2f} cores busy while "
                "others ran"
            )
    return notes


def _difference(row: dict[str, Any]) -> float | None:
    losses = [
        result["loss"]
        for name, result in row.items()
        if result.get("loss") is not None
        and "us" in result
        and not (name in PEERS and PEERS[name].bfloat16)
    ]
    return (max(losses) - min(losses)) / min(losses) if losses else None


def layout(lines: list[list[str]], markdown: bool) -> str:
    """A table whose first line is its head."""
    if markdown:
        rule = ["---", *["---:"] * (len(lines[0]) - 1)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in [lines[0], rule, *lines[1:]])
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [
                cells[0].ljust(first),
                *(cell.rjust(width) for cell, width in zip(cells[1:], others, strict=True)),
            ]
        )
        for cells in lines
    )
