"""The direction of metrics: whether less or more is better.

Callbacks, schedulers and plots ask `mode_of` or `monitored_mode`, so that all of them agree.
"""

from collections.abc import Mapping

from cnet._utils.validation import choice

MODES = ("auto", "min", "max")
"""Directions that a user can choose for a metric."""


def mode_of(name: str) -> str | None:
    """The direction that the name of a metric tells.

    Parameters
    ----------
    name : str
        As in a history, with or without ``val_``: ``"loss"``, ``"val_accuracy"``,
        ``"accuracy_digit"``.

    Returns
    -------
    {"min", "max"} or None
        "min" for losses and "max" for accuracies. None for any other name, which tells nothing.
    """
    metric = name.removeprefix("val_").partition("_")[0]
    return {"loss": "min", "accuracy": "max"}.get(metric)


def is_accuracy(name: str) -> bool:
    """Whether a metric is a fraction of samples, which is shown as a percentage."""
    return mode_of(name) == "max"


def monitored_mode(
    monitor: str, mode: str, modes: Mapping[str, str], argument: str = "monitor"
) -> str:
    """The direction of a metric that is monitored during training.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        "auto" takes the direction that `modes` has.
    modes : mapping
        Direction of each metric of this training: `Trainer.metric_modes`.
    argument : str
        Name of the argument that holds `monitor`, for the message.

    Returns
    -------
    {"min", "max"}

    Raises
    ------
    ValueError
        If this training has no such metric, or the mode is unknown.
    """
    choice("mode", mode, MODES)
    if monitor not in modes:
        has_validation = any(name.startswith("val_") for name in modes)
        hint = ""
        if str(monitor).startswith("val_") and not has_validation and mode_of(monitor):
            hint = "; pass validation_data to fit"
        elif mode_of(str(monitor)) is None:
            hint = (
                f"; a callback that adds {monitor} to logs has to declare it, as in metrics = "
                f"{{{monitor!r}: 'max'}}, and to come earlier in the list"
            )
        raise ValueError(
            f"{argument} is {monitor!r}, but an epoch ends with {', '.join(modes)}{hint}"
        )
    return modes[monitor] if mode == "auto" else mode
