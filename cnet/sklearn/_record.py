"""Metrics of training in the attributes of an estimator: initial values and pickling."""

from __future__ import annotations

from typing import Any

import numpy as np

_OF_EPOCHS = (
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
)


def begin(estimator: Any, fresh: bool) -> None:
    """Create the attributes that a fit updates. If `fresh`, delete those of earlier fits.

    As in scikit-learn, "lbfgs" has no attributes of epochs.
    """
    if fresh:
        estimator.n_iter_ = estimator.t_ = 0
        estimator.history_ = {}
        for name in ("loss_", *_OF_EPOCHS):
            vars(estimator).pop(name, None)
    if estimator.solver == "lbfgs":
        return
    if not hasattr(estimator, "loss_curve_"):
        estimator.loss_curve_, estimator._no_improvement_count = [], 0
    if not estimator.early_stopping:
        if getattr(estimator, "best_loss_", None) is None:
            estimator.best_loss_ = np.inf
        estimator.validation_scores_ = estimator.best_validation_score_ = None
        return
    estimator.best_loss_ = None
    if getattr(estimator, "validation_scores_", None) is None:
        estimator.validation_scores_, estimator.best_validation_score_ = [], -np.inf


def add_history(estimator: Any, history: dict[str, list[float]]) -> None:
    """Append the metrics of a fit to `history_`."""
    for name, values in history.items():
        estimator.history_.setdefault(name, []).extend(values)


def packed(state: dict[str, Any]) -> dict[str, Any]:
    """Return attributes in the form for pickling: arrays of float64 in place of lists."""
    state = dict(state)
    for name in ("loss_curve_", "validation_scores_"):
        if isinstance(state.get(name), list):
            state[name] = np.array(state[name], np.float64)
    if "history_" in state:
        state["history_"] = {
            name: np.array(values, np.float64) for name, values in state["history_"].items()
        }
    return state


def unpacked(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes from the result of `packed`."""
    state = dict(state)
    for name in ("loss_curve_", "validation_scores_"):
        if isinstance(state.get(name), np.ndarray):
            state[name] = list(state[name]) if name == "loss_curve_" else state[name].tolist()
    if "history_" in state:
        state["history_"] = {
            name: np.asarray(values).tolist() for name, values in state["history_"].items()
        }
    return state
