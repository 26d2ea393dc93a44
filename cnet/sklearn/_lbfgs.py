"""Training by L-BFGS: SciPy's minimiser on the loss and the gradients of the whole data set, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize

from cnet import nn
from cnet._arrays import Array
from cnet.sklearn._network import dense, pack, square_sum


def train(
    model: nn.Sequential, loss: nn.Loss, x: Array, targets: Array, decay: float, scale: float, options: dict[str, Any], verbose: bool
) -> tuple[float, list[float], str | None]:
    """Minimise ``scale * loss + decay / 2 * (sum of squared weights)``.

    Returns
    -------
    float
        What was reached.
    list of float
        What was reached after each iteration.
    str or None
        Why it ended early; None if it converged.
    """
    layers = dense(model)
    parameters = [layer.weight for layer in layers] + [layer.bias for layer in layers if layer.bias]
    ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
    curve: list[float] = []

    def set_parameters(packed: Array) -> None:
        for parameter, values in zip(parameters, np.split(packed, ends), strict=True):
            parameter.data = values.reshape(parameter.shape)

    def objective(packed: Array) -> tuple[float, Array]:
        set_parameters(packed)
        value, grad = loss.forward_backward(model.forward(x, training=True), targets)
        model.backward_params(grad)
        slope = scale * pack([parameter.grad for parameter in parameters if parameter.grad is not None])
        weights = ends[len(layers) - 1]
        slope[:weights] += decay * pack([parameter.data for parameter in parameters])[:weights]
        return scale * value + 0.5 * decay * square_sum(model), slope

    def callback(intermediate_result: Any) -> None:
        curve.append(float(intermediate_result.fun))
        if verbose:
            print(f"Iteration {len(curve)}, loss = {curve[-1]:.8f}")

    start = pack([parameter.data for parameter in parameters])
    result = minimize(objective, start, method="L-BFGS-B", jac=True, options=options, callback=callback)
    set_parameters(result.x)
    return float(result.fun), curve, None if result.success else str(result.message)
