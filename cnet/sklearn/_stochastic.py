"""Training with "sgd" and "adam": epochs of mini-batches."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from cnet import nn
from cnet._utils.warnings import warn
from cnet.sklearn._callbacks import listeners_of, tasks
from cnet.sklearn._epochs import Epochs
from cnet.sklearn._record import add_history
from cnet.sklearn._samples import Samples
from cnet.sklearn._trainer import EstimatorTrainer

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed"
)


def fit_epochs(
    estimator: Any,
    samples: Samples,
    held_out: Samples | None,
    random_state: np.random.RandomState,
    fresh: bool,
    incremental: bool,
) -> None:
    """Train the network of an estimator, for one epoch if `incremental`.

    With early stopping, the network has the weights of the best score, even if training diverges.

    Raises
    ------
    ValueError
        If training diverges without early stopping, or there are too few samples.
    """
    e = estimator
    own = held_out is not None
    if e.early_stopping and held_out is None:
        train, test = e._split(samples.encoded, random_state)
        samples, held_out = samples.take(train), samples.take(test)
    batch_size = _batch_size(e, len(samples.x), incremental)
    callbacks = listeners_of(e)
    e._trainer = trainer = EstimatorTrainer.of(e, e._loss()[1], incremental)
    epochs = Epochs(
        e, len(samples.x), (lambda: e._validation_score(held_out)) if e.early_stopping else None
    )
    if epochs.score is not None and not fresh and (own or e.best_validation_score_ == -np.inf):
        e.best_validation_score_ = float(
            np.nan_to_num(epochs.score(), nan=-np.inf)
        )  # score of the initial weights, which others must exceed
    count = 1 if incremental else e.max_iter
    told = tasks(e, "epoch", count, samples)
    e.n_iter_ = 0
    diverged = ""
    try:
        with told or nullcontext():
            trainer.train(
                e,
                samples,
                random_state,
                batch_size,
                epochs=count,
                validation_data=None
                if held_out is None
                else (held_out.x, held_out.encoded, held_out.weights),
                callbacks=[epochs, *callbacks, *([] if told is None else [told])],
            )
    except FloatingPointError as error:
        diverged = (
            f"{str(error).partition('. ')[0]}; a learning rate below {trainer.learning_rate:g} "
            "may help"
        )
        if epochs.score is None:
            raise ValueError(f"{NON_FINITE}: {diverged}") from error
    except KeyboardInterrupt:
        if not epochs.stepped:
            raise
        warn("Training interrupted by user.")
    add_history(e, trainer.history)
    if diverged:
        done = e.n_iter_
        epochs.diverged(trainer, count)
        add_history(e, {name: [np.nan] * (e.n_iter_ - done) for name in trainer.metric_modes})
    if epochs.best_weights is not None:
        e.model_.load_state_dict(epochs.best_weights)
    if diverged:
        warn(
            f"{diverged}. Early stopping keeps the weights of the best validation score: "
            f"{e.best_validation_score_:g}",
            ConvergenceWarning,
        )
    elif e.n_iter_ == e.max_iter and not epochs.converged and not incremental:
        warn(
            f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) reached and the "
            "optimization hasn't converged yet.",
            ConvergenceWarning,
        )


def _batch_size(estimator: Any, samples: int, incremental: bool) -> int:
    wanted = 200 if estimator.batch_size == "auto" else int(estimator.batch_size)
    if any(isinstance(layer, nn.BatchNorm1d) for layer in estimator.model_):
        if samples == 1:
            more = "pass more samples at a time" if incremental else "pass more samples"
            raise ValueError(
                "batch_norm=True needs at least 2 samples, as it computes their variance, and "
                f"got 1 sample: {more}, or use batch_norm=False"
            )
        if wanted == 1:
            raise ValueError(
                "batch_norm=True needs at least 2 samples in a mini-batch, and batch_size is 1: "
                "raise it, or use batch_norm=False"
            )
    if estimator.batch_size != "auto" and wanted > samples:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return min(wanted, samples)
