"""Undo of an epoch in which training diverges, from a copy of the state before it."""

from __future__ import annotations

import math

import numpy as np

from cnet.callbacks._trainer_state import TrainerState
from cnet.nn._dropout import random_layers


class Epoch:
    """The current epoch, or several that run in one call, with a copy of the state before it.

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: TrainerState) -> None:
        self._trainer = trainer
        self._states = trainer.model._states()
        self._random_layers = random_layers(trainer.model)

    def begin(self) -> None:
        """Copy the weights, optimizer state and random states."""
        self._values = [state.data.copy() for state in self._states]
        self._optimizer = self._trainer.optimizer._copy_state()
        self._random_steps = [layer.step for layer in self._random_layers]

    def check_loss(self, loss: float, step: int) -> None:
        """Undo the epoch and raise FloatingPointError if the loss of a step is not finite."""
        if not math.isfinite(loss):
            raise self._diverged(f"the loss of step {step} is {loss}")

    def check_weights(self) -> None:
        """Undo the epoch and raise FloatingPointError if a weight is not finite."""
        if not self.weights_are_finite():
            raise self._diverged("a weight is no longer finite")

    def weights_are_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(np.isfinite(state.data).all() for state in self._states)

    def undo(self) -> None:
        """Restore the state from before the epoch."""
        for state, values in zip(self._states, self._values, strict=True):
            state.data = values
        self._trainer.optimizer._set_state(self._optimizer)
        for layer, step in zip(self._random_layers, self._random_steps, strict=True):
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
