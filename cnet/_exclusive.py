"""Keeps two trainings from changing the same arrays at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cnet.nn import Module

_training: set[int] = set()
"""Identities of models, parameters and buffers that are being trained."""
_training_lock = threading.Lock()


def is_trained_now(model: Module) -> bool:
    """Whether `exclusive` is in effect for a model."""
    return id(model) in _training


@contextmanager
def exclusive(model: Module) -> Iterator[None]:
    """Refuse a second training of a model, or of one that shares a layer with it: both would be spoiled silently."""
    held = {id(model), *map(id, model._states())}
    with _training_lock:
        if id(model) in _training:
            raise RuntimeError("this model is being trained already: another thread, or a callback, called fit on it")
        if held & _training:
            raise RuntimeError("this model shares a layer with one that is being trained already: wait until that fit has returned, or train a copy")
        _training.update(held)
    try:
        yield
    finally:
        _training.difference_update(held)
