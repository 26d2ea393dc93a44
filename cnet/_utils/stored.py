"""Arrays in files, such as those of h5py and zarr, which are read a few samples at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnet._utils.arrays import Array, as_array, is_stored, rows_at_a_time

_MAX_ROWS = 256
"""Maximum number of samples that are read at a time."""


class Stored:
    """Samples of an array that is no ndarray, but has a shape, a dtype and slices.

    Slices and selections of samples are ndarrays.

    Parameters
    ----------
    x : object
        An object for which `is_stored` returns True.
    name : str
        Name of the array, for error messages.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    """

    def __init__(self, x: Any, name: str) -> None:
        self._x, self._name = x, name
        self.shape = tuple(int(size) for size in x.shape)
        self.ndim = len(self.shape)
        self._most = rows_at_a_time(self.shape[1:], _MAX_ROWS)
        self._selects = True
        first = self._slice(0, 1) if len(self) else as_array(np.empty(0, x.dtype), name)
        self.dtype: np.dtype[Any] = first.dtype
        """Dtype of the values that are read. It may differ from that in the file, since netCDF4
        scales numbers.
        """

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Array) -> Array:
        """Return some samples, in any order."""
        indices = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        if not len(indices):
            return np.empty((0, *self.shape[1:]), self.dtype)
        return np.concatenate(
            [
                self._read(indices[start : start + self._most])
                for start in range(0, len(indices), self._most)
            ]
        )

    def _read(self, indices: Array) -> Array:
        rows, places = np.unique(
            indices, return_inverse=True
        )  # h5py needs them in order, and each once
        runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        if len(runs) > 1 and self._selects:
            try:
                return self._checked(self._x[rows], len(rows), self._name)[places]
            except OSError:
                raise
            except Exception:  # of any type: it takes only slices
                self._selects = False
        return np.concatenate([self._slice(int(run[0]), int(run[-1]) + 1) for run in runs])[places]

    def _slice(self, start: int, stop: int) -> Array:
        return self._checked(self._x[start:stop], stop - start, f"{self._name}[{start}:{stop}]")

    def _checked(self, values: Any, rows: int, name: str) -> Array:
        array = as_array(values, name)
        if array.shape != (rows, *self.shape[1:]):
            raise ValueError(
                f"{self._name} has shape {self.shape}, but gave {array.shape} for {rows} rows"
            )
        return array


def as_rows(x: Any, name: str) -> Array | Stored:
    """Return an array as `as_array` does, except that an array in a file stays there."""
    return x if isinstance(x, Stored) else Stored(x, name) if is_stored(x) else as_array(x, name)
