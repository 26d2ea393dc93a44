"""The interface of a library, and the weights that all of them start from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _cases import BatchNorm, Case, Conv, Dense

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Targets = NDArray[Any]
"""Class numbers, or float32 of the shape of the outputs."""
Weights = list[tuple[Floats, Floats]]
"""For each layer with parameters, weights and biases: (inputs, outputs) of a linear layer,
(channels, kernel, kernel, filters) of a convolution, and factors of a batch normalization.
"""


class Peer(ABC):
    """One network in one library, with its data set in memory and in the library's own form.

    All train alike: as the case says, from the same weights. An epoch visits the samples in a
    random order, drawn and gathered batch by batch as the library's users would do it; where the
    batch is the whole data set there is nothing to shuffle or gather.

    Parameters
    ----------
    case : Case
    x, y : ndarray
        The data set: a whole number of batches.
    threads : int
    """

    remark: str = ""
    """Difference from the other libraries, where it cannot do quite the same; its losses are then
    not compared with theirs.
    """

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        self.case = case
        self.x = x
        self.y = y
        self.threads = threads
        self.batch = case.predict or case.batch or len(x)
        self.full_batch = self.batch == len(x)
        self.set_seed(0)

    @staticmethod
    def supports(case: Case) -> bool:
        """Whether the library can express this case."""
        return True

    @staticmethod
    @abstractmethod
    def version() -> str:
        """Version of the library, and what it runs on."""

    def set_seed(self, seed: int) -> None:
        """Of the order of the samples."""
        self.seed = seed
        self.rng = np.random.default_rng(seed)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Continue with a new one, until the next `set_weights`."""
        raise NotImplementedError(f"{type(self).__name__} trains with one learning rate only")

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Start over from these weights, with a new optimizer."""

    @abstractmethod
    def get_weights(self) -> Weights:
        """The weights as they are now."""

    def compile(self, epochs: int) -> None:  # noqa: B027 - most have nothing to do
        """Compile what `train` with so many epochs, or `predict`, will run; weights may change."""

    @abstractmethod
    def train(self, epochs: int, shuffle: bool = True) -> None:
        """Train; return when all is computed."""

    @abstractmethod
    def predict(self, x: Floats) -> Any:
        """The outputs for a batch of `case.predict` samples, as a NumPy array."""

    def order(self, shuffle: bool) -> Ints:
        """Sample numbers of one epoch, one batch a line. As cnet's trainer does, NumPy draws
        them.
        """
        order = self.rng.permutation(len(self.x)) if shuffle else np.arange(len(self.x))
        return order.reshape(-1, self.batch)

    def orders(self, epochs: int, shuffle: bool) -> NDArray[np.int32]:
        """Those of several epochs, for compilers; empty lines where a batch is all samples."""
        if self.full_batch:
            return np.empty((epochs, 0), np.int32)
        return np.concatenate([self.order(shuffle) for _ in range(epochs)]).astype(np.int32)

    def batches(self, epochs: int, shuffle: bool) -> Iterator[tuple[Floats, Targets]]:
        """The batches, one by one."""
        for _ in range(epochs):
            if self.full_batch:
                yield self.x, self.y
                continue
            for rows in self.order(shuffle):
                yield np.take(self.x, rows, axis=0), self.y[rows]


def initial_weights(case: Case, seed: int = 0) -> Weights:
    """Normal weights of the usual size, and biases that are not zero, so that a peer that forgets
    them is found out.
    """
    rng = np.random.default_rng(seed)
    gain = 2 if "relu" in case.activation else 1
    weights = []
    for layer, shape in case.shapes():
        match layer:
            case Dense():
                size: tuple[int, ...] = (int(np.prod(shape)), layer.units)
            case Conv():
                size = (shape[0], layer.kernel, layer.kernel, layer.filters)
            case BatchNorm():
                size = shape
            case _:
                continue
        if isinstance(layer, BatchNorm):
            values = rng.normal(1, 0.1, size)
        else:
            values = rng.normal(0, (gain / np.prod(size[:-1])) ** 0.5, size)
        weights.append(
            (values.astype(np.float32), rng.normal(0, 0.01, size[-1]).astype(np.float32))
        )
    return weights


def channels_last(case: Case, weights: Weights, back: bool = False) -> Weights:
    """Weights for images whose channels are their last axis, with kernels of shape (kernel, kernel,
    channels, filters); or from there back.
    """
    axes = (2, 0, 1, 3) if back else (1, 2, 0, 3)
    pairs, result = iter(weights), []
    for layer, shape in case.shapes():
        if not isinstance(layer, Conv | Dense | BatchNorm):
            continue
        w, b = next(pairs)
        if isinstance(layer, Conv):
            w = np.ascontiguousarray(w.transpose(axes))
        elif len(shape) == 3:
            channels, *pixels = shape
            image = (*pixels, channels) if back else shape
            w = w.reshape(*image, -1).transpose(axes).reshape(w.shape)
        result.append((w, b))
    return result
