"""The data of `fit` and `evaluate`, checked against the model and the loss.

Arrays are checked as a whole, and each epoch visits them in its own order. Batches are
checked one by one, as they come, and none is kept. The trainer pulls runs from either, for its
engine.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from cnet._data.samples import Rows, TransientSamples
from cnet._training.compiled import CompiledEngine
from cnet._training.eager import EagerEngine
from cnet._utils.arrays import (
    Array,
    as_array,
    check_finite,
    is_stored,
    rows_at_a_time,
    seed_sequence,
    shape_text,
)
from cnet.augment import Augment
from cnet.nn import Loss, Module
from cnet.nn._dropout import random_layers

_EVALUATION_ROWS = 512
_LEAST_NUMBERS = 8
"""In no order and all of them different, that are hardly weights."""


class Samples(NamedTuple):
    """Rows, their targets, and what they count."""

    rows: Rows
    targets: Array
    weights: Array | None


class Run(NamedTuple):
    """Samples that an engine takes in one run, in batches of one size."""

    samples: Samples
    order: Array
    """Indices of samples."""
    batch_size: int
    name: str = ""
    """Name of the batch in messages; empty for arrays."""


class InputValidator:
    """Checks samples against a model and a loss.

    Parameters
    ----------
    model : Module
    loss : Loss
    prefix : str
        Of the names in messages.
    change : callable
        What is done to rows that fit.
    """

    def __init__(
        self,
        model: Module,
        loss: Loss,
        prefix: str = "",
        change: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        self._model, self._loss, self.prefix, self._change = model, loss, prefix, change
        self._dtype = model.dtype

    def named(self, prefix: str) -> InputValidator:
        """The same, for other data."""
        return InputValidator(self._model, self._loss, prefix, self._change)

    def changing(self, change: Callable[[Rows], Rows]) -> InputValidator:
        """The same, with something done to rows."""
        return InputValidator(self._model, self._loss, self.prefix, change)

    def __call__(self, x: Any, y: Any, sample_weight: Any = None, *, part: bool = False) -> Samples:
        """Check a data set, or a `part` of one, in which no row need have a weight above 0."""
        x_name, y_name, dtype = f"{self.prefix}x", f"{self.prefix}y", self._dtype
        rows = Rows(x, dtype, x_name)
        if not len(rows):
            raise ValueError(f"{x_name} has no rows")
        try:
            targets = self._loss.prepare_target(y, self._model.output_shape(rows.row_shape), dtype)
        except ValueError as error:
            raise ValueError(
                f"{error} ({x_name} has shape {rows.x.shape}, {y_name} {_shape(y)})"
            ) from None
        if len(targets) != len(rows):
            raise ValueError(
                f"{x_name} has {len(rows)} rows, {y_name} {len(targets)}: expected one target per "
                "row"
            )
        weights = (
            None
            if sample_weight is None
            else _weights(sample_weight, len(rows), dtype, f"{self.prefix}sample_weight", part)
        )
        if not part:
            self._loss._check_whole(targets, weights)
        check_finite(rows.x, x_name, dtype)
        return Samples(self._change(rows), targets, weights)


def _shape(y: Any) -> str:
    """For people; targets of several heads may be arrays of different shapes."""
    try:
        return str(np.shape(list(y.values()) if isinstance(y, dict) else y))
    except ValueError:
        return ", ".join(str(np.shape(part)) for part in (y.values() if isinstance(y, dict) else y))


def _weights(sample_weight: Any, rows: int, dtype: np.dtype[Any], name: str, part: bool) -> Array:
    weights = as_array(sample_weight, name)
    if weights.shape != (rows,):
        raise ValueError(
            f"{name} has shape {weights.shape}, expected ({rows},): a number for each row"
        )
    check_finite(weights, name, dtype)
    if weights.min() < 0:
        raise ValueError(f"{name} holds {weights.min()}: weights must not be negative")
    weights = weights.astype(dtype)
    if not part and not weights.any():
        raise ValueError(
            f"{name} is 0 for every row{f' in {dtype}' if np.any(sample_weight) else ''}: "
            "expected a positive weight for at least one"
        )
    return weights


class ArrayData:
    """Samples that are all there, in batches of one size.

    Parameters
    ----------
    samples : Samples
    batch_size : int or None
        None: what is good for evaluation.
    shuffle : bool
    seed : int or None
        Of the order; None draws one.
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
        """Of an epoch."""
        self.seed = seed_sequence(seed).entropy

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """The runs of an epoch."""
        self._samples.rows.epoch = epoch
        yield Run(self._samples, self._order(epoch), self._batch_size)

    def _order(self, epoch: int) -> Array:
        """Row numbers. An epoch's order depends on the seed and the epoch's number alone."""
        order = np.arange(len(self._samples.rows))
        if self._shuffle:
            np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,))).shuffle(
                order
            )
        return order


class BatchIterable:
    """Samples that come batch by batch, from an iterable that each epoch goes through again.

    Parameters
    ----------
    batches : iterable
        Of (x, y) or (x, y, sample_weight).
    read : InputValidator
    name : str
        What messages call it.
    epochs : int
        How often they are wanted.
    steps : int or None
        Batches of an epoch; None for all there are.

    Raises
    ------
    TypeError
        If this is nothing to iterate over.
    ValueError
        If it can be iterated over once, and that is not enough.
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
            or _is_array(batches)
        ):
            raise _no_data(name, batches)
        if (
            isinstance(batches, tuple | list)
            and len(batches) in (2, 3)
            and all(map(_is_array, batches))
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
        """Of an epoch, as far as is known."""

    def iter_epoch(self, epoch: int = 0) -> Iterator[Run]:
        """The runs of an epoch, one for each batch."""
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
    """Raise ValueError for what some loaders give as the third part of a batch, and what would be
    taken for weights: the numbers of its rows.

    Whole numbers, all of them different, and in the order of a data set from its beginning, or in
    no order.
    """
    if numbers.dtype.kind not in "iu" or len(np.unique(numbers)) < max(3, len(numbers)):
        return
    if np.array_equal(numbers, np.arange(len(numbers))) or (
        len(numbers) >= _LEAST_NUMBERS and (np.diff(numbers.astype(np.int64)) < 0).any()
    ):
        raise ValueError(
            f"{name} has a third part of {len(numbers)} different whole numbers, as if they "
            "numbered its rows, but it is read as sample_weight: leave it out, or pass weights "
            "as floats"
        )


def _no_data(name: str, got: Any) -> TypeError:
    hint = (
        ": pass parts of it, as in fit(*data.train, validation_data=data.validation)"
        if hasattr(got, "train") and hasattr(got, "validation")
        else ""
    )
    return TypeError(
        f"{name} is of type {type(got).__name__}, expected a pair (x, y) of arrays, or an "
        f"iterable of batches such as a list or a DataLoader{hint}"
    )


def _is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or is_stored(x)


def is_batches(x: Any, y: Any) -> bool:
    """Whether `x` is meant to be batches, and no array whose targets were forgotten."""
    if y is None and _is_array(x):
        raise TypeError("y is missing: expected targets for the rows of x")
    return y is None


def make_validation(data: Any, read: InputValidator, epochs: int) -> ArrayData | BatchIterable:
    """Validation data, for so many epochs: arrays, or batches."""
    of_batches = isinstance(data, list) and all(isinstance(batch, tuple) for batch in data)
    if isinstance(data, tuple | list) and len(data) in (2, 3) and not of_batches:
        try:
            return ArrayData(read(*data))
        except (TypeError, ValueError) as error:
            if not isinstance(data, list) or not all(isinstance(part, list) for part in data):
                raise
            raise type(error)(
                f"{error}. validation_data is a list of {len(data)} lists, which is read as (x, "
                "y): batches in a list are tuples"
            ) from None
    if isinstance(data, tuple):
        raise _no_data("validation_data", data)
    return BatchIterable(data, read, "validation_data", epochs)


def reject_for_batches(**settings: Any) -> None:
    """Raise ValueError for a setting that only arrays have."""
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"{name} is for arrays x and y: an iterable makes the batches as they shall be, "
                "(x, y) or (x, y, sample_weight)"
            )


def apply_augmentation(
    augment: Augment, samples: Samples, read: InputValidator
) -> tuple[Samples, InputValidator]:
    """Training samples as `augment` varies them, and how validation data is read: standardized as
    they are.
    """
    if not isinstance(augment, Augment):
        raise TypeError(
            f"augment is {augment!r}, expected one such as cnet.augment.Augment(rotation=15)"
        )
    if augment.standardize:
        if augment.mean is None:
            augment.fit(samples.rows.x)
        read = read.changing(lambda rows: augment.rows(rows, random=False))
    return samples._replace(rows=augment.rows(samples.rows)), read


def full_batch_size(model: Module, rows: int, batch_size: int | None, augment: Any) -> int:
    """The batch size for an optimizer that takes all rows at once, and the same rows and network
    each time; an error where that cannot be.
    """
    if batch_size is not None and batch_size < rows:
        raise ValueError(
            f"batch_size is {batch_size}, but LBFGS needs all {rows} rows at once: leave it out"
        )
    if augment is not None:
        raise ValueError(
            "LBFGS needs the same rows each time: leave augment out, or use another optimizer"
        )
    if layers := random_layers(model):
        raise ValueError(
            f"LBFGS needs a network that gives the same result each time, but {layers[0]!r} draws "
            "random numbers: leave it out, or use another optimizer"
        )
    return rows
