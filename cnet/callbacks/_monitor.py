"""The base class of callbacks that monitor a metric and test whether it has improved."""

import math
import sys

from cnet._utils.metric_modes import MODES, monitored_mode
from cnet._utils.validation import choice, integer
from cnet.callbacks._callback import Callback, Logs
from cnet.callbacks._trainer_state import Trainer


class MonitorCallback(Callback):
    """Base class of callbacks that monitor a metric.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better. "auto" uses the direction of the metric.
    verbose : int
        Above 0: print the actions of the callback.
    """

    def __init__(self, monitor: str, mode: str, verbose: int) -> None:
        self.monitor, self.mode, self.verbose = monitor, mode, verbose
        self.direction = ""
        """"min" or "max". Empty before training begins."""

    def _check_settings(self) -> None:
        """Raise TypeError or ValueError for invalid options, at construction and in each `fit`."""
        if not isinstance(self.monitor, str):
            raise TypeError(
                f"monitor is {self.monitor!r}, expected the name of a metric, such as 'val_loss'"
            )
        choice("mode", self.mode, MODES)
        integer("verbose", int(self.verbose) if isinstance(self.verbose, bool) else self.verbose, 0)

    def _find_direction(self, trainer: "Trainer") -> None:
        """Raise ValueError if the metric is not one of this training."""
        self.direction = monitored_mode(self.monitor, self.mode, trainer.metric_modes)

    def _value(self, trainer: "Trainer", logs: Logs) -> float:
        if not self.direction:  # a subclass overrides on_train_begin
            self._find_direction(trainer)
        if self.monitor not in logs:
            raise ValueError(
                f"monitor is {self.monitor!r}, but the metrics of this epoch are {', '.join(logs)}"
            )
        return logs[self.monitor]

    def _better(self, value: float, reference: float | None, min_delta: float = 0.0) -> bool:
        """Whether a value improves on another by more than `min_delta`; False if not finite."""
        if not math.isfinite(value):
            return False
        if reference is None:
            return True
        return (
            value + min_delta < reference
            if self.direction == "min"
            else value - min_delta > reference
        )

    def _say(self, line: str) -> None:
        if self.verbose:
            say(line)


def say(line: str) -> None:
    """Print a line to standard output, above any progress bars of tqdm."""
    if not hasattr(sys.stdout, "write"):  # for example under pythonw
        return
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stdout)
    else:
        print(line)
