"""A change of several objects, taken back where it is broken off."""

from collections.abc import Iterable
from typing import Any

import numpy as np


class Undo:
    """Gives objects their attributes back, and parameters and buffers their values.

    Calling it after a change that failed, or was interrupted by Ctrl-C, leaves no half of the
    change.

    Parameters
    ----------
    things : iterable of object
    """

    def __init__(self, things: Iterable[Any]) -> None:
        self._before = [(vars(thing), dict(vars(thing))) for thing in things]
        self._values = [
            (data, data.copy())
            for _, before in self._before
            if isinstance(data := before.get("_data"), np.ndarray)
        ]

    def __call__(self) -> None:
        """Take the change back."""
        for now, before in self._before:
            now.clear()
            now.update(before)
        for data, values in self._values:
            data[...] = values
