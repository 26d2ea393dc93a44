"""The trainer of an estimator: it visits samples in scikit-learn's order, and computes the loss as
scikit-learn does.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce
from itertools import repeat
from typing import Any

import numpy as np

from cnet import nn
from cnet._training.inputs import ArrayData, Run, Samples
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
    loss : nn.Loss
    optimizer : EstimatorOptimizer

    Attributes
    ----------
    objective : float
        Loss of the last epoch, with the penalty: mean over the samples of the loss that their
        mini-batch had before its step.
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
        """The trainer for the next fit: a new one, or the one there is where training continues.

        Only `partial_fit` continues with the optimizer, too, as long as it is of the same kind.
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
        """Continue with another learning rate."""
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
        """`Trainer.fit`, for an estimator."""
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
        """Copies and pickles have what `partial_fit` continues from."""
        kept = ("epoch", "step", "learning_rate", "_parameters", "_scale")
        return (
            type(self),
            (self.model, self.loss, self.optimizer),
            {name: getattr(self, name) for name in kept},
        )


class _OrderedData(ArrayData):
    """Samples in scikit-learn's order, which is that of the epoch before, shuffled again.

    Parameters
    ----------
    samples : Samples
    batch_size : int
    random_state : RandomState or None
        None leaves the order as it is.
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
        """Samples of the last mini-batch, if it is such a one."""
        if self._joined:
            self.steps = n // batch_size

    def _order(self, epoch: int) -> Array:
        if self._random_state is not None:
            places = np.arange(len(self._sequence))
            self._random_state.shuffle(places)
            self._sequence = self._sequence[places]
        return self._sequence

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """The runs of an epoch: one, or two if the last mini-batch is larger."""
        order = self._order(epoch)
        n = len(order) - self._joined
        for indices, size in (order[:n], self._batch_size), (order[n:], self._joined):
            if len(indices):
                yield Run(self._samples, indices, size)


class _Objective(Mean):
    """Computes the loss of an epoch as scikit-learn does, beside the other figures.

    That is the mean over the samples of the loss that their mini-batch had, which is a mean by
    weights, and has the penalty divided by the sum of the weights.
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
