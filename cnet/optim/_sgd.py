"""Stochastic gradient descent."""

from collections.abc import Iterable
from typing import Any

from cnet._core import CODES
from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.nn._neutral import neutral
from cnet.optim._optimizer import check_numbers
from cnet.optim._rule import Rule, RuleOptimizer


class SGD(RuleOptimizer):
    """Stochastic gradient descent with momentum and weight decay.

    A step updates a parameter `w` with gradient `g`, and its momentum buffer `v`, which starts at
    0. The formula is that of PyTorch::

        g = g + weight_decay * w
        v = momentum * v + g
        w = w - lr * v                     # nesterov=False
        w = w - lr * (g + momentum * v)    # nesterov=True

    Without momentum no buffer is kept. The buffer has the shape and the dtype of its parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``, or groups with their own settings, such as a learning rate per
        layer.
    lr : float
        Learning rate, at least 0.
    momentum : float
        Decay rate of the momentum buffer, at least 0. Convergence requires a value below 1.
    dampening : float
        For code written for PyTorch: 0.
    weight_decay : float
        Coefficient of the L2 penalty, at least 0.
    nesterov : bool
        Whether to use Nesterov momentum. It requires a momentum above 0.
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
    Polyak, Some methods of speeding up the convergence of iteration methods, USSR Computational
    Mathematics and Mathematical Physics 4, 1964 (momentum).

    Sutskever, Martens, Dahl and Hinton, On the importance of initialization and momentum in deep
    learning, ICML 2013 (Nesterov momentum).

    Examples
    --------
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10), seed=0)
    >>> groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}]
    >>> [group["lr"] for group in optim.SGD(groups, lr=0.1).param_groups]
    [0.2, 0.1]
    """

    _names = ("momentum_buffer",)

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        neutral(dampening=dampening)
        super().__init__(
            params,
            {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay},
            clip_norm=clip_norm,
            clip_value=clip_value,
        )

    def _check(self, settings: dict[str, Any]) -> None:
        check_numbers(settings, "lr", "momentum", "weight_decay")
        if settings["nesterov"] and not settings["momentum"]:
            raise ValueError("nesterov needs momentum, such as momentum=0.9")

    def _rule(self, settings: dict[str, Any]) -> Rule:
        kind = (
            CODES["SGD"]
            if not settings["momentum"]
            else CODES["NESTEROV"]
            if settings["nesterov"]
            else CODES["MOMENTUM"]
        )
        return Rule(kind, settings["lr"], settings["weight_decay"], beta1=settings["momentum"])
