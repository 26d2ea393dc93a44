"""Protection against two trainings of the same model at once.

There is no lock, since an interrupt or a fork could leave it locked.
"""

import os
import weakref

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
    """Return whether a training of a model is going on."""
    return _goes_on(_training.get(id(model)))


def _claim(thing: int, training: weakref.ref[_Training]) -> bool:
    other = _training.setdefault(thing, training)  # atomic, unlike a lookup and an assignment
    if other is training or _goes_on(other):
        return other is training
    _training[thing] = training  # the other was interrupted when it ended
    return True


Claims = list[tuple[list[int], str]]
"""Identities of objects, and the message of the error if another training holds one of them."""


class claimed:
    """Context in which objects are claimed for one training.

    Parameters
    ----------
    claims : Claims

    Raises
    ------
    RuntimeError
        If another training holds one of the objects.
    """

    def __init__(self, claims: Claims) -> None:
        self._claims = claims

    def __enter__(self) -> None:
        self._this = _Training()
        self._reference = training = weakref.ref(self._this)
        try:
            for things, message in self._claims:
                for thing in things:
                    if not _claim(thing, training):
                        raise RuntimeError(message)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        self._this.goes_on = False
        for things, _ in self._claims:
            for thing in things:
                if _training.get(thing) is self._reference:
                    del _training[thing]


def claims(model: Module) -> Claims:
    """Return the claims of a training of a model, for `claimed`.

    They reject a second training of the model, or of one that shares a layer with it. Otherwise,
    both would silently overwrite each other's weights.
    """
    return [
        (
            [id(model)],
            "this model is being trained already: another thread, or a callback, called fit on it",
        ),
        # Sorted: of two trainings that begin at once, one claims the first array that they share,
        # and the other then fails.
        (
            sorted({*map(id, model._states())}),
            "this model shares a layer with one that is being trained already: wait until that "
            "fit has returned, or train a copy",
        ),
    ]
