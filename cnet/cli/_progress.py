"""Progress of training on standard error: a line for each epoch, and in a terminal a bar for the one that runs."""

import sys
import time

from cnet import Trainer
from cnet.callbacks import Callback, Logs

_INTERVAL = 0.1  # seconds between two looks of the bar
_BAR = 30
_COLUMNS = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val. loss", "val_accuracy": "val. accuracy"}


class Progress(Callback):
    """A table that grows by a line an epoch, and fits into 80 columns with validation as well.

    Where standard error is no terminal, there is no bar, and no control character.
    """

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int) -> None:
        self._epochs, self._steps = epochs, steps
        self._live = sys.stderr.isatty()
        self._shown = 0  # characters of the bar on the screen
        self._step = self._epoch = 0
        self._began = self._epoch_began = self._last_look = time.monotonic()

    def on_batch_end(self, trainer: Trainer, step: int, loss: float) -> None:
        now = time.monotonic()
        if self._live and now - self._last_look >= _INTERVAL:
            self._last_look = now
            self._show(self._bar(step, now))

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        now = time.monotonic()
        self._epoch += 1
        self._clear()
        names = [name for name in _COLUMNS if name in logs]
        width = 2 * len(str(self._epochs)) + 1
        if self._epoch == 1:
            print(f"\n{'epoch':>{width + 4}} {'seconds':>9}" + "".join(f"{_COLUMNS[name]:>15}" for name in names), file=sys.stderr)
        cells = (f"{100 * logs[name]:.2f} %" if name.endswith("accuracy") else f"{logs[name]:.4f}" for name in names)
        label = f"{self._epoch}/{self._epochs}"
        print(f"{label:>{width + 4}} {now - self._epoch_began:9.1f}" + "".join(f"{cell:>15}" for cell in cells), file=sys.stderr, flush=True)
        self._epoch_began = now

    def on_train_end(self, trainer: Trainer) -> None:
        self._clear()
        if self._epoch:
            print(file=sys.stderr, flush=True)

    def _bar(self, step: int, now: float) -> str:
        filled = _BAR * step // self._steps
        done = self._epoch * self._steps + step
        left = (now - self._began) / done * (self._epochs * self._steps - done)
        return f"epoch {self._epoch + 1}/{self._epochs} [{'#' * filled}{'.' * (_BAR - filled)}] {100 * step // self._steps:3} %, {left:.0f} s left"

    def _show(self, text: str) -> None:
        sys.stderr.write(f"\r{text:{self._shown}}")
        sys.stderr.flush()
        self._shown = len(text)

    def _clear(self) -> None:
        """Make room for a line; blanks do in any terminal. Ctrl-C may have left a ^C behind the bar."""
        if self._shown:
            sys.stderr.write(f"\r{'':{self._shown + 2}}\r")
            self._shown = 0
