"""`Trainer`: the public interface of training, with the checks of its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from cnet._io import checkpoint as _checkpoint
from cnet._training.array_data import ArrayData
from cnet._training.batch_iterable import BatchIterable
from cnet._training.custom_loop import CustomLoop
from cnet._training.engine import explain
from cnet._training.exclusive import claimed, claims
from cnet._training.fit_data import (
    apply_augmentation,
    fit_batches,
    full_batch_size,
    is_batches,
    make_validation,
    reject_for_arrays,
    reject_for_batches,
)
from cnet._training.inputs import InputValidator
from cnet._training.loop import History
from cnet._utils.answers import EVALUATE, FIT, LOSSES, OPTIMIZERS, TRAINER, TRAINER_ARGUMENTS
from cnet._utils.hints import answers_keywords, no_attribute
from cnet._utils.validation import flag, integer
from cnet.augment import Augment
from cnet.callbacks import Listeners, Logs, ProgressBar, as_callback, as_list
from cnet.nn import Loss, Module
from cnet.nn._ends import check_end, warn_of_end
from cnet.nn._functions import LossFunction, as_loss
from cnet.nn._parameter import make_writable
from cnet.optim import LBFGS, Optimizer
from cnet.optim.lr_scheduler import LRScheduler
from cnet.optim.lr_scheduler._scheduler import begin_fit, check_schedulers

_BATCH_SIZE = 32


class Trainer(CustomLoop):
    """Trains a model with a loss and an optimizer.

    Parameters
    ----------
    model : nn.Module
    loss : nn.Loss or function
        A function takes the output and the target of a mini-batch. It returns the mean loss, and
        its gradient with respect to the output.
    optimizer : optim.Optimizer
    compile : bool
        False runs each step layer by layer, from Python, which helps with debugging. Results are
        bitwise identical. Models with a custom layer, loss or optimizer always run like this:
        `explain` returns the reason.

    Attributes
    ----------
    epoch : int
        Number of epochs trained so far, over all calls of `fit`.
    global_step : int
        Number of steps in these epochs.
    seed : int or None
        Seed of the order of samples in the last `fit`.
    history : dict of lists
        Metrics of the last `fit`. While it runs, and after an interruption, those of the epochs
        done.
    metric_modes : dict of str
        Direction of each metric of the last `fit`, by its name in the history: "min" if less is
        better, "max" if more is. In `on_train_begin`, a callback finds the metrics that its logs
        will have. The metrics of callbacks later in the list are added later.
    stop : bool
        A callback sets it to True to end training after the current epoch.

    Raises
    ------
    TypeError
        If an argument is of another type.

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
        loss: Loss | LossFunction,
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
        self.epoch = self.global_step = 0
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
        self._stepper = None

    def __getstate__(self) -> dict[str, Any]:
        """Copy the history, which `fit` in another thread may extend during a copy.

        The programs of `step` are not copied.
        """
        return {**self.__dict__, "_history": History(self._history.copy()), "_stepper": None}

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
        """Train for a number of epochs. A second call continues from there.

        Data is given as arrays `x` and `y`, which are checked before the first step. Or `x` alone
        is an iterable of mini-batches: a list, a PyTorch ``DataLoader``, or any other object that
        can be iterated over again in each epoch. Each mini-batch is checked before its step, and
        only one at a time is in memory. The iterable chooses the order of mini-batches and their
        augmentation, so seeds and checkpoints do not cover them.

        A ``KeyboardInterrupt`` passes through between two steps. It ends a long step before the
        step changes anything. An error of the iterable passes through between two mini-batches.
        The model keeps its weights, and `history` the epochs done.

        Parameters
        ----------
        x : array-like, shape (n, ...), or iterable
            Real numbers of any dtype and layout. The array is read in place and must not change
            meanwhile. It may be a memory-mapped file larger than memory, or an array of h5py or
            Zarr, which is read one mini-batch at a time. An iterable has mini-batches ``(x, y)`` or
            ``(x, y, sample_weight)``, of any sizes. For uint8 images with values up to 255, let the
            network begin with ``nn.Rescale(1 / 255)``.
        y : array-like or None
            Targets, as the loss takes them: labels (n,), or targets (n, ...). For a network with
            several heads, a list of these, or a dictionary with the names of the heads. None if `x`
            is an iterable.
        epochs : int
            At least 0.
        batch_size : int or None
            At least 1. None is 32; with `optim.LBFGS`, which needs all samples at once, it is all.
            The last mini-batch of an epoch may be smaller.
        shuffle : bool or None
            Whether to visit the samples in a new random order in each epoch. None is True for
            arrays. An epoch of one mini-batch has the order of the data set: the order does not
            matter.
        seed : int or None
            Seed of the order: with the same seed, epoch `k` of a trainer has the same order. None
            draws one from the operating system; after `load_checkpoint`, it is that of the
            checkpoint.
        validation_data : (x, y), (x, y, sample_weight), iterable or None
            Data that is evaluated after each epoch. In a list of mini-batches, each is a tuple.
        augment : cnet.augment.Augment or None
            Augmentation of the images of each mini-batch, different in each epoch. Validation data
            is not augmented.
        callbacks : callback, iterable of callbacks, or None
            Objects of the classes of `cnet.callbacks`, learning rate schedulers, and functions
            ``f(trainer, logs)``. They are called in this order.
        verbose : bool
            Whether to show progress.
        sample_weight : array-like, shape (n,), or None
            Weight of each sample, at least 0. The loss of a mini-batch is the weighted mean of the
            losses of its samples (with labels, a weight is multiplied by the class weight, if the
            loss has class weights). A sample of weight 2 counts as two samples, one of weight 0 as
            none. If all weights are 0, the gradient is 0. In the history, losses are weighted, and
            accuracies are not.
        steps_per_epoch : int or None
            With an iterable: the number of mini-batches in an epoch. A generator continues where
            the last epoch ended.

        Returns
        -------
        dict of lists
            For each metric, one number per epoch: ``"loss"``, ``"accuracy"`` if the loss
            classifies (see `nn.HeadsLoss` for several heads) and, with validation data,
            ``"val_loss"`` and ``"val_accuracy"``. Training metrics are means over the epoch, during
            which the model changes; with `optim.LBFGS` they are those after the step.
            ``pandas.DataFrame(history)`` makes a table of it.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape, or out of bounds. Also if the loss takes
            probabilities, as `nn.NLLLoss` does, and the network does not end in `nn.Softmax` or
            `nn.Sigmoid`.
        RuntimeError
            If another thread is training the model, or one of its layers.
        FloatingPointError
            If training diverges: the loss or a weight is no longer finite. The weights and the
            optimizer state are then those from before the epoch.

        Examples
        --------
        Mini-batches from a generator:

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
        epochs = integer("epochs", epochs, 0)
        shuffle = None if shuffle is None else flag("shuffle", shuffle)
        check_end(self.model, self.loss)
        read = reading = InputValidator(self.model, self.loss)
        training: ArrayData | BatchIterable
        if is_batches(x, y):
            reject_for_batches(
                batch_size=batch_size,
                shuffle=shuffle or None,
                seed=seed,
                augment=augment,
                sample_weight=sample_weight,
            )
            training = fit_batches(x, read, self.optimizer, epochs, steps_per_epoch)
        else:
            reject_for_arrays(steps_per_epoch)
            size = None if batch_size is None else integer("batch_size", batch_size, 1)
            samples = read(x, y, sample_weight)
            if isinstance(self.optimizer, LBFGS):
                size = full_batch_size(self.model, len(samples.rows), size, augment)
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

        self.optimizer._check_model(self.model)
        schedulers = [callback for callback in callbacks if isinstance(callback, LRScheduler)]
        check_schedulers(schedulers, self.optimizer)
        with claimed(claims(self.model)):
            for state in self.model._states():
                make_writable(state)
            _checkpoint.restore_schedulers(schedulers, self._resumed_schedules)
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

    @answers_keywords(EVALUATE)
    def evaluate(self, x: Any, y: Any = None, *, sample_weight: ArrayLike | None = None) -> Logs:
        """Compute the mean loss and, if the loss classifies, the accuracy.

        Parameters
        ----------
        x, y : array-like
            As for `fit`. `x` may be an iterable of mini-batches.
        sample_weight : array-like, shape (n,), or None
            Weights of the samples in the mean loss. The accuracy is not weighted.

        Returns
        -------
        dict
            ``"loss"`` and ``"accuracy"``.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or shape.
        """
        check_end(self.model, self.loss)
        read = InputValidator(self.model, self.loss)
        if is_batches(x, y):
            reject_for_batches(sample_weight=sample_weight)
            return self._evaluate(BatchIterable(x, read))
        return self._evaluate(ArrayData(read(x, y, sample_weight)))

    def explain(self) -> str:
        """Say whether training is compiled; if not, why.

        Returns
        -------
        str
            A sentence. If the model accepts several input shapes, it does not cover layers that
            have a compiled form for some of them only.

        Examples
        --------
        >>> import cnet
        >>> from cnet import nn, optim
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
        >>> cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer).explain()
        'Training is compiled.'
        >>> cnet.Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=False).explain()
        'Training runs layer by layer: compile is False.'
        """
        return explain(self.model, self.loss, self.optimizer, self.compile, self.model.input_shape)
