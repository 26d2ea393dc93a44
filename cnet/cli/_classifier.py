"""Classifiers of images of 28x28 pixels: construction, loading, prediction and evaluation."""

import itertools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

import cnet
from cnet import nn
from cnet._utils.arrays import Array
from cnet.cli._console import CommandError
from cnet.datasets import Split
from cnet.metrics import accuracy, confusion_matrix

PIXELS = 784
CLASSES = 10
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
_ROW_SHAPES = ((PIXELS,), (1, 28, 28))


def build(hidden: tuple[int, ...], activation: str, seed: int) -> nn.Sequential:
    """Return a network of dense layers with activations between them. Its outputs are logits."""
    sizes = (PIXELS, *hidden, CLASSES)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1], seed=seed)


class Classifier:
    """A model of images, shape (784,) or (1, 28, 28) each, with one output per class."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.model = model
        self.row_shape, self.classes = _shapes(model, name)
        last = model
        while isinstance(last, nn.Sequential):
            last = last[-1]
        self._gives_probabilities = isinstance(last, nn.Softmax)
        self._takes_bytes = _takes_bytes(model)
        self._name = name

    def outputs(self, images: Array) -> Array:
        """Return the outputs for images of any shape with 784 pixels: uint8, or floats up to 1."""
        outputs = self.model(self._pixels(images).reshape(-1, *self.row_shape))
        if not np.isfinite(outputs).all():
            raise CommandError(
                f"{self._name} produces outputs that are not finite: its weights are damaged, or "
                "its training diverged"
            )
        return outputs

    def _pixels(self, images: Array) -> Array:
        """Return images in the range that the model expects."""
        if self._takes_bytes == (images.dtype == np.uint8):
            return images
        pixels: Array = (np.multiply if self._takes_bytes else np.divide)(
            images, np.float32(255), dtype=np.float32
        )
        return pixels

    def probabilities(self, images: Array) -> Array:
        """Return probabilities, one row per image and one column per class."""
        outputs = self.outputs(images)
        return outputs if self._gives_probabilities else nn.Softmax()(outputs)

    def judge(self, split: Split) -> "Verdict":
        """Evaluate the model on labeled images."""
        outputs = self.outputs(split.x)
        loss = nn.NLLLoss() if self._gives_probabilities else nn.CrossEntropyLoss()
        return Verdict(
            loss.forward(outputs, split.y), split.y, outputs.argmax(axis=1), self.classes
        )


def _takes_bytes(model: nn.Module) -> bool:
    """Whether the model expects pixels in [0, 255], which its first layer rescales; else [0, 1]."""
    first = next(
        (
            layer
            for layer in model.modules()
            if not isinstance(layer, nn.Sequential | nn.Flatten | nn.Identity)
        ),
        None,
    )
    return isinstance(first, nn.Rescale) and abs(255 * first.scale) <= 16


def read_classifier(path: str) -> Classifier:
    """Load a classifier from a file."""
    return Classifier(cnet.load(Path(os.path.expanduser(path))), path)


def _shapes(model: nn.Module, name: str) -> tuple[tuple[int, ...], int]:
    """Return the shape of one image as the model expects it, and the number of classes."""
    problem = ""
    for row_shape in _ROW_SHAPES:
        try:
            output_shape = model.output_shape(row_shape)
        except ValueError as error:
            problem = problem or str(error)
        else:
            if len(output_shape) == 1 and output_shape[0] > 1:
                return row_shape, output_shape[0]
            problem = problem or f"its outputs have shape {output_shape}"
    raise CommandError(f"{name} does not classify images of 28x28 pixels: {problem}")


class Verdict(NamedTuple):
    """The result of an evaluation on labeled images."""

    loss: float
    labels: Array
    predicted: Array
    classes: int

    def line(self) -> str:
        """Return the metrics as one line."""
        right = int((self.labels == self.predicted).sum())
        return (
            f"loss {self.loss:.4f}, accuracy {100 * accuracy(self.labels, self.predicted):.2f} % "
            f"({right:,} of {len(self.labels):,})"
        )

    def matrix(self) -> str:
        """Return the confusion matrix as text, with dots for zeros and the recall of each class."""
        counts = confusion_matrix(self.labels, self.predicted, self.classes)
        width = max(3, len(str(counts.max()))) + 2
        lines = [
            "    " + "".join(f"{label:{width}}" for label in range(self.classes)) + "   recognized"
        ]
        for label, row in enumerate(counts):
            cells = "".join(f"{n or '.':>{width}}" for n in row.tolist())
            recall = f"{100 * row[label] / row.sum():9.1f} %" if row.any() else ""
            lines.append(f"{label:4}{cells}{recall}".rstrip())
        return "\n".join(
            ["Confusion matrix: one row per true class, one column per predicted class.", *lines]
        )
