"""The callback that saves files during training."""

import math
import os
import string
import weakref
from typing import Any

from cnet._utils.files import check_target, full_path
from cnet._utils.validation import flag, is_number, real
from cnet.callbacks._callback import Logs
from cnet.callbacks._monitor import MonitorCallback
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module


class ModelCheckpoint(MonitorCallback):
    """Saves a checkpoint after each epoch, or after each best epoch. Arguments are those of Keras.

    The best value is kept for all calls of `Trainer.fit` of a trainer, and is restored from a
    checkpoint, so that a file of the best epoch is not replaced by a worse one. With another
    trainer, the callback starts from its initial state.

    The file contains the changes made by the callbacks before this one in the list. Training
    resumed from a checkpoint gives the same results wherever this callback is in the list: `fit`
    first calls the callbacks that had not yet been notified of the epoch.

    Parameters
    ----------
    filepath : path-like
        It may contain the epoch and its metrics:
        ``"digits-{epoch:02d}-{val_loss:.3f}.safetensors"``. ``~`` is expanded. An existing file is
        replaced. Folders whose names contain such fields are created; all others must exist.
    monitor : str
        Name of a metric in the history, or of a metric that another callback adds. Used with
        `save_best_only`.
    verbose : int
        1: print a line for each saved file.
    save_best_only : bool
        Save only if `monitor` has improved.
    save_weights_only : bool
        Save a model for `cnet.load` instead of a checkpoint for `Trainer.load_checkpoint`.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better. "auto" uses the direction of the metric: lower for
        losses, higher for accuracies.
    save_freq : "epoch"
        The only supported value: training can only resume from the end of an epoch. For shorter
        epochs, use ``steps_per_epoch`` of `Trainer.fit`.
    initial_value_threshold : float or None
        With `save_best_only`: save nothing until the metric is better than this value.

    Attributes
    ----------
    best : float or None
        Best value so far, or `initial_value_threshold`.

    Raises
    ------
    TypeError, ValueError
        If an option is invalid. In `fit`, before the first step: if there is no metric of the name
        in `monitor` or in a field of `filepath`.
    OSError
        In `fit`, before the first step: if the folder does not exist or is not writable.

    Examples
    --------
    >>> import cnet, os, tempfile
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    >>> folder = tempfile.mkdtemp()
    >>> saving = cnet.callbacks.ModelCheckpoint(os.path.join(folder, "epoch-{epoch}.safetensors"))
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=2, callbacks=[saving], verbose=False)
    >>> sorted(os.listdir(folder))
    ['epoch-1.safetensors', 'epoch-2.safetensors']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, verbose)
        self.filepath = os.fspath(filepath)
        self.save_best_only, self.save_weights_only, self.save_freq = (
            save_best_only,
            save_weights_only,
            save_freq,
        )
        self.initial_value_threshold = initial_value_threshold
        self._check_settings()
        self.best = initial_value_threshold
        self._best_of: weakref.ref[Trainer] | None = None

    def _check_settings(self) -> None:
        super()._check_settings()
        if not isinstance(self.filepath, str):
            raise TypeError(f"filepath is {self.filepath!r}, expected a string or a path")
        flag("save_best_only", self.save_best_only)
        flag("save_weights_only", self.save_weights_only)
        if self.save_freq != "epoch":
            raise ValueError(
                f"save_freq is {self.save_freq!r}, expected 'epoch': training can only resume from "
                "the end of an epoch. For shorter epochs, pass batches and steps_per_epoch to fit"
            )
        if self.initial_value_threshold is not None:
            real("initial_value_threshold", self.initial_value_threshold)
            if not self.save_best_only:
                raise ValueError(
                    "initial_value_threshold requires save_best_only=True: without it, every epoch "
                    "is saved"
                )

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self._check_settings()
        if self.save_best_only:
            self._find_direction(trainer)
        self._check_path(trainer)
        if self._best_of is None or self._best_of() is not trainer:
            self.best, self._best_of = self.initial_value_threshold, weakref.ref(trainer)

    def _check_path(self, trainer: "Trainer") -> None:
        """Raise an error if a file could not be written, as far as this can be known in advance."""
        path = self._path(trainer.epoch + 1, dict.fromkeys(trainer.metric_modes, 0.5))
        if self._makes_folders():
            path = os.path.join(os.path.dirname(full_path(_fixed_part(self.filepath))), ".cnet")
        check_target(path)

    def _makes_folders(self) -> bool:
        return os.path.dirname(_fixed_part(self.filepath)) != os.path.dirname(self.filepath)

    def _path(self, epoch: int, logs: Logs) -> str:
        names = ", ".join(["epoch", *logs])
        try:
            return full_path(self.filepath.format(**{**logs, "epoch": epoch}))
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"filepath is {self.filepath!r}, but the metrics of an epoch are {names}: there is "
                f"no {error}. A metric that another callback adds must be declared in its "
                "`metrics`, and that callback must precede this one"
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(
                f"filepath is {self.filepath!r}, which cannot be formatted with {names}: {error}"
            ) from None

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        path, best = self._path(trainer.epoch, logs), self.best
        if self.save_best_only:
            value = self._value(trainer, logs)
            worst = math.inf if self.direction == "min" else -math.inf
            shown = f"{worst if best is None else best:.5f}"
            if not self._better(value, best):
                self._say(f"Epoch {trainer.epoch}: {self.monitor} did not improve from {shown}")
                return
            self.best = value  # before saving, because the file contains it
            self._say(
                f"Epoch {trainer.epoch}: {self.monitor} improved from {shown} to {value:.5f}, "
                f"saving model to {path}"
            )
        else:
            self._say(f"Epoch {trainer.epoch}: saving model to {path}")
        try:
            if self._makes_folders():
                os.makedirs(os.path.dirname(path), exist_ok=True)
            if self.save_weights_only:
                trainer.model.save(path)
            else:
                trainer.save_checkpoint(path)
        except BaseException:
            self.best = best
            raise

    def _identity(self) -> dict[str, Any]:
        return (
            {
                "file": os.path.basename(self.filepath),
                "monitor": self.monitor,
                "direction": self.direction,
            }
            if self.save_best_only
            else {}
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the best value so far; empty without `save_best_only`."""
        return {"best": self.best} if self.save_best_only else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state. `Trainer.fit` calls this after `on_train_begin`."""
        self._check_state(state)
        self.best = state["best"]

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module | None" = None) -> None:
        if state.keys() != {"best"} or not (state["best"] is None or is_number(state["best"])):
            raise ValueError(
                f"the state of ModelCheckpoint is invalid: got {state!r}, expected the best value"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the trainer: a copy belongs to another trainer."""
        return vars(self) | {"_best_of": None}


def _fixed_part(template: str) -> str:
    """Return the text before the first field of a format string."""
    text = ""
    for literal, field, _, _ in string.Formatter().parse(template):
        text += literal
        if field is not None:
            break
    return text
