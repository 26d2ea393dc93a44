"""The choice of an engine: compiled if model, loss and optimizer allow it, else eager."""

from __future__ import annotations

import logging

from cnet._compiler.program import lower, why_eager
from cnet._data.samples import Rows
from cnet._training.compiled import CompiledEngine
from cnet._training.eager import EagerEngine
from cnet._utils.arrays import Array
from cnet.nn import Loss, Module
from cnet.optim import Optimizer

_logger = logging.getLogger("cnet")


def make_engine(
    model: Module,
    loss: Loss,
    optimizer: Optimizer | None,
    rows: Rows,
    targets: Array,
    weights: Array | None = None,
    compiled: bool = True,
) -> EagerEngine | CompiledEngine:
    """Return the engine for training, or for evaluation if `optimizer` is None.

    The reason for an eager engine is logged at debug level, to the logger "cnet".
    """
    lowered = lower(model, loss, optimizer, rows.row_shape) if compiled else None
    engine: EagerEngine | CompiledEngine
    if lowered is None:
        _logger.debug(
            "%s: %s",
            type(model).__name__,
            explain(model, loss, optimizer, compiled, rows.row_shape),
        )
        engine = EagerEngine(model, loss, optimizer)
    else:
        engine = CompiledEngine(lowered, model, loss, optimizer)  # type: ignore[arg-type] # lower has checked it
    engine.bind(rows, targets, weights)
    return engine


def explain(
    model: Module,
    loss: Loss,
    optimizer: Optimizer | None,
    compiled: bool,
    shape: tuple[int, ...] | None,
) -> str:
    """Return a sentence on whether training is compiled; if not, with the reason.

    `shape` is that of a sample; None if it is not known.
    """
    if not compiled:
        reason = "compile is False"
    elif not (reason := why_eager(model, loss, optimizer)):
        if shape is None or lower(model, loss, optimizer, shape):
            return "Training is compiled."
        reason = "a layer has no compiled form with its options"
    return f"Training runs layer by layer: {reason}."
