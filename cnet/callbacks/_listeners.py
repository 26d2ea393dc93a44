"""The callbacks of a training: who is told what, in which order, and what a checkpoint keeps of
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from cnet.callbacks._callback import Callback, Logs, is_schedule
from cnet.callbacks._hooks import overrides
from cnet.callbacks._trainer_state import Trainer

Entry = dict[str, Any]
"""What a checkpoint keeps of a callback: its kind, the settings that identify it, its state, and
whether it missed the end of the last epoch.
"""


class Listeners:
    """Callbacks in the order of their list, which is that in which they are told.

    A checkpoint may be written while they are being told of an epoch, by one of them. The others
    have not heard of the epoch then, and their states are those from before it. So the checkpoint
    says which ones missed it, and `resume` tells them first.

    Parameters
    ----------
    callbacks : list of Callback
    """

    def __init__(self, callbacks: list[Callback]) -> None:
        self._callbacks = callbacks
        self._begun: list[Callback] = []
        self._missed: list[Callback] = []
        """Those that have yet to be told of the epoch that has ended."""
        self._logs: Logs = {}
        """Of that epoch."""
        self._frozen: dict[str, Any] | None = None
        """What `states` gives, of a copy that has no callbacks."""

    def metrics(self) -> dict[str, str]:
        """Directions of the metrics that callbacks add."""
        return {
            name: mode for callback in self._callbacks for name, mode in callback.metrics.items()
        }

    def tellers(self) -> list[Callback]:
        """Those that want to hear of steps."""
        return [
            callback
            for callback in self._callbacks
            if overrides(callback, "on_batch_end", Callback)
        ]

    def begin(self, trainer: Trainer, epochs: int, steps: int | None) -> None:
        """Tell them that training begins. Each finds in `Trainer.metric_modes` the metrics that its
        logs will have: not those of later callbacks.
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
                        f"{kind}.metrics has {name!r}, which an epoch has already: use another name"
                    )
                taken.add(name)

    def tell(self, trainer: Trainer, logs: Logs, whom: list[Callback] | None = None) -> None:
        """Tell them of the end of an epoch, and put the metrics that they add into the history."""
        self._missed, self._logs = [*(self._begun if whom is None else whom)], logs
        while self._missed:
            callback = self._missed.pop(0)
            callback.on_epoch_end(trainer, logs)
            for name in callback.metrics:
                logs[name] = _number(callback, name, logs)
                if name in trainer.history:
                    trainer.history[name][-1] = logs[name]

    def end(self, trainer: Trainer) -> None:
        """Tell them that training has ended. Only those are remembered of which a checkpoint would
        keep something.
        """
        for callback in self._begun:
            callback.on_train_end(trainer)
        if not self._missed:
            self._callbacks = self._begun = [
                callback for callback in self._begun if overrides(callback, "state_dict", Callback)
            ]

    def states(self) -> dict[str, Any]:
        """What a checkpoint keeps of them."""
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

    def resume(self, trainer: Trainer, saved: dict[str, Any], schedules_go_on: bool) -> None:
        """Give callbacks the states that a checkpoint has of others like them, then tell of its
        epoch those that had missed it.

        A callback takes the first state that is left of the same kind and identity. One that finds
        none starts over.
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
            if entry["missed"] and (schedules_go_on or not is_schedule(callback)):
                missed.append(callback)
        for kind, identity in fresh:
            for entry in left:
                if (
                    entry["kind"] == kind
                    and entry["state"]
                    and _differ(entry["identity"], identity)
                ):
                    warnings.warn(
                        f"{_shown(kind, identity)} starts over: the checkpoint has the state of "
                        f"{_shown(kind, entry['identity'])}",
                        stacklevel=4,
                    )
        self.tell(trainer, dict(saved["logs"]), missed)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has no callbacks, which may hold anything, but their states."""
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
    """Whether identities differ in more than the file that is written: with a new file, one starts
    from the start without a word.
    """
    return {**identity, "file": None} != {**other, "file": None}


def _shown(kind: str, identity: dict[str, Any]) -> str:
    settings = ", ".join(f"{name}={value!r}" for name, value in identity.items())
    return f"{kind.removeprefix('cnet ')}({settings})"


def _number(callback: Callback, name: str, logs: Logs) -> float:
    kind = type(callback).__name__
    if name not in logs:
        raise ValueError(f"{kind}.metrics has {name!r}, but on_epoch_end did not add it to logs")
    value: Any = logs[name]
    try:
        if not isinstance(value, str | bytes):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"{kind} set logs[{name!r}] to {value!r}, expected a number")
