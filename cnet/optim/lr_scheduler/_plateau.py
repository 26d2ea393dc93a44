"""A rate that is reduced when a metric no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cnet._utils.metric_modes import monitored_mode
from cnet._utils.validation import as_float
from cnet.optim._construction import settings_of
from cnet.optim._optimizer import Optimizer, check_numbers
from cnet.optim.lr_scheduler._scheduler import LRScheduler, check_optimizer
from cnet.optim.lr_scheduler._settings import (
    Checks,
    Optional,
    PerGroup,
    choice,
    flag,
    number,
    whole,
)


def _word(name: str, value: Any, groups: int = 1) -> str:
    """Check for the name of a metric."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected the name of a metric, such as 'val_loss'")
    return value


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` steps.

    A metric improves if it is beyond a bound::

        metric < best * (1 - threshold)    # mode="min", threshold_mode="rel"
        metric < best - threshold          # mode="min", threshold_mode="abs"
        metric > best * (1 + threshold)    # mode="max", threshold_mode="rel"
        metric > best + threshold          # mode="max", threshold_mode="abs"

    After more than `patience` consecutive steps without an improvement, the rate becomes ``max(rate
    * factor, min_lr)``, and the count starts again. A metric that is not finite is no improvement.

    Parameters
    ----------
    optimizer : optim.Optimizer
    mode : {"min", "max"} or None
        Whether a lower or a higher metric is better. None is the direction of the metric in a
        `fit`, and "min" otherwise.
    factor : float
        Factor of a reduction, at least 0 and below 1.
    patience : int
        Number of steps without an improvement that do not reduce the rate yet, at least 0.
    threshold : float
        Minimum improvement, at least 0.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a fraction of the best metric, or a difference. A fraction is not
        suitable for metrics near or below 0.
    cooldown : int
        Number of steps after a reduction that are not counted, at least 0.
    min_lr : float, or list of float
        Minimum of the rate, at least 0; one for each group, or one for all.
    eps : float
        Minimum change of the rate, at least 0. Smaller reductions are not made.
    monitor : str or None
        Name of the metric in the history of a `fit`. None is ``"val_loss"`` if there is one,
        otherwise ``"loss"``.

    Attributes
    ----------
    best : float or None
        Best metric so far; None before the first one.
    num_bad_epochs : int
        Number of consecutive steps without an improvement that were counted.
    cooldown_counter : int
        Number of steps that remain of a cooldown.

    Raises
    ------
    TypeError, ValueError
        If a setting is of the wrong type or out of bounds. `Trainer.fit` raises ValueError before
        its first step if its history will not have the metric.

    References
    ----------
    PyTorch, torch.optim.lr_scheduler.ReduceLROnPlateau.

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

    _settings: ClassVar[Checks] = {
        "per_batch": flag,
        "mode": Optional(choice("min", "max")),
        "factor": number(below=1),
        "patience": whole(0),
        "threshold": number(),
        "threshold_mode": choice("rel", "abs"),
        "cooldown": whole(0),
        "min_lrs": PerGroup(number(), "min_lr"),
        "eps": number(),
        "monitor": Optional(_word),
        "default_min_lr": Optional(number()),
    }
    _progress: ClassVar[Checks] = {
        "last_epoch": whole(0),
        "_last_lr": PerGroup(number()),
        "best": Optional(number(-math.inf)),
        "num_bad_epochs": whole(0),
        "cooldown_counter": whole(0),
    }

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str | None = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
        *,
        monitor: str | None = None,
    ) -> None:
        check_optimizer(optimizer)
        self.optimizer, self.per_batch = optimizer, False
        self.mode, self.factor, self.patience, self.threshold, self.threshold_mode = (
            mode,
            factor,
            patience,
            threshold,
            threshold_mode,
        )
        self.cooldown, self.eps, self.monitor = cooldown, eps, monitor
        self.min_lrs: list[float] = min_lr  # type: ignore[assignment] # a list once it is checked
        self.default_min_lr: float | None = None if isinstance(min_lr, list | tuple) else min_lr  # type: ignore[assignment] # mypy leaves a sequence
        self._check_settings()
        self.best: float | None = None
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0
        self._last_lr = [float(group["lr"]) for group in optimizer.param_groups]
        optimizer._construction.note(settings_of(optimizer.param_groups), optimizer.param_groups)

    @property
    def in_cooldown(self) -> bool:
        """Whether a cooldown after a reduction lasts, in which steps are not counted."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any = None, epoch: None = None) -> None:  # type: ignore[override] # as in PyTorch
        """Record a metric, and reduce the rate after more than `patience` steps without an
        improvement.

        Parameters
        ----------
        metrics : float
            Value of the monitored metric.
        epoch : None
            For code written for PyTorch: None.

        Raises
        ------
        TypeError
            If `metrics` is not a number, or `epoch` is not None.
        ValueError
            If a rate of the optimizer is out of bounds.
        RuntimeError
            If `min_lr` is a list, and the optimizer has more groups now.
        """
        self._reject_epoch(epoch)
        if metrics is None:
            raise TypeError("step() needs the monitored metric, such as step(val_loss)")
        metric, groups = as_float("the metric", metrics), self.optimizer.param_groups
        for group in groups:
            check_numbers(group, "lr")
        if len(self.min_lrs) < len(groups):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"the optimizer has {len(groups)} parameter groups now, but min_lr has "
                    f"{len(self.min_lrs)} values: append to `min_lrs`"
                )
            self.min_lrs += [self.default_min_lr] * (len(groups) - len(self.min_lrs))
        self.last_epoch += 1
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [float(group["lr"]) for group in groups]

    def _is_better(self, metric: float) -> bool:
        if not math.isfinite(metric) or self.best is None:
            return math.isfinite(metric)
        sign = 1 if self.mode == "max" else -1
        bar = (
            self.best * (1 + sign * self.threshold)
            if self.threshold_mode == "rel"
            else self.best + sign * self.threshold
        )
        return sign * metric > sign * bar

    def _reduce_lr(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lower = max(group["lr"] * self.factor, least)
            if group["lr"] - lower > self.eps:
                group["lr"] = lower

    def _name(self, metrics: Mapping[str, Any]) -> str:
        """Return the name of the monitored metric, given the metrics of a `fit`."""
        return self.monitor or ("val_loss" if "val_loss" in metrics else "loss")

    def _watch(self, modes: Mapping[str, str]) -> None:
        self.mode = monitored_mode(self._name(modes), self.mode or "auto", modes)

    def _end_epoch(self, logs: Mapping[str, float]) -> None:
        name = self._name(logs)
        if name not in logs:
            raise ValueError(f"monitor is {name!r}, but this epoch ended with {', '.join(logs)}")
        self.step(logs[name])
