"""Training by L-BFGS: on the loss and the gradients of the whole data set, layer by layer, with scikit-learn's penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnet import nn, optim
from cnet._arrays import Array
from cnet.sklearn._network import dense, square_sum


class _Listening(optim.LBFGS):
    """Tells what each iteration reached to one who may end it."""

    listener: Callable[[int, float], bool]
    stopped = False

    def _reached(self, loss: float) -> None:
        super()._reached(loss)
        if self.listener(len(self.losses) - 1, loss):
            self.stopped = True
            raise StopIteration


def train(
    model: nn.Sequential,
    loss: nn.Loss,
    data: tuple[Array, Array, Array | None],
    decay: float,
    scale: float,
    settings: dict[str, Any],
    listener: Callable[[int, float], bool],
) -> tuple[float, list[float], str | None]:
    """Minimise ``scale * loss + decay / 2 * (sum of squared weights)``.

    Parameters
    ----------
    model : nn.Sequential
    loss : nn.Loss
    data : tuple
        Rows, what the loss made of their targets, and their weights.
    decay, scale : float
    settings : dict
        Of `optim.LBFGS`.
    listener : callable
        Is told the number of each iteration, from 1, and what it reached; True ends training.

    Returns
    -------
    float
        What was reached.
    list of float
        What was reached after each iteration.
    str or None
        Why it ended early; None if it converged, or was told to end.
    """
    x, targets, weights = data
    layers = dense(model)
    penalised = [layer.weight for layer in layers]
    parameters = [*penalised, *(layer.bias for layer in layers if layer.bias)]
    optimizer = _Listening(parameters, **settings)
    optimizer.listener = listener

    def closure() -> float:
        output = model.forward(x, training=True)
        value, grad = loss.forward_backward(output, targets) if weights is None else loss.weighted(output, targets, weights)
        model.backward_params(grad)
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.grad = np.multiply(scale, parameter.grad, dtype=np.float64)
            if parameter in penalised:
                parameter.grad += decay * parameter.data
        return scale * value + 0.5 * decay * square_sum(model)

    optimizer.step(closure)
    return optimizer.losses[-1], optimizer.losses[1:], None if optimizer.converged or optimizer.stopped else optimizer.message
