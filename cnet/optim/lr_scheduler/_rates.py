"""Rates that follow from the number of steps by a formula."""

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler, cosine, count


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
        self.step_size, self.gamma = count("step_size", step_size), gamma
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
        self.T_max, self.eta_min = count("T_max", T_max), eta_min
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return cosine(base, self.eta_min, step / self.T_max)


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
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, count("total_iters", total_iters)
        super().__init__(optimizer, per_batch=per_batch)

    def rate(self, base: float, step: int) -> float:
        return base * (self.start_factor + (self.end_factor - self.start_factor) * min(1, step / self.total_iters))
