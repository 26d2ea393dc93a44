"""What scikit-learn does after each epoch: learning rates, and the decision to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet.callbacks import Callback, Logs
from cnet.sklearn._network import square_sum

if TYPE_CHECKING:
    from cnet._trainer import Trainer


class Epochs(Callback):
    """Keeps an estimator's record, changes its learning rate, and stops its training.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    report : float
        What the trainer's loss is multiplied by.
    rate : float
        What scikit-learn's learning rate is multiplied by.
    decay : float
        Factor of half the sum of the squared weights, in the loss that is reported.
    rows : int
        Rows in an epoch.
    score : callable or None
        The score of validation data, where it decides.
    """

    def __init__(self, estimator: Any, report: float, rate: float, decay: float, rows: int, score: Callable[[], float] | None) -> None:
        self.estimator, self.report, self.rate, self.decay, self.rows, self.score = estimator, report, rate, decay, rows, score
        self.learning_rate = 0.0
        self.best_weights: dict[str, Any] | None = None
        self.converged = False

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self.learning_rate = trainer.optimizer.param_groups[0]["lr"] / self.rate
        self._follow_schedule(trainer)

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.rows
        e.loss_ = self.report * logs["loss"] + 0.5 * self.decay * square_sum(e.model_)
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        improved = self._loss_improved() if self.score is None else self._score_improved(self.score())
        e._no_improvement_count = 0 if improved else e._no_improvement_count + 1
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            self._set_rate(trainer, e.learning_rate_init / (e.t_ + 1) ** e.power_t)
        self._follow_schedule(trainer)
        if e._no_improvement_count > e.n_iter_no_change:
            self._stalled(trainer)

    def _follow_schedule(self, trainer: Trainer) -> None:
        """Where `learning_rate` is a function, ask it for the rate of the next epoch."""
        schedule, epoch = self.estimator.learning_rate, len(self.estimator.loss_curve_)
        if callable(schedule):
            rate = float(schedule(epoch))
            if not 0 < rate < np.inf:
                raise ValueError(f"learning_rate({epoch}) returned {rate}, expected a number above 0")
            self._set_rate(trainer, rate)

    def _loss_improved(self) -> bool:
        e = self.estimator
        improved = bool(e.loss_ <= e.best_loss_ - e.tol)
        e.best_loss_ = min(e.best_loss_, e.loss_)
        return improved

    def _score_improved(self, score: float) -> bool:
        e = self.estimator
        e.validation_scores_.append(score)
        if e.verbose:
            print(f"Validation score: {score:.6f}")
        improved = bool(score >= e.best_validation_score_ + e.tol)
        if score > e.best_validation_score_:
            e.best_validation_score_ = score
            self.best_weights = e.model_.state_dict()
        return improved

    def _stalled(self, trainer: Trainer) -> None:
        e = self.estimator
        what = f"{'Training loss' if self.score is None else 'Validation score'} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} epochs."
        if e.solver == "sgd" and e.learning_rate == "adaptive" and self.learning_rate > 1e-6:
            self._set_rate(trainer, self.learning_rate / 5)
            e._no_improvement_count = 0
            then = f"Setting learning rate to {self.learning_rate:f}"
        else:
            self.converged = trainer.stop = True
            then = "Stopping."
        if e.verbose:
            print(f"{what} {then}")

    def _set_rate(self, trainer: Trainer, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        for group in trainer.optimizer.param_groups:
            group["lr"] = self.rate * learning_rate


def start_record(estimator: Any) -> None:
    """Forget what earlier fits left."""
    estimator.n_iter_ = estimator.t_ = estimator._no_improvement_count = 0
    estimator.history_, estimator.loss_curve_ = {}, []
    stopping = estimator.early_stopping
    estimator.best_loss_ = None if stopping else np.inf
    estimator.validation_scores_, estimator.best_validation_score_ = ([], -np.inf) if stopping else (None, None)
