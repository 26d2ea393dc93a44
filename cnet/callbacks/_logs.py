"""The numbers of each epoch, written where other programs find them."""

import os
from typing import TYPE_CHECKING, Any

from cnet.callbacks._callback import Callback, Logs

if TYPE_CHECKING:
    from cnet._trainer import Trainer


class CSVLogger(Callback):
    """Writes a line for each epoch to a CSV file, at once. Names and meaning are those of Keras.

    Parameters
    ----------
    filename : path-like
    separator : str
        One character.
    append : bool
        Go on at the end of a file that is there, and do not replace it.

    Raises
    ------
    TypeError, ValueError
        If the separator is not one character; in `fit`, if a file to append to has other columns.
    OSError
        In `fit`, if the file cannot be written.

    Examples
    --------
    >>> import cnet, pathlib, tempfile
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1, weight_init="zeros"))
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=1, callbacks=[cnet.callbacks.CSVLogger(path)], verbose=False)
    >>> print(path.read_text())
    epoch,loss
    1,9.0
    <BLANKLINE>
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        if not isinstance(separator, str) or len(separator) != 1:
            raise ValueError(f"separator is {separator!r}, expected one character")
        self.filename, self.separator, self.append = filename, separator, append
        self._file: Any = None

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        import csv  # not at the top: few programs that import cnet write logs

        self._columns: list[str] = []
        if self.append and os.path.isfile(self.filename):
            with open(self.filename, newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file, delimiter=self.separator), [])
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115 - closed when training ends
        self._writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        if not self._columns:
            self._columns = ["epoch", *logs]
            self._writer.writerow(self._columns)
        if self._columns != ["epoch", *logs]:
            raise ValueError(
                f"{self.filename} has the columns {', '.join(self._columns)}, but an epoch ends with {', '.join(['epoch', *logs])}: use a new file"
            )
        self._writer.writerow([trainer.epoch, *logs.values()])
        self._file.flush()

    def on_train_end(self, trainer: "Trainer") -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class TensorBoard(Callback):
    """Writes the numbers of each epoch for TensorBoard: ``tensorboard --logdir logs`` shows them.

    Training goes to the folder ``train`` in `log_dir` and validation to ``validation``, under the same names, so that
    curves share a diagram, as those of Keras do. Needs ``pip install "cnet[tensorboard]"``.

    Parameters
    ----------
    log_dir : path-like
        A folder for each run.

    Raises
    ------
    ImportError
        If the library that writes the files is not installed.

    Examples
    --------
    >>> import cnet
    >>> callback = cnet.callbacks.TensorBoard("logs/first")  # doctest: +SKIP
    >>> history = trainer.fit(x, y, epochs=10, callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, log_dir: str | os.PathLike[str] = "logs") -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError('writing for TensorBoard needs tensorboardX: pip install "cnet[tensorboard]"') from None
        self.log_dir = log_dir
        self._writer = SummaryWriter
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, trainer: "Trainer", logs: Logs) -> None:
        for name, value in logs.items():
            self._write("validation" if name.startswith("val_") else "train", f"epoch_{name.removeprefix('val_')}", value, trainer.epoch)
        for i, group in enumerate(trainer.optimizer.param_groups):
            if "lr" in group:
                self._write("train", f"learning_rate_{i}" if i else "learning_rate", group["lr"], trainer.epoch)
        for writer in self._writers.values():
            writer.flush()

    def _write(self, run: str, name: str, value: float, epoch: int) -> None:
        if run not in self._writers:
            self._writers[run] = self._writer(os.path.join(self.log_dir, run))
        self._writers[run].add_scalar(name, value, epoch)

    def on_train_end(self, trainer: "Trainer") -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
