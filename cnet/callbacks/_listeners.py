"""The callbacks of a training run: order of notification, and their states in checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from cnet._utils.validation import as_float
from cnet.callbacks._callback import Callback, Logs, is_schedule
from cnet.callbacks._hooks import overrides
from cnet.callbacks._trainer_state import Trainer

Entry = dict[str, Any]
"""State of a callback in a checkpoint.

Its kind, the options that identify it, its state, and whether it missed the last epoch's end.
"""


class Listeners:
    """Callbacks in the order in which they are notified, which is that of their list.

    A checkpoint may be saved while callbacks are being notified of an epoch, by one of them. The
    later ones have not been notified of the epoch by then, and their states are older. The
    checkpoint therefore records which callbacks missed the epoch, and `resume` notifies them first.

    Parameters
    ----------
    callbacks : list of Callback
    """

    def __init__(self, callbacks: list[Callback]) -> None:
        self._callbacks = callbacks
        self._begun: list[Callback] = []
        self._missed: list[Callback] = []
        """Callbacks that have not yet been notified of the epoch that has ended."""
        self._logs: Logs = {}
        """Metrics of that epoch."""
        self._frozen: dict[str, Any] | None = None
        """Result of `states` for a copy, which has no callbacks."""

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def metrics(self) -> dict[str, str]:
        """Return the directions of the metrics that callbacks add."""
        return {
            name: mode for callback in self._callbacks for name, mode in callback.metrics.items()
        }

    def tellers(self) -> list[Callback]:
        """Return the callbacks that are notified of steps."""
        return [
            callback
            for callback in self._callbacks
            if overrides(callback, "on_batch_end", Callback)
        ]

    def begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        """Notify the callbacks that training begins.

        `Trainer.metric_modes` is updated in between: each callback finds the metrics that its logs
        will have, without those of later callbacks.
        """
        self._check_metrics(trainer.metric_modes)
        for callback in self._callbacks:
            callback.on_train_begin(trainer, epochs, steps)
            self._begun.append(callback)
            trainer.metric_modes = {**trainer.metric_modes, **callback.metrics}

    def _check_metrics(self, modes: Mapping[str, str]) -> None:
        taken = {"epoch", *modes}
        for callback in self._callbacks:
            kind = type(callback).__name__
            if not isinstance(callback.metrics, Mapping):
                raise TypeError(
                    f"{kind}.metrics is {callback.metrics!r}, expected a dictionary such as "
                    "{'val_f1': 'max'}"
                )
            for name, mode in callback.metrics.items():
                if not isinstance(name, str) or mode not in ("min", "max"):
                    raise ValueError(
                        f"{kind}.metrics has {name!r}: {mode!r}, expected the name of a metric "
                        "and 'min' or 'max'"
                    )
                if name in taken:
                    raise ValueError(
                        f"{kind}.metrics has {name!r}, which is already in use: use another name"
                    )
                taken.add(name)

    def tell(self, trainer: Trainer, logs: Logs, whom: list[Callback] | None = None) -> None:
        """Notify callbacks of the end of an epoch, and add their metrics to the history."""
        self._missed, self._logs = [*(self._begun if whom is None else whom)], logs
        while self._missed:
            callback = self._missed.pop(0)
            callback.on_epoch_end(trainer, logs)
            for name in callback.metrics:
                logs[name] = _number(callback, name, logs)
                if name in trainer.history:
                    trainer.history[name][-1] = logs[name]

    def end(self, trainer: Trainer) -> None:
        """Notify the callbacks that training has ended. Keep only those with a state to save."""
        for callback in self._begun:
            callback.on_train_end(trainer)
        if not self._missed:
            self._callbacks = self._begun = [
                callback for callback in self._begun if overrides(callback, "state_dict", Callback)
            ]

    def states(self) -> dict[str, Any]:
        """Return the states of the callbacks for a checkpoint."""
        if self._frozen is not None:
            return self._frozen
        missed = {id(callback) for callback in self._missed if callback._catches_up}
        entries = [
            {
                "kind": _kind(callback),
                "identity": callback._identity(),
                "state": callback.state_dict(),
                "missed": id(callback) in missed,
            }
            for callback in self._begun
        ]
        return {"entries": entries, "logs": dict(self._logs) if missed else {}}

    def resume(self, trainer: Trainer, saved: dict[str, Any], schedules_resume: bool) -> None:
        """Restore states from a checkpoint, then notify callbacks that had missed its epoch.

        A callback takes the first remaining state of the same kind and identity. A callback without
        such a state keeps its initial state.
        """
        left, missed, fresh = list(saved["entries"]), [], []
        for callback in self._begun:
            kind, identity = _kind(callback), callback._identity()
            place = next(
                (
                    i
                    for i, entry in enumerate(left)
                    if (entry["kind"], entry["identity"]) == (kind, identity)
                ),
                None,
            )
            if place is None:
                fresh.append((kind, identity))
                continue
            entry = left.pop(place)
            if entry["state"]:
                callback.load_state_dict(entry["state"])
            if entry["missed"] and (schedules_resume or not is_schedule(callback)):
                missed.append(callback)
        for kind, identity in fresh:
            for entry in left:
                if (
                    entry["kind"] == kind
                    and entry["state"]
                    and _differ(entry["identity"], identity)
                ):
                    warnings.warn(
                        f"{_shown(kind, identity)} starts from its initial state: the checkpoint "
                        f"has the state of {_shown(kind, entry['identity'])}",
                        stacklevel=4,
                    )
        self.tell(trainer, dict(saved["logs"]), missed)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the states only: callbacks may hold objects of any kind."""
        return _frozen, (self.states(),)


def _frozen(states: dict[str, Any]) -> Listeners:
    listeners = Listeners([])
    listeners._frozen = states
    return listeners


def _kind(callback: Callback) -> str:
    kind = type(callback)
    if is_schedule(callback):
        return f"scheduler {type(callback.scheduler).__name__}"
    return f"cnet {kind.__name__}" if kind.__module__.startswith("cnet.") else kind.__qualname__


def _differ(identity: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether identities differ in more than the file name.

    With a new file, a callback starts from its initial state without a warning.
    """
    return {**identity, "file": None} != {**other, "file": None}


def _shown(kind: str, identity: dict[str, Any]) -> str:
    settings = ", ".join(f"{name}={value!r}" for name, value in identity.items())
    return f"{kind.removeprefix('cnet ')}({settings})"


def _number(callback: Callback, name: str, logs: Logs) -> float:
    kind = type(callback).__name__
    if name not in logs:
        raise ValueError(f"{kind}.metrics has {name!r}, but on_epoch_end did not add it to logs")
    return as_float(f"logs[{name!r}] of {kind}", logs[name])
