"""The data of `fit` and `evaluate` as an iterable of mini-batches, none of which is stored."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from cnet._data.samples import TransientSamples
from cnet._training.array_data import Run
from cnet._training.compiled import CompiledEngine
from cnet._training.eager import EagerEngine
from cnet._training.inputs import InputValidator, Samples
from cnet._utils.arrays import Array, as_array, is_stored, shape_text

_MIN_NUMBERS = 8
"""Number of different, unsorted integers from which on they are not taken for weights."""


class BatchIterable:
    """Batches of an iterable, over which each epoch iterates again.

    Parameters
    ----------
    batches : iterable
        Batches (x, y) or (x, y, sample_weight).
    read : InputValidator
    name : str
        Name of the iterable in messages.
    epochs : int
        Number of epochs.
    steps : int or None
        Number of batches in an epoch. None is all of the iterable.

    Raises
    ------
    TypeError
        If `batches` is not an iterable of batches.
    ValueError
        If it is an iterator, which can be used once, and there are several epochs.
    """

    seed = None

    def __init__(
        self,
        batches: Any,
        read: InputValidator,
        name: str = "x",
        epochs: int = 1,
        steps: int | None = None,
    ) -> None:
        if (
            not isinstance(batches, Iterable)
            or isinstance(batches, str | bytes | dict)
            or is_array(batches)
        ):
            raise no_data(name, batches)
        if (
            isinstance(batches, tuple | list)
            and len(batches) in (2, 3)
            and all(map(is_array, batches))
        ):
            kind = f"a {type(batches).__name__} of {len(batches)} arrays"
            raise TypeError(
                f"{name} is {kind}, expected batches: pass x and y apart, as in fit(x, y) or "
                "fit(*data.train)"
            )
        if isinstance(batches, Iterator) and epochs > 1 and steps is None:
            raise ValueError(
                f"{name} is a {type(batches).__name__}, which is used up after one of {epochs} "
                "epochs: pass a list of batches, or an object whose __iter__ begins again"
                f"{', or steps_per_epoch to continue the iterator' if name == 'x' else ''}"
            )
        self._batches, self._read, self._name, self._limit = batches, read, name, steps
        self.engine: EagerEngine | CompiledEngine | None = None
        """The engine that runs on these batches; a trainer sets it."""
        self._kind = ""
        self.prefix = read.prefix
        self.steps = steps or operator.length_hint(batches) or None
        """Number of steps of an epoch; an estimate, or None if it is not known."""

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """Yield the runs of an epoch, one for each batch."""
        number = 0
        for number, batch in enumerate(islice(self._batches, self._limit), 1):
            name = f"{self._read.prefix}batch {number}"
            samples = self._checked(name, batch)
            n = len(samples.rows)
            yield Run(samples, np.arange(n), n, name)
        if not number or number < (self._limit or 0):
            expected = f"steps_per_epoch={self._limit}" if self._limit else "at least one"
            raise ValueError(f"{self._name} ended after {number} batches, expected {expected}")

    def _checked(self, name: str, batch: Any) -> Samples:
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            what = (
                f"has {len(batch)} parts"
                if isinstance(batch, tuple | list)
                else f"is of type {type(batch).__name__}"
            )
            raise TypeError(f"{name} {what}, expected (x, y) or (x, y, sample_weight)")
        try:
            rows, targets, weights = self._read(*batch, part=True)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
        if weights is not None and not self._kind:
            _reject_row_numbers(name, as_array(batch[2], "sample_weight"))
        wanted = (
            [shape_text(targets[head].shape[1:]) for head in targets.dtype.names]
            if targets.dtype.names
            else [shape_text(targets.shape[1:])]
        )
        kind = (
            f"x of shape {shape_text(rows.row_shape)}, y of {', '.join(wanted)} and "
            f"{'no ' if weights is None else ''}sample_weight"
        )
        self._kind = self._kind or kind
        if kind != self._kind:
            raise ValueError(
                f"{name} holds {kind}, but the first one {self._kind}: expected batches alike"
            )
        return Samples(TransientSamples(rows), targets, weights)


def _reject_row_numbers(name: str, numbers: Array) -> None:
    """Raise ValueError if the third part of a batch looks like indices of samples, not weights.

    Some loaders put them there. They are integers, all different, and either count from 0 or are
    unsorted.
    """
    if numbers.dtype.kind not in "iu" or len(np.unique(numbers)) < max(3, len(numbers)):
        return
    if np.array_equal(numbers, np.arange(len(numbers))) or (
        len(numbers) >= _MIN_NUMBERS and (np.diff(numbers.astype(np.int64)) < 0).any()
    ):
        raise ValueError(
            f"{name} has a third part of {len(numbers)} different whole numbers, as if they "
            "numbered its samples, but it is read as sample_weight: leave it out, or pass weights "
            "as floats"
        )


def no_data(name: str, got: Any) -> TypeError:
    hint = (
        ": pass parts of it, as in fit(*data.train, validation_data=data.validation)"
        if hasattr(got, "train") and hasattr(got, "validation")
        else ""
    )
    return TypeError(
        f"{name} is of type {type(got).__name__}, expected a pair (x, y) of arrays, or an "
        f"iterable of batches such as a list or a DataLoader{hint}"
    )


def is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or is_stored(x)
