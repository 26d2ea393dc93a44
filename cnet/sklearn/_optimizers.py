"""Optimizers with scikit-learn's arithmetic, which differs from PyTorch's, and so from
`cnet.optim`'s, in three points.

The penalty `alpha` belongs to the sum of the losses of a mini-batch; Adam adds epsilon before the
bias correction; and momentum remembers steps, not gradients, so that a new learning rate does not
change what is remembered.
"""

from __future__ import annotations

from typing import Any

from cnet import nn, optim
from cnet.optim._rule import Rule
from cnet.sklearn._network import dense


class EstimatorSGD(optim.SGD):
    """SGD as scikit-learn has it."""

    _compiled = True

    def _rule(self, settings: dict[str, Any]) -> Rule:
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0)


class EstimatorAdam(optim.Adam):
    """Adam as scikit-learn has it."""

    _compiled = True

    def _rule(self, settings: dict[str, Any]) -> Rule:
        return super()._rule(settings)._replace(summed=settings["weight_decay"] > 0, inner=True)


EstimatorOptimizer = EstimatorSGD | EstimatorAdam


def make_optimizer(estimator: Any, model: nn.Sequential, scale: float) -> EstimatorOptimizer:
    """The optimizer of an estimator, for a loss whose gradient is `scale` times smaller than
    scikit-learn's.
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
    """Take over the estimator's parameters, without the learning rate."""
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
    """Continue with another learning rate, in scikit-learn's units."""
    rate = float(learning_rate) * (scale if isinstance(optimizer, EstimatorSGD) else 1.0)
    ratio = optimizer.param_groups[0]["lr"] / rate
    for group in optimizer.param_groups:
        group["lr"] = rate
    if isinstance(optimizer, EstimatorSGD) and ratio != 1:
        for state in (
            optimizer._state.values()
        ):  # they hold gradients: times the rate, they are the steps that momentum remembers
            if not state.arrays.flags.writeable:
                state.arrays = state.arrays.copy()
            state.arrays *= ratio
