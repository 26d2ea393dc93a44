"""The figures that an estimator keeps of its training: when they begin, and how they are
pickled.
"""

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
    """Forget what earlier fits left where training begins again, and have what the next one needs.

    As in scikit-learn, "lbfgs" has no figures of epochs.
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
    """Take over the history of a training."""
    for name, values in history.items():
        estimator.history_.setdefault(name, []).extend(values)


def packed(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an estimator as they are pickled: 8 bytes for each number of a list."""
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
    """The way back from `packed`."""
    state = dict(state)
    for name in ("loss_curve_", "validation_scores_"):
        if isinstance(state.get(name), np.ndarray):
            state[name] = list(state[name]) if name == "loss_curve_" else state[name].tolist()
    if "history_" in state:
        state["history_"] = {
            name: np.asarray(values).tolist() for name, values in state["history_"].items()
        }
    return state
