"""The data of `fit` and `evaluate`, checked against the model and the loss.

Arrays are checked as a whole, and each epoch visits them in a different order. Batches of an
iterable are checked one by one, and none is stored. Both provide runs for the engine of a trainer.
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
from cnet._training.steps import EpochResults
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
_MIN_NUMBERS = 8
"""Number of different, unsorted integers from which on they are not taken for weights."""


class Samples(NamedTuple):
    """Samples, their targets and their weights."""

    rows: Rows
    targets: Array
    weights: Array | None


class Run(NamedTuple):
    """Samples for one run of an engine, in batches of one size."""

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
        Prefix of the names in messages.
    change : callable
        Function that is applied to samples that fit.
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
        """Return a copy with another prefix, for other data."""
        return InputValidator(self._model, self._loss, prefix, self._change)

    def changing(self, change: Callable[[Rows], Rows]) -> InputValidator:
        """Return a copy that applies another function to the samples."""
        return InputValidator(self._model, self._loss, self.prefix, change)

    def __call__(self, x: Any, y: Any, sample_weight: Any = None, *, part: bool = False) -> Samples:
        """Check a data set, or a `part` of one, in which all weights may be 0."""
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
    """Return the shape of targets, for messages. Those of heads may differ in shape."""
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
    """Return whether `x` is an iterable of batches. Raises TypeError if `y` was forgotten."""
    if y is None and _is_array(x):
        raise TypeError("y is missing: expected targets for the rows of x")
    return y is None


def make_validation(data: Any, read: InputValidator, epochs: int) -> ArrayData | BatchIterable:
    """Check validation data for a number of epochs: arrays, or an iterable of batches."""
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
    """Raise ValueError if a setting is given that only arrays support."""
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"{name} is for arrays x and y: an iterable makes the batches as they shall be, "
                "(x, y) or (x, y, sample_weight)"
            )


def apply_augmentation(
    augment: Augment, samples: Samples, read: InputValidator
) -> tuple[Samples, InputValidator]:
    """Return augmented training samples, and the validator of validation data.

    Validation data is standardized like the training samples, but not augmented.
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
    """Return the batch size for an optimizer that needs all samples at once.

    It raises ValueError if the batch size is smaller, or if the samples or the outputs of the
    network change between steps.
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
