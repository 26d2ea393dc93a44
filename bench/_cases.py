"""Descriptions of everything that is timed: data, layers, loss, optimizer, and batch size. Every
library builds its network from these.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

LEAKY_SLOPE = 0.01


class Dense(NamedTuple):
    """Linear layer; images are flattened first, channel by channel."""

    units: int


class Conv(NamedTuple):
    """Convolution with a square kernel and stride 1."""

    filters: int
    kernel: int
    padding: int = 0


class Pool(NamedTuple):
    """Maximum over squares of `size` pixels."""

    size: int = 2


class BatchNorm(NamedTuple):
    """Normalization of each feature over the mini-batch."""

    eps: float = 1e-5
    momentum: float = 0.1


class Dropout(NamedTuple):
    """Each value becomes 0 with this probability."""

    probability: float


class Activation(NamedTuple):
    """Elementwise function: relu, leaky_relu, or tanh."""

    function: str


Layer = Dense | Conv | Pool | BatchNorm | Dropout | Activation
RELU, LEAKY_RELU, TANH = map(Activation, ("relu", "leaky_relu", "tanh"))


class SGD(NamedTuple):
    """Stochastic gradient descent, as PyTorch defines it."""

    learning_rate: float = 0.1
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


class Adam(NamedTuple):
    """Adam, as PyTorch defines it."""

    learning_rate: float = 0.001
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8


PLAIN_SGD = SGD()
MNIST, RANDOM = "mnist", "random"
CROSS_ENTROPY, BINARY, SQUARES = "cross_entropy", "binary", "squares"


@dataclass(frozen=True)
class Case:
    """One row of a table.

    Attributes
    ----------
    net : str
        Name of the network in tables.
    layers : tuple of Layer
    inputs : tuple of int
        Shape of a sample: the number of features, or channels, height, and width.
    data : {"mnist", "random"}
        Images, or seeded normal numbers with targets that depend on them.
    samples : int or None
        Number of samples of the data set; None for all images.
    loss : {"cross_entropy", "binary", "squares"}
        Cross-entropy of classes, binary cross-entropy with logits, or mean squared error. With
        "squares", the targets of images are the images.
    optimizer : SGD or Adam
    batch : int or None
        Samples of a training step; None for all.
    predict : int
        Samples of a prediction that is timed instead of training; 0 for training.
    label : str
        Name of the row, in place of the network's.
    """

    net: str
    layers: tuple[Layer, ...]
    inputs: tuple[int, ...] = (784,)
    data: str = MNIST
    samples: int | None = None
    loss: str = CROSS_ENTROPY
    optimizer: SGD | Adam = PLAIN_SGD
    batch: int | None = None
    predict: int = 0
    label: str = ""

    @property
    def name(self) -> str:
        """Argument of `--rows`, such as 784-128-10@32."""
        if self.predict:
            work = "predict" if self.predict == 1 else f"predict-{self.predict}"
        else:
            work = f"{self.batch or 'all'}"
        adam = isinstance(self.optimizer, Adam) and not self.label and not self.predict
        return f"{self.label or self.net}@{work}{'-adam' * adam}"

    @property
    def title(self) -> str:
        """First cell of the row."""
        kinds = {
            RELU: " ReLU",
            LEAKY_RELU: " LeakyReLU",
            TANH: " tanh",
        }
        activation = next((kinds[a] for a in self.layers if isinstance(a, Activation)), "")
        net = f"{self.net}{activation if self.dense else ''}"
        if self.predict:
            return f"{net}, predict {self.predict:,} sample{'s' * (self.predict > 1)}"
        optimizer = self.optimizer
        suffix = (
            ", Adam" if isinstance(optimizer, Adam) else ", momentum" * bool(optimizer.momentum)
        )
        return f"{net}, batch {self.batch or 'all'}{suffix}"

    @property
    def dense(self) -> bool:
        """Whether there are only linear layers and activation functions."""
        return all(isinstance(layer, Dense | Activation) for layer in self.layers)

    @property
    def images(self) -> bool:
        """Whether there are convolutions."""
        return len(self.inputs) == 3

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return [layer.units for layer in self.layers if isinstance(layer, Dense)][-1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, hidden units, and outputs of a dense network."""
        units = (layer.units for layer in self.layers if isinstance(layer, Dense))
        return (*self.inputs, *units)

    @property
    def activation(self) -> str:
        """Function of the hidden layers of a dense network; "" for none."""
        return next((a.function for a in self.layers if isinstance(a, Activation)), "")

    @property
    def without_dropout(self) -> Case:
        """The same network, so that libraries with other random masks can be compared."""
        layers = tuple(layer for layer in self.layers if not isinstance(layer, Dropout))
        return replace(self, layers=layers)

    def shapes(self) -> Iterable[tuple[Layer, tuple[int, ...]]]:
        """Each layer with the shape of its inputs."""
        shape = self.inputs
        for layer in self.layers:
            yield layer, shape
            match layer:
                case Dense():
                    shape = (layer.units,)
                case Conv():
                    shrinkage = layer.kernel - 1 - 2 * layer.padding
                    shape = (layer.filters, shape[1] - shrinkage, shape[2] - shrinkage)
                case Pool():
                    shape = (shape[0], shape[1] // layer.size, shape[2] // layer.size)


def dense(*units: int, activation: Activation | None = None) -> tuple[Layer, ...]:
    """Linear layers, with an activation function between them."""
    between = [] if activation is None else [activation]
    layers = itertools.chain.from_iterable([*between, Dense(size)] for size in units)
    return tuple(layers)[len(between) :]


def mnist_net(*units: int, activation: Activation | None = None, **settings: object) -> Case:
    """A dense network that classifies images; it is called by its sizes."""
    return Case(
        "-".join(map(str, (784, *units))),
        dense(*units, activation=activation),
        **settings,  # type: ignore[arg-type]
    )


def _table(*cases: Case) -> dict[str, Case]:
    return {case.name: case for case in cases}


_LEAKY = mnist_net(128, 10, activation=LEAKY_RELU)
_HIGGS = Case(
    "HIGGS 28-5x300-1",
    dense(*5 * [300], 1, activation=TANH),
    (28,),
    RANDOM,
    20_480,
    BINARY,
    SGD(0.05, 0.9),
    batch=1024,
    label="higgs",
)
_POLICY = Case(
    "policy 4-64-64-2",
    dense(64, 64, 2, activation=TANH),
    (4,),
    RANDOM,
    10_240,
    optimizer=Adam(),
    batch=64,
    label="policy",
)
CNN = Case(
    "CNN",
    (
        *(Conv(32, 3), RELU, Pool()),
        *(Conv(64, 3), RELU, Pool()),
        *(Dense(128), RELU, Dropout(0.5), Dense(10)),
    ),
    (1, 28, 28),
    samples=6400,
    optimizer=SGD(0.01, 0.9, nesterov=True),
    batch=32,
)
LENET = Case(
    "LeNet-5",
    (
        *(Conv(6, 5), RELU, Pool()),
        *(Conv(16, 5), RELU, Pool()),
        *dense(120, 84, 10, activation=RELU),
    ),
    (1, 28, 28),
    samples=6400,
    optimizer=Adam(),
    batch=128,
    label="lenet",
)
CIFAR = Case(
    "CIFAR CNN",
    (
        *(Conv(32, 3, 1), RELU, Conv(32, 3, 1), RELU, Pool()),
        *(Conv(64, 3, 1), RELU, Conv(64, 3, 1), RELU, Pool()),
        *dense(128, 10, activation=RELU),
    ),
    (3, 32, 32),
    RANDOM,
    640,
    optimizer=SGD(0.01, 0.9),
    batch=64,
    label="cifar",
)

TABLE = _table(
    mnist_net(10, batch=40),
    mnist_net(10, 784, 10, activation=TANH, batch=40),
    mnist_net(100, 200, 200, 10, activation=RELU, batch=32),
    mnist_net(10, 10, 10, activation=RELU),
    mnist_net(50, 50, 10, activation=RELU, batch=1000),
    replace(_LEAKY, batch=32),
    replace(_LEAKY, batch=32, optimizer=Adam()),
    mnist_net(1024, 1024, 10, activation=RELU, batch=256),
    replace(_LEAKY, predict=1),
)

NETS = _table(
    _HIGGS,
    replace(_HIGGS, batch=100),
    Case(
        "housing 8-64-64-1",
        dense(64, 64, 1, activation=RELU),
        (8,),
        RANDOM,
        20_640,
        SQUARES,
        Adam(),
        batch=32,
        label="housing",
    ),
    _POLICY,
    Case(
        "time series 96-128-24",
        dense(128, 24, activation=RELU),
        (96,),
        RANDOM,
        10_240,
        SQUARES,
        Adam(),
        batch=64,
        label="series",
    ),
    Case(
        "autoencoder 784-256-64-256-784",
        dense(256, 64, 256, 784, activation=RELU),
        samples=12_800,
        loss=SQUARES,
        optimizer=Adam(),
        batch=128,
        label="autoencoder",
    ),
    Case(
        "deep 64-20x64-10",
        dense(*20 * [64], 10, activation=RELU),
        (64,),
        RANDOM,
        10_240,
        optimizer=SGD(0.01),
        batch=32,
        label="deep",
    ),
    Case(
        "784-512-512-10 ReLU, batch norm, dropout",
        (
            *(Dense(512), BatchNorm(), RELU, Dropout(0.2)),
            *(Dense(512), BatchNorm(), RELU, Dropout(0.2)),
            Dense(10),
        ),
        samples=12_800,
        batch=128,
        label="batchnorm",
    ),
    CNN,
    LENET,
    CIFAR,
    Case(
        "one step an epoch, 4-32-16-4",
        dense(32, 16, 4, activation=TANH),
        (4,),
        RANDOM,
        200,
        SQUARES,
        Adam(),
        label="tiny",
    ),
)

PREDICTIONS = _table(
    *(
        replace(case, predict=samples, samples=None if case.data == MNIST else 10_000)
        for case in (_LEAKY, _POLICY, _HIGGS)
        for samples in (1, 10_000)
    )
)

GRID_BATCHES = (1, 8, 32, 128, 1024)
GRID_WIDTHS = (16, 64, 256, 1024)


def grid_case(batch: int, width: int) -> Case:
    """A cell of the grid: one hidden layer."""
    return mnist_net(width, 10, activation=RELU, batch=batch)


GRID = _table(*(grid_case(batch, width) for batch in GRID_BATCHES for width in GRID_WIDTHS))

TABLES = {"mnist": TABLE, "nets": NETS, "predict": PREDICTIONS, "grid": GRID}
"""The tables of `compare.py`."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained that is to be good, and not only fast.

    Attributes
    ----------
    case : Case
    decay : float
        Factor of the learning rate after each epoch.
    """

    case: Case
    decay: float = 1.0


ACCURATE = Recipe(
    mnist_net(512, 128, 10, activation=RELU, batch=64, optimizer=SGD(0.1, 0.9, weight_decay=1e-4)),
    decay=0.85,
)
"""Reaches 98.5 % of MNIST's test images in about ten epochs; smaller networks, and constant rates,
often stay below.
"""
USUAL = Recipe(TABLE["784-128-10@32"])

CASES = {name: case for table in TABLES.values() for name, case in table.items()} | _table(
    ACCURATE.case
)
