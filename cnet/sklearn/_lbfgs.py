"""Training with L-BFGS: the loss and gradients of all samples, with scikit-learn's penalty."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from cnet import nn, optim
from cnet._training.trainer import Trainer
from cnet._utils.warnings import warn
from cnet.optim._rule import square_sum
from cnet.sklearn._callbacks import listeners_of, tasks
from cnet.sklearn._network import dense
from cnet.sklearn._record import add_history
from cnet.sklearn._samples import Samples


class _Listening(optim.LBFGS):
    """L-BFGS that calls `listener` after each iteration, and ends if it returns True."""

    listener: Callable[[int], bool]
    stopped = False

    def _reached(self, loss: float) -> None:
        super()._reached(loss)
        if self.listener(len(self.losses) - 1):
            self.stopped = True
            raise StopIteration


def fit_lbfgs(estimator: Any, samples: Samples, validation: Samples | None) -> None:
    """Train the network of an estimator with L-BFGS.

    Raises
    ------
    ValueError
        If a parameter requires another solver.
    """
    e = estimator
    _check(e, validation)
    model: nn.Sequential = e.model_
    loss, scale, report = e._loss()
    decay = e.alpha / (len(samples.x) if samples.weights is None else samples.weights.sum())
    targets = loss.prepare_target(samples.encoded, (e.n_outputs_,), samples.x.dtype)
    layers = dense(model)
    _penalized = [layer.weight for layer in layers]
    parameters = [*_penalized, *(layer.bias for layer in layers if layer.bias)]
    evaluating = Trainer(model, loss, optim.SGD(parameters))
    told = tasks(e, "lbfgs-iter", e.max_iter + 1, samples)
    plain = 0.0  # loss without the penalty, where it was last computed

    def listen(iteration: int) -> bool:
        metrics = {"loss": plain}
        if validation is not None:
            metrics |= {
                f"val_{name}": value
                for name, value in evaluating.evaluate(
                    validation.x, validation.encoded, sample_weight=validation.weights
                ).items()
            }
        add_history(e, {name: [value] for name, value in metrics.items()})
        if e.verbose:
            print(
                f"Iteration {iteration}, loss = "
                f"{report * plain + 0.5 * decay * square_sum(_penalized):.8f}"
            )
        return told is not None and told.next()

    def closure() -> float:
        nonlocal plain
        output = model.forward(samples.x, training=True)
        plain, grad = (
            loss.forward_backward(output, targets)
            if samples.weights is None
            else loss.weighted(output, targets, samples.weights)
        )
        model.backward_params(grad)
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad = np.multiply(scale, parameter.grad, dtype=np.float64)
            if parameter in _penalized:
                parameter.grad += decay * parameter.data
        return float(scale * plain + 0.5 * decay * square_sum(_penalized))

    optimizer = _Listening(parameters, max_eval=e.max_fun, max_iter=e.max_iter, tol=e.tol)
    optimizer.listener = listen
    with told or nullcontext():
        optimizer.step(closure)
    e.n_iter_ = len(optimizer.losses) - 1
    penalty = 0.5 * decay * square_sum(_penalized)
    e.loss_ = np.float64(report * (optimizer.losses[-1] - penalty) / scale + penalty)
    if not optimizer.converged and not optimizer.stopped:
        warn(
            f"lbfgs stopped after {e.n_iter_} iterations: {optimizer.message}. Raise max_iter, or "
            "scale the data.",
            ConvergenceWarning,
        )


def _check(estimator: Any, validation: Samples | None) -> None:
    if estimator.dropout or estimator.batch_norm:
        raise ValueError(
            "solver='lbfgs' needs a network that gives the same result each time: use dropout=0 "
            "and batch_norm=False, or another solver"
        )
    if listeners_of(estimator):
        raise ValueError(
            "callbacks are called after epochs, which solver='lbfgs' does not have: use "
            "solver='sgd' or 'adam', or scikit-learn's callbacks by set_callbacks"
        )
    if estimator.early_stopping and validation is not None:
        raise ValueError(
            "X_val and y_val cannot stop solver='lbfgs' early: use early_stopping=False, which "
            "records their metrics, or solver='sgd' or 'adam'"
        )
