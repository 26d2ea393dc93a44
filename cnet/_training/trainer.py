"""The training loop: batches, epochs, history. It has no arithmetic of its own."""

import math
import os
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from cnet._data.samples import Rows
from cnet._io import checkpoint as _checkpoint
from cnet._training.engine import make_engine
from cnet._training.epoch import Epoch
from cnet._training.exclusive import exclusive, is_trained_now
from cnet._training.input_scale import mean_square, sample, warn_if_large, warn_if_unlike
from cnet._training.inputs import (
    ArrayData,
    BatchIterable,
    InputValidator,
    Samples,
    apply_augmentation,
    full_batch_size,
    is_batches,
    make_validation,
    reject_for_batches,
)
from cnet._training.mean import Mean
from cnet._training.steps import StepResults
from cnet._utils.answers import EVALUATE, FIT, LOSSES, OPTIMIZERS, TRAINER, TRAINER_ARGUMENTS
from cnet._utils.arrays import Array
from cnet._utils.hints import answers_keywords, no_attribute
from cnet._utils.validation import count, flag
from cnet.augment import Augment
from cnet.callbacks import Listeners, Logs, ProgressBar, as_callback, as_list
from cnet.callbacks._trainer_state import TrainerState
from cnet.nn import Loss, Module
from cnet.nn._ends import check_end, warn_of_end
from cnet.nn._functions import as_loss
from cnet.nn._norm import TooFewValues
from cnet.nn._parameter import make_writable
from cnet.optim import LBFGS, Optimizer
from cnet.optim.lr_scheduler import LRScheduler
from cnet.optim.lr_scheduler._scheduler import begin_fit, check_schedulers


class History(dict[str, list[float]]):
    """What `Trainer.fit` returns: a number per epoch for each figure, by its name."""

    @property
    def history(self) -> "History":
        """Itself, for code written for Keras."""
        return self


_BATCH_SIZE = 32


class Trainer(TrainerState):
    """Trains a model with a loss and an optimizer.

    Parameters
    ----------
    model : nn.Module
    loss : nn.Loss or function
        A plain function of output and target returns the mean loss of a batch and its gradient with
        respect to the output.
    optimizer : optim.Optimizer

    compile : bool
        False runs every step layer by layer, from Python: for debugging. Results are bitwise
        identical. Models with a custom layer, loss or optimizer run so anyhow; the logger "cnet"
        says why, at debug level.

    Attributes
    ----------
    epoch : int
        Epochs trained so far, over all calls of `fit`.
    step : int
        Steps taken in these epochs.
    seed : int or None
        Of the order of rows in the last `fit`, which drew one if it was given none.
    history : dict of lists
        What the last `fit` returned; while its epochs run, and after an interruption, the epochs
        done.
    metric_modes : dict of str
        Direction of each metric of the last `fit`, by its name in the history: "min" if less is
        better, "max" if more is. When a callback hears that training begins, it has the metrics
        that the callback's logs will have: those of callbacks later in the list come after.
    stop : bool
        A callback sets it to end training after the current epoch.

    Raises
    ------
    TypeError
        If one of them is something else.

    Warns
    -----
    UserWarning
        If the loss takes logits, and the network ends in `nn.Softmax` or `nn.Sigmoid`.

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

    @answers_keywords(TRAINER_ARGUMENTS)
    def __init__(
        self,
        model: Module,
        loss: Loss | Callable[[Array, Array], tuple[float, ArrayLike]],
        optimizer: Optimizer,
        *,
        compile: bool = True,
    ) -> None:
        self.compile = flag("compile", compile)
        self.loss: Loss = as_loss(loss)
        for name, value, kind, example, by_name in (
            ("model", model, Module, "nn.Sequential(...)", {}),
            ("loss", self.loss, Loss, "nn.CrossEntropyLoss()", LOSSES),
            (
                "optimizer",
                optimizer,
                Optimizer,
                "optim.SGD(model.parameters(), lr=0.1)",
                OPTIMIZERS,
            ),
        ):
            if not isinstance(value, kind):
                known = by_name.get(value.lower()) if isinstance(value, str) else None
                raise TypeError(f"{name} is {value!r}, expected one such as {known or example}")
        warn_of_end(model, self.loss)
        self.model = model
        self.optimizer = optimizer
        self.epoch = self.step = 0
        self.seed: Any = None
        self._resumed_seed: Any = None
        self._schedulers: list[LRScheduler] = []
        self._resumed_schedules: list[Any] | None = None
        self._listeners = Listeners([])
        self._resumed_callbacks: dict[str, Any] | None = None
        self.history = {}
        self.metric_modes: dict[str, str] = {}
        self.stop = False
        self._mean_square: float | None = None

    @property
    def history(self) -> History:
        """What the last `fit` returned; while it runs, and after an interruption, the epochs
        done.
        """
        return self._history

    @history.setter
    def history(self, history: dict[str, list[float]]) -> None:
        self._history = History(history)

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which may be made while another thread calls `fit`: a dictionary must not
        grow while it is copied.
        """
        return {**self.__dict__, "_history": History(self._history.copy())}

    if not TYPE_CHECKING:  # to mypy, every name would be there

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, TRAINER)

    @answers_keywords(FIT)
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        seed: int | None = None,
        validation_data: Any = None,
        augment: Augment | None = None,
        callbacks: Any = (),
        verbose: bool = True,
        sample_weight: ArrayLike | None = None,
        steps_per_epoch: int | None = None,
    ) -> History:
        """Train for a number of epochs. Calling it again continues from there.

        Data is arrays `x` and `y`, which are checked before the first step; or, as `x` alone, an
        iterable of batches: a list, a PyTorch ``DataLoader``, or anything else that can be iterated
        over again for each epoch. A batch is checked before its step, and memory is needed for one
        at a time. The order of batches, and how they are varied, is the iterable's own affair,
        which no seed or checkpoint knows of.

        A ``KeyboardInterrupt`` passes through between two steps, or ends one that takes long before
        it changes anything; an error of the iterable passes through between two batches. The model
        keeps what it has learned, and `history` the epochs done.

        Parameters
        ----------
        x : array-like, shape (n, ...), or iterable
            Real numbers of any dtype and layout; it is read in place, must not change meanwhile,
            and may be a memory-mapped file larger than memory, or an array of h5py or Zarr, which
            is read one mini-batch at a time. Or batches ``(x, y)`` or ``(x, y, sample_weight)``, of
            any sizes. uint8 images of values up to 255 are for networks that begin with
            ``nn.Rescale(1 / 255)``.
        y : array-like or None
            Targets, as the loss takes them: labels (n,), or n rows; for a network with several
            heads a list of these, or a dictionary by the names of the heads. None if `x` is an
            iterable of batches.
        epochs : int
            At least 0.
        batch_size : int or None
            At least 1; None is 32, or all rows with `optim.LBFGS`, which needs them. The last batch
            of an epoch may be smaller.
        shuffle : bool or None
            Visit the rows in a new random order in each epoch; None does so with arrays.
        seed : int or None
            Of the order: epoch `k` of a trainer has the same order for the same seed. None draws
            one from the operating system or, after `load_checkpoint`, takes that of the checkpoint.
        validation_data : (x, y), (x, y, sample_weight), iterable or None
            Evaluated after each epoch. Batches in a list are tuples, or two or three of them are
            taken for arrays.
        augment : cnet.augment.Augment or None
            Varies the images of each batch, again in each epoch. Validation data is not varied.
        callbacks : callback, iterable of callbacks, or None
            See `cnet.callbacks`: objects of its classes, schedulers of learning rates, and
            functions ``f(trainer, logs)``. They are called in this order.
        verbose : bool
            Show progress.
        sample_weight : array-like, shape (n,), or None
            What each row counts, at least 0: its loss is multiplied by this, and the sum over a
            batch divided by the sum of its weights (times the class weights, where the loss
            has them for labels). So a row of weight 2 is as two in a batch, and one of weight 0 as
            none; a batch in which all have 0 is a step with a gradient of 0. In the history, losses
            are weighted, accuracies are not.
        steps_per_epoch : int or None
            With batches: how many make an epoch. A generator then continues where the last epoch
            ended.

        Returns
        -------
        dict of lists
            One number per epoch under ``"loss"``, ``"accuracy"`` (where the loss classifies; see
            `nn.HeadsLoss` for several heads) and, with validation data, ``"val_loss"`` and
            ``"val_accuracy"``. Training figures are means over the epoch, taken while the model
            learns (with `optim.LBFGS`, at the end of its step). ``pandas.DataFrame(history)`` makes
            a table of it.

        Raises
        ------
        TypeError, ValueError
            If anything does not fit; so for a loss that takes probabilities, `nn.NLLLoss`, a
            network that does not end in `nn.Softmax` or `nn.Sigmoid`.
        RuntimeError
            If the model, or a layer of it, is being trained already, by another thread.
        FloatingPointError
            If training diverges: the loss or a weight is no longer finite. The weights, and what
            the optimizer remembers, are those from before the epoch.

        Examples
        --------
        Batches that a function makes, epoch after epoch:

        >>> import cnet
        >>> import numpy as np
        >>> from cnet import nn, optim
        >>> def batches(rng=np.random.default_rng(0)):
        ...     while True:
        ...         x = rng.standard_normal((16, 2))
        ...         yield x, x.sum(axis=1)
        >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
        >>> trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
        >>> history = trainer.fit(batches(), epochs=3, steps_per_epoch=20, verbose=False)
        >>> history["loss"][-1] < 1e-3
        True
        """
        epochs = count("epochs", epochs, 0)
        shuffle = None if shuffle is None else flag("shuffle", shuffle)
        check_end(self.model, self.loss)
        read = reading = InputValidator(self.model, self.loss)
        training: ArrayData | BatchIterable
        if is_batches(x, y):
            if isinstance(self.optimizer, LBFGS):
                raise ValueError(
                    "LBFGS needs all rows at once: pass arrays x and y instead of batches"
                )
            reject_for_batches(
                batch_size=batch_size,
                shuffle=shuffle or None,
                seed=seed,
                augment=augment,
                sample_weight=sample_weight,
            )
            training = BatchIterable(
                x,
                read,
                "x",
                epochs,
                None if steps_per_epoch is None else count("steps_per_epoch", steps_per_epoch, 1),
            )
        else:
            if steps_per_epoch is not None:
                raise ValueError(
                    "steps_per_epoch is for an iterable of batches: with arrays, an epoch visits "
                    "all rows"
                )
            size = None if batch_size is None else count("batch_size", batch_size, 1)
            samples = read(x, y, sample_weight)
            if isinstance(self.optimizer, LBFGS):
                size, shuffle = (
                    full_batch_size(self.model, len(samples.rows), size, augment),
                    bool(shuffle),
                )
            if augment is not None:
                samples, reading = apply_augmentation(augment, samples, read)
            training = self._arrays(
                samples,
                size or _BATCH_SIZE,
                shuffle is not False,
                self._resumed_seed if seed is None else seed,
            )
        validation = (
            None
            if validation_data is None
            else make_validation(validation_data, reading.named("validation "), epochs)
        )
        callbacks = as_list(callbacks)
        listening = [as_callback(callback) for callback in callbacks]
        if verbose and not any(isinstance(callback, ProgressBar) for callback in listening):
            listening.append(ProgressBar())

        self.optimizer.check_model(self.model)
        schedulers = [callback for callback in callbacks if isinstance(callback, LRScheduler)]
        check_schedulers(schedulers, self.optimizer)
        with exclusive(self.model):
            for state in self.model._states():
                make_writable(state)
            _checkpoint.go_on(schedulers, self._resumed_schedules)
            begin_fit(schedulers, epochs, training.steps)
            self._schedulers = schedulers
            self.metric_modes = self._metric_modes(validation is not None)
            listeners, resumed = Listeners(listening), self._resumed_callbacks is not None
            try:
                self._begin(training, epochs, listeners)
                self._train(training, epochs, validation, listeners)
            except BaseException:
                listeners.end(self)
                if resumed and not any(
                    self.history.values()
                ):  # no epoch is done: the next `fit` continues instead
                    self._resumed_schedules, self._resumed_callbacks = (
                        _checkpoint.schedules(self),
                        _checkpoint.callbacks(self),
                    )
                raise
            listeners.end(self)
        return self.history

    def _metric_modes(self, validates: bool) -> dict[str, str]:
        """Direction of each metric that an epoch ends with, without those of callbacks."""
        modes = {"loss": "min"} | dict.fromkeys(self.loss.accuracy_names(), "max")
        return modes | {f"val_{name}": mode for name, mode in modes.items()} if validates else modes

    def _begin(
        self, training: ArrayData | BatchIterable, epochs: int, listeners: Listeners
    ) -> None:
        """Tell callbacks that training begins; after an error, a checkpoint and the next `fit` are
        as if there had been no call.
        """
        before = self._listeners, self.seed
        self._listeners, self.seed, self.stop = listeners, training.seed, False
        try:
            listeners.begin(self, epochs, training.steps)
            if self._resumed_callbacks is not None:
                schedules_go_on = _checkpoint.are_alike(self._schedulers, self._resumed_schedules)
                listeners.resume(self, self._resumed_callbacks, schedules_go_on)
        except BaseException:
            self._listeners, self.seed = before
            raise
        self._resumed_schedules = self._resumed_callbacks = None

    def _train(
        self,
        training: ArrayData | BatchIterable,
        epochs: int,
        validation: ArrayData | BatchIterable | None,
        listeners: Listeners,
    ) -> None:
        self.history = {}
        added = dict.fromkeys(listeners.metrics(), math.nan)  # until callbacks have added them
        done = 0
        try:
            while done < epochs and not self.stop:
                logs = self._train_epoch(training, listeners)
                self.epoch += 1
                if validation is not None:
                    logs |= {
                        f"val_{key}": value for key, value in self._evaluate(validation).items()
                    }
                for key, value in chain(logs.items(), added.items()):
                    self.history.setdefault(key, []).append(value)
                done += 1
                listeners.tell(self, logs)
        finally:
            for values in self.history.values():
                del values[done:]  # an interrupt came between two numbers of an epoch

    @answers_keywords(EVALUATE)
    def evaluate(self, x: Any, y: Any = None, *, sample_weight: ArrayLike | None = None) -> Logs:
        """The mean loss and, where the loss classifies, the fraction of rows classified correctly.

        Parameters
        ----------
        x, y : array-like
            As for `fit`; or `x` is an iterable of batches.
        sample_weight : array-like, shape (n,), or None
            What each row counts in the loss, which is divided by the sum of them; in the accuracy
            all count the same.

        Returns
        -------
        dict
            ``"loss"`` and ``"accuracy"``.

        Raises
        ------
        TypeError, ValueError
            If anything does not fit.
        """
        check_end(self.model, self.loss)
        read = InputValidator(self.model, self.loss)
        if is_batches(x, y):
            reject_for_batches(sample_weight=sample_weight)
            return self._evaluate(BatchIterable(x, read))
        return self._evaluate(ArrayData(read(x, y, sample_weight)))

    def save_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write all that training continues from to a safetensors file, as it is between two
        epochs.

        That is: weights, what the optimizer remembers and its settings, `epoch`, `step`, `history`,
        the seed of the order, where layers that draw random numbers are, and the states of
        schedulers and callbacks of `fit`. A callback may call it in `on_epoch_end`, wherever it is
        in the list. In the middle of an epoch, or after Ctrl-C, the file has the weights of that
        moment, and the epoch begins again after loading. The file is written beside its final place
        and moved there when complete.

        Parameters
        ----------
        path : path-like
            Ends in ``.safetensors`` by custom.

        Raises
        ------
        TypeError
            If the optimizer remembers something else than arrays, or the state of a callback cannot
            be kept in a file.
        """
        _checkpoint.save(self, path)

    def load_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Go back to what `save_checkpoint` wrote, in a trainer of the same kind.

        Training then continues with bitwise identical results as if it had never ended, given the
        same data and arguments; `fit` starts a new `history`. Change learning rates after loading.
        Schedulers that the next `fit` is given continue where those of the checkpoint were, if they
        are of the same kinds, whenever they were constructed; `fit` rejects other settings than the
        checkpoint has. To begin a new schedule, train with a new ``Trainer(trainer.model,
        trainer.loss, trainer.optimizer)``. Callbacks of the same kind that watch the same metric
        continue too: a training that `EarlyStopping` had ended stays ended.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is damaged, no checkpoint of such a model and optimizer, or holds numbers that
            cannot be; then nothing is changed.
        RuntimeError
            Within `fit`.

        Examples
        --------
        >>> import cnet, os, tempfile
        >>> from cnet import nn, optim
        >>> def trainer():
        ...     model = nn.Sequential(nn.Linear(2, 1), seed=0)
        ...     optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        ...     return cnet.Trainer(model, nn.MSELoss(), optimizer)
        >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
        >>> first, second = trainer(), trainer()
        >>> history = first.fit([[1.0, 2.0], [2.0, 1.0]], [3.0, 0.0], epochs=5, verbose=False)
        >>> first.save_checkpoint(path)
        >>> second.load_checkpoint(path)
        >>> second.epoch
        5
        """
        if is_trained_now(self.model):
            raise RuntimeError(
                "load_checkpoint was called while this model is being trained: call it when fit "
                "has returned"
            )
        _checkpoint.load(self, path)

    def _train_epoch(self, training: ArrayData | BatchIterable, listeners: Listeners) -> Logs:
        tellers = listeners.tellers()
        each_step = any(listener.every_batch for listener in tellers)
        epoch, mean, step = Epoch(self), self._mean(), 0
        for results in self._steps(training, self.optimizer, each_step):
            mean.add(results)
            step += len(results.losses)
            loss = results.losses[-1]
            epoch.check_loss(loss, step)
            for listener in tellers:
                listener.on_batch_end(self, step, loss)
        epoch.check_weights()
        if not mean.weight:  # which is an error, known only now
            epoch.undo()
        logs = mean.logs()
        self.step += step
        return logs

    def _arrays(self, samples: Samples, batch_size: int, shuffle: bool, seed: Any) -> ArrayData:
        """Training data. An estimator has its own order."""
        return ArrayData(samples, batch_size, shuffle, seed)

    def _mean(self) -> Mean:
        """The metrics of an epoch of training."""
        return Mean()

    def _evaluate(self, data: ArrayData | BatchIterable) -> Logs:
        mean = Mean()
        for results in self._steps(data, None):
            mean.add(results)
        return mean.logs(data.prefix)

    def _steps(
        self,
        data: ArrayData | BatchIterable,
        optimizer: Optimizer | None,
        yield_each_step: bool = False,
    ) -> Iterator[StepResults]:
        """Run an epoch, of training or without an optimizer of evaluation."""
        for run in data.iter_epoch(self.epoch if optimizer else 0):
            if data.engine is None:
                self._check_scale(run.samples.rows, optimizer is not None)
                data.engine = make_engine(
                    self.model, self.loss, optimizer, *run.samples, compiled=self.compile
                )
            elif run.name:
                data.engine.bind(*run.samples)
            try:
                yield from data.engine.run(run.order, run.batch_size, yield_each_step)
            except TooFewValues as error:
                raise ValueError(f"{run.name}: {error}" if run.name else str(error)) from None

    def _check_scale(self, rows: Rows, training: bool) -> None:
        """Warn of samples whose scale a network cannot learn from, or was not trained on."""
        if self._mean_square is None and training:
            some = sample(rows)
            if not self.step:
                warn_if_large(self.model, some)
            self._mean_square = mean_square(some)
        elif self._mean_square is not None and not training:
            warn_if_unlike(mean_square(sample(rows)), self._mean_square)
