"""What all optimisers have in common: groups of parameters with their own settings."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

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

    Attributes
    ----------
    param_groups : list of dict
        Each with ``"params"`` and the settings, which may be changed between steps.

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

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        items: list[Any] = list(params)
        if not items:
            raise ValueError("the optimizer got no parameters: does the model have layers with weights?")
        groups = items if isinstance(items[0], dict) else [{"params": items}]
        self.param_groups = [self._group(i, group, defaults) for i, group in enumerate(groups)]
        self._state: dict[Parameter, Any] = {}
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
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

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
