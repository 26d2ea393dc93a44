"""What constructing schedulers did to the settings of an optimizer.

A scheduler sets the rates of step 0 when it is constructed. Where a checkpoint was loaded before,
those are not the rates that training continues with. So the optimizer notes what the settings were
before, and a resumed training has them again.
"""

from collections.abc import Sequence
from typing import Any

_CHANGED = ("lr", "initial_lr", "momentum", "betas")

Settings = dict[str, Any]


class Construction:
    """Settings of each parameter group before the first scheduler was constructed, and after the
    last one.
    """

    def __init__(self) -> None:
        self.before: list[Settings] = []
        self.after: list[Settings] = []

    def forget(self) -> None:
        """Settings were loaded: they count."""
        self.before, self.after = [], []

    def note(self, before: list[Settings], groups: Sequence[Settings]) -> None:
        """A scheduler was constructed; `before` is what `settings_of` gave at the beginning."""
        for i, settings in enumerate(before):
            for name in settings if i < len(self.after) else ():
                if settings[name] == self.after[i].get(
                    name
                ):  # the constructor before this one set it, and nobody since
                    settings[name] = self.before[i].get(name)
        self.before, self.after = before, settings_of(groups)

    def left(self, index: int, group: Settings, name: str) -> bool:
        """Whether a setting is still what a constructor left."""
        return index < len(self.after) and group.get(name) == self.after[index][name]

    def undo(self, groups: Sequence[Settings]) -> None:
        """Put back settings that are still what constructors left."""
        untouched = [
            {name: value for name, value in settings.items() if self.left(i, groups[i], name)}
            for i, settings in enumerate(self.before)
        ]
        put_back(groups, untouched)
        self.forget()


def settings_of(groups: Sequence[Settings]) -> list[Settings]:
    """The settings that schedulers change; None for one that a group does not have."""
    return [{name: group.get(name) for name in _CHANGED} for group in groups]


def put_back(groups: Sequence[Settings], settings: Sequence[Settings]) -> None:
    """Give groups what `settings_of` gave."""
    for group, values in zip(groups, settings, strict=False):
        for name, value in values.items():
            if value is None:
                group.pop(name, None)
            else:
                group[name] = value
