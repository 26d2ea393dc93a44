"""The training loop: batches, epochs, history. No arithmetic of its own."""

import math
import operator
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet import _checkpoint
from cnet._arrays import Array, check_finite, seed_sequence
from cnet._engine import Compiled, Loop, Team, engine
from cnet._rows import Rows
from cnet.augment import Augment
from cnet.callbacks import Callback, Logs, ProgressBar, as_callback
from cnet.nn import Buffer, Loss, Module, Parameter
from cnet.optim import Optimizer

History = dict[str, list[float]]

_EVALUATION_ROWS = 512


class Trainer:
    """Trains a model with a loss and an optimiser.

    Parameters
    ----------
    model : nn.Module
    loss : nn.Loss
    optimizer : optim.Optimizer

    Attributes
    ----------
    epoch : int
        Epochs trained so far, over all calls of `fit`.
    step : int
        Steps taken in these epochs.
    seed : int or None
        Of the order of rows in the last `fit`, which drew one if it was given none.
    history : dict of lists
        What the last `fit` returned; while it runs, and after an interruption, the epochs done.
    stop : bool
        A callback sets it to end training after the current epoch.

    Examples
    --------
    >>> import cnet
    >>> from cnet import datasets, nn, optim
    >>> data = datasets.digits(train=500, test=100, seed=0)
    >>> model = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10), seed=0)
    >>> trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> history = trainer.fit(*data.train, epochs=3, seed=0, verbose=False)
    >>> len(history["loss"])
    3
    >>> sorted(trainer.evaluate(*data.test))
    ['accuracy', 'loss']
    """

    def __init__(self, model: Module, loss: Loss, optimizer: Optimizer) -> None:
        for name, value, kind, example in (
            ("model", model, Module, "nn.Sequential(...)"),
            ("loss", loss, Loss, "nn.CrossEntropyLoss()"),
            ("optimizer", optimizer, Optimizer, "optim.SGD(model.parameters(), lr=0.1)"),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"{name} is {value!r}, expected one such as {example}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.epoch = self.step = 0
        self.seed: Any = None
        self._resumed_seed: Any = None
        self.history: History = {}
        self.stop = False
        self._team, self._evaluation_team = Team(), Team()

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        augment: Augment | None = None,
        callbacks: Iterable[Any] = (),
        verbose: bool = True,
    ) -> History:
        """Train for a number of epochs. Calling it again goes on from there.

        Everything is checked before the first step. A ``KeyboardInterrupt`` passes through between two kernels: the
        model keeps what it has learned, and `history` the epochs done.

        Parameters
        ----------
        x : array-like, shape (n, ...)
            Real numbers of any dtype and layout; it is read in place. uint8 is taken as grey levels and divided by
            255, batch by batch.
        y : array-like
            Targets, as the loss takes them: labels (n,), or n rows; for a net with several heads a list of these, or a
            dictionary by the names of the heads.
        epochs : int
            At least 0.
        batch_size : int
            At least 1. The last batch of an epoch may be smaller.
        shuffle : bool
            Visit the rows in a new random order in each epoch.
        seed : int or None
            Of the order: epoch `k` of a trainer has the same order for the same seed. None draws one from the
            operating system or, after `load_checkpoint`, takes that of the checkpoint.
        validation_data : (x, y) or None
            Evaluated after each epoch.
        augment : cnet.augment.Augment or None
            Varies the images of each batch, anew in each epoch. Validation data is not varied.
        callbacks : iterable
            See `cnet.callbacks`.
        verbose : bool
            Show progress.

        Returns
        -------
        dict of lists
            One number per epoch under ``"loss"``, ``"accuracy"`` (where the loss classifies; see `nn.HeadsLoss` for
            several heads) and, with validation data, ``"val_loss"`` and ``"val_accuracy"``. Training figures are means over the epoch,
            taken while the model learns. ``pandas.DataFrame(history)`` makes a table of it.

        Raises
        ------
        TypeError, ValueError
            If anything does not fit.
        RuntimeError
            If the model is being trained already, by another thread.
        FloatingPointError
            If training diverges: the loss or a weight is no longer finite. The weights, and what the optimiser remembers, are
            those from before the epoch.
        """
        epochs = _count("epochs", epochs, 0)
        batch_size = _count("batch_size", batch_size, 1)
        rows, targets = self._data(x, y, "x", "y")
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
                raise TypeError(f"validation_data is of type {type(validation_data).__name__}, expected a pair (x, y)")
            validation = self._data(*validation_data, "validation x", "validation y")
        if augment is not None:
            rows, validation = _augmented(augment, rows, validation)
        order = _Order(len(rows), batch_size, shuffle, self._resumed_seed if seed is None else seed)
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks is {callbacks!r}, expected a list such as [callback]")
        listeners = [as_callback(callback) for callback in callbacks]
        if verbose and not any(isinstance(listener, ProgressBar) for listener in listeners):
            listeners.append(ProgressBar())

        if not {*self.model.parameters()} & {parameter for group in self.optimizer.param_groups for parameter in group["params"]}:
            raise ValueError("the optimizer holds none of the model's parameters: construct it with model.parameters() of this model")
        with _exclusive(self.model):
            return self._fit(rows, targets, order, epochs, validation, listeners)

    def _fit(self, rows: Rows, targets: Array, order: "_Order", epochs: int, validation: tuple[Rows, Array] | None, listeners: list[Callback]) -> History:
        steps = engine(self.model, self.loss, self.optimizer, rows, targets, self._team)
        self.history = {}
        self.stop = False
        self.seed = order.seed
        done = 0
        try:
            for listener in listeners:
                listener.on_train_begin(self, epochs, order.steps)
            for _ in range(epochs):
                rows.epoch = self.epoch
                logs = self._train_epoch(steps, order, listeners)
                self.epoch += 1
                self.step += order.steps
                if validation is not None:
                    logs |= {f"val_{key}": value for key, value in self._evaluate(*validation).items()}
                for key, value in logs.items():
                    self.history.setdefault(key, []).append(value)
                done += 1
                for listener in listeners:
                    listener.on_epoch_end(self, logs)
                if self.stop:
                    break
        finally:
            for values in self.history.values():
                del values[done:]  # an interrupt came between two numbers of an epoch
            for listener in listeners:
                listener.on_train_end(self)
        return self.history

    def evaluate(self, x: ArrayLike, y: ArrayLike) -> Logs:
        """The mean loss and, where the loss classifies, the share of rows classified rightly.

        Parameters
        ----------
        x, y : array-like
            As for `fit`.

        Returns
        -------
        dict
            ``"loss"`` and ``"accuracy"``.

        Raises
        ------
        TypeError, ValueError
            If anything does not fit.
        """
        return self._evaluate(*self._data(x, y, "x", "y"))

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that training goes on from to a safetensors file, as it is between two epochs.

        That is: weights, what the optimiser remembers and its settings, `epoch`, `step`, `history`, the seed of the order, and
        where layers that draw random numbers are. The file is written beside its final place and moved there when complete.

        Parameters
        ----------
        path : path-like
            Ends in ``.safetensors`` by custom.

        Raises
        ------
        TypeError
            If the optimiser remembers something else than arrays.
        """
        _checkpoint.save(self, path)

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Go back to what `save_checkpoint` wrote, in a trainer of the same kind.

        Training then goes on to the same bits as if it had never ended, given the same data and arguments; `fit` starts a new
        `history`. Change learning rates after loading.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, or no checkpoint of such a model and optimiser; then nothing is changed.

        Examples
        --------
        >>> import cnet, os, tempfile
        >>> from cnet import nn, optim
        >>> def trainer():
        ...     model = nn.Sequential(nn.Linear(2, 1), seed=0)
        ...     return cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
        >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
        >>> first, second = trainer(), trainer()
        >>> history = first.fit([[1.0, 2.0], [2.0, 1.0]], [3.0, 0.0], epochs=5, verbose=False)
        >>> first.save_checkpoint(path)
        >>> second.load_checkpoint(path)
        >>> second.epoch
        5
        """
        _checkpoint.load(self, path)

    def _data(self, x: ArrayLike, y: ArrayLike, x_name: str, y_name: str) -> tuple[Rows, Array]:
        """Inputs and targets, checked against the model, the loss and each other."""
        rows = Rows(x, self.model.dtype, x_name)
        if not len(rows):
            raise ValueError(f"{x_name} has no rows")
        try:
            targets = self.loss.prepare_target(y, self.model.output_shape(rows.row_shape), self.model.dtype)
        except ValueError as error:
            raise ValueError(f"{error} ({x_name} has shape {rows.x.shape}, {y_name} {_shape(y)})") from None
        if len(targets) != len(rows):
            raise ValueError(f"{x_name} has {len(rows)} rows, {y_name} {len(targets)}: expected one target per row")
        check_finite(rows.x, x_name, self.model.dtype)
        return rows, targets

    def _train_epoch(self, steps: Loop | Compiled, order: "_Order", listeners: list[Callback]) -> Logs:
        tellers = [listener for listener in listeners if type(listener).on_batch_end is not Callback.on_batch_end]
        every_step = any(listener.every_batch for listener in tellers)
        before = {state: state.data.copy() for state in self._state()}, self.optimizer.copy_state()
        mean, step = _Mean(order.rows, order.batch_size), 0
        for losses, correct in steps.run(order.of_epoch(self.epoch), order.batch_size, every_step):
            mean.add(losses, correct)
            step += len(losses)
            if not math.isfinite(losses[-1]):
                self._diverged(before, f"the loss of step {step} is {losses[-1]}")
            for listener in tellers:
                listener.on_batch_end(self, step, losses[-1])
        for array in self._state():
            if not np.isfinite(array.data).all():
                self._diverged(before, "a weight is no longer finite")
        return mean.logs()

    def _state(self) -> list[Parameter | Buffer]:
        """What training changes in the model."""
        return [*self.model.parameters(), *(buffer for _, buffer in self.model.named_buffers())]

    def _diverged(self, before: tuple[dict[Parameter | Buffer, Array], dict[Parameter, Array]], what: str) -> None:
        weights, state = before
        for array, values in weights.items():
            array.data = values
        self.optimizer.set_state(state)
        rates = ", ".join(f"{rate:g}" for rate in sorted({group.get("lr", math.nan) for group in self.optimizer.param_groups}))
        raise FloatingPointError(
            f"training diverged in epoch {self.epoch + 1}: {what}. The weights are those from before the epoch; a learning rate below {rates} may help"
        )

    def _evaluate(self, rows: Rows, targets: Array) -> Logs:
        mean = _Mean(len(rows), _EVALUATION_ROWS)
        for losses, correct in engine(self.model, self.loss, None, rows, targets, self._evaluation_team).run(
            np.arange(len(rows)), _EVALUATION_ROWS, every_step=False
        ):
            mean.add(losses, correct)
        return mean.logs()


def _shape(y: Any) -> str:
    """For people; targets of several heads may be arrays of different shapes."""
    try:
        return str(np.shape(list(y.values()) if isinstance(y, dict) else y))
    except ValueError:
        return ", ".join(str(np.shape(part)) for part in (y.values() if isinstance(y, dict) else y))


class _Mean:
    """Means over rows of what batches report."""

    def __init__(self, rows: int, batch: int) -> None:
        self.rows, self.batch = rows, batch
        self.seen, self.total = 0, 0.0
        self.correct: dict[str, int] = {}

    def add(self, losses: list[float], correct: int | dict[str, int] | None) -> None:
        """The mean losses of some batches, and how many of their rows were classified rightly: by each head, if there are several."""
        for loss in losses:
            size = min(self.batch, self.rows - self.seen)
            self.total += loss * size
            self.seen += size
        if correct is None:
            return
        counts = {f"accuracy_{name}": count for name, count in correct.items()} if isinstance(correct, dict) else {"accuracy": correct}
        for name, count in counts.items():
            self.correct[name] = self.correct.get(name, 0) + count

    def logs(self) -> Logs:
        """The means under the names that the history has."""
        return {"loss": self.total / self.rows} | {name: count / self.rows for name, count in self.correct.items()}


_training: set[int] = set()
_training_lock = threading.Lock()


@contextmanager
def _exclusive(model: Module) -> Iterator[None]:
    """Keep a second thread from training the same model, which would spoil both trainings silently."""
    with _training_lock:
        if id(model) in _training:
            raise RuntimeError("this model is being trained already: another thread, or a callback, called fit on it")
        _training.add(id(model))
    try:
        yield
    finally:
        _training.discard(id(model))


class _Order:
    """The order in which an epoch visits the rows."""

    def __init__(self, rows: int, batch_size: int, shuffle: bool, seed: int | None) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.steps = -(-rows // batch_size)
        self.seed = seed_sequence(seed).entropy

    def of_epoch(self, epoch: int) -> Array:
        """Row numbers. An epoch's order depends on the seed and the epoch's number alone."""
        order = np.arange(self.rows)
        if self.shuffle:
            np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch,))).shuffle(order)
        return order


def _augmented(augment: Augment, rows: Rows, validation: tuple[Rows, Array] | None) -> tuple[Rows, tuple[Rows, Array] | None]:
    """Training rows as `augment` varies them, and validation rows standardised as they are."""
    if not isinstance(augment, Augment):
        raise TypeError(f"augment is {augment!r}, expected one such as cnet.augment.Augment(rotation=15)")
    if augment.standardize:
        if augment.mean is None:
            augment.fit(rows.x)
        if validation is not None:
            validation = augment.rows(validation[0], random=False), validation[1]
    return augment.rows(rows), validation


def _count(name: str, value: Any, least: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected an integer of at least {least}") from None
    if count < least:
        raise ValueError(f"{name} is {count}, expected an integer of at least {least}")
    return count
