"""Rates that fall when training no longer gets better."""

import math

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a figure has not improved for more than `patience` steps.

    Parameters
    ----------
    optimizer : optim.Optimizer
    mode : {"min", "max"}
        What is better.
    factor : float
        Below 1.
    patience : int
    threshold : float
        Smaller improvements do not count.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a share of the best figure so far.
    cooldown : int
        Steps after a reduction during which nothing is counted.
    min_lr : float
    eps : float
        Smaller changes of the rate are not made.
    monitor : str or None
        As a callback: the figure in the history. None: ``"val_loss"`` where there is one, else ``"loss"``.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in (1.0, 1.0, 1.0):
    ...     scheduler.step(loss)
    >>> scheduler.get_last_lr()
    [0.25]
    """

    _remembered = (*LRScheduler._remembered, "best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ) -> None:
        for name, value, choices in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
            if value not in choices:
                raise ValueError(f"{name} is {value!r}, expected {choices[0]!r} or {choices[1]!r}")
        if not 0 <= factor < 1:
            raise ValueError(f"factor is {factor!r}, expected a number from 0 to below 1")
        self.mode, self.factor, self.patience, self.threshold, self.threshold_mode = mode, factor, patience, threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps, self.monitor = cooldown, min_lr, eps, monitor
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _go_to(self, step: int) -> None:
        self.last_epoch = step

    def _better(self, metric: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        bar = self.best * (1 + sign * self.threshold) if self.threshold_mode == "rel" else self.best + sign * self.threshold
        return sign * metric > sign * bar

    def step(self, metrics: float | None = None) -> None:
        """Take note of a figure, and reduce the rate where it is time."""
        if metrics is None:
            raise TypeError("step() needs the figure that is watched, such as step(val_loss)")
        super().step()
        if self._better(metrics):
            self.best, self.num_bad_epochs = metrics, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                lower = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lower > self.eps:
                    group["lr"] = lower
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def on_epoch_end(self, logs: dict[str, float]) -> None:
        name = self.monitor or ("val_loss" if "val_loss" in logs else "loss")
        if name not in logs:
            raise ValueError(f"monitor is {name!r}, but the history has {', '.join(logs)}")
        self.step(logs[name])
