"""Keeps two trainings from changing the same things at once.

There is no lock, which an interrupt or a fork could leave locked.
"""

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cnet.nn import Module


class _Training:
    """A training, while it runs. It is over, too, when nothing refers to it any more."""

    goes_on = True


_training: dict[int, weakref.ref[_Training]] = {}
"""Which training has an object, by its identity: a model, a parameter, a buffer, an estimator."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        after_in_child=_training.clear
    )  # what another thread trained, none does in the child


def _goes_on(training: weakref.ref[_Training] | None) -> bool:
    found = None if training is None else training()
    return found is not None and found.goes_on


def is_trained_now(model: Module) -> bool:
    """Whether `exclusive` is in effect for a model."""
    return _goes_on(_training.get(id(model)))


def _claim(thing: int, training: weakref.ref[_Training]) -> bool:
    other = _training.setdefault(
        thing, training
    )  # in one operation, unlike a look and an assignment
    if other is training or _goes_on(other):
        return other is training
    _training[thing] = training  # the other was interrupted when it ended
    return True


@contextmanager
def claimed(*claims: tuple[Iterable[int], str]) -> Iterator[None]:
    """Have things, by their identities, for one training alone; RuntimeError with the message
    beside them if another has one of them.
    """
    this = _Training()
    training = weakref.ref(this)
    held = [([*things], message) for things, message in claims]
    try:
        for things, message in held:
            if not all(_claim(thing, training) for thing in things):
                raise RuntimeError(message)
        yield
    finally:
        this.goes_on = False
        for things, _ in held:
            for thing in things:
                if _training.get(thing) is training:
                    del _training[thing]


@contextmanager
def exclusive(model: Module) -> Iterator[None]:
    """Reject a second training of a model, or of one that shares a layer with it: both would be
    spoiled silently.
    """
    arrays = {*map(id, model._states())}
    with claimed(
        (
            [id(model)],
            "this model is being trained already: another thread, or a callback, called fit on it",
        ),
        # In order: of two trainings that begin at once, one gets the first array that they share,
        # and the other no more.
        (
            sorted(arrays),
            "this model shares a layer with one that is being trained already: wait until that "
            "fit has returned, or train a copy",
        ),
    ):
        yield
