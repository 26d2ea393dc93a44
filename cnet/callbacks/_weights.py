"""The callback that records the magnitude of weights."""

import weakref
from typing import Any

import numpy as np

from cnet._utils.validation import is_number
from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module


class WeightRecorder(Callback):
    """Records the largest absolute weight of each layer, before training and after each epoch.

    `cnet.plot.max_weights` plots the record. Further calls of `Trainer.fit` extend it; with another
    trainer, a new record starts. The first call after `Trainer.load_checkpoint` extends the record
    in the checkpoint.

    Attributes
    ----------
    max_abs : dict of lists
        Values by the names of `state_dict`, such as ``"0.weight"``. Biases are not recorded.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> recorder = cnet.callbacks.WeightRecorder()
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=3, callbacks=[recorder], verbose=False)
    >>> {name: len(values) for name, values in recorder.max_abs.items()}
    {'0.weight': 4}
    """

    def __init__(self) -> None:
        self.max_abs: dict[str, list[float]] = {}
        self._record_of: weakref.ref[Trainer] | None = None

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        if self._record_of is None or self._record_of() is not trainer:
            self.max_abs, self._record_of = {}, weakref.ref(trainer)
        if not self.max_abs:
            self._record(trainer)

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        self._record(trainer)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the trainer: a copy belongs to another trainer."""
        return vars(self) | {"_record_of": None}

    def state_dict(self) -> dict[str, Any]:
        """Return the record."""
        return {"max_abs": {name: list(values) for name, values in self.max_abs.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a record. `Trainer.fit` calls this after `on_train_begin`."""
        self._check_state(state)
        self.max_abs = {name: list(values) for name, values in state["max_abs"].items()}

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module | None" = None) -> None:
        match state:
            case {"max_abs": dict(record)} if len(state) == 1 and all(
                isinstance(v, list) and all(map(is_number, v)) for v in record.values()
            ):
                return
        raise ValueError(
            "the state of WeightRecorder is invalid: expected lists of numbers by the names of "
            "weights"
        )

    def _record(self, trainer: Trainer) -> None:
        for name, parameter in trainer.model.named_parameters():
            if name.endswith("weight"):
                self.max_abs.setdefault(name, []).append(
                    float(np.abs(parameter.data).max(initial=0))
                )
