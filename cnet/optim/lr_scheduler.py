"""Learning rates that change on a schedule, with PyTorch's names and meaning.

Call `step()` by hand, or give the scheduler to ``Trainer.fit(callbacks=[scheduler])``, which steps it after each epoch;
`OneCycleLR` and `LinearLR` after each batch, as do others on request. A rate follows from the rate that the optimiser was
constructed with and the number of steps alone: one that is set by hand lasts until the next step.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from cnet.optim._optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LinearLR", "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR"]


class LRScheduler:
    """Base of the schedulers. To write one, override `rate`.

    Parameters
    ----------
    optimizer : optim.Optimizer
    per_batch : bool
        As a callback, step after each batch instead of after each epoch.

    Attributes
    ----------
    last_epoch : int
        Steps taken.
    base_lrs : list of float
        The rates that groups began with.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> class Inverse(optim.lr_scheduler.LRScheduler):
    ...     def rate(self, base, step):
    ...         return base / (1 + step)
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = Inverse(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, *, per_batch: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer is {optimizer!r}, expected one such as optim.SGD(model.parameters(), lr=0.1)")
        if any("lr" not in group for group in optimizer.param_groups):
            raise ValueError(f"{type(optimizer).__name__} has no setting lr that could follow a schedule")
        self.optimizer = optimizer
        self.per_batch = per_batch
        self.base_lrs: list[float] = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self._go_to(0)

    def rate(self, base: float, step: int) -> float:
        """The rate of a group that began with rate `base`, after `step` steps."""
        raise TypeError(f"{type(self).__name__} does not define rate(base, step)")

    def step(self) -> None:
        """Go on to the next rate."""
        self._go_to(self.last_epoch + 1)

    def _go_to(self, step: int) -> None:
        self.last_epoch = step
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(base, step)

    def get_last_lr(self) -> list[float]:
        """The rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def on_train_begin(self, steps: int) -> None:
        """Before a training of so many batches that steps it."""

    def on_epoch_end(self, logs: dict[str, float]) -> None:
        """After an epoch of a training that steps it per epoch."""
        self.step()


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` steps.

    Parameters
    ----------
    optimizer : optim.Optimizer
    step_size : int
        At least 1.
    gamma : float
    per_batch : bool
        See `LRScheduler`.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.01)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optimizer)
    >>> history = trainer.fit([[1.0, 2.0]], [3.0], epochs=3, callbacks=[scheduler], verbose=False)
    >>> scheduler.get_last_lr()
    [0.001]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, *, per_batch: bool = False) -> None:
        self.step_size, self.gamma = _count("step_size", step_size), gamma
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return float(base * self.gamma ** (step // self.step_size))


class ExponentialLR(LRScheduler):
    """Multiply the rate by `gamma` at each step.

    Parameters
    ----------
    optimizer : optim.Optimizer
    gamma : float
    per_batch : bool
        See `LRScheduler`.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, *, per_batch: bool = False) -> None:
        self.gamma = gamma
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return float(base * self.gamma**step)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the rate down to `eta_min`, and, beyond `T_max` steps, up again.

    Parameters
    ----------
    optimizer : optim.Optimizer
    T_max : int
        Steps down, at least 1.
    eta_min : float
    per_batch : bool
        See `LRScheduler`.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017 (without the restarts).

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> scheduler.step()
    >>> round(scheduler.get_last_lr()[0], 6)
    0.25
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, *, per_batch: bool = False) -> None:
        self.T_max, self.eta_min = _count("T_max", T_max), eta_min
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return _cosine(base, self.eta_min, step / self.T_max)


class LinearLR(LRScheduler):
    """Warm-up: a factor that grows linearly from `start_factor` to `end_factor` in `total_iters` steps, and stays there.

    Parameters
    ----------
    optimizer : optim.Optimizer
    start_factor, end_factor : float
    total_iters : int
        At least 1.
    per_batch : bool
        See `LRScheduler`.

    Examples
    --------
    >>> from cnet import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> scheduler = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.25, 0.375, 0.5, 0.5]
    """

    def __init__(self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5, *, per_batch: bool = True) -> None:
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, _count("total_iters", total_iters)
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return base * (self.start_factor + (self.end_factor - self.start_factor) * min(1, step / self.total_iters))


class OneCycleLR(LRScheduler):
    """Up from a small rate to `max_lr` and down to almost nothing, along cosines, with momentum the other way round.

    Parameters
    ----------
    optimizer : optim.Optimizer
    max_lr : float
    total_steps : int or None
        Steps of the cycle, at least 2; beyond them the rate stays. None, as a callback: the batches of the call of `fit`.
    pct_start : float
        Share of the steps that lead up, above 0 and below 1.
    cycle_momentum : bool
        Also move `momentum` or the first of `betas`, where the optimiser has them, between the next two.
    base_momentum, max_momentum : float
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first one divided by this.

    References
    ----------
    Smith and Topin, Super-convergence: very fast training of neural networks using large learning rates, arXiv:1708.07120.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn, optim
    >>> model = nn.Sequential(nn.Linear(2, 1), seed=0)
    >>> optimizer = optim.SGD(model.parameters(), momentum=0.9)
    >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1)
    >>> trainer = cnet.Trainer(model, nn.MSELoss(), optimizer)
    >>> history = trainer.fit([[1.0, 2.0]] * 40, [3.0] * 40, batch_size=4, callbacks=[scheduler], verbose=False)
    >>> scheduler.get_last_lr()[0] < 1e-6
    True
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        pct_start: float = 0.3,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if not 0 < pct_start < 1:
            raise ValueError(f"pct_start is {pct_start!r}, expected a number above 0 and below 1")
        self.max_lr, self.pct_start, self.cycle_momentum = max_lr, pct_start, cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.total_steps = None if total_steps is None else _count("total_steps", total_steps, 2)
        super().__init__(optimizer, per_batch=True)

    def _along(self, step: int, first: float, top: float, last: float) -> float:
        if step == 0:
            return first
        if self.total_steps is None:
            raise RuntimeError("OneCycleLR does not know how many steps there will be: construct it with total_steps")
        summit, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= summit:
            return _cosine(first, top, step / summit)
        return _cosine(top, last, (min(step, end) - summit) / (end - summit))

    def rate(self, base: float, step: int) -> float:
        first = self.max_lr / self.div_factor
        return self._along(step, first, self.max_lr, first / self.final_div_factor)

    def _go_to(self, step: int) -> None:
        super()._go_to(step)
        if self.cycle_momentum:
            momentum = self._along(step, self.max_momentum, self.base_momentum, self.max_momentum)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                elif group.get("momentum"):
                    group["momentum"] = momentum

    def on_train_begin(self, steps: int) -> None:
        if self.total_steps is None:
            self.total_steps = max(2, steps)


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


class SequentialLR(LRScheduler):
    """One scheduler after another: the next one begins at each milestone.

    Parameters
    ----------
    optimizer : optim.Optimizer
    schedulers : sequence of LRScheduler
        Of this optimiser; `ReduceLROnPlateau` cannot be one of them.
    milestones : sequence of int
        One less than there are schedulers, increasing.
    per_batch : bool
        See `LRScheduler`.

    Examples
    --------
    Warm-up, then a cosine:

    >>> from cnet import nn, optim
    >>> from cnet.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD(nn.Linear(2, 1, seed=0).parameters(), lr=0.5)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), CosineAnnealingLR(optimizer, T_max=2)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 6) for rate in rates]
    [0.25, 0.375, 0.5, 0.25, 0.0]
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], *, per_batch: bool = False) -> None:
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        if any(not isinstance(s, LRScheduler) or isinstance(s, ReduceLROnPlateau) or s.optimizer is not optimizer for s in self.schedulers):
            raise ValueError("schedulers must be schedulers of this optimizer that need no figure")
        if len(self.milestones) != len(self.schedulers) - 1 or self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"milestones is {milestones!r}, expected {len(self.schedulers) - 1} increasing numbers: one between two schedulers")
        super().__init__(optimizer, per_batch=per_batch)

    def _go_to(self, step: int) -> None:
        self.last_epoch = step
        i = bisect_right(self.milestones, step)
        self.schedulers[i]._go_to(step - (self.milestones[i - 1] if i else 0))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _count(name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, expected an integer of at least {least}")
    return value
