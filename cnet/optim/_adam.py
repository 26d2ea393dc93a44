"""Adam, and AdamW, whose weight decay is decoupled from the gradient."""

from collections.abc import Iterable
from typing import Any

from cnet._core import CODES
from cnet._utils.answers import OPTIMIZER_ARGUMENTS
from cnet._utils.hints import answers_keywords
from cnet.nn import Parameter
from cnet.optim._optimizer import check_numbers
from cnet.optim._rule import Rule, RuleOptimizer


def check_betas(betas: Any) -> None:
    """Raise ValueError unless these are two decay rates."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas is {betas!r}, expected two numbers such as (0.9, 0.999)")
    check_numbers({"betas[0]": betas[0], "betas[1]": betas[1]}, "betas[0]", "betas[1]", below=1)


class Adam(RuleOptimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    A step updates a parameter `w` with gradient `g`, and the means `m` and `s`, which start at 0.
    Steps are numbered by `t`, from 1. The formula is that of PyTorch::

        g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        w = w - lr / (1 - beta1**t) * m / (sqrt(s) / sqrt(1 - beta2**t) + eps)

    With `amsgrad`, ``s_max = max(s_max, s)`` takes the place of `s` in the last line. The means
    have the shape and the dtype of their parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``, or groups with their own settings, such as a learning rate per
        layer.
    lr : float
        Learning rate, at least 0. A step changes each element by about this much.
    betas : (float, float)
        Decay rates `beta1` and `beta2` of the means, each at least 0 and below 1.
    eps : float
        Term that avoids division by 0, at least 0.
    weight_decay : float
        Coefficient of the L2 penalty, at least 0.
    amsgrad : bool
        Whether to divide by the maximum of `s` over all steps (AMSGrad).
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
    Kingma and Ba, Adam: a method for stochastic optimization, ICLR 2015.

    Reddi, Kale and Kumar, On the convergence of Adam and beyond, ICLR 2018 (AMSGrad).

    Examples
    --------
    >>> from cnet import nn, optim
    >>> model = nn.Linear(2, 1, weight_init="zeros")
    >>> optimizer = optim.Adam(model.parameters(), lr=0.5)
    >>> out = model.forward([[30.0, -0.4]], training=True)
    >>> grad = model.backward([[1.0]])
    >>> optimizer.step()
    >>> model.weight.data
    array([[-0.5],
           [ 0.5]], dtype=float32)
    """

    _decoupled = False
    _names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
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
                "amsgrad": amsgrad,
            },
            clip_norm=clip_norm,
            clip_value=clip_value,
        )

    def _check(self, settings: dict[str, Any]) -> None:
        check_numbers(settings, "lr", "eps", "weight_decay")
        check_betas(settings["betas"])

    def _rule(self, settings: dict[str, Any]) -> Rule:
        kind = CODES["AMSGRAD"] if settings["amsgrad"] else CODES["ADAM"]
        beta1, beta2 = settings["betas"]
        return Rule(
            kind,
            settings["lr"],
            settings["weight_decay"],
            self._decoupled,
            beta1,
            beta2,
            settings["eps"],
        )


class AdamW(Adam):
    """Adam with weight decay that is decoupled from the gradient.

    The gradient has no L2 penalty. Instead, each step scales the parameter before it updates it,
    with `m`, `s` and `t` as for `Adam`::

        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        w = (1 - lr * weight_decay) * w
        w = w - lr / (1 - beta1**t) * m / (sqrt(s) / sqrt(1 - beta2**t) + eps)

    Parameters
    ----------
    params, lr, betas, eps, amsgrad : object
        As for `Adam`.
    weight_decay : float
        Coefficient of the decay, at least 0. A step subtracts the fraction ``lr * weight_decay`` of
        each weight.
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
    Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.

    Examples
    --------
    Biases are often not decayed:

    >>> from cnet import nn, optim
    >>> layer = nn.Linear(3, 2, seed=0)
    >>> groups = [{"params": layer.weight}, {"params": layer.bias, "weight_decay": 0.0}]
    >>> optimizer = optim.AdamW(groups, lr=1e-3)
    >>> [group["weight_decay"] for group in optimizer.param_groups]
    [0.01, 0.0]
    """

    _decoupled = True

    @answers_keywords(OPTIMIZER_ARGUMENTS)
    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            clip_norm=clip_norm,
            clip_value=clip_value,
        )
