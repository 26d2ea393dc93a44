"""The data arguments of `Trainer.fit` and `Trainer.evaluate`: arrays or mini-batches, and how they
combine with the other arguments.
"""

from __future__ import annotations

from typing import Any

from cnet._training.array_data import ArrayData
from cnet._training.batch_iterable import BatchIterable, is_array, no_data
from cnet._training.inputs import InputValidator, Samples
from cnet._utils.validation import integer
from cnet.augment import Augment
from cnet.nn import Module
from cnet.nn._dropout import random_layers
from cnet.optim import LBFGS, Optimizer


def is_batches(x: Any, y: Any) -> bool:
    """Return whether `x` is an iterable of batches. Raises TypeError if `y` was forgotten."""
    if y is None and is_array(x):
        raise TypeError("y is missing: expected targets for the samples of x")
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
        raise no_data("validation_data", data)
    return BatchIterable(data, read, "validation_data", epochs)


def reject_for_batches(**settings: Any) -> None:
    """Raise ValueError if a setting is given that only arrays support."""
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f"{name} is for arrays x and y: an iterable makes the batches as they shall be, "
                "(x, y) or (x, y, sample_weight)"
            )


def reject_for_arrays(steps_per_epoch: Any) -> None:
    """Raise ValueError if the argument that only iterables support is given."""
    if steps_per_epoch is not None:
        raise ValueError(
            "steps_per_epoch is for an iterable of batches: with arrays, an epoch visits all "
            "samples"
        )


def fit_batches(
    batches: Any, read: InputValidator, optimizer: Optimizer, epochs: int, steps_per_epoch: Any
) -> BatchIterable:
    """Return the training data that an iterable of batches gives."""
    if isinstance(optimizer, LBFGS):
        raise ValueError("LBFGS needs all samples at once: pass arrays x and y instead of batches")
    steps = None if steps_per_epoch is None else integer("steps_per_epoch", steps_per_epoch, 1)
    return BatchIterable(batches, read, "x", epochs, steps)


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
            f"batch_size is {batch_size}, but LBFGS needs all {rows} samples at once: leave it out"
        )
    if augment is not None:
        raise ValueError(
            "LBFGS needs the same samples each time: leave augment out, or use another optimizer"
        )
    if layers := random_layers(model):
        raise ValueError(
            f"LBFGS needs a network that gives the same result each time, but {layers[0]!r} draws "
            "random numbers: leave it out, or use another optimizer"
        )
    return rows
