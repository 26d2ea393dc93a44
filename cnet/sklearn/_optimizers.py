"""Optimizers with the arithmetic of scikit-learn.

It differs from PyTorch's, and so from `cnet.optim`, in three points. The L2 penalty is added to the
sum of the losses of a mini-batch, not to their mean. Adam adds epsilon before the bias correction.
The momentum buffer of SGD accumulates steps, not gradients, so a new learning rate does not rescale
earlier steps.
"""

from __future__ import annotations

from typing import Any

from cnet import nn, optim
from cnet.optim._rule import Rule
from cnet.sklearn._network import dense


class EstimatorSGD(optim.SGD):
    """SGD with the penalty of scikit-learn."""

    _compiled = True

    def _rule(self, settings: dict[str, Any]) -> Rule:
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0)


class EstimatorAdam(optim.Adam):
    """Adam with the penalty and the epsilon of scikit-learn."""

    _compiled = True

    def _rule(self, settings: dict[str, Any]) -> Rule:
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0, inner=True)


EstimatorOptimizer = EstimatorSGD | EstimatorAdam


def make_optimizer(estimator: Any, model: nn.Sequential, scale: float) -> EstimatorOptimizer:
    """Return the optimizer of an estimator.

    `scale` is the factor from the gradient of the loss to scikit-learn's.
    """
    weights = [layer.weight for layer in dense(model)]
    groups = [
        {"params": weights},
        {"params": [parameter for parameter in model.parameters() if parameter not in weights]},
    ]
    optimizer = (EstimatorSGD if estimator.solver == "sgd" else EstimatorAdam)(groups)
    change_settings(optimizer, estimator, scale)
    set_rate(optimizer, estimator.learning_rate_init, scale)
    return optimizer


def change_settings(optimizer: EstimatorOptimizer, estimator: Any, scale: float) -> None:
    """Set the parameters of the estimator, except for the learning rate."""
    if isinstance(optimizer, EstimatorSGD):
        momentum = float(estimator.momentum)
        settings: dict[str, Any] = {
            "momentum": momentum,
            "nesterov": bool(estimator.nesterovs_momentum and momentum),
        }
    else:
        settings = {
            "betas": (float(estimator.beta_1), float(estimator.beta_2)),
            "eps": estimator.epsilon / scale,
        }
    for group in optimizer.param_groups:
        group.update(settings)
    optimizer.param_groups[0]["weight_decay"] = estimator.alpha / scale


def set_rate(optimizer: EstimatorOptimizer, learning_rate: float, scale: float) -> None:
    """Set the learning rate, in scikit-learn's units, without rescaling earlier steps."""
    rate = float(learning_rate) * (scale if isinstance(optimizer, EstimatorSGD) else 1.0)
    ratio = optimizer.param_groups[0]["lr"] / rate
    for group in optimizer.param_groups:
        group["lr"] = rate
    if isinstance(optimizer, EstimatorSGD) and ratio != 1:
        for state in (
            optimizer._state.values()
        ):  # buffers hold gradients: lr * buffer, the last step, must not change
            if not state.arrays.flags.writeable:
                state.arrays = state.arrays.copy()
            state.arrays *= ratio
