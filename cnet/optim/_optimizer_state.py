"""The state of an optimizer as a dictionary, in PyTorch's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnet._utils.arrays import Array, empty
from cnet.nn import Parameter
from cnet.optim._construction import Construction

MAX_STEPS = 2**53
"""Bound of the step counts: integers below it are exact in float64."""


class OptimizerState:
    """Base of `Optimizer`: saving and loading its state."""

    param_groups: list[dict[str, Any]]
    _state: dict[Parameter, Any]
    _construction: Construction

    def _check_group(self, index: int, settings: dict[str, Any]) -> None:
        raise NotImplementedError

    def _copy_state(self) -> dict[Parameter, Any]:
        """Return a copy of the optimizer state, such as momentum, by parameter."""
        return {parameter: state.copy() for parameter, state in self._state.items()}

    def _set_state(self, state: dict[Parameter, Any]) -> None:
        """Restore an optimizer state that `_copy_state` returned, without copying it."""
        self._state = state

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer state and the settings, from which later steps continue.

        Returns
        -------
        dict
            ``"state"`` maps the number of a parameter to copies of its arrays of optimizer state,
            in the shapes of `Module.state_dict`. ``"param_groups"`` lists the settings of each
            group, with the numbers of its parameters under ``"params"``. Parameters are numbered
            from 0, group by group. The names are PyTorch's.

        Raises
        ------
        TypeError
            If the state that a custom optimizer keeps for a parameter is not an array.

        Examples
        --------
        >>> from cnet import nn, optim
        >>> optimizer = optim.SGD(nn.Linear(3, 2, seed=0).parameters(), lr=0.1, momentum=0.9)
        >>> optimizer.state_dict()["param_groups"]
        [{'lr': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': 0.0, 'params': [0, 1]}]
        """
        numbers = {parameter: i for i, parameter in enumerate(self._parameters())}
        groups = [
            {
                **{name: value for name, value in group.items() if name != "params"},
                "params": [numbers[parameter] for parameter in group["params"]],
            }
            for group in self.param_groups
        ]
        return {
            "state": {
                i: self._packed(self._state[parameter])
                for parameter, i in numbers.items()
                if parameter in self._state
            },
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the optimizer state and the settings that `state_dict` returned.

        This optimizer must have as many groups, with as many parameters each. Nothing is changed if
        it raises.

        Parameters
        ----------
        state_dict : dict
            The result of `state_dict`. Its arrays are copied.

        Raises
        ------
        ValueError
            If `state_dict` is not the state of such an optimizer.
        """
        match state_dict:
            case {"state": dict(state), "param_groups": list(groups)} if len(state_dict) == 2:
                pass
            case _:
                raise ValueError(
                    'this is no state of an optimizer: expected a dictionary with "state" and '
                    '"param_groups", as state_dict() gives'
                )
        if not all(
            isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups
        ):
            raise ValueError(
                'this is no state of an optimizer: each of "param_groups" is a dictionary with a '
                'list of numbers under "params"'
            )
        sizes, own = (
            [len(group["params"]) for group in groups],
            [len(group["params"]) for group in self.param_groups],
        )
        if sizes != own or [number for group in groups for number in group["params"]] != [
            *range(sum(own))
        ]:
            raise ValueError(f"the state has groups of {sizes} parameters, this optimizer of {own}")
        settings = [
            {name: value for name, value in group.items() if name != "params"} for group in groups
        ]
        for i, group in enumerate(settings):
            self._check_group(i, group)
        parameters = self._parameters()
        memory = {}
        for number, packed in state.items():
            if type(number) is not int or not 0 <= number < len(parameters):
                raise ValueError(
                    f"the state has a parameter {number!r}, but this optimizer has "
                    f"{len(parameters)}"
                )
            try:
                memory[parameters[number]] = self._unpacked(parameters[number], packed)
            except ValueError as error:
                raise ValueError(f"parameter {number} of the state: {error}") from None
        groups_before, memory_before = [{**group} for group in self.param_groups], self._state
        try:
            self._set_settings(settings)
            self._set_state(memory)
        except BaseException:  # Ctrl-C
            self._set_settings(groups_before)
            self._set_state(memory_before)
            raise

    def _set_settings(self, settings: Sequence[dict[str, Any]]) -> None:
        """Replace the settings of each group by others, which have been checked."""
        for group, values in zip(self.param_groups, settings, strict=True):
            for name in group.keys() - values.keys() - {"params"}:
                del group[name]
            group.update({name: value for name, value in values.items() if name != "params"})
        self._construction.forget()

    def _parameters(self) -> list[Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _packed(self, state: Any) -> Any:
        """Return the state of a parameter in the form of `state_dict`."""
        if not isinstance(state, np.ndarray):
            raise TypeError(
                f"{type(self).__name__} keeps a {type(state).__name__} for a parameter, expected "
                "an array"
            )
        return turned(state)

    def _unpacked(self, parameter: Parameter, packed: Any) -> Any:
        """Return the state of a parameter from the form of `state_dict`.

        Raises ValueError if it does not fit the parameter.
        """
        return turned_back(packed, parameter, "state")


def turned(array: Array) -> Array:
    """Return a C-contiguous copy with reversed axes, the shape of `Module.state_dict`."""
    return np.ascontiguousarray(array.T).reshape(array.shape[::-1]).copy()


def turned_back(values: Any, parameter: Parameter, name: str) -> Array:
    """Return a copy of an array from `turned`, in the shape of a parameter.

    Raises ValueError if its shape or dtype does not fit the parameter.
    """
    shape = parameter.shape[::-1]
    if (
        not isinstance(values, np.ndarray)
        or values.shape != shape
        or values.dtype != parameter.dtype
    ):
        got = (
            f"{values.dtype} of shape {values.shape}"
            if isinstance(values, np.ndarray)
            else type(values).__name__
        )
        raise ValueError(
            f"{name} is {got}, expected an array of {parameter.dtype} of shape {shape}"
        )
    array = empty(parameter.shape, parameter.dtype)
    array[...] = values.T
    return array
