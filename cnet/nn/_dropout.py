"""Dropout, and the random layers of a network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import loops
from cnet._utils.arrays import Array, as_array, seed_sequence
from cnet._utils.validation import real
from cnet.nn._checks import check_grad, training_state
from cnet.nn._images import as_column, as_elements, in_order_of
from cnet.nn._module import Module
from cnet.nn._neutral import neutral


class Dropout(Module):
    """Dropout: in training, sets random elements to 0 and scales the others.

    In training, ``y = x * mask / (1 - p)``, where each element of `mask` is 0 with probability `p`,
    and 1 otherwise. In inference, ``y = x``. The output has the shape of the input; float64 inputs
    stay float64, all others become float32.

    The mask depends only on the seed, the number of previous training batches, and the position in
    the batch. It does not depend on the number of threads.

    Parameters
    ----------
    p : float
        Probability that an element is dropped, from 0 to 1.
    inplace : bool
        For code written for PyTorch. It does not change results.
    seed : int or None
        Seed of the random numbers. With None, the container derives them from its seed; without a
        seed there, they are random.

    Attributes
    ----------
    key : int
        Key of the random numbers, derived from the seed.
    step : int
        Number of previous training batches. `key` and `step` determine all future masks, and both
        may be assigned.

    Raises
    ------
    TypeError, ValueError
        If `p` is not a number from 0 to 1, or `seed` is not a valid seed.

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

    _saved = ("_out",)

    def __init__(self, p: float = 0.5, inplace: bool = False, *, seed: int | None = None) -> None:
        neutral(inplace=inplace)
        self.p = real("p", p, 0, 1, wrong_type=ValueError)
        self.step = 0
        self._key: int | None = None
        self._settled = False
        self._out: Array | None = None
        if seed is not None:
            self._take_seed(seed_sequence(seed), settled=True)

    @property
    def key(self) -> int:
        """The key of 64 bits that, with `step`, determines the mask."""
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
    """Return the layers of a model that draw random numbers, such as dropout.

    They have a key and a step, which determine their next random numbers.
    """
    return [module for module in model.modules() if _has(module, "key") and _has(module, "step")]


def _has(module: Module, name: str) -> bool:
    """Like `hasattr`, but does not build the error message of a module for a missing name.

    Training calls this once per epoch.
    """
    return name in vars(module) or hasattr(type(module), name)
