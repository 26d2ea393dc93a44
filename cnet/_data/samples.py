"""The samples of a data set, handed out in mini-batches without a copy of the whole.

Contiguous data of the network's own dtype, and of uint8, are gathered by a kernel; anything else by
NumPy, row by row, and converted on the way. Data may be larger than memory if it is memory-mapped,
or lies in a file of h5py or zarr.
"""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_input
from cnet._utils.stored import as_rows
from cnet._utils.threads import get_num_threads

_MAX_NONZERO = {1: 0.25, 48: 0.4}
"""For the minimum number of outputs of a dense layer: the maximum fraction of nonzero elements of a
data set for which CSR is faster.
"""
_MAX_MEMORY = 0.5
"""Maximum memory of the CSR form, as a fraction of that of the data."""
_MIN_WIDTH = 32
_LOOKED_AT = 256
"""Number of samples from which the fraction of nonzero elements is estimated."""


def _is_mapped(array: Array) -> bool:
    """Return whether an array is in a file, and may be larger than memory."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap | mmap.mmap)


class Rows:
    """The samples of `x`, as arrays of `dtype`.

    Raises
    ------
    TypeError, ValueError
        If `x` is not an array of real numbers with at least one axis.
    """

    epoch = 0
    """Epoch whose random numbers augment the samples."""

    def __init__(self, x: ArrayLike, dtype: np.dtype[Any], name: str = "x") -> None:
        self.x: Any = as_rows(x, name)
        if self.x.ndim == 0:
            raise ValueError(
                f"{name} is a single number, expected an array with one sample per row"
            )
        self.dtype = dtype
        self.row_shape = self.x.shape[1:]
        self.flat: Array | None = None
        if (
            isinstance(self.x, np.ndarray)
            and self.x.flags.c_contiguous
            and self.x.flags.aligned
            and self.x.dtype in (dtype, np.uint8)
        ):
            self.flat = self.x.reshape(len(self.x), math.prod(self.row_shape))
        self._sources: dict[float, Any] = {}
        self._gather = (
            loops(dtype).gather_uint8 if self.x.dtype == np.uint8 else loops(dtype).gather
        )

    def __len__(self) -> int:
        return len(self.x)

    def source(self, outputs: int, scale: float = 1.0, offset: float = 0.0) -> Any:
        """Return the data for a program whose first layer is dense, with so many outputs.

        It is `flat`, or the nonzero elements of `flat` if they are few.

        The program rescales the data.
        """
        flat = self.flat
        if flat is None or flat.shape[1] < _MIN_WIDTH or _is_mapped(flat):
            return flat
        if offset or (scale != 1 and flat.dtype != np.uint8):
            # Zeros would not stay zeros, or values, which are read in place, would have to change.
            return flat
        size = flat.dtype.itemsize
        most = min(
            max(share for least, share in _MAX_NONZERO.items() if outputs >= least),
            _MAX_MEMORY * size / (size + 1),
        )
        if most not in self._sources:
            looked_at = flat[:: -(-len(flat) // _LOOKED_AT)]
            few = np.count_nonzero(looked_at) <= most * looked_at.size
            sparse = loops(self.dtype).compress(flat, most, np.empty) if few else None
            self._sources[most] = flat if sparse is None else sparse
        return self._sources[most]

    def take(self, indices: Array) -> Array:
        """Return the samples at int64 `indices`, in a new C-contiguous array."""
        if self.flat is None:
            return as_input(self.x[indices], self.dtype)
        out = np.empty((len(indices), self.flat.shape[1]), self.dtype)
        self._gather(out, self.flat, indices)
        return out.reshape(len(indices), *self.row_shape)


class TransientSamples(Rows):
    """Samples of a batch that exists for one step only: no program may read them in place."""

    def __init__(self, rows: Rows) -> None:
        self.x, self.dtype, self.row_shape = rows.x, rows.dtype, rows.row_shape
        self.flat = None
        self._rows = rows

    def take(self, indices: Array) -> Array:
        """Return the samples at int64 `indices`, in a new C-contiguous array."""
        return self._rows.take(indices)


class AugmentedRows(Rows):
    """Samples that are images, and are augmented at random when they are taken."""

    def __init__(self, rows: Rows, augmentation: Any) -> None:
        self.x, self.dtype, self.row_shape = rows.x, rows.dtype, rows.row_shape
        self.flat = None  # there is no array that holds them
        self._rows, self._augmentation = rows, augmentation

    def take(self, indices: Array) -> Array:
        """The samples at int64 `indices`, as this epoch shows them, in a new C-contiguous array."""
        x, sources = self._rows.flat, indices
        if x is None:
            x, sources = self._rows.take(indices), np.arange(len(indices))
        out = np.empty((len(indices), math.prod(self.row_shape)), self.dtype)
        scratch = np.zeros(get_num_threads() * self._augmentation.scratch, self.dtype)
        self._augmentation.run(
            out, x.reshape(len(x), out.shape[1]), sources, indices, self.epoch % (1 << 32), scratch
        )
        return out.reshape(len(indices), *self.row_shape)
