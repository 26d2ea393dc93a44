"""RMSprop, with momentum and in its centered variant."""

from collections.abc import Iterable
from typing import Any

from cnet._core import CODES
from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.optim._optimizer import check_numbers
from cnet.optim._rule import Rule, RuleOptimizer


class RMSprop(RuleOptimizer):
    """RMSprop: the gradient, divided by the root of a running mean of its square.

    A step updates a parameter `w` with gradient `g`, the means `s` and `a`, and the momentum buffer
    `v`. All three start at 0. The formula is that of PyTorch::

        g = g + weight_decay * w
        s = alpha * s + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g    # centered=True, otherwise a = 0
        v = momentum * v + g / (sqrt(s - a**2) + eps)
        w = w - lr * v

    The means and the buffer have the shape and the dtype of their parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``, or groups with their own settings, such as a learning rate per
        layer.
    lr : float
        Learning rate, at least 0.
    alpha : float
        Decay rate of the means, at least 0 and below 1.
    eps : float
        Term that avoids division by 0, at least 0.
    weight_decay : float
        Coefficient of the L2 penalty, at least 0.
    momentum : float
        Decay rate of the momentum buffer, at least 0. Convergence requires a value below 1.
    centered : bool
        Whether to divide by an estimate of the standard deviation of the gradient, instead of the
        root of its mean square.
    clip_norm, clip_value : float or None
        Limits of gradients, as for `Optimizer`.

    Raises
    ------
    TypeError
        If `params` holds something other than parameters, or a keyword is unknown.
    ValueError
        If there are no parameters, or a setting is out of bounds.

    References
    ----------
    Tieleman and Hinton, Lecture 6.5 - RMSprop, Coursera: Neural networks for machine learning,
    2012.

    Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, 2013 (centered).

    Examples
    --------
    >>> from cnet import nn, optim
    >>> model = nn.Linear(784, 10, seed=0)
    >>> optim.RMSprop(model.parameters(), momentum=0.9).param_groups[0]["alpha"]
    0.99
    """

    _names = ("square_avg", "momentum_buffer", "grad_avg")

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
            },
            clip_norm=clip_norm,
            clip_value=clip_value,
        )

    def _check(self, settings: dict[str, Any]) -> None:
        check_numbers(settings, "lr", "eps", "weight_decay", "momentum")
        check_numbers(settings, "alpha", below=1)

    def _rule(self, settings: dict[str, Any]) -> Rule:
        kind = (
            CODES["RMSPROP_CENTERED"]
            if settings["centered"]
            else CODES["RMSPROP_MOMENTUM"]
            if settings["momentum"]
            else CODES["RMSPROP"]
        )
        return Rule(
            kind,
            settings["lr"],
            settings["weight_decay"],
            beta1=settings["momentum"],
            beta2=settings["alpha"],
            eps=settings["eps"],
        )
