"""The best value of one of the numbers that an epoch ends with."""

import math

from cnet.callbacks._callback import Logs


class Monitor:
    """Follows one number of the logs.

    Parameters
    ----------
    name : str
        Its name in the logs.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for names that end in "accuracy".
    min_delta : float
        What an improvement must exceed.

    Raises
    ------
    ValueError
        If the mode is unknown, or `min_delta` negative.
    """

    def __init__(self, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode is {mode!r}, expected 'auto', 'min' or 'max'")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta is {min_delta!r}, expected a finite number of at least 0")
        self.name, self.min_delta = name, min_delta
        self.sign = 1.0 if mode == "max" or (mode == "auto" and name.endswith("accuracy")) else -1.0
        self.best: float | None = None

    def improved(self, logs: Logs) -> bool:
        """Whether this epoch is the best so far; a number that is not finite never is."""
        if self.name not in logs:
            hint = "; pass validation_data to fit" if self.name.startswith("val_") and not any(name.startswith("val_") for name in logs) else ""
            raise ValueError(f"monitor is {self.name!r}, but an epoch ends with {', '.join(logs)}{hint}")
        value = logs[self.name]
        better = math.isfinite(value) and (self.best is None or self.sign * (value - self.best) > self.min_delta)
        if better:
            self.best = value
        return better
