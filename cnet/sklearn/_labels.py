"""Encoding of labels for a network, the loss to train with, and decoding of outputs.

There are three kinds of labels. With one of several classes per sample, the output activation is
softmax. With two classes, or several labels that are each true or false, it is the sigmoid of each
output. With several columns of classes, it is softmax in each head. Outputs of a network have
shape (n, sum of the widths).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

from cnet import nn
from cnet._utils.arrays import Array
from cnet.sklearn._losses import BinaryLogLoss, LogLoss


class Labels(ABC):
    """Base of the kinds of labels."""

    classes: Any
    """Sorted labels: the value of `classes_`."""
    widths: tuple[int, ...]
    """Number of outputs of each head of the network. Most networks have one head."""
    activation: str
    """Name of the output activation: the value of `out_activation_`."""
    scale = 1.0
    """Factor from the loss to scikit-learn's, which is a sum over outputs."""

    @property
    def columns(self) -> list[Array]:
        """Classes in each column of `y`."""
        return [self.classes]

    @abstractmethod
    def unknown(self, y: Array) -> Any:
        """Return the labels in `y` that are not in `classes`."""

    @abstractmethod
    def encode(self, y: Array) -> Array:
        """Return targets for the network."""

    @abstractmethod
    def loss(self, model: nn.Sequential) -> nn.Loss:
        """Return the loss for the network."""

    @abstractmethod
    def probabilities(self, outputs: Array) -> Any:
        """Return the probability of each class."""

    @abstractmethod
    def decode(self, outputs: Array) -> Array:
        """Return the predicted labels."""

    @abstractmethod
    def right(self, outputs: Array, encoded: Array) -> Array:
        """Return, as bool, whether all columns of a sample are classified correctly."""


class OneOfSeveral(Labels):
    """One of several classes for each sample."""

    activation = "softmax"

    def __init__(self, classes: Array) -> None:
        self.classes, self.widths = classes, (len(classes),)

    def unknown(self, y: Array) -> Any:
        if y.ndim != 1:
            raise ValueError(f"y has shape {y.shape}, expected (n_samples,), as before")
        return np.setdiff1d(y, self.classes)

    def encode(self, y: Array) -> Array:
        return np.searchsorted(self.classes, y)

    def loss(self, model: nn.Sequential) -> nn.Loss:
        return LogLoss()

    def probabilities(self, outputs: Array) -> Any:
        return nn.Softmax()(outputs)

    def decode(self, outputs: Array) -> Array:
        decided: Array = self.classes[outputs.argmax(axis=1)]
        return decided

    def right(self, outputs: Array, encoded: Array) -> Array:
        correct: Array = outputs.argmax(axis=1) == encoded
        return correct


class YesOrNo(Labels):
    """Two classes, or a table of labels that are each true or false for a sample."""

    activation = "logistic"

    def __init__(self, binarizer: LabelBinarizer) -> None:
        self._binarizer = binarizer
        self.classes = binarizer.classes_
        self._is_table = binarizer.y_type_.startswith("multilabel")
        outputs = len(self.classes) if self._is_table else 1
        self.widths, self.scale = (outputs,), float(outputs)

    @property
    def columns(self) -> list[Array]:
        return [np.arange(2)] * len(self.classes) if self._is_table else [self.classes]

    def unknown(self, y: Array) -> Any:
        return np.setdiff1d(unique_labels(y), self.classes)

    def encode(self, y: Array) -> Array:
        encoded: Array = self._binarizer.transform(y)
        return encoded

    def loss(self, model: nn.Sequential) -> nn.Loss:
        return BinaryLogLoss()

    def probabilities(self, outputs: Array) -> Any:
        probabilities = nn.Sigmoid()(outputs)
        return probabilities if self._is_table else np.hstack([1 - probabilities, probabilities])

    def decode(self, outputs: Array) -> Array:
        decided: Array = self._binarizer.inverse_transform(
            outputs if outputs.shape[1] > 1 else outputs.ravel(), threshold=0.0
        )
        return decided

    def right(self, outputs: Array, encoded: Array) -> Array:
        correct: Array = ((outputs > 0) == (encoded > 0)).all(axis=1)
        return correct


class Columns(Labels):
    """Several columns of classes, with a head of the network for each."""

    activation = "softmax"

    def __init__(self, heads: Sequence[OneOfSeveral]) -> None:
        self._heads = heads
        self.classes = [head.classes for head in heads]
        self.widths = tuple(len(classes) for classes in self.classes)

    @property
    def columns(self) -> list[Array]:
        return list(self.classes)

    def unknown(self, y: Array) -> Any:
        if y.ndim != 2 or y.shape[1] != len(self._heads):
            raise ValueError(
                f"y has shape {y.shape}, expected {len(self._heads)} columns, as before"
            )
        return [
            value
            for head, part in zip(self._heads, y.T, strict=True)
            for value in head.unknown(part)
        ]

    def encode(self, y: Array) -> Array:
        return np.stack(
            [head.encode(part) for head, part in zip(self._heads, y.T, strict=True)], axis=1
        )

    def loss(self, model: nn.Sequential) -> nn.Loss:
        heads = model[-1]
        assert isinstance(heads, nn.Heads)
        return nn.HeadsLoss(heads, LogLoss())

    def _each(self, outputs: Array) -> list[tuple[OneOfSeveral, Array]]:
        return list(
            zip(self._heads, np.split(outputs, np.cumsum(self.widths)[:-1], axis=1), strict=True)
        )

    def probabilities(self, outputs: Array) -> Any:
        return [head.probabilities(part) for head, part in self._each(outputs)]

    def decode(self, outputs: Array) -> Array:
        return np.stack([head.decode(part) for head, part in self._each(outputs)], axis=1)

    def right(self, outputs: Array, encoded: Array) -> Array:
        correct: Array = np.all(
            [
                head.right(part, wanted)
                for (head, part), wanted in zip(self._each(outputs), encoded.T, strict=True)
            ],
            axis=0,
        )
        return correct


def labels_of(y: Any) -> Labels:
    """Return the labels of `y`, of the kind that it has."""
    if type_of_target(y) == "multiclass-multioutput":
        return Columns([OneOfSeveral(np.unique(column)) for column in np.asarray(y).T])
    binarizer = LabelBinarizer().fit(y)
    return (
        OneOfSeveral(binarizer.classes_)
        if binarizer.y_type_ == "multiclass"
        else YesOrNo(binarizer)
    )


def same_labels(a: Labels, b: Labels) -> bool:
    """Return whether two objects are of the same kind and have the same classes."""
    return (
        type(a) is type(b)
        and a.widths == b.widths
        and all(np.array_equal(x, y) for x, y in zip(a.columns, b.columns, strict=True))
    )
