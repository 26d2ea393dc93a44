"""The training loop: epochs, steps, callbacks, history. It contains no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from cnet._data.samples import Rows
from cnet._io import checkpoint as _checkpoint
from cnet._training.array_data import ArrayData
from cnet._training.batch_iterable import BatchIterable
from cnet._training.checkpointed import Checkpointed
from cnet._training.engine import make_engine
from cnet._training.epoch import Epoch
from cnet._training.input_scale import mean_square, sample, warn_if_large, warn_if_unlike
from cnet._training.inputs import Samples
from cnet._training.mean import Mean
from cnet._training.steps import StepResults
from cnet.callbacks import Listeners, Logs
from cnet.nn._norm import TooFewValues
from cnet.optim import Optimizer


class History(dict[str, list[float]]):
    """Metrics of the epochs of a `Trainer.fit`: for each name, one number per epoch."""

    @property
    def history(self) -> History:
        """The history itself, for code written for Keras."""
        return self


class TrainingLoop(Checkpointed):
    """Base of `Trainer`: the loop without the checks of arguments."""

    _mean_square: float | None

    @property
    def history(self) -> History:
        """Metrics of the last `fit`: of the epochs done so far, while it runs."""
        return self._history

    @history.setter
    def history(self, history: dict[str, list[float]]) -> None:
        self._history = History(history)

    def _metric_modes(self, validates: bool) -> dict[str, str]:
        """Return the direction of each metric of an epoch, without the metrics of callbacks."""
        modes = {"loss": "min"} | dict.fromkeys(self.loss._accuracy_names(), "max")
        return modes | {f"val_{name}": mode for name, mode in modes.items()} if validates else modes

    def _begin(
        self, training: ArrayData | BatchIterable, epochs: int, listeners: Listeners
    ) -> None:
        """Tell callbacks that training begins.

        After an error, checkpoints and the next `fit` are as if there had been no call.
        """
        before = self._listeners, self.seed
        self._listeners, self.seed, self.stop = listeners, training.seed, False
        try:
            listeners.begin(self, epochs, training.steps)
            if self._resumed_callbacks is not None:
                schedules_resume = _checkpoint.are_alike(self._schedulers, self._resumed_schedules)
                listeners.resume(self, self._resumed_callbacks, schedules_resume)
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
        epoch = Epoch(self)
        needs_ends = validation is not None or bool(listeners)
        # The data, if several epochs may run in one call.
        silent = training if isinstance(training, ArrayData) and not needs_ends else None
        try:
            while done < epochs and not self.stop:
                epoch.begin()
                if silent and (at_once := min(silent.epochs_at_once(), epochs - done)) > 1:
                    finished = self._train_epochs(silent, at_once, epoch)
                    done, silent = done + finished, silent if finished else None
                    continue
                logs = self._train_epoch(training, listeners, epoch)
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

    def _train_epoch(
        self, training: ArrayData | BatchIterable, listeners: Listeners, epoch: Epoch
    ) -> Logs:
        tellers = listeners.tellers()
        each_step = any(listener.every_batch for listener in tellers)
        mean, step = self._mean(), 0
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
        self.global_step += step
        return logs

    def _train_epochs(self, training: ArrayData, epochs: int, epoch: Epoch) -> int:
        """Train for several epochs in one call of a compiled program; returns their number.

        If training diverges, nothing is changed and the number is 0. One epoch at a time then finds
        the place.
        """
        try:
            results = training.run_epochs(self.epoch, epochs)
            if results is None or not epoch.weights_are_finite():
                epoch.undo()
                return 0
            metrics = results.metrics()
        except BaseException:  # so that the history agrees with the weights
            epoch.undo()
            raise
        for name, values in metrics.items():
            self.history.setdefault(name, []).extend(values)
        self.epoch += (done := len(results.losses))
        self.global_step += results.losses.size
        return done

    def _arrays(self, samples: Samples, batch_size: int, shuffle: bool, seed: Any) -> ArrayData:
        """Return the training data. Estimators have their own order of samples."""
        return ArrayData(samples, batch_size, shuffle, seed)

    def _mean(self) -> Mean:
        """Return an accumulator for the metrics of a training epoch."""
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
        """Run an epoch of training, or of evaluation without an optimizer."""
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
            if not self.global_step:
                warn_if_large(self.model, some)
            self._mean_square = mean_square(some)
        elif self._mean_square is not None and not training:
            warn_if_unlike(mean_square(sample(rows)), self._mean_square)
