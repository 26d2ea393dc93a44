"""Base of the cyclic schedulers: momentum that falls while the rate rises, and rises again."""

from __future__ import annotations

from typing import Any, ClassVar

from cnet.optim._optimizer import Optimizer
from cnet.optim.lr_scheduler._scheduler import LRScheduler
from cnet.optim.lr_scheduler._settings import Checks, PerGroup, flag, number
from cnet.optim.lr_scheduler._state import State


class Cycle(LRScheduler):
    """Base of the cyclic schedulers, which set ``momentum``, or the first of ``betas``, of each
    group at each step.
    """

    _settings: ClassVar[Checks] = {
        **LRScheduler._settings,
        "cycle_momentum": flag,
        "base_momentums": PerGroup(number(), "base_momentum"),
        "max_momentums": PerGroup(number(), "max_momentum"),
        "max_lrs": PerGroup(number(), "max_lr"),
    }

    _for_each_group = "max_lr"

    cycle_momentum: bool
    base_momentums: list[float]
    max_momentums: list[float]
    max_lrs: list[float]

    def _momenta(self) -> list[float]:
        """Return the momentum of each group at step `last_epoch`."""
        raise NotImplementedError

    def _check_for_this(self, values: State) -> None:
        if not values["cycle_momentum"]:
            return
        optimizer = self.optimizer
        if not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(
                f"{type(optimizer).__name__} has no momentum that could follow a cycle: construct "
                f"{type(self).__name__} with cycle_momentum=False"
            )
        for momenta in (values["base_momentums"], values["max_momentums"]):
            for i, (group, momentum) in enumerate(
                zip(optimizer.param_groups, momenta, strict=True)
            ):
                optimizer._check_group(i, {**group, **_moved(optimizer, group, momentum)})

    @classmethod
    def _check_together(cls, values: State) -> None:
        check_order(
            "base_momentum", values["base_momentums"], "max_momentum", values["max_momentums"]
        )

    def _move_momentum(self) -> None:
        if self.cycle_momentum:
            for group, momentum in zip(self.optimizer.param_groups, self._momenta(), strict=True):
                group.update(_moved(self.optimizer, group, momentum))


def _moved(optimizer: Optimizer, group: dict[str, Any], momentum: float) -> dict[str, Any]:
    """Return the setting of a group that holds its momentum, with a new value."""
    return (
        {"betas": (momentum, *group["betas"][1:])}
        if "betas" in optimizer.defaults
        else {"momentum": momentum}
    )


def check_order(lower: str, lows: list[float], upper: str, highs: list[float]) -> None:
    """Raise ValueError if a lower bound is above its upper bound."""
    for low, high in zip(lows, highs, strict=True):
        if low > high:
            raise ValueError(f"{lower} is {low!r}, which is above {upper}, {high!r}")
