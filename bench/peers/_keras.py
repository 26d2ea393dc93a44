"""Keras 3 on JAX, its fastest backend for small networks, with several steps in each call."""

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

from _cases import (
    BINARY,
    CROSS_ENTROPY,
    LEAKY_SLOPE,
    SQUARES,
    Activation,
    Adam,
    BatchNorm,
    Case,
    Conv,
    Dense,
    Dropout,
    Pool,
)
from peers._peer import Floats, Peer, Targets, Weights, channels_last

STEPS_PER_EXECUTION = 16


class Keras(Peer):
    """``Model.fit``; the channels of images are their last axis."""

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        if case.images:
            self.x = np.ascontiguousarray(np.moveaxis(x, 1, 3))
        self.model = keras.Sequential([keras.Input(self.x.shape[1:]), *_layers(case)])
        settings = case.optimizer
        if isinstance(settings, Adam):
            optimizer: Any = keras.optimizers.Adam(
                settings.learning_rate, *settings.betas, settings.eps
            )
        else:
            optimizer = keras.optimizers.SGD(
                settings.learning_rate, settings.momentum, settings.nesterov
            )
        losses = {
            CROSS_ENTROPY: lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            BINARY: lambda: keras.losses.BinaryCrossentropy(from_logits=True),
            SQUARES: keras.losses.MeanSquaredError,
        }
        steps = min(STEPS_PER_EXECUTION, len(x) // self.batch)
        self.model.compile(optimizer, losses[case.loss](), steps_per_execution=steps)
        optimizer.build(self.model.trainable_variables)

    @staticmethod
    def version() -> str:
        return f"{keras.__version__} on {keras.backend.backend()}"

    def set_seed(self, seed: int) -> None:
        super().set_seed(seed)
        keras.utils.set_random_seed(seed)

    def set_weights(self, weights: Weights) -> None:
        flat = [array for pair in channels_last(self.case, weights) for array in pair]
        for variable, array in zip(self.model.trainable_variables, flat, strict=True):
            variable.assign(array)
        optimizer = self.model.optimizer
        for variable in optimizer.variables:
            if variable is not optimizer._learning_rate:
                variable.assign(np.zeros(variable.shape))

    def get_weights(self) -> Weights:
        arrays = [np.array(variable) for variable in self.model.trainable_variables]
        pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
        return channels_last(self.case, pairs, back=True)

    def compile(self, epochs: int) -> None:
        if self.case.predict:
            self.predict(self.x[: self.batch])
        else:
            self.train(1, shuffle=False)

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.model.fit(
            self.x,
            self.y,
            batch_size=self.batch,
            epochs=epochs,
            shuffle=shuffle and not self.full_batch,
            verbose=0,
        )

    def predict(self, x: Floats) -> Floats:
        return self.model.predict_on_batch(x)


def _layers(case: Case) -> list[Any]:
    layers: list[Any] = []
    for layer, shape in case.shapes():
        match layer:
            case Dense(units):
                layers += [keras.layers.Flatten()] * (len(shape) == 3)
                layers.append(keras.layers.Dense(units))
            case Conv(filters, kernel, padding):
                layers += [keras.layers.ZeroPadding2D(padding)] * bool(padding)
                layers.append(keras.layers.Conv2D(filters, kernel))
            case Pool(size):
                layers.append(keras.layers.MaxPooling2D(size))
            case BatchNorm(eps, momentum):
                layers.append(keras.layers.BatchNormalization(momentum=1 - momentum, epsilon=eps))
            case Dropout(probability):
                layers.append(keras.layers.Dropout(probability))
            case Activation("relu"):
                layers.append(keras.layers.ReLU())
            case Activation("leaky_relu"):
                layers.append(keras.layers.LeakyReLU(LEAKY_SLOPE))
            case Activation(function):
                layers.append(keras.layers.Activation(function))
    return layers
