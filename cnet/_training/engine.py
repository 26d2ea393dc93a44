"""The choice of an engine: compiled where model, loss and optimizer allow it, else eager."""

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
    """The engine for a training step, or for evaluation if `optimizer` is None.

    The reason for an eager engine is logged at debug level, to the logger "cnet".
    """
    lowered = lower(model, loss, optimizer, rows.row_shape) if compiled else None
    engine: EagerEngine | CompiledEngine
    if lowered is None:
        _logger.debug(
            "%s runs eagerly: %s", type(model).__name__, reason(model, loss, optimizer, compiled)
        )
        engine = EagerEngine(model, loss, optimizer)
    else:
        engine = CompiledEngine(lowered, model, loss, optimizer)  # type: ignore[arg-type] # lower has checked it
    engine.bind(rows, targets, weights)
    return engine


def reason(model: Module, loss: Loss, optimizer: Optimizer | None, compiled: bool = True) -> str:
    """A sentence on why a model runs eagerly."""
    if not compiled:
        return "compile is False"
    return why_eager(model, loss, optimizer) or "a layer has no compiled form with its options"
