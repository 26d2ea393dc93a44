"""Base of the optimizers: parameter groups with their own settings, clipping, and state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnet._core import FLOAT32, loops
from cnet._utils.arrays import as_real
from cnet._utils.validation import real
from cnet.nn import Module, Parameter
from cnet.nn._parameter import make_writable
from cnet.optim._construction import Construction
from cnet.optim._optimizer_state import OptimizerState

_ALSO_IN_GROUPS = {"params", "initial_lr", "name"}
"""Keys that a group may have besides the settings of its optimizer: a scheduler sets `initial_lr`,
and a user sets `name`.
"""


class Optimizer(OptimizerState):
    """Base of the optimizers.

    To write an optimizer, override `_update`, and override `_check` if settings have bounds.
    ``_update(parameter, settings)`` updates ``parameter.data`` in place from ``parameter.grad``;
    both have the shape and the dtype of the parameter. ``settings`` is the group of the parameter.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        ``model.parameters()``; or groups such as ``{"params": model[0].parameters(), "lr": 0.2}``,
        whose settings take precedence over the defaults. A group may have a ``"name"``.
    defaults : dict
        Settings of groups that do not give their own.
    clip_norm : float or None
        Maximum of `norm`, the Euclidean norm of the elements of all gradients together. Before a
        step, gradients of a larger norm are multiplied by ``clip_norm / (norm + 1e-6)``.
    clip_value : float or None
        Maximum absolute value of an element of a gradient. Before a step, and before `clip_norm`,
        each element is limited to [-clip_value, clip_value].

    Attributes
    ----------
    param_groups : list of dict
        Parameter groups, each with ``"params"`` and the settings. The settings may be changed
        between steps, and are checked again before each step.
    defaults : dict
        Settings of groups that do not give their own.
    clip_norm, clip_value : float or None
        Limits of gradients, which may be changed between steps.

    Raises
    ------
    TypeError
        If `params` holds something other than parameters or groups.
    ValueError
        If there are no parameters, a parameter appears twice, or a setting is out of bounds or
        unknown.

    References
    ----------
    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, ICML 2013
    (clipping by norm).

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
            raise ValueError(
                "the optimizer got no parameters: does the model have layers with weights?"
            )
        groups = items if isinstance(items[0], dict) else [{"params": items}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._state: dict[Parameter, Any] = {}
        self._construction = Construction()
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self._limits  # noqa: B018 - raises now, not in the first step
        for group in groups:
            Optimizer.add_param_group(self, group)

    def __getstate__(self) -> dict[str, Any]:
        """Copy the dictionary of states, which another thread may extend in its first step."""
        return {**self.__dict__, "_state": self._state.copy()}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, for example to train layers that were frozen until now.

        Nothing is changed if it raises.

        Parameters
        ----------
        param_group : dict
            A parameter or an iterable of parameters under ``"params"``, and settings, as for the
            constructor.

        Raises
        ------
        TypeError
            If `param_group` is not such a dictionary.
        ValueError
            If a setting is out of bounds or unknown, or a parameter is in a group already.
        """
        index = len(self.param_groups)
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f'parameter group {index} is {param_group!r}, expected a dict such as {{"params": '
                'model[0].parameters(), "lr": 0.1}'
            )
        if isinstance(param_group["params"], set | frozenset):
            raise TypeError(
                f"parameter group {index} has a set of parameters, which has no order: pass a list"
            )
        params = (
            [param_group["params"]]
            if isinstance(param_group["params"], Parameter)
            else list(param_group["params"])
        )
        seen = {id(parameter) for group in self.param_groups for parameter in group["params"]}
        for parameter in params:
            if not isinstance(parameter, Parameter):
                raise TypeError(
                    f"the optimizer got {parameter!r}, expected parameters: pass model.parameters()"
                )
            if id(parameter) in seen:
                raise ValueError("a parameter appears twice: each belongs to one group, once")
            seen.add(id(parameter))
        settings = {**self.defaults, **param_group, "params": params}
        self._check_group(index, settings)
        self.param_groups.append(settings)

    def _check(self, settings: dict[str, Any]) -> None:
        """Raise ValueError if a setting is out of bounds. Subclasses override it."""

    def _check_group(self, index: int, settings: dict[str, Any]) -> None:
        """Raise ValueError if a setting of a group is out of bounds, unknown or missing."""
        if (
            len(settings) != len(self.defaults) + 1
            or "params" not in settings
            or not self.defaults.keys() <= settings.keys()
        ):
            if unknown := settings.keys() - self.defaults.keys() - _ALSO_IN_GROUPS:
                raise ValueError(
                    f"parameter group {index} sets {', '.join(sorted(map(str, unknown)))}, which "
                    f"is not one of {', '.join(self.defaults)}"
                )
            if missing := self.defaults.keys() - settings.keys():
                raise ValueError(f"parameter group {index} has no {', '.join(sorted(missing))}")
            if not isinstance(settings.get("name", ""), str):
                raise ValueError(
                    f"parameter group {index} has the name {settings['name']!r}, expected a string"
                )
        try:
            for name in ("lr", "initial_lr"):
                if settings.get(name) is not None:
                    check_numbers(settings, name)
            self._check(settings)
        except ValueError as error:
            raise ValueError(f"parameter group {index}: {error}" if index else str(error)) from None

    def _check_model(self, model: Module) -> None:
        """Raise ValueError unless this optimizer can train a model.

        It must hold a parameter of the model that is not frozen, and its settings must be within
        their bounds.
        """
        held = {*model.parameters()} & {
            parameter for group in self.param_groups for parameter in group["params"]
        }
        if not held:
            raise ValueError(
                "the optimizer holds none of the model's parameters: construct it with "
                "model.parameters() of this model"
            )
        if not any(parameter.requires_grad for parameter in held):
            raise ValueError(
                "every parameter that the optimizer holds is frozen: requires_grad is False, so "
                "that nothing would be learned"
            )
        self._check_groups()

    def _check_groups(self) -> None:
        """Check the settings of all groups again, which may have been changed since."""
        for i, group in enumerate(self.param_groups):
            self._check_group(i, group)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable or None
            A function that sets the gradients and returns the loss. It is called before the update.

        Returns
        -------
        float or None
            The loss that `closure` returned; None without a closure.

        Raises
        ------
        ValueError
            If a setting of a group is out of bounds or unknown. Then no parameter is changed.
        """
        self._check_groups()
        loss = None if closure is None else closure()
        self._clip()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    make_writable(parameter)
                    self._update(parameter, group)
        return loss

    @property
    def _limits(self) -> tuple[float, float] | None:
        """The maximum absolute value and the maximum norm of gradients; None without limits."""
        for name, limit in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if limit is not None:
                real(name, limit, above=0, wrong_type=ValueError, alternative="None")
        if self.clip_norm is None and self.clip_value is None:
            return None
        return (
            math.inf if self.clip_value is None else self.clip_value,
            math.inf if self.clip_norm is None else self.clip_norm,
        )

    def _clip(self) -> None:
        """Limit the gradients, first by value, then by norm."""
        if (limits := self._limits) is None:
            return
        most, squares = limits[0], 0.0
        grads = []
        for parameter in (
            parameter
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ):
            parameter.grad = as_real(parameter.grad, parameter.dtype, "grad")
            grads.append(parameter.grad.reshape(-1))
        for grad in grads:
            squares = loops(grad.dtype).clip(grad, squares, most)
        factor = loops(FLOAT32).clip_factor(squares, limits[1])
        if factor != 1:
            for grad in grads:
                loops(grad.dtype).scale(grad, factor)

    def _update(self, parameter: Parameter, settings: dict[str, Any]) -> None:
        """Update one parameter from its gradient. Subclasses override it."""
        raise TypeError(f"{type(self).__name__} does not define _update(parameter, settings)")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients. This is optional, because backward passes overwrite them.

        Parameters
        ----------
        set_to_none : bool
            Whether gradients become None; otherwise they become zeros.
        """
        for parameter in self._parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = np.zeros(parameter.shape, parameter.dtype)


def check_numbers(settings: dict[str, Any], *names: str, below: float = math.inf) -> None:
    """Raise ValueError unless the named settings are at least 0, finite, and below a bound."""
    for name in names:
        value = settings[name]
        if type(value) is not float or not 0 <= value < below:  # for speed, as in each step
            real(name, value, 0, below=below, wrong_type=ValueError)
