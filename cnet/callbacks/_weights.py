"""How weights grow."""

from typing import TYPE_CHECKING

import numpy as np

from cnet.callbacks._callback import Callback, Logs

if TYPE_CHECKING:
    from cnet._trainer import Trainer


class WeightRecorder(Callback):
    """Records the largest absolute weight of each layer, before training and after each epoch.

    `cnet.plot.max_weights` draws it. Another call of `Trainer.fit` goes on from there.

    Attributes
    ----------
    max_abs : dict of lists
        By the names that `state_dict` has, such as ``"0.weight"``; biases are left out.

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

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        if not self.max_abs:
            self._record(trainer)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self._record(trainer)

    def _record(self, trainer: "Trainer") -> None:
        for name, parameter in trainer.model.named_parameters():
            if name.endswith("weight"):
                self.max_abs.setdefault(name, []).append(float(np.abs(parameter.data).max(initial=0)))
