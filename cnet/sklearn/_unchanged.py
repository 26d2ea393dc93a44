"""Restoration of an estimator after a fit that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cnet._training.exclusive import claimed
from cnet._utils.arrays import Array
from cnet.nn import Parameter
from cnet.nn._dropout import random_layers


@contextmanager
def unchanged_on_error(estimator: Any, continues: bool) -> Iterator[None]:
    """Restore an estimator if an error or Ctrl-C ends the block. Reject a second fit meanwhile.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Estimator that is being fitted.
    continues : bool
        Whether training continues with the existing network. Otherwise the network, its trainer and
        its metrics are replaced, and not changed in place.

    Raises
    ------
    RuntimeError
        If the estimator is being fitted already.
    """
    taken = (
        "this estimator is being fitted already: another thread, or a callback, called fit or "
        "partial_fit. Fit a clone instead"
    )
    with claimed([([id(estimator)], taken)]):
        before = _Before(estimator)
        if continues and hasattr(estimator, "model_"):
            before.keep_training(estimator)
        try:
            yield
        except BaseException:
            before.restore()
            raise


class _Before:
    """State of an estimator before a fit."""

    def __init__(self, estimator: Any) -> None:
        self._mappings: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._arrays: list[tuple[Array, Array]] = []
        self._lists: list[tuple[list[Any], int]] = []
        self._keep(vars(estimator))

    def _keep(self, *mappings: Any) -> None:
        self._mappings += [(mapping, dict(mapping)) for mapping in mappings]

    def keep_training(self, estimator: Any) -> None:
        """Save the objects that continued training changes in place.

        These are the network, the trainer with its optimizer, and the recorded metrics.
        """
        states = estimator.model_._states()
        self._keep(
            *map(vars, states), *map(vars, random_layers(estimator.model_)), estimator.history_
        )
        self._arrays += [(state.data, state.data.copy()) for state in states]
        for values in (*vars(estimator).values(), *estimator.history_.values()):
            if isinstance(values, list):
                self._lists.append((values, len(values)))
        if (trainer := estimator._trainer) is not None:
            optimizer = trainer.optimizer
            self._keep(
                vars(trainer),
                vars(optimizer),
                *optimizer.param_groups,
                optimizer._state,
                *map(vars, optimizer._state.values()),
            )
            self._arrays += [
                (state.arrays, state.arrays.copy()) for state in optimizer._state.values()
            ]

    def restore(self) -> None:
        """Restore the saved state."""
        for mapping, before in self._mappings:
            mapping.clear()
            mapping.update(before)
        for array, values in self._arrays:
            if array.flags.writeable:  # a read-only one is as it was
                array[...] = values
        for figures, length in self._lists:
            del figures[length:]
        Parameter._exchanges += 1
