"""Draws the documentation's pictures from the newest file in ``results/``, and prints the tables in
Markdown: ``python bench/publish.py``.
"""

import json

import _plot
from _harness import HERE
from _report import Results, render


def newest() -> dict[str, Results]:
    """The runs of the newest release, by table."""
    files = (HERE / "results").glob("*.json")
    file = max(files, key=lambda path: tuple(map(int, path.stem.split("."))))
    return json.loads(file.read_text())["runs"]


def main() -> None:
    """Print each table, and draw that of the images."""
    runs = newest()
    for table, results in runs.items():
        print(f"{table}\n\n{render(results, markdown=True)}\n")
    images = HERE.parent / "docs" / "images"
    for theme in ("light", "dark"):
        _plot.save(runs["mnist"], images / f"speed-{theme}.svg", dark=theme == "dark")


if __name__ == "__main__":
    main()
