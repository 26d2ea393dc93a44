"""Single training steps, on mini-batches that a caller passes one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cnet._data.samples import TransientSamples
from cnet._training.compiled import CompiledEngine
from cnet._training.eager import EagerEngine
from cnet._training.engine import make_engine
from cnet._training.epoch import Epoch
from cnet._training.exclusive import claimed, claims
from cnet._training.inputs import InputValidator, Samples
from cnet.callbacks._trainer_state import TrainerState
from cnet.nn import Loss, Module
from cnet.nn._ends import check_end
from cnet.nn._parameter import Parameter, make_writable


class Stepper:
    """Takes steps with one loss, and keeps the compiled program between them.

    Parameters
    ----------
    trainer : Trainer
    loss : nn.Loss
        Loss of the steps, in place of the trainer's.
    """

    def __init__(self, trainer: TrainerState, loss: Loss) -> None:
        model, optimizer = trainer.model, trainer.optimizer
        check_end(model, loss)
        optimizer._check_model(model)
        for state in model._states():
            make_writable(state)
        self._trainer, self._parts = trainer, (model, loss, optimizer, trainer.compile)
        self._structure = Module._changes, Parameter._exchanges
        self._read = InputValidator(model, loss)
        self._claims = claims(model)
        self._engines: dict[Any, EagerEngine | CompiledEngine] = {}
        """Engines by the shape of samples and targets."""

    def fits(self, loss: Loss) -> bool:
        """Return whether it can take steps with this loss, and the trainer has not been changed."""
        trainer = self._trainer
        return self._parts == (
            trainer.model,
            loss,
            trainer.optimizer,
            trainer.compile,
        ) and self._structure == (Module._changes, Parameter._exchanges)

    def step(self, x: Any, y: Any, sample_weight: Any) -> float:
        """Take a step on a mini-batch; returns its mean loss before the step.

        Raises FloatingPointError if the loss is not finite. Then the step changes no weight.
        """
        samples = self._read(x, y, sample_weight, part=True)
        with claimed(self._claims):
            loss = self._take(samples)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"training diverged: the loss of the mini-batch is {loss}. The weights are those "
                "from before the step"
            )
        return loss

    def _take(self, samples: Samples) -> float:
        rows, targets, weights = samples
        kind = rows.row_shape, targets.dtype, targets.shape[1:], weights is None
        engine = self._engines.get(kind)
        if engine is None:
            model, criterion, optimizer, compiled = self._parts
            batch = samples._replace(rows=TransientSamples(rows))
            engine = make_engine(model, criterion, optimizer, *batch, compiled=compiled)
            self._engines[kind] = engine
        if isinstance(engine, CompiledEngine):
            return engine.step(rows.x, targets, weights)
        n, before = len(rows), Epoch(self._trainer)
        before.begin()
        engine.bind(*samples)
        try:
            loss = next(engine.run(np.arange(n), n, True)).losses[0]
        except BaseException:
            before.undo()
            raise
        if not math.isfinite(loss):
            before.undo()
        return loss
