"""Initializers of weights: `Normal`, `Uniform`, `Xavier`, `He`, `Zeros`, `Ones`.

An initializer is called with a shape and a generator. The last axis of the shape counts the
outputs, and the axis before it the inputs. Axes before these are the positions of a kernel.

Pass an initializer to a layer, as in ``nn.Linear(784, 128, weight_init=nn.init.Normal(0.01))``, or
the name of one with default arguments, such as ``"he"``. Without one, the activation that follows
the layer determines it: `He` before ReLU and its variants, and `Xavier` otherwise.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from cnet._utils.answers import INIT
from cnet._utils.arrays import Array
from cnet._utils.hints import no_attribute
from cnet._utils.validation import choice, real

__all__ = ["He", "Initializer", "Normal", "Ones", "Uniform", "Xavier", "Zeros"]


class Initializer:
    """Base of the initializers: a callable ``(shape, rng) -> float64 array``.

    To write an initializer, override ``__call__``. The layer casts the values to its dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> class Diagonal(nn.init.Initializer):
    ...     def __call__(self, shape, rng):
    ...         return np.eye(*shape)
    >>> nn.Linear(2, 3, weight_init=Diagonal()).weight.data
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Return the initial values.

        Parameters
        ----------
        shape : tuple of int
            Shape of the parameter.
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        ndarray of float64
            Values, of shape `shape`.
        """
        raise TypeError(f"{type(self).__name__} does not define __call__")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


class Zeros(Initializer):
    """Zeros, the default for biases.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.Linear(2, 3, bias_init=nn.init.Zeros()).bias.data
    array([0., 0., 0.], dtype=float32)
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape)


class Ones(Initializer):
    """Ones, the default for the scales of normalization layers.

    Examples
    --------
    >>> from cnet import nn
    >>> nn.LayerNorm(3).weight.data
    array([1., 1., 1.], dtype=float32)
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.ones(shape)


class Normal(Initializer):
    """Normal distribution N(mean, std**2).

    Parameters
    ----------
    std : float
        Standard deviation, above 0.
    mean : float
        Mean.

    Raises
    ------
    TypeError, ValueError
        If `std` is not a finite number above 0, or `mean` is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.init.Normal(std=0.01)((784, 10), np.random.default_rng(0)).std().round(3)
    np.float64(0.01)
    """

    def __init__(self, std: float = 0.01, *, mean: float = 0.0) -> None:
        self.std = real("std", std, above=0, alternative="nn.init.Zeros() for zeros")
        self.mean = real("mean", mean)

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.normal(self.mean, self.std, shape)


class Uniform(Initializer):
    """Uniform distribution on [low, high).

    Parameters
    ----------
    low, high : float
        Bounds of the values; `low` is at most `high`.

    Raises
    ------
    TypeError, ValueError
        If `low` or `high` is not a finite number, or `low` is above `high`.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> weights = nn.init.Uniform(-1, 1)((784, 10), np.random.default_rng(0))
    >>> bool((abs(weights) <= 1).all())
    True
    """

    def __init__(self, low: float = -0.5, high: float = 0.5) -> None:
        self.low, self.high = real("low", low), real("high", high)
        if not low <= high:
            raise ValueError(f"low is {low!r} and high is {high!r}, expected low <= high")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.uniform(self.low, self.high, shape)


class _VarianceScaling(Initializer):
    """Base of distributions of mean 0 whose variance depends on the numbers of inputs and outputs.

    The numbers are ``fan_in = prod(shape[:-1])`` and ``fan_out = prod(shape[:-2]) * shape[-1]``.
    """

    def __init__(self, distribution: str = "uniform") -> None:
        self.distribution = choice("distribution", distribution, ("uniform", "normal"))

    def _variance(self, fan_in: int, fan_out: int) -> float:
        """Return the variance."""
        raise TypeError(f"{type(self).__name__} does not define _variance")

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        positions = math.prod(shape[:-2])
        std = math.sqrt(self._variance(math.prod(shape[:-1]), positions * shape[-1]))
        if self.distribution == "normal":
            return rng.normal(0, std, shape)
        bound = math.sqrt(3) * std
        return rng.uniform(-bound, bound, shape)


class Xavier(_VarianceScaling):
    """Xavier or Glorot initialization: mean 0 and variance ``2 / (fan_in + fan_out)``.

    It preserves the variance of signals and gradients through layers with tanh or sigmoid. `fan_in`
    is the number of inputs of an output, and `fan_out` the number of outputs of an input. Uniform
    values lie in [-b, b) with ``b = sqrt(6 / (fan_in + fan_out))``.

    Parameters
    ----------
    distribution : {"uniform", "normal"}
        Distribution of the values.

    Raises
    ------
    ValueError
        If the distribution is unknown.

    References
    ----------
    Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
    AISTATS 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.init.Xavier("normal")((300, 200), np.random.default_rng(0)).var().round(4) == 2 / 500
    np.True_
    """

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / (fan_in + fan_out)


class He(_VarianceScaling):
    """He or Kaiming initialization: mean 0 and variance ``2 / fan_in``.

    It preserves the variance of signals through layers with ReLU. `fan_in` is the number of inputs
    of an output. Uniform values lie in [-b, b) with ``b = sqrt(6 / fan_in)``.

    Parameters
    ----------
    distribution : {"uniform", "normal"}
        Distribution of the values.

    Raises
    ------
    ValueError
        If the distribution is unknown.

    References
    ----------
    He, Zhang, Ren and Sun, Delving deep into rectifiers: surpassing human-level performance on
    ImageNet classification, ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from cnet import nn
    >>> nn.init.He()((400, 200), np.random.default_rng(0)).var().round(3) == 2 / 400
    np.True_
    """

    def _variance(self, fan_in: int, fan_out: int) -> float:
        return 2 / fan_in


_BY_NAME: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "normal": Normal,
    "uniform": Uniform,
    "xavier": Xavier,
    "he": He,
}


def get(initializer: Any) -> Initializer | None:
    """Return the initializer of a name, and an initializer or None unchanged.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if initializer is None or isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, str) and initializer.lower() in _BY_NAME:
        return _BY_NAME[initializer.lower()]()
    raise ValueError(
        f"initializer is {initializer!r}, expected one of {', '.join(map(repr, _BY_NAME))} or an "
        "nn.init.Initializer"
    )


if not TYPE_CHECKING:  # to mypy, every name would be there

    def __getattr__(name: str) -> Any:
        raise no_attribute(sys.modules[__name__], name, INIT)
