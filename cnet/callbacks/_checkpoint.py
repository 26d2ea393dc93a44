"""Files written while training."""

import os
from typing import TYPE_CHECKING

from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._monitor import Monitor

if TYPE_CHECKING:
    from cnet._trainer import Trainer


class ModelCheckpoint(Callback):
    """Writes a checkpoint after each epoch, or after each that is the best so far. Names are those of Keras.

    Give it last, so that what other callbacks change is in the file.

    Parameters
    ----------
    filepath : path-like
        May name the epoch and its numbers: ``"digits-{epoch:02d}-{val_loss:.3f}.safetensors"``. A file that is there is replaced.
    monitor : str
        A name in the history; with `save_best_only`.
    save_best_only : bool
        Only where `monitor` has improved.
    save_weights_only : bool
        Write a model for `cnet.load`, and not a checkpoint for `Trainer.load_checkpoint`.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracies, and less for all else.

    Raises
    ------
    ValueError
        If the mode is unknown; in `fit`, if an epoch has no number that `monitor` or `filepath` names.

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
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
    ) -> None:
        self.filepath, self.save_best_only, self.save_weights_only = os.fspath(filepath), save_best_only, save_weights_only
        self._monitor = Monitor(monitor, mode)

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        if self.save_best_only and not self._monitor.improved(logs):
            return
        try:
            path = self.filepath.format(epoch=trainer.epoch, **logs)
        except (KeyError, IndexError):
            raise ValueError(f"filepath is {self.filepath!r}, but an epoch ends with {', '.join(['epoch', *logs])}") from None
        if self.save_weights_only:
            trainer.model.save(path)
        else:
            trainer.save_checkpoint(path)
