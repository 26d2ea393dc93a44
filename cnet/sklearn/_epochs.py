"""Steps after each epoch, as in scikit-learn: records, learning rate, and stopping criterion."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._utils.validation import real
from cnet.callbacks import Callback, Logs

if TYPE_CHECKING:
    from cnet.sklearn._trainer import EstimatorTrainer


class Epochs(Callback):
    """Records the losses of an estimator, adapts its learning rate, and stops its training.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    samples : int
        Number of samples of an epoch.
    score : callable or None
        Function that computes the validation score. With None, the training loss decides when to
        stop.

    Attributes
    ----------
    best_weights : dict or None
        State of the network with the best score, at first the initial one. None without `score`.
    stepped : bool
        Whether there has been an optimizer step.
    converged : bool
        Whether the loss or the score stalled, which ended training.
    """

    every_batch = False

    def __init__(self, estimator: Any, samples: int, score: Callable[[], float] | None) -> None:
        self.estimator, self.samples, self.score = estimator, samples, score
        self.best_weights: dict[str, Any] | None = estimator.model_.state_dict() if score else None
        self.stepped = self.converged = False

    def on_train_begin(self, trainer: EstimatorTrainer, epochs: int, steps: int | None) -> None:
        self._follow_schedule(trainer)

    def on_batch_end(self, trainer: Any, step: int, loss: float) -> None:
        self.stepped = True

    def on_epoch_end(self, trainer: EstimatorTrainer, logs: Logs) -> None:
        self.record(trainer, trainer.objective)

    def record(self, trainer: EstimatorTrainer, loss: float) -> None:
        """Update the estimator after an epoch with this loss, as scikit-learn does."""
        e = self.estimator
        e.n_iter_ += 1
        e.t_ += self.samples
        e.loss_ = np.float64(loss)
        e.loss_curve_.append(e.loss_)
        if e.verbose:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        stalls = self._loss_stalls() if self.score is None else self._score_stalls(self.score())
        e._no_improvement_count = e._no_improvement_count + 1 if stalls else 0
        if e.solver == "sgd" and e.learning_rate == "invscaling":
            trainer.set_rate(e.learning_rate_init / (e.t_ + 1) ** e.power_t)
        self._follow_schedule(trainer)
        if e._no_improvement_count > e.n_iter_no_change:
            self._stalled(trainer)

    def diverged(self, trainer: EstimatorTrainer, epochs: int) -> None:
        """Record the remaining epochs after training diverged.

        scikit-learn continues with a network whose parameters are NaN, and records its losses and
        scores. Such a network is never the best one.
        """
        assert self.score is not None
        best, self.best_weights = self.best_weights, None
        best_score = self.estimator.best_validation_score_
        for parameter in self.estimator.model_.parameters():
            parameter.data = np.full(parameter.shape, np.nan)
        score = self.score()
        self.score = lambda: score
        while self.estimator.n_iter_ < epochs and not self.converged:
            self.record(trainer, np.nan)
        self.best_weights, self.estimator.best_validation_score_ = best, best_score

    def _follow_schedule(self, trainer: EstimatorTrainer) -> None:
        """If `learning_rate` is a function, set the rate of the next epoch by it."""
        schedule, epoch = self.estimator.learning_rate, len(self.estimator.loss_curve_)
        if callable(schedule):
            trainer.set_rate(real(f"learning_rate({epoch})", float(schedule(epoch)), above=0))

    # These are the comparisons of scikit-learn: with NaN they are False, so it does not count as
    # stalling

    def _loss_stalls(self) -> bool:
        e = self.estimator
        stalls = bool(e.loss_ > e.best_loss_ - e.tol)
        if e.loss_ < e.best_loss_:
            e.best_loss_ = e.loss_
        return stalls

    def _score_stalls(self, score: float) -> bool:
        e = self.estimator
        e.validation_scores_.append(score)
        if e.verbose:
            print(f"Validation score: {score:.6f}")
        stalls = bool(score < e.best_validation_score_ + e.tol)
        if score > e.best_validation_score_:
            e.best_validation_score_ = score
            self.best_weights = e.model_.state_dict()
        return stalls

    def _stalled(self, trainer: EstimatorTrainer) -> None:
        e = self.estimator
        adapts = e.solver == "sgd" and e.learning_rate == "adaptive"
        if adapts and trainer.learning_rate > 1e-6:
            trainer.set_rate(trainer.learning_rate / 5)
            e._no_improvement_count = 0
            then = f"Setting learning rate to {trainer.learning_rate:f}"
        else:
            self.converged = trainer.stop = True
            then = "Learning rate too small. Stopping." if adapts else "Stopping."
        if e.verbose:
            monitored = "Training loss" if self.score is None else "Validation score"
            print(
                f"{monitored} did not improve more than tol={e.tol:f} for {e.n_iter_no_change} "
                f"consecutive epochs. {then}"
            )
