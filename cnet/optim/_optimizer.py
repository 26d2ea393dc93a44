"""What all optimisers have in common: groups of parameters with their own settings."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from cnet._arrays import as_real
from cnet._core import FLOAT32, loops
from cnet.nn import Parameter


class Optimizer:
    """Base of the optimisers.

    To write one, override `_update`, and `_check` if settings have bounds.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``; or groups such as ``{"params": model[0].parameters(), "lr": 0.2}``, whose settings
        take precedence over the defaults.
    defaults : dict
        Settings of groups that do not give their own.
    clip_norm : float or None
        Before a step, scale all gradients together so that their norm is at most this.
    clip_value : float or None
        Before a step, and before `clip_norm`, limit each element of a gradient to [-clip_value, clip_value].

    Attributes
    ----------
    param_groups : list of dict
        Each with ``"params"`` and the settings, which may be changed between steps.
    clip_norm, clip_value : float or None
        May be changed too.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn, optim
    >>> class SignSGD(optim.Optimizer):
    ...     def __init__(self, params, lr=0.01):
    ...         super().__init__(params, {"lr": lr})
    ...     def _update(self, parameter, settings):
    ...         parameter.data -= settings["lr"] * np.sign(parameter.grad)
    >>> model = nn.Linear(2, 1, weight_init="zeros")
    >>> optimizer = SignSGD(model.parameters(), lr=0.5)
    >>> out = model.forward([[3.0, -4.0]], training=True)
    >>> grad = model.backward([[1.0]])
    >>> optimizer.step()
    >>> model.weight.data
    array([[-0.5],
           [ 0.5]], dtype=float32)
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        defaults: dict[str, Any],
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        items: list[Any] = list(params)
        if not items:
            raise ValueError("the optimizer got no parameters: does the model have layers with weights?")
        groups = items if isinstance(items[0], dict) else [{"params": items}]
        self.param_groups = [self._group(i, group, defaults) for i, group in enumerate(groups)]
        self._state: dict[Parameter, Any] = {}
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.limits  # noqa: B018 - an error now rather than in the first step
        seen: set[int] = set()
        for group in self.param_groups:
            for parameter in group["params"]:
                if id(parameter) in seen:
                    raise ValueError("a parameter appears twice: each belongs to one group, once")
                seen.add(id(parameter))

    def _group(self, index: int, group: Any, defaults: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'parameter group {index} is {group!r}, expected a dict such as {{"params": model[0].parameters(), "lr": 0.1}}')
        if unknown := group.keys() - defaults.keys() - {"params"}:
            raise ValueError(f"parameter group {index} sets {', '.join(sorted(unknown))}, which is not one of {', '.join(defaults)}")
        params = [group["params"]] if isinstance(group["params"], Parameter) else list(group["params"])
        for parameter in params:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"the optimizer got {parameter!r}, expected parameters: pass model.parameters()")
        settings = {**defaults, **group, "params": params}
        self._check(settings)
        return settings

    def _check(self, settings: dict[str, Any]) -> None:
        """Raise ValueError for settings out of bounds."""

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self._clip()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    @property
    def limits(self) -> tuple[float, float] | None:
        """The largest value and norm that gradients may have; None where neither is limited."""
        for name, limit in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if limit is not None and not (isinstance(limit, int | float | np.number) and 0 < limit < math.inf):
                raise ValueError(f"{name} is {limit!r}, expected a finite number above 0, or None")
        if self.clip_norm is None and self.clip_value is None:
            return None
        return math.inf if self.clip_value is None else self.clip_value, math.inf if self.clip_norm is None else self.clip_norm

    def _clip(self) -> None:
        if (limits := self.limits) is None:
            return
        most, squares = limits[0], 0.0
        grads = []
        for parameter in (parameter for group in self.param_groups for parameter in group["params"] if parameter.grad is not None):
            parameter.grad = as_real(parameter.grad, parameter.dtype, "grad")
            grads.append(parameter.grad.reshape(-1))
        for grad in grads:
            squares = loops(grad.dtype).clip(grad, squares, most)
        factor = loops(FLOAT32).clip_factor(squares, limits[1])
        if factor != 1:
            for grad in grads:
                loops(grad.dtype).scale(grad, factor)

    def _update(self, parameter: Parameter, settings: dict[str, Any]) -> None:
        raise TypeError(f"{type(self).__name__} does not define _update(parameter, settings)")

    def copy_state(self) -> dict[Parameter, Any]:
        """A copy of what the steps so far left to remember, such as momentum."""
        return {parameter: state.copy() for parameter, state in self._state.items()}

    def set_state(self, state: dict[Parameter, Any]) -> None:
        """Go back to what `copy_state` gave; it is taken, not copied."""
        self._state = state

    def zero_grad(self) -> None:
        """Forget the gradients. There is no need to: backward passes overwrite them."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def check_numbers(settings: dict[str, Any], *names: str, below: float = math.inf) -> None:
    """Raise ValueError unless these settings are numbers of at least 0 and below a bound."""
    for name in names:
        value = settings[name]
        if not isinstance(value, int | float | np.number) or not 0 <= value < below:
            raise ValueError(f"{name} is {value!r}, expected {'a finite number of at least 0' if below == math.inf else f'a number from 0 to below {below:g}'}")
