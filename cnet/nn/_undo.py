"""Rollback of a change of several objects that fails or is interrupted."""

from collections.abc import Iterable
from typing import Any

import numpy as np


class Undo:
    """Restores the attributes of objects, and the values of parameters and buffers.

    Construct it before a change. Call it if the change fails or is interrupted by Ctrl-C, so that
    no part of the change remains.

    Parameters
    ----------
    things : iterable of object
        Objects that the change affects.
    """

    def __init__(self, things: Iterable[Any]) -> None:
        self._before = [(vars(thing), dict(vars(thing))) for thing in things]
        self._values = [
            (data, data.copy())
            for _, before in self._before
            if isinstance(data := before.get("_data"), np.ndarray)
        ]

    def __call__(self) -> None:
        """Restore the state from before the change."""
        for now, before in self._before:
            now.clear()
            now.update(before)
        for data, values in self._values:
            data[...] = values
