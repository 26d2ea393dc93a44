"""The data of `fit` and `evaluate` in arrays. Each epoch visits them in a different order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cnet._training.compiled import CompiledEngine
from cnet._training.eager import EagerEngine
from cnet._training.inputs import Samples
from cnet._training.steps import EpochResults
from cnet._utils.arrays import Array, rows_at_a_time, seed_sequence

_EVALUATION_ROWS = 512


class Run(NamedTuple):
    """Samples for one run of an engine, in batches of one size."""

    samples: Samples
    order: Array
    """Indices of samples."""
    batch_size: int
    name: str = ""
    """Name of the batch in messages; empty for arrays."""


class ArrayData:
    """Samples in arrays, visited in batches of one size.

    Parameters
    ----------
    samples : Samples
    batch_size : int or None
        None is a size for evaluation, which bounds the memory.
    shuffle : bool
    seed : int or None
        Seed of the order. None draws one from the operating system.
    """

    def __init__(
        self,
        samples: Samples,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: Any = 0,
    ) -> None:
        if batch_size is None:
            batch_size = rows_at_a_time(samples.rows.row_shape, _EVALUATION_ROWS)
        self._samples, self._batch_size, self._shuffle = samples, batch_size, shuffle
        self.engine: EagerEngine | CompiledEngine | None = None
        """The engine that runs on these samples; a trainer sets it."""
        self.prefix = ""
        self.steps: int | None = -(-len(samples.rows) // batch_size)
        """Number of steps of an epoch."""
        self.seed = seed_sequence(seed).entropy

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """Yield the runs of an epoch."""
        self._samples.rows.epoch = epoch
        yield Run(self._samples, self._order(epoch), self._batch_size)

    def epochs_at_once(self) -> int:
        """Return the number of epochs that the engine is to run in one call."""
        engine = self.engine
        return engine.epochs_at_once(self._batch_size) if isinstance(engine, CompiledEngine) else 1

    def run_epochs(self, first: int, epochs: int) -> EpochResults | None:
        """Run several epochs in one call of a compiled engine."""
        assert isinstance(self.engine, CompiledEngine)
        order = np.concatenate([self._order(first + i) for i in range(epochs)])
        return self.engine.run_epochs(order, self._batch_size, epochs)

    def _order(self, epoch: int) -> Array:
        """Return the indices of samples in an order that depends on seed and epoch alone.

        If an epoch is one batch, that is the order of the data set: a shuffle would only cost time.
        """
        order = np.arange(len(self._samples.rows))
        if self._shuffle and len(order) > self._batch_size:
            np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,))).shuffle(
                order
            )
        return order
