"""The rows of the table: networks and batch sizes that people train on a CPU; and a grid of them,
from small to large; and how to train well.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes
    ----------
    sizes : tuple of int
        Inputs, hidden units, classes.
    activation : {"", "relu", "leaky_relu", "tanh"}
        Of the hidden layers; the slope of "leaky_relu" is 0.01.
    batch : int or None
        Rows a step; None for all rows of the data set.
    training : bool
        False for predicting one row at a time.
    net : str
        What the network is called if it is not the dense one of these sizes.
    adam : bool
        Whether Adam trains it, and not plain SGD.
    """

    sizes: tuple[int, ...]
    activation: str = ""
    batch: int | None = None
    training: bool = True
    net: str = ""
    adam: bool = False

    @property
    def name(self) -> str:
        """What `--rows` calls it, such as 784-128-10@32."""
        batch = (self.batch or "all") if self.training else "predict"
        return f"{self.net or '-'.join(map(str, self.sizes))}@{batch}{'-adam' * self.adam}"

    @property
    def title(self) -> str:
        activation = {"": "", "relu": " ReLU", "leaky_relu": " LeakyReLU", "tanh": " tanh"}[
            self.activation
        ]
        work = (
            f"batch {self.batch or 'all'}{', Adam' * self.adam}"
            if self.training
            else "predict 1 sample"
        )
        return f"{self.net or '-'.join(map(str, self.sizes))}{activation}, {work}"


TABLE = {
    case.name: case
    for case in (
        Case((784, 10), batch=40),
        Case((784, 10, 784, 10), "tanh", 40),
        Case((784, 100, 200, 200, 10), "relu", 32),
        Case((784, 10, 10, 10), "relu"),
        Case((784, 50, 50, 10), "relu", 1000),
        Case((784, 128, 10), "leaky_relu", 32),
        Case((784, 128, 10), "leaky_relu", 32, adam=True),
        Case((784, 1024, 1024, 10), "relu", 256),
        Case((784, 128, 10), "leaky_relu", training=False),
    )
}

GRID_BATCHES = (1, 8, 32, 128, 1024)
GRID_WIDTHS = (16, 64, 256, 1024)


def grid_case(batch: int, width: int) -> Case:
    """A cell of the grid: one hidden layer."""
    return Case((784, width, 10), "relu", batch)


GRID = {
    case.name: case
    for case in (grid_case(batch, width) for batch in GRID_BATCHES for width in GRID_WIDTHS)
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained that is to be good, and not only fast.

    Attributes
    ----------
    case : Case
    learning_rate, momentum, weight_decay : float
        Of SGD, as PyTorch defines them.
    decay : float
        What the learning rate is multiplied with after each epoch.
    """

    case: Case
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    decay: float = 1.0


ACCURATE = Recipe(
    Case((784, 512, 128, 10), "relu", 64),
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    decay=0.85,
)
"""Reaches 98.5 % of MNIST's test images in about ten epochs; smaller networks, and constant rates,
often stay below.
"""
USUAL = Recipe(TABLE["784-128-10@32"], learning_rate=0.1)

CNN = Case((784, 10), batch=32, net="CNN")
"""The network of `cnn.py`: its peers know the layers."""

CASES = (
    TABLE | GRID | {CNN.name: CNN} | {recipe.case.name: recipe.case for recipe in (ACCURATE, USUAL)}
)
