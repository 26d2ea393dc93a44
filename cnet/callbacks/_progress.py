"""The callback that prints the progress of training."""

import sys
import time
from typing import Any

from cnet._utils.metric_modes import is_accuracy, mode_of
from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._trainer_state import Trainer


class ProgressBar(Callback):
    """Prints a line of metrics for each epoch and, interactively, a bar with the remaining time.

    Lines go to standard error, or to the output in a notebook. If standard error is not a terminal,
    there is no bar and no control character. ``verbose=True`` adds this callback in `Trainer.fit`.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> bar = cnet.callbacks.ProgressBar()
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], callbacks=[bar], verbose=False)
    """

    every_batch = False
    _catches_up = False

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self._epoch, self._epochs, self._before, self._step = 0, epochs, 0, 0
        self._bar: Any = None
        self._began = time.monotonic()
        self._notebook = "ipykernel" in sys.modules
        isatty = getattr(
            sys.stderr, "isatty", None
        )  # there may be no stderr at all, for example under pythonw
        if self._notebook or (isatty and isatty()):
            from tqdm.auto import tqdm

            total, shown = (
                (epochs * steps, "|{bar:30}| {percentage:3.0f} %, {remaining} left")
                if steps
                else (None, "{n} steps, {rate_fmt}")
            )
            self._bar = tqdm(
                desc=f"epoch 1/{epochs}",
                total=total,
                unit=" steps",
                leave=False,
                bar_format=f"{{desc}} {shown}",
            )

    def on_batch_end(self, trainer: Trainer, step: int, loss: float) -> None:
        self._step = step
        if self._bar is not None:
            self._bar.update(self._before + step - self._bar.n)

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        self._epoch += 1
        self._before += self._step
        names = [name for name in logs if name in trainer.metric_modes or mode_of(name)]
        titles = [
            ("val. " if name.startswith("val_") else "")
            + name.removeprefix("val_").replace("_", " ")
            for name in names
        ]
        widths = [max(15, len(title) + 2) for title in titles]
        width = 2 * len(str(self._epochs)) + 1
        if self._epoch == 1:
            self._print(
                f"{'epoch':>{width + 2}} {'seconds':>9}"
                + "".join(f"{title:>{wide}}" for title, wide in zip(titles, widths, strict=True))
            )
        cells = (
            f"{100 * logs[name]:.2f} %" if is_accuracy(name) else f"{logs[name]:.4f}"
            for name in names
        )
        label, now = f"{self._epoch}/{self._epochs}", time.monotonic()
        self._print(
            f"{label:>{width + 2}} {now - self._began:9.1f}"
            + "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, widths, strict=True))
        )
        self._began = now
        if self._bar is not None:
            self._bar.set_description_str(
                f"epoch {min(self._epoch + 1, self._epochs)}/{self._epochs}", refresh=False
            )

    def on_train_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if trainer.stop and self._epochs and not self._epoch:
            self._print(
                f"no epoch trained: a callback ended this training after epoch {trainer.epoch}"
            )

    def _print(self, line: str) -> None:
        file = sys.stdout if self._notebook else sys.stderr
        if self._bar is not None:
            self._bar.write(line, file=file)
        elif hasattr(file, "write"):
            print(line, file=file, flush=True)
