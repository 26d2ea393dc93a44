"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, seed_sequence
from cnet.nn._images import as_column, as_elements, in_order_of
from cnet.nn._module import Module, check_grad, training_state
from cnet.nn._neutral import neutral
from cnet.nn._sizes import number


class Dropout(Module):
    """Sets elements to 0 at random while training, and scales the others so that the mean stays the
    same.

    Which ones follows from the seed, the number of training batches so far, and the place in the
    batch, whatever the number of threads. In inference it passes its input on.

    Parameters
    ----------
    p : float
        The probability of an element to be dropped, from 0 to 1.
    inplace : bool
        For code written for PyTorch: it changes no result.
    seed : int or None
        Of the random numbers. None leaves that to the container, or to chance.

    Attributes
    ----------
    key : int
        What was made of the seed.
    step : int
        Training batches so far. With `key` it tells all masks to come, and both may be assigned.

    Raises
    ------
    TypeError, ValueError
        If `p` is no probability, or `seed` no seed.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout: a simple way to prevent
    neural networks from overfitting, JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> layer = nn.Dropout(0.5, seed=0)
    >>> sorted(set(layer.forward(np.ones(1000), training=True)))
    [np.float64(0.0), np.float64(2.0)]
    >>> layer(np.ones(2))
    array([1., 1.])
    """

    _kept = ("_out",)

    def __init__(self, p: float = 0.5, inplace: bool = False, *, seed: int | None = None) -> None:
        neutral(inplace=inplace)
        self.p = number("p", p, 0, 1)
        self.step = 0
        self._key: int | None = None
        self._settled = False
        self._out: Array | None = None
        if seed is not None:
            self._take_seed(seed_sequence(seed), settled=True)

    @property
    def key(self) -> int:
        """64 random bits that, with the step, tell which elements are dropped."""
        if self._key is None:
            self._take_seed(seed_sequence(None), settled=True)
        self._settled = True
        assert self._key is not None
        return self._key

    @key.setter
    def key(self, key: int) -> None:
        self._key, self._settled = key, True

    def _take_seed(self, sequence: np.random.SeedSequence, settled: bool) -> None:
        if not self._settled:
            self._key, self._settled = int(sequence.generate_state(1, np.uint64)[0]), settled

    def config(self) -> dict[str, Any]:
        return {"p": self.p}

    def forward(self, x: ArrayLike, training: bool = False) -> Array:
        x = as_elements(x)
        if not training:
            self._out = None
            return x
        out = np.empty_like(x)
        self._apply(out, x, self.step)
        self._out = out
        self.step += 1
        return out

    def backward(self, grad: ArrayLike) -> Array:
        out = training_state(self, "_out")
        grad = as_array(grad, "grad")
        check_grad(self, grad.shape, out.shape)
        dx, dout = np.empty_like(out), in_order_of(out, grad)
        self._apply(dx, dout, self.step - 1)
        return dx

    def _apply(self, out: Array, x: Array, step: int) -> None:
        """Drop elements of x, the same ones for the same step."""
        loops(x.dtype).dropout(
            as_column(out), as_column(x), self.p, self.key, np.array([step], np.int64)
        )


def random_layers(model: Module) -> list[Any]:
    """Layers that draw random numbers, such as dropout: a key and a step tell which ones are
    next.
    """
    return [module for module in model.modules() if _has(module, "key") and _has(module, "step")]


def _has(module: Module, name: str) -> bool:
    """As `hasattr`, without the hint that a module makes for a name that it does not have: training
    asks once an epoch.
    """
    return name in vars(module) or hasattr(type(module), name)
