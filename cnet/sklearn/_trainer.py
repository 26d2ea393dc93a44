"""Trainer of an estimator, with the order of samples and the loss of scikit-learn."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce
from itertools import repeat
from typing import Any

import numpy as np

from cnet import nn
from cnet._training.array_data import ArrayData, Run
from cnet._training.inputs import Samples
from cnet._training.mean import Mean
from cnet._training.steps import StepResults
from cnet._training.trainer import Trainer
from cnet._utils.arrays import Array
from cnet.sklearn._optimizers import EstimatorOptimizer, change_settings, make_optimizer, set_rate


class EstimatorTrainer(Trainer):
    """Trains the network of an estimator.

    Parameters
    ----------
    model : nn.Sequential
        Network of the estimator.
    loss : nn.Loss
        Loss, without the penalty.
    optimizer : EstimatorOptimizer
        Optimizer, which adds the penalty.

    Attributes
    ----------
    objective : float
        Loss of the last epoch, with the penalty: the mean over the samples of the loss of their
        mini-batch before its step.
    """

    optimizer: EstimatorOptimizer

    def __init__(self, model: nn.Sequential, loss: nn.Loss, optimizer: EstimatorOptimizer) -> None:
        super().__init__(model, loss, optimizer)
        self.objective = np.nan
        self.learning_rate = 0.0
        self._parameters: tuple[Any, ...] = ()
        self._report, self._alpha, self._scale = 1.0, 0.0, 1.0
        self._random_state: np.random.RandomState | None = None
        self._joins = self._weighted = False

    @classmethod
    def of(cls, estimator: Any, scale: float, incremental: bool) -> EstimatorTrainer:
        """Return the trainer for the next fit: the existing one if there is one, or a new one.

        Only `partial_fit` also continues with the optimizer, as long as the solver is the same.
        """
        trainer: EstimatorTrainer | None = estimator._trainer
        kind = estimator.solver, scale
        if trainer is None or not incremental or trainer._parameters[:2] != kind:
            optimizer = make_optimizer(estimator, estimator.model_, scale)
            if trainer is None:
                trainer = cls(estimator.model_, estimator._loss()[0], optimizer)
            trainer.optimizer, trainer.learning_rate = (
                optimizer,
                float(estimator.learning_rate_init),
            )
        else:
            change_settings(trainer.optimizer, estimator, scale)
            if trainer._parameters[2] != estimator.learning_rate_init:
                trainer.set_rate(estimator.learning_rate_init)
        trainer._scale, trainer._parameters = scale, (*kind, estimator.learning_rate_init)
        return trainer

    def set_rate(self, learning_rate: float) -> None:
        """Set the learning rate, without rescaling earlier steps."""
        self.learning_rate = float(learning_rate)
        set_rate(self.optimizer, learning_rate, self._scale)

    def train(
        self,
        estimator: Any,
        samples: Any,
        random_state: np.random.RandomState,
        batch_size: int,
        **arguments: Any,
    ) -> None:
        """Call `Trainer.fit` with the settings of an estimator."""
        self.model = estimator.model_
        self.loss, _, self._report = estimator._loss()
        self._alpha = estimator.alpha
        self._random_state = random_state if estimator.shuffle else None
        self._joins = any(isinstance(layer, nn.BatchNorm1d) for layer in estimator.model_)
        self._weighted = samples.weights is not None
        try:
            self.fit(
                samples.x,
                samples.encoded,
                sample_weight=samples.weights,
                batch_size=batch_size,
                seed=0,
                verbose=False,
                **arguments,
            )
        finally:
            self._random_state = None

    def _arrays(self, samples: Samples, batch_size: int, shuffle: bool, seed: Any) -> ArrayData:
        return _OrderedData(samples, batch_size, self._random_state, self._joins)

    def _mean(self) -> Mean:
        return _Objective(self, self._report, self._alpha, self._weighted)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles have the state from which `partial_fit` continues."""
        kept = ("epoch", "global_step", "learning_rate", "_parameters", "_scale")
        return (
            type(self),
            (self.model, self.loss, self.optimizer),
            {name: getattr(self, name) for name in kept},
        )


class _OrderedData(ArrayData):
    """Samples in the order of scikit-learn, which shuffles that of the previous epoch again.

    Parameters
    ----------
    samples : Samples
        Training data.
    batch_size : int
        Number of samples of a mini-batch.
    random_state : RandomState or None
        Source of the order. None does not shuffle.
    joins : bool
        Whether a single sample at the end joins the mini-batch before: batch normalization needs
        two.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int,
        random_state: np.random.RandomState | None,
        joins: bool,
    ) -> None:
        super().__init__(samples, batch_size)
        n = len(samples.rows)
        self._random_state, self._sequence = random_state, np.arange(n)
        self._joined = batch_size + 1 if joins and n % batch_size == 1 and n > batch_size else 0
        """Size of the last mini-batch, if a sample has joined it; otherwise 0."""
        if self._joined:
            self.steps = n // batch_size

    def _order(self, epoch: int) -> Array:
        if self._random_state is not None:
            places = np.arange(len(self._sequence))
            self._random_state.shuffle(places)
            self._sequence = self._sequence[places]
        return self._sequence

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """Yield the runs of an epoch: one, or two if the last mini-batch is larger."""
        order = self._order(epoch)
        n = len(order) - self._joined
        for indices, size in (order[:n], self._batch_size), (order[n:], self._joined):
            if len(indices):
                yield Run(self._samples, indices, size)


class _Objective(Mean):
    """Computes the loss of an epoch as scikit-learn does, besides the other metrics.

    It is the mean over the samples of the loss of their mini-batch. The loss of a mini-batch is the
    weighted mean of its samples, plus the penalty divided by the sum of their weights.
    """

    def __init__(
        self, trainer: EstimatorTrainer, report: float, alpha: float, weighted: bool
    ) -> None:
        super().__init__()
        self._trainer, self._report, self._half, self._weighted = (
            trainer,
            report,
            alpha / 2,
            weighted,
        )
        self._losses = self._penalties = 0.0

    def add(self, part: StepResults) -> None:
        super().add(part)
        if not self._weighted:  # sizes and weights are the same
            self._penalties = reduce(operator.add, part.squares or (), self._penalties)
            return
        for size, loss, weight, square in zip(
            part.sizes, part.losses, part.weights, part.squares or repeat(0.0), strict=False
        ):
            self._losses += size * loss
            self._penalties += size * square / weight if weight > 0 else 0.0

    def logs(self, prefix: str = "") -> dict[str, float]:
        losses = self._losses if self._weighted else self.total
        self._trainer.objective = (self._report * losses + self._half * self._penalties) / self.rows
        return super().logs(prefix)
