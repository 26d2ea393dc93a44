"""What each library is asked to do, and what they all start from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _cases import Case

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Weights = list[tuple[Floats, Floats]]
"""(inputs, outputs) matrices, and biases, layer by layer."""

LEARNING_RATE = 0.1
ADAM = (0.001, (0.9, 0.999), 1e-8)
"""Learning rate, betas, eps."""
LEAKY_SLOPE = 0.01
CNN_LEARNING_RATE = 0.01
CNN_MOMENTUM = 0.9
CNN_REMARK = "with its own initial weights and dropout masks"


class Peer(ABC):
    """One network in one library, with its data set in memory and in the library's own form.

    All train alike: softmax cross-entropy, plain SGD or Adam, float32, from the same weights. An
    epoch visits the rows in a random order, drawn and gathered batch by batch as the library's
    users would do it; where the batch is the whole data set there is nothing to shuffle or gather.
    A constructor raises NotImplementedError for a network that the library cannot express.

    Parameters
    ----------
    case : Case
    x, y : ndarray
        The data set: a whole number of batches.
    threads : int
    """

    remark: str = ""
    """What it does instead, where it cannot do quite what the others do; its losses are then not
    compared with theirs.
    """

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        self.case = case
        self.x = x
        self.y = y
        self.threads = threads
        self.batch = case.batch or len(x)
        self.full_batch = self.batch == len(x)
        self.set_seed(0)

    @staticmethod
    @abstractmethod
    def version() -> str:
        """Version of the library, and what it runs on."""

    def set_seed(self, seed: int) -> None:
        """Of the order of the rows."""
        self.seed = seed
        self.rng = np.random.default_rng(seed)

    def set_sgd(self, learning_rate: float, momentum: float, weight_decay: float) -> None:
        """Train like this from the next `set_weights` on; otherwise as the case says, with the
        rates above.
        """
        raise NotImplementedError(f"{type(self).__name__} trains by plain SGD only")

    def set_learning_rate(self, learning_rate: float) -> None:
        """A new one after `set_sgd`."""
        raise NotImplementedError(f"{type(self).__name__} trains with one learning rate only")

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Start over from these weights."""

    @abstractmethod
    def get_weights(self) -> Weights:
        """The weights as they are now."""

    def compile(self, epochs: int) -> None:  # noqa: B027 - most have nothing to do
        """Compile what `train` with so many epochs, or `predict`, will run; weights may change."""

    @abstractmethod
    def train(self, epochs: int, shuffle: bool = True) -> None:
        """Train; return when all is computed."""

    @abstractmethod
    def predict(self, row: Floats) -> Any:
        """The logits of a batch of one row, shape (1, 784), as a NumPy array."""

    def order(self, shuffle: bool) -> Ints:
        """Row numbers of one epoch, one batch a row. As cnet's trainer does, NumPy draws them."""
        order = self.rng.permutation(len(self.x)) if shuffle else np.arange(len(self.x))
        return order.reshape(-1, self.batch)

    def batches(self, epochs: int, shuffle: bool) -> Iterator[Ints]:
        """Row numbers, batch by batch."""
        for _ in range(epochs):
            yield from self.order(shuffle)


def initial_weights(case: Case, seed: int = 0) -> Weights:
    """Normal weights of the usual size, and biases that are not zero, so that a peer that forgets
    them is found out.
    """
    rng = np.random.default_rng(seed)
    gain = 2 if "relu" in case.activation else 1
    return [
        (
            rng.normal(0, (gain / inputs) ** 0.5, (inputs, outputs)).astype(np.float32),
            rng.normal(0, 0.01, outputs).astype(np.float32),
        )
        for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False)
    ]


def reference_logits(case: Case, weights: Weights, x: Floats) -> NDArray[np.float64]:
    """The network's outputs in double precision, plainly."""
    a = x.astype(np.float64)
    for i, (w, b) in enumerate(weights):
        a = a @ w + b
        if i < len(weights) - 1:
            a = {
                "relu": lambda z: np.maximum(z, 0),
                "leaky_relu": lambda z: np.maximum(z, LEAKY_SLOPE * z),
                "tanh": np.tanh,
            }[case.activation](a)
    return a


def cross_entropy(logits: NDArray[Any], y: Ints) -> float:
    """The mean loss."""
    z = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean())
