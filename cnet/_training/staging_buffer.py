"""The samples and targets that a compiled program reads."""

import math
from typing import Any

import numpy as np

from cnet._compiler.lower import Lowered
from cnet._compiler.program import LossTerm, first_dense
from cnet._data.samples import Rows
from cnet._utils.arrays import Array, empty, rows_at_a_time
from cnet._utils.stored import Stored

_ROWS_STAGED = 512
"""Samples that are augmented or converted at a time, to be used while they are in the cache."""


class StagingBuffer:
    """The samples and targets that a program reads.

    These are the data set itself, where it is an array. If samples are augmented or converted when
    they are needed, they are a buffer, which `fill` prepares.
    """

    def __init__(self, rows: Rows, terms: list[LossTerm], batch: int, lowered: Lowered) -> None:
        self.max_rows: int | None = None
        """Maximum number of samples in a call; None for the data set itself."""
        self.x: Any = rows.flat
        self.terms = terms
        if rows.flat is not None:
            if first := first_dense(lowered):
                self.x = rows.source(first.layer.out_features, lowered.scale, lowered.offset)
            return
        staged = 1 if isinstance(rows.x, Stored) else _ROWS_STAGED  # a file is read batch by batch
        self.max_rows = n = batch * max(1, rows_at_a_time(rows.row_shape, staged) // batch)
        self.x = empty((n, math.prod(rows.row_shape)), rows.dtype)
        self.terms = [
            LossTerm(loss, weight, *(a if a is None else a[:1].repeat(n, axis=0) for a in targets))
            for loss, weight, *targets in terms
        ]

    def fill(self, indices: Array, rows: Rows, terms: list[LossTerm]) -> Array:
        """Prepare these samples of the data set; returns their indices in the buffer."""
        if self.max_rows is None:
            return indices
        self._copy(rows.take(indices), terms, indices)
        return np.arange(len(indices))

    def load(self, x: Any, terms: list[LossTerm]) -> None:
        """Prepare all samples of a mini-batch, in their order."""
        self._copy(np.asarray(x[:]), terms, slice(None))

    def _copy(self, x: Array, terms: list[LossTerm], selected: Array | slice) -> None:
        """Copy samples x, and the targets and weights of the `selected` samples of `terms`."""
        n = len(x)
        for (_, _, *buffers), (_, _, *targets) in zip(self.terms, terms, strict=True):
            for buffer, values in zip(buffers, targets, strict=True):
                if buffer is not None and values is not None:
                    buffer[:n] = values[selected]
        self.x[:n] = x.reshape(n, -1)
