"""What `Trainer.fit` tells of its progress, and to whom.

A callback is a `Callback`, or any function ``f(trainer, logs)``, which is called at the end of each epoch.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnet._trainer import Trainer

__all__ = ["Callback", "ProgressBar"]

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


def as_callback(callback: Any) -> Callback:
    """A callback as it is, a function wrapped into one."""
    if isinstance(callback, Callback):
        return callback
    if callable(callback) and not isinstance(callback, type):
        return _Function(callback)
    raise TypeError(f"{callback!r} is no callback: expected a cnet.callbacks.Callback or a function f(trainer, logs)")


class ProgressBar(Callback):
    """A bar for each epoch, in a terminal and in a notebook; a line for each epoch anywhere else.

    Parameters
    ----------
    interval : float
        Seconds between updates.

    Examples
    --------
    ``verbose=True`` adds one; passed as a callback it may have other settings.

    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Linear(2, 1, weight_init="zeros")
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> bar = cnet.callbacks.ProgressBar(interval=1)
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], callbacks=[bar], verbose=False)  # doctest: +ELLIPSIS
    Epoch 1/1  ... s  loss 9.0000
    """

    def __init__(self, interval: float = 0.1) -> None:
        self.interval = interval
        self._bar: Any = None

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int) -> None:
        self._epoch, self._epochs, self._steps = 0, epochs, steps
        isatty = getattr(sys.stderr, "isatty", None)  # there may be no stderr at all, as under pythonw
        self._live = "ipykernel" in sys.modules or bool(isatty and isatty())
        self._next_update = self._started = time.monotonic()

    def on_batch_end(self, trainer: "Trainer", step: int, loss: float) -> None:
        if not self._live or (now := time.monotonic()) < self._next_update:
            return
        self._next_update = now + self.interval
        bar = self._open()
        bar.update(step - bar.n)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        self._epoch += 1
        numbers = {key: f"{value:.4f}" for key, value in logs.items()}
        if self._live:
            bar = self._open(self._epoch)
            bar.set_postfix(numbers, refresh=False)
            bar.update(self._steps - bar.n)
            self._close()
        else:
            seconds = time.monotonic() - self._started
            print(f"Epoch {self._epoch}/{self._epochs}  {seconds:.1f} s  " + "  ".join(f"{key} {value}" for key, value in numbers.items()), flush=True)
        self._started = time.monotonic()

    def on_train_end(self, trainer: "Trainer") -> None:
        self._close()

    def _open(self, epoch: int | None = None) -> Any:
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._steps, desc=f"Epoch {epoch or self._epoch + 1}/{self._epochs}", unit="step", dynamic_ncols=True)
        return self._bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
