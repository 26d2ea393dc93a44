"""Record of the settings that the constructors of schedulers changed in an optimizer.

A scheduler sets the rates of step 0 when it is constructed. If a checkpoint was loaded before,
training must continue with other rates. So the optimizer records its settings from before the
construction, and resumed training restores them.
"""

from collections.abc import Sequence
from typing import Any

_CHANGED = ("lr", "initial_lr", "momentum", "betas")
"""Names of the settings that schedulers change."""

Settings = dict[str, Any]


class Construction:
    """Settings of each parameter group before the construction of the first scheduler, and after
    that of the last one.
    """

    def __init__(self) -> None:
        self.before: list[Settings] = []
        self.after: list[Settings] = []

    def forget(self) -> None:
        """Clear the record, after settings were loaded, which take precedence."""
        self.before, self.after = [], []

    def note(self, before: list[Settings], groups: Sequence[Settings]) -> None:
        """Record a construction; `before` is the result of `settings_of` at its beginning."""
        for i, settings in enumerate(before):
            for name in settings if i < len(self.after) else ():
                if settings[name] == self.after[i].get(
                    name
                ):  # the previous constructor set it, and nothing has changed it since
                    settings[name] = self.before[i].get(name)
        self.before, self.after = before, settings_of(groups)

    def left(self, index: int, group: Settings, name: str) -> bool:
        """Whether a setting still has the value that a constructor set."""
        return index < len(self.after) and group.get(name) == self.after[index][name]

    def undo(self, groups: Sequence[Settings]) -> None:
        """Restore the settings that still have the values that constructors set."""
        untouched = [
            {name: value for name, value in settings.items() if self.left(i, groups[i], name)}
            for i, settings in enumerate(self.before)
        ]
        put_back(groups, untouched)
        self.forget()


def settings_of(groups: Sequence[Settings]) -> list[Settings]:
    """Return the settings that schedulers change; None for one that a group does not have."""
    return [{name: group.get(name) for name in _CHANGED} for group in groups]


def put_back(groups: Sequence[Settings], settings: Sequence[Settings]) -> None:
    """Restore the settings that `settings_of` returned."""
    for group, values in zip(groups, settings, strict=False):
        for name, value in values.items():
            if value is None:
                group.pop(name, None)
            else:
                group[name] = value
