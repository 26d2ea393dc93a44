"""Support of scikit-learn's callbacks, which exist since version 1.9.

Each epoch, or iteration of L-BFGS, is a task of the fit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from cnet.callbacks import Callback, Logs, as_callback, as_list
from cnet.optim.lr_scheduler import LRScheduler
from cnet.sklearn._samples import Samples

if TYPE_CHECKING:
    from cnet._training.trainer import Trainer

__all__ = ["CallbackSupportMixin", "Tasks", "listeners_of", "tasks", "with_callbacks"]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Replacement before scikit-learn 1.9, without ``set_callbacks``."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method: before scikit-learn 1.9 there is nothing to tear down."""
        return method


class Tasks(Callback):
    """Calls scikit-learn's callbacks of an estimator for its fit and for each task of it.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Estimator whose network exists.
    name : str
        Name of the tasks.
    max_tasks : int
        Maximum number of tasks.
    samples : Samples
        Training data.
    """

    def __init__(self, estimator: Any, name: str, max_tasks: int, samples: Samples) -> None:
        self._estimator, self._name, self._max_tasks = estimator, name, max_tasks
        metadata = None if samples.weights is None else {"sample_weight": samples.weights}
        self._data = {"estimator": estimator, "X": samples.x, "y": samples.y, "metadata": metadata}
        self._root = estimator._init_callback_context(max_subtasks=max_tasks)
        self._task: Any = None
        self._done = 0

    def _net(self) -> dict[str, Any]:
        """Return the attributes with which a copy of the estimator can predict."""
        return {"model_": copy.deepcopy(self._estimator.model_)}

    def _begin(self) -> None:
        self._task = self._root.subcontext(task_name=self._name)
        self._task.call_on_fit_task_begin(**self._data, reconstruction_attributes=self._net)

    def next(self) -> bool:
        """End the current task and begin the next one.

        If a callback asks to stop training, no task begins, and the result is True.
        """
        task, self._task = self._task, None
        stop = bool(task.call_on_fit_task_end(**self._data, reconstruction_attributes=self._net))
        self._done += 1
        if not stop and self._done < self._max_tasks:
            self._begin()
        return stop

    def __enter__(self) -> Self:
        self._root.call_on_fit_task_begin(**self._data)
        self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        if self._task is not None:  # it was interrupted
            self._task.call_on_fit_task_end(estimator=self._estimator)
        self._root.call_on_fit_task_end(**self._data, reconstruction_attributes={})

    def on_epoch_end(self, trainer: Trainer, logs: Logs) -> None:
        if self.next():
            trainer.stop = True


def tasks(estimator: Any, name: str, max_tasks: int, samples: Samples) -> Tasks | None:
    """Return the tasks of a fit, or None if the estimator has no callbacks of scikit-learn."""
    return (
        Tasks(estimator, name, max_tasks, samples)
        if getattr(estimator, "_skl_callbacks", None)
        else None
    )


def listeners_of(estimator: Any) -> list[Any]:
    """Return the parameter `callbacks` of an estimator as a list.

    Raises
    ------
    TypeError
        If an element is not a callback.
    ValueError
        If an element is a scheduler, which would change the learning rate of another optimizer, or
        is in the list twice.
    """
    listeners = as_list(estimator.callbacks)
    for listener in listeners:
        if isinstance(listener, LRScheduler):
            raise ValueError(
                f"callbacks has a {type(listener).__name__}, which belongs to another optimizer: "
                "an estimator constructs its own. Use learning_rate=f, a function from the "
                "number of an epoch to its learning rate"
            )
        as_callback(listener)
    return listeners
