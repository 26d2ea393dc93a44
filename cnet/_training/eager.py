"""The eager engine: runs training steps layer by layer, from Python.

It supports any model, loss and optimizer. Results are bitwise identical to the compiled engine's.
"""

from collections.abc import Iterator

import numpy as np

from cnet._core import loops
from cnet._data.samples import Rows
from cnet._training.steps import StepResults, batch_weights, named_counts
from cnet._utils.arrays import Array, as_real
from cnet.nn import BatchNorm1d, Loss, Module
from cnet.optim import LBFGS, Optimizer
from cnet.optim._rule import RuleOptimizer, square_sum


class EagerEngine:
    """Runs a model layer by layer. Without an optimizer, it evaluates."""

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer | None) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        kind = type(loss)
        self._knows_gradient = (
            kind.forward_backward is Loss.forward_backward and kind.backward is not Loss.backward
        )

    def bind(self, rows: Rows, targets: Array, weights: Array | None = None) -> None:
        """Read this data set from now on."""
        self.rows, self.targets, self.weights = rows, targets, weights

    def run(self, order: Array, batch: int, yield_each_step: bool) -> Iterator[StepResults]:
        """Take a step for each batch of `order`, indices of samples; yields after each step."""
        if self.optimizer is not None:
            for layer in self.model.modules():
                if isinstance(layer, BatchNorm1d):
                    layer.check_batch(len(order) % batch or batch)
        rules = self.optimizer if isinstance(self.optimizer, RuleOptimizer) else None
        _penalized = rules._penalized() if rules else []
        for start in range(0, len(order), batch):
            indices = order[start : start + batch]
            x, target = self.rows.take(indices), self.targets[indices]
            weights = None if self.weights is None else self.weights[indices]
            squares = [square_sum(_penalized)] if _penalized else None
            if rules:
                rules._batch_weight = (
                    len(indices) if weights is None else loops(weights.dtype).weight_sum(weights)
                )
            loss, output = (
                self._evaluate(x, target, weights)
                if self.optimizer is None
                else self._step(self.optimizer, x, target, weights)
            )
            sizes = [len(indices)]
            yield StepResults(
                [loss],
                batch_weights(weights, sizes, batch),
                sizes,
                named_counts(self.loss.count_correct(output, target)),
                squares,
            )

    def _evaluate(self, x: Array, target: Array, weights: Array | None) -> tuple[float, Array]:
        output = as_real(self.model.forward(x), self.rows.dtype, "output")
        if weights is not None:
            return self.loss.weighted(output, target, weights)[0], output
        # The shape of a gradient reveals a loss that broadcasts targets (n,) to outputs (n, 1). One
        # check is enough.
        if self._knows_gradient:
            self._knows_gradient = False
            return self.loss.forward_backward(output, target)[0], output
        return self.loss.forward(output, target), output

    def _step(
        self, optimizer: Optimizer, x: Array, target: Array, weights: Array | None
    ) -> tuple[float, Array]:
        output = x

        def closure() -> float:
            nonlocal output
            output = as_real(self.model.forward(x, training=True), self.rows.dtype, "output")
            loss, grad = (
                self.loss.forward_backward(output, target)
                if weights is None
                else self.loss.weighted(output, target, weights)
            )
            if np.isfinite(loss):
                self.model.backward_params(grad)
            return loss

        if isinstance(optimizer, LBFGS):
            optimizer.step(closure)
            return closure(), output
        if np.isfinite(loss := closure()):
            optimizer.step()
        return loss, output
