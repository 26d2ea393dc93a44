"""What `Trainer.fit` tells of its progress, and to whom.

A callback is a `Callback`, a scheduler of `cnet.optim.lr_scheduler`, or any function ``f(trainer, logs)``, which is called at the end of each epoch.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cnet.optim.lr_scheduler import LRScheduler

if TYPE_CHECKING:
    from cnet._trainer import Trainer

__all__ = ["Callback", "ProgressBar", "WeightRecorder"]

Logs = dict[str, float]


class Callback:
    """Base of the callbacks: override what is of interest.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> class Stop(cnet.callbacks.Callback):
    ...     def on_epoch_end(self, trainer, logs):
    ...         if logs["loss"] < 1e3:
    ...             trainer.stop = True
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> len(trainer.fit([[1.0, 2.0]], [3.0], epochs=5, callbacks=[Stop()], verbose=False)["loss"])
    1
    """

    every_batch = True
    """Whether `on_batch_end` is wanted after each step, or, which costs nothing, some tens of times a second."""

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int) -> None:
        """Before the first of `epochs` epochs of `steps` steps each."""

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        """After step `step` (from 1) of an epoch; called only where a class overrides it."""

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        """After an epoch and its validation; `logs` has the epoch's numbers. Setting ``trainer.stop`` ends training."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """After the last epoch, also when training was interrupted."""


class _Function(Callback):
    def __init__(self, function: Callable[["Trainer", Logs], Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self.function(trainer, logs)


class _SchedulePerEpoch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self.scheduler.on_epoch_end(logs)


class _SchedulePerBatch(Callback):
    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int) -> None:
        self.scheduler.on_train_begin(epochs * steps)

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        self.scheduler.step()


def as_callback(callback: Any) -> Callback:
    """A callback as it is, a scheduler of learning rates or a function wrapped into one."""
    if isinstance(callback, LRScheduler):
        return (_SchedulePerBatch if callback.per_batch else _SchedulePerEpoch)(callback)
    if isinstance(callback, Callback):
        return callback
    if callable(callback) and not isinstance(callback, type):
        return _Function(callback)
    raise TypeError(f"{callback!r} is no callback: expected a cnet.callbacks.Callback or a function f(trainer, logs)")


class ProgressBar(Callback):
    """A line of figures for each epoch and, in a terminal or a notebook, a bar with the time left.

    Lines go to standard error, in a notebook to its output. Where standard error is no terminal there is no bar, and no
    control character. ``verbose=True`` adds one of these to `Trainer.fit`.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], callbacks=[cnet.callbacks.ProgressBar()], verbose=False)
    """

    every_batch = False
    _COLUMNS: ClassVar = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val. loss", "val_accuracy": "val. accuracy"}

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int) -> None:
        self._epoch, self._epochs, self._steps = 0, epochs, steps
        self._bar: Any = None
        self._began = time.monotonic()
        self._notebook = "ipykernel" in sys.modules
        isatty = getattr(sys.stderr, "isatty", None)  # there may be no stderr at all, as under pythonw
        if self._notebook or (isatty and isatty()):
            from tqdm.auto import tqdm

            self._bar = tqdm(desc=f"epoch 1/{epochs}", total=epochs * steps, leave=False, bar_format="{desc} |{bar:30}| {percentage:3.0f} %, {remaining} left")

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        if self._bar is not None:
            self._bar.update(self._epoch * self._steps + step - self._bar.n)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self._epoch += 1
        names = [name for name in self._COLUMNS if name in logs]
        width = 2 * len(str(self._epochs)) + 1
        if self._epoch == 1:
            self._print(f"{'epoch':>{width + 2}} {'seconds':>9}" + "".join(f"{self._COLUMNS[name]:>15}" for name in names))
        cells = (f"{100 * logs[name]:.2f} %" if name.endswith("accuracy") else f"{logs[name]:.4f}" for name in names)
        label, now = f"{self._epoch}/{self._epochs}", time.monotonic()
        self._print(f"{label:>{width + 2}} {now - self._began:9.1f}" + "".join(f"{cell:>15}" for cell in cells))
        self._began = now
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {min(self._epoch + 1, self._epochs)}/{self._epochs}", refresh=False)

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print(self, line: str) -> None:
        file = sys.stdout if self._notebook else sys.stderr
        if self._bar is not None:
            self._bar.write(line, file=file)
        elif hasattr(file, "write"):
            print(line, file=file, flush=True)


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

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int) -> None:
        if not self.max_abs:
            self._record(trainer)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self._record(trainer)

    def _record(self, trainer: "Trainer") -> None:
        for name, parameter in trainer.model.named_parameters():
            if name.endswith("weight"):
                self.max_abs.setdefault(name, []).append(float(np.abs(parameter.data).max(initial=0)))
