"""Callbacks that write the metrics of each epoch to files of other programs."""

import itertools
import os
from collections.abc import Iterable
from typing import Any, NoReturn

from cnet._utils.files import check_target, full_path
from cnet._utils.metric_modes import mode_of
from cnet._utils.validation import flag, is_count
from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._trainer_state import Trainer
from cnet.nn import Module

_numbers = itertools.count()
"""Number of TensorBoard files that this process has written."""


class CSVLogger(Callback):
    """Writes the metrics of each epoch to a CSV file, immediately. Arguments are those of Keras.

    In the first `Trainer.fit` after `Trainer.load_checkpoint`, the file is continued after the
    epoch of the checkpoint: lines of later epochs, which are trained again, are replaced.

    Parameters
    ----------
    filename : path-like
        ``~`` is expanded. An existing file is replaced when the first epoch has ended.
    separator : str
        A single character.
    append : bool
        Append to an existing file instead of replacing it. If its last line is incomplete, it is
        kept, and the next row starts a new line.

    Raises
    ------
    TypeError, ValueError
        If the separator is not a single character. In `fit`, before the first step: if an existing
        file to append to has other columns.
    OSError
        In `fit`, before the first step: if the folder does not exist or the file is not writable.

    Examples
    --------
    >>> import cnet, pathlib, tempfile
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1, weight_init="zeros"))
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> log = cnet.callbacks.CSVLogger(path)
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], callbacks=[log], verbose=False)
    >>> print(path.read_text())
    epoch,loss
    1,9.0
    <BLANKLINE>
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.filename, self.separator, self.append = filename, separator, append
        self._check_settings()
        self._file: Any = None

    def _check_settings(self) -> None:
        if (
            not isinstance(self.separator, str)
            or len(self.separator) != 1
            or self.separator in '"\r\n'
        ):
            raise ValueError(f"separator is {self.separator!r}, expected a single character")
        flag("append", self.append)

    def on_train_begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        self._check_settings()
        self._path = check_target(self.filename)
        self._metrics = list(trainer.metric_modes)
        self._look(self.append)

    def _look(self, keep: bool) -> None:
        """Read the columns and the number of rows of the file, if its content is to be kept."""
        import csv  # not at the top: few programs that import cnet write logs

        self._keep = keep
        self._columns: list[str] = []
        self._rows = self._last_epoch = 0  # rows in the file, and the epoch of the last row
        if keep and os.path.isfile(self._path):
            with open(self._path, newline="", encoding="utf-8-sig") as file:
                rows = csv.reader(file, delimiter=self.separator)
                self._columns = next(rows, [])
                self._rows = sum(1 for _ in rows)
        # Other columns cannot be checked yet: a callback before this one may add them to the logs.
        if self._columns and ["epoch", *self._metrics] != [
            n for n in self._columns if n == "epoch" or n in self._metrics or mode_of(n)
        ]:
            self._reject_columns(self._metrics)

    def _reject_columns(self, names: Iterable[str]) -> NoReturn:
        raise ValueError(
            f"{self._path} has the columns {', '.join(self._columns)}, but the values of an epoch "
            f"are {', '.join(['epoch', *names])}: use a new file"
        )

    def _open(self) -> None:
        """Open the file, not before the first epoch has ended.

        If training fails earlier, an existing log is not lost.
        """
        import csv

        self._file = open(self._path, "a" if self._keep else "w", newline="", encoding="utf-8")  # noqa: SIM115 - closed when training ends
        self._writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if self._keep and os.path.isfile(self._path) and os.path.getsize(self._path):
            with open(self._path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the last line is incomplete
                    self._file.write("\n")

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        if self._columns and self._columns != ["epoch", *logs]:
            self._reject_columns(logs)
        if self._file is None:
            self._open()
        if not self._columns:
            self._columns = ["epoch", *logs]
            self._writer.writerow(self._columns)
        self._writer.writerow([trainer.epoch, *logs.values()])
        self._file.flush()
        self._rows, self._last_epoch = self._rows + 1, trainer.epoch

    def on_train_end(self, trainer: Trainer) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _identity(self) -> dict[str, Any]:
        return {"file": os.path.basename(full_path(self.filename))}

    def state_dict(self) -> dict[str, Any]:
        """Return the columns, the number of rows, and the last epoch of the file."""
        return (
            {"columns": self._columns, "rows": self._rows, "epoch": self._last_epoch}
            if self._rows
            else {}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the file after its rows, without those of epochs that are trained again.

        `Trainer.fit` calls this after `on_train_begin`.
        """
        self._check_state(state)
        if os.path.isfile(self._path):
            self._drop_rows(**state)
        self._look(keep=True)

    def _drop_rows(self, columns: list[str], rows: int, epoch: int) -> None:
        """Truncate the file after `rows` rows, if all rows after them are of later epochs.

        Otherwise they belong to another training run.
        """
        import csv

        with open(self._path, "r+", newline="", encoding="utf-8") as file:
            kept = list(itertools.islice(file, 1 + rows))
            later = [line for line in file if line.endswith("\n")]  # the last may be incomplete
            if next(csv.reader(kept, delimiter=self.separator), []) == columns and all(
                self._epoch_of(line) > epoch for line in later
            ):
                file.truncate(len("".join(kept).encode()))

    def _epoch_of(self, line: str) -> int:
        cell = line.partition(self.separator)[0]
        return int(cell) if cell.isdecimal() else 0

    @classmethod
    def _check_state(cls, state: dict[str, Any], model: "Module | None" = None) -> None:
        columns = state.get("columns")
        if (
            state.keys() != {"columns", "rows", "epoch"}
            or not (
                isinstance(columns, list)
                and columns
                and all(isinstance(name, str) for name in columns)
            )
            or not (is_count(state["rows"]) and is_count(state["epoch"]))
        ):
            raise ValueError(
                "the state of CSVLogger is invalid: expected the columns, the number of rows and "
                "the last epoch"
            )


class TensorBoard(Callback):
    """Writes the metrics of each epoch for TensorBoard, shown by ``tensorboard --logdir logs``.

    Training metrics are written to the folder ``train`` in `log_dir`, validation metrics to
    ``validation``, under the same names, so that their curves are in one chart, as with Keras. This
    requires ``pip install "cnet[tensorboard]"``.

    Parameters
    ----------
    log_dir : path-like
        Folder of the run, created if necessary. ``~`` is expanded. Files of other runs in it are
        kept.

    Raises
    ------
    ImportError
        If tensorboardX, which writes the files, is not installed.
    OSError
        In `fit`, before the first step: if the folder is not writable.

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
            raise ImportError(
                'writing for TensorBoard requires tensorboardX: pip install "cnet[tensorboard]"'
            ) from None
        self.log_dir = log_dir
        self._writer = SummaryWriter
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, trainer: "Trainer", epochs: int, steps: int | None) -> None:
        self._open("train")  # fails before training if the folder is not writable

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        for name, value in logs.items():
            self._write(
                "validation" if name.startswith("val_") else "train",
                f"epoch_{name.removeprefix('val_')}",
                value,
                trainer.epoch,
            )
        for i, group in enumerate(trainer.optimizer.param_groups):
            if "lr" in group:
                self._write(
                    "train",
                    f"learning_rate_{i}" if i else "learning_rate",
                    group["lr"],
                    trainer.epoch,
                )
        for writer in self._writers.values():
            writer.flush()

    def _write(self, run: str, name: str, value: float, epoch: int) -> None:
        if run not in self._writers:
            self._open(run)
        self._writers[run].add_scalar(name, value, epoch)

    def _open(self, run: str) -> None:
        # The library names files by time in seconds and host, and would replace an existing file.
        suffix = f".{os.getpid()}.{next(_numbers):06d}.{os.urandom(4).hex()}"
        self._writers[run] = self._writer(
            os.path.join(full_path(self.log_dir), run), filename_suffix=suffix
        )

    def on_train_end(self, trainer: Trainer) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
