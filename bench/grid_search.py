"""A grid search with cross-validation over cnet's estimators and over scikit-learn's: ``python
bench/grid_search.py``.

The same pipeline, grid, folds and processes for both, on data sets that scikit-learn has; a script
that moves from one to the other changes one import. Libraries take turns in going first.
"""

import argparse
import os
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cnet
import cnet.sklearn
from _report import about, add_output_arguments, layout, machine, publish, ratios, spread

DATA = {"digits": load_digits, "breast cancer": load_breast_cancer, "diabetes": load_diabetes}
ESTIMATORS = {
    "cnet": {True: cnet.sklearn.MLPClassifier, False: cnet.sklearn.MLPRegressor},
    "scikit-learn": {True: MLPClassifier, False: MLPRegressor},
}
SOLVERS = {"sgd": {"learning_rate_init": 0.02}, "adam": {}, "lbfgs": {}}
GRID = {"hidden_layer_sizes": [(32,), (100,), (50, 50)], "alpha": [1e-4, 1e-2]}


def search(name: str, data: str, solver: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a search, and the best score of its cross-validation."""
    x, y = DATA[data](return_X_y=True)
    x = x.astype(options.dtype)
    classifies = data != "diabetes"
    estimator = ESTIMATORS[name][classifies](
        solver=solver,
        **SOLVERS[solver],
        max_iter=options.epochs,
        tol=0.0,
        n_iter_no_change=options.epochs,
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(), estimator)
    grid = {f"{type(estimator).__name__.lower()}__{key}": values for key, values in GRID.items()}
    began = time.perf_counter()
    fitted = GridSearchCV(pipeline, grid, n_jobs=options.jobs, cv=3, refit=False).fit(
        x, y if classifies else y / 100
    )
    return {"seconds": time.perf_counter() - began, "score": fitted.best_score_}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is measured."""
    results: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "rows": {},
    }
    for name in ESTIMATORS:
        search(name, "diabetes", "sgd", options)  # starts the processes, and imports what they need
    for solver in options.solvers:
        for data in DATA:
            row: dict[str, Any] = {name: {"seconds": [], "score": None} for name in ESTIMATORS}
            for i in range(options.rounds):
                for name in list(ESTIMATORS)[:: -1 if i % 2 else 1]:
                    time.sleep(0.1)  # threads of the one before may still spin
                    found = search(name, data, solver, options)
                    row[name]["seconds"].append(found["seconds"])
                    row[name]["score"] = found["score"]
            results["rows"][f"{data}, {solver}"] = row
    return results


def render(results: dict[str, Any], options: argparse.Namespace) -> str:
    """A line for each data set and solver."""
    lines = [
        [
            "seconds for a search",
            *ESTIMATORS,
            "scikit-learn / cnet",
            *(f"score of {name}" for name in ESTIMATORS),
        ]
    ]
    for title, row in results["rows"].items():
        seconds = {name: row[name]["seconds"] for name in ESTIMATORS}
        cells = [spread(values, options.markdown) for values in seconds.values()]
        lines.append(
            [
                title,
                *cells,
                spread(ratios(seconds, "scikit-learn"), False),
                *(f"{row[name]['score']:.3f}" for name in ESTIMATORS),
            ]
        )
    fits = 3 * int(np.prod([len(values) for values in GRID.values()]))
    notes = [
        f"{fits} fits of {options.epochs} epochs (lbfgs: iterations) with {options.jobs} "
        f"processes, {options.dtype}; medians of {options.rounds} rounds",
        "score: the best of the grid, mean over three folds: accuracy, and R2 for diabetes",
        f"{about(results['machine'])}; cnet {cnet.__version__}, scikit-learn "
        f"{sklearn.__version__}, NumPy {np.__version__}; {results['date']}",
    ]
    return "\n".join([layout(lines, options.markdown), "", *(f"- {note}" for note in notes)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--solvers",
        nargs="+",
        choices=SOLVERS,
        default=list(SOLVERS),
        metavar="SOLVER",
        help=f"of {', '.join(SOLVERS)}",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--epochs", type=int, default=60, help="epochs of a fit")
    parser.add_argument("--rounds", type=int, default=5, help="how many times each search is timed")
    parser.add_argument(
        "--dtype",
        choices=["float32", "float64"],
        default="float64",
        help="of the data, and so of the arithmetic",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few epochs and three rounds: to try it out"
    )
    add_output_arguments(parser)
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.rounds = 10, 3
    os.environ["PYTHONWARNINGS"] = (
        "ignore"  # in the processes to come: not all fits converge, nor need they
    )
    results = run(options)
    publish(results, render(results, options), options)


if __name__ == "__main__":
    main()
