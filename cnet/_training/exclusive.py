"""Protection against two trainings of the same model at once.

There is no lock, since an interrupt or a fork could leave it locked.
"""

import os
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cnet.nn import Module


class _Training:
    """A training that runs. It also counts as ended when nothing refers to it any more."""

    goes_on = True


_training: dict[int, weakref.ref[_Training]] = {}
"""Trainings by the `id` of each claimed object: a model, parameter, buffer or estimator."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        after_in_child=_training.clear
    )  # the threads that trained do not exist in the child


def _goes_on(training: weakref.ref[_Training] | None) -> bool:
    found = None if training is None else training()
    return found is not None and found.goes_on


def is_trained_now(model: Module) -> bool:
    """Return whether `exclusive` is in effect for a model."""
    return _goes_on(_training.get(id(model)))


def _claim(thing: int, training: weakref.ref[_Training]) -> bool:
    other = _training.setdefault(thing, training)  # atomic, unlike a lookup and an assignment
    if other is training or _goes_on(other):
        return other is training
    _training[thing] = training  # the other was interrupted when it ended
    return True


@contextmanager
def claimed(*claims: tuple[Iterable[int], str]) -> Iterator[None]:
    """Claim objects for one training.

    Parameters
    ----------
    *claims : (iterable of int, str)
        Identities of objects, and the message of the RuntimeError that is raised if another
        training holds one of them.
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
    """Reject a second training of a model, or of one that shares a layer with it.

    Otherwise, both would silently overwrite each other's weights.
    """
    arrays = {*map(id, model._states())}
    with claimed(
        (
            [id(model)],
            "this model is being trained already: another thread, or a callback, called fit on it",
        ),
        # Sorted: of two trainings that begin at once, one claims the first array that they share,
        # and the other then fails.
        (
            sorted(arrays),
            "this model shares a layer with one that is being trained already: wait until that "
            "fit has returned, or train a copy",
        ),
    ):
        yield
