"""`coefs_` and `intercepts_`: a list of a network's arrays. Assignment changes the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from cnet._utils.arrays import Array
from cnet.nn import Parameter
from cnet.nn._parameter import exchange


class NetArrays(list[Array]):
    """List of the arrays of some parameters of a network.

    Reading is that of a list. ``arrays[i] = values`` gives the network a copy of `values`, which
    must have the same shape, and does not change the array that it replaces. The length is fixed.
    Copies and pickles are plain lists.

    Parameters
    ----------
    name : str
        Name in error messages, such as ``"coefs_"``.
    parameters : sequence of Parameter
        Parameters whose arrays are the elements.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter]) -> None:
        super().__init__(parameter.data for parameter in parameters)
        self.name, self.parameters = name, parameters

    def refresh(self) -> None:
        """Replace the elements by the present arrays of the parameters."""
        for i, parameter in enumerate(self.parameters):
            super().__setitem__(i, parameter.data)

    def __setitem__(self, index: Any, values: Any) -> None:
        if not isinstance(index, slice):
            if not -len(self) <= index < len(self):
                raise IndexError(f"{self.name} has {len(self)} arrays, and none at {index}")
            index, values = slice(index, index + 1 or None), [values]
        numbers, values = range(len(self))[index], list(values)
        if len(values) != len(numbers):
            raise ValueError(
                f"{self.name} got {len(values)} arrays for {len(numbers)} places: the network has "
                f"{len(self)} layers, and their number cannot change"
            )
        arrays = [self._fitting(i, value) for i, value in zip(numbers, values, strict=True)]
        for i, array in zip(numbers, arrays, strict=True):
            exchange(self.parameters[i], array)
        self.refresh()

    def _fitting(self, i: int, value: Any) -> Array:
        parameter = self.parameters[i]
        try:
            array = np.asarray(value, parameter.dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{self.name}[{i}] is set to {value!r}, expected an array of real numbers: {error}"
            ) from None
        if array.shape != parameter.shape:
            raise ValueError(
                f"{self.name}[{i}] is set to an array of shape {array.shape}, expected "
                f"{parameter.shape}: sizes of layers cannot change. For other sizes, construct an "
                "estimator with other hidden_layer_sizes"
            )
        return array

    def _reject(self, *arguments: Any, **settings: Any) -> NoReturn:
        raise TypeError(
            f"{self.name} has an array for each of the {len(self)} layers of the network, in their "
            "order: assign to its elements, or copy it with list()"
        )

    append = extend = insert = pop = remove = clear = sort = reverse = _reject
    __delitem__ = __iadd__ = __imul__ = _reject

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return list, (list(self),)
