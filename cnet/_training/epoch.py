"""Undo of an epoch in which training diverges, from a copy of the state before it."""

from __future__ import annotations

import math

import numpy as np

from cnet.callbacks._trainer_state import TrainerState
from cnet.nn._dropout import random_layers


class Epoch:
    """A copy of the weights, optimizer state and random states before an epoch.

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: TrainerState) -> None:
        self._trainer = trainer
        self._values = [(state, state.data.copy()) for state in trainer.model._states()]
        self._optimizer = trainer.optimizer._copy_state()
        self._random = [(layer, layer.step) for layer in random_layers(trainer.model)]

    def check_loss(self, loss: float, step: int) -> None:
        """Undo the epoch and raise FloatingPointError if the loss of a step is not finite."""
        if not math.isfinite(loss):
            raise self._diverged(f"the loss of step {step} is {loss}")

    def check_weights(self) -> None:
        """Undo the epoch and raise FloatingPointError if a weight is not finite."""
        if not all(np.isfinite(state.data).all() for state, _ in self._values):
            raise self._diverged("a weight is no longer finite")

    def undo(self) -> None:
        """Restore the state from before the epoch."""
        for state, values in self._values:
            state.data = values
        self._trainer.optimizer._set_state(self._optimizer)
        for layer, step in self._random:
            layer.step = step

    def _diverged(self, problem: str) -> FloatingPointError:
        self.undo()
        rates = sorted(
            {group["lr"] for group in self._trainer.optimizer.param_groups if group.get("lr")}
        )
        below, such = (
            ", ".join(f"{rate:g}" for rate in several)
            for several in (rates, [min(rate / 10, 0.1) for rate in rates])
        )
        hint = f"; a learning rate below {below} may help, such as {such}" if rates else ""
        return FloatingPointError(
            f"training diverged in epoch {self._trainer.epoch + 1}: {problem}. The weights are "
            f"those from before the epoch{hint}"
        )
