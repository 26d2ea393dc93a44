"""RMSprop."""

from collections.abc import Iterable
from typing import Any

from cnet._core import code
from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.optim._optimizer import check_numbers
from cnet.optim._rule import Rule, RuleOptimizer


class RMSprop(RuleOptimizer):
    """RMSprop, as PyTorch defines it: the gradient over the root of a mean of its squares.

    With gradient `g`, parameter `w`, and `s`, `a` and `v` (zero at first)::

        g = g + weight_decay * w
        s = alpha * s + (1 - alpha) * g**2
        a = alpha * a + (1 - alpha) * g     # if centered; else a is 0
        v = momentum * v + g / (sqrt(s - a**2) + eps)
        w = w - lr * v

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``, or groups with their own options, such as a learning rate per
        layer.
    lr : float
        Learning rate, at least 0.
    alpha : float
        How much the mean keeps of what it was, from 0 to below 1.
    eps : float
        At least 0; keeps the step of a parameter without gradients finite.
    weight_decay : float
        L2 penalty, at least 0.
    momentum : float
        At least 0 and below 1 for a process that converges.
    centered : bool
        Divide by an estimate of the standard deviation.
    clip_norm, clip_value : float or None
        Limits of gradients, as for `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If there are no parameters, or a setting is out of bounds or unknown.

    References
    ----------
    Hinton, Neural networks for machine learning, lecture 6e, 2012. Graves, Generating sequences
    with recurrent neural networks, arXiv:1308.0850 (centered).

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
            code("RMSPROP_CENTERED")
            if settings["centered"]
            else code("RMSPROP_MOMENTUM")
            if settings["momentum"]
            else code("RMSPROP")
        )
        return Rule(
            kind,
            settings["lr"],
            settings["weight_decay"],
            beta1=settings["momentum"],
            beta2=settings["alpha"],
            eps=settings["eps"],
        )
