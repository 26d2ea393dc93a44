"""The check of samples, targets and weights against the model and the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnet._data.samples import Rows
from cnet._utils.arrays import Array, as_array, check_finite
from cnet.nn import Loss, Module


class Samples(NamedTuple):
    """Samples, their targets and their weights."""

    rows: Rows
    targets: Array
    weights: Array | None


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
            raise ValueError(f"{x_name} has no samples")
        try:
            targets = self._loss.prepare_target(y, self._model.output_shape(rows.row_shape), dtype)
        except ValueError as error:
            raise ValueError(
                f"{error} ({x_name} has shape {rows.x.shape}, {y_name} {_shape(y)})"
            ) from None
        if len(targets) != len(rows):
            raise ValueError(
                f"{x_name} has {len(rows)} samples, {y_name} {len(targets)} targets: expected one "
                "target per sample"
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
            f"{name} has shape {weights.shape}, expected ({rows},): a number for each sample"
        )
    check_finite(weights, name, dtype)
    if weights.min() < 0:
        raise ValueError(f"{name} holds {weights.min()}: weights must not be negative")
    weights = weights.astype(dtype)
    if not part and not weights.any():
        raise ValueError(
            f"{name} is 0 for every sample{f' in {dtype}' if np.any(sample_weight) else ''}: "
            "expected a positive weight for at least one"
        )
    return weights
