"""NAdam: Adam with Nesterov's momentum."""

from collections.abc import Iterable
from typing import Any

from cnet._core import CODES
from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.optim._adam import check_betas
from cnet.optim._optimizer import check_numbers
from cnet.optim._rule import Rule, RuleOptimizer


class NAdam(RuleOptimizer):
    """NAdam: Adam with Nesterov's momentum, which grows during training.

    A step updates a parameter `w` with gradient `g`, and the means `m` and `s`, which start at 0.
    Steps are numbered by `t`, from 1. The formula is that of PyTorch::

        g = g + weight_decay * w
        mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)
        p = mu(1) * mu(2) * ... * mu(t)
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        n = (1 - mu(t)) / (1 - p) * g + mu(t + 1) / (1 - p * mu(t + 1)) * m
        w = w - lr * n / (sqrt(s) / sqrt(1 - beta2**t) + eps)

    With `decoupled_weight_decay`, the first line is ``w = (1 - lr * weight_decay) * w``, as in
    `AdamW`. The state holds `m`, `s` and ``1 - p``, each with the shape and the dtype of its
    parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``, or groups with their own settings, such as a learning rate per
        layer.
    lr : float
        Learning rate, at least 0.
    betas : (float, float)
        Decay rates `beta1` and `beta2` of the means, each at least 0 and below 1.
    eps : float
        Term that avoids division by 0, at least 0.
    weight_decay : float
        Coefficient of the L2 penalty, or of the decoupled decay, at least 0.
    momentum_decay : float
        Rate at which the momentum approaches `beta1`, at least 0.
    decoupled_weight_decay : bool
        Whether the decay is that of `AdamW`.
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
    Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop, 2016.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> model = nn.Linear(2, 1, weight_init="zeros")
    >>> optimizer = optim.NAdam(model.parameters(), lr=0.5)
    >>> out = model.forward([[30.0, -0.4]], training=True)
    >>> grad = model.backward([[1.0]])
    >>> optimizer.step()
    >>> model.weight.data.round(3)
    array([[-0.528],
           [ 0.528]], dtype=float32)
    """

    _names = ("exp_avg", "exp_avg_sq", "one_minus_mu_product")

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
            clip_norm=clip_norm,
            clip_value=clip_value,
        )

    def _check(self, settings: dict[str, Any]) -> None:
        check_numbers(settings, "lr", "eps", "weight_decay", "momentum_decay")
        check_betas(settings["betas"])

    def _rule(self, settings: dict[str, Any]) -> Rule:
        beta1, beta2 = settings["betas"]
        return Rule(
            CODES["NADAM"],
            settings["lr"],
            settings["weight_decay"],
            bool(settings["decoupled_weight_decay"]),
            beta1,
            beta2,
            settings["eps"],
            setting=settings["momentum_decay"],
        )
