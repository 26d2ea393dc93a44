"""Checks that a loss fits the last layer of a network, as logits are not probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from cnet._utils.builtin import is_builtin
from cnet._utils.warnings import warn
from cnet.nn._activations import ReLU, Sigmoid, Softmax
from cnet.nn._class_losses import NOT_PROBABILITIES, CrossEntropyLoss, NLLLoss
from cnet.nn._dropout import Dropout
from cnet.nn._element_losses import BCEWithLogitsLoss, PoissonNLLLoss
from cnet.nn._heads import Heads, HeadsLoss
from cnet.nn._losses import Loss
from cnet.nn._module import Module
from cnet.nn._pool import AvgPool2d, MaxPool2d
from cnet.nn._sequential import Sequential
from cnet.nn._shape import Flatten, Identity

_PASSING = (Identity, Flatten, Dropout, MaxPool2d, AvgPool2d)
"""Layers whose outputs are in the range of their inputs."""
_ABOVE_ZERO = (Softmax, Sigmoid, ReLU)
"""Layers whose outputs are at least 0."""


def warn_of_end(model: Module, loss: Loss) -> None:
    """Warn if a loss takes logits and the network ends in probabilities, or if a loss takes means
    and outputs may be negative.
    """
    for place, last, part in _ends(model, loss):
        end = f"{place} ends in {last!r}"
        if isinstance(part, CrossEntropyLoss | BCEWithLogitsLoss) and isinstance(
            last, Softmax | Sigmoid
        ):
            name = type(part).__name__
            has = "softmax" if isinstance(part, CrossEntropyLoss) else "the sigmoid"
            instead = (
                ""
                if isinstance(last, Sigmoid)
                else ", or train with nn.NLLLoss, which takes probabilities"
            )
            warn(
                f"{end}, but {name} takes logits, and has {has} built in, so that the network "
                f"learns badly: leave that layer out{instead}"
            )
        if (
            isinstance(part, PoissonNLLLoss)
            and not part.log_input
            and is_builtin(last)
            and not isinstance(last, _ABOVE_ZERO)
        ):
            warn(
                f"{end}, which may give numbers below 0, but PoissonNLLLoss(log_input=False) "
                "takes them for means, and would be NaN: put nn.ReLU() at the end, or let the "
                "network give logarithms, with log_input=True",
            )


def check_end(model: Module, loss: Loss) -> None:
    """Raise ValueError if a loss takes probabilities and the last layer does not return them.

    The outputs of a custom layer are not known here. `NLLLoss` checks them in each batch.
    """
    for place, last, part in _ends(model, loss):
        if (
            isinstance(part, NLLLoss)
            and is_builtin(last)
            and not isinstance(last, Softmax | Sigmoid)
        ):
            raise ValueError(
                f"{place} ends in {last!r}, but {NOT_PROBABILITIES}, or put nn.Softmax() at the end"
            )


def gives_probabilities(model: Module, loss: Loss) -> bool:
    """Whether all losses that take probabilities get them from softmax or sigmoid.

    Then the outputs need not be checked in each batch.
    """
    return all(
        isinstance(last, Softmax | Sigmoid)
        for _, last, part in _ends(model, loss)
        if isinstance(part, NLLLoss)
    )


def _ends(model: Module, loss: Loss) -> Iterator[tuple[str, Module | None, Loss]]:
    """Yield each loss in `loss`, with the name of its outputs and their last layer."""
    if isinstance(loss, HeadsLoss):
        for name, part in loss.losses.items():
            yield f"head {name}", _last(model, name), part
    else:
        yield "the network", _last(model, None), loss


def _last(module: Module, head: str | None) -> Module | None:
    """Return the last layer of a network, or of a head, that is not in `_PASSING`.

    It is None if there is no such layer.
    """
    if isinstance(module, Sequential):
        found = (
            last for layer in reversed(module.layers) if (last := _last(layer, head)) is not None
        )
        return next(found, None)
    if isinstance(module, Heads) and head in module.heads:
        return _last(module.heads[head], head)
    return None if isinstance(module, _PASSING) else module
