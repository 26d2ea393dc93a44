"""TensorFlow at its best: all steps of a run in one ``tf.function``, compiled by XLA."""

from typing import Any

import tensorflow as tf

from _cases import (
    BINARY,
    CROSS_ENTROPY,
    LEAKY_SLOPE,
    Activation,
    Adam,
    BatchNorm,
    Case,
    Dense,
    Dropout,
)
from peers._peer import Floats, Peer, Targets, Weights

FUNCTIONS = {
    "relu": tf.nn.relu,
    "leaky_relu": lambda z: tf.nn.leaky_relu(z, LEAKY_SLOPE),
    "tanh": tf.tanh,
}


class Function(Peer):
    """Parameters and optimizer are variables; the order of samples is an argument.

    Networks without convolutions: in a compiled loop, XLA's are ten times slower.
    """

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.tensor_x, self.tensor_y = tf.constant(x), tf.constant(y)
        self.params: list[Any] = []

    @staticmethod
    def supports(case: Case) -> bool:
        return not case.images

    @staticmethod
    def version() -> str:
        return tf.__version__

    def set_weights(self, weights: Weights) -> None:
        flat = [array for pair in weights for array in pair]
        if not self.params:
            self.params = [tf.Variable(array) for array in flat]
            self.means, self.squares = (
                [tf.Variable(tf.zeros_like(p)) for p in self.params] for _ in range(2)
            )
            self.steps = tf.Variable(0.0)
            self.statistics = [
                (tf.Variable(tf.zeros(shape)), tf.Variable(tf.ones(shape)))
                for layer, shape in self.case.shapes()
                if isinstance(layer, BatchNorm)
            ]
            self.run = tf.function(self._run, jit_compile=True)
            self.forward = tf.function(self._forward, jit_compile=True)
            return
        for parameter, array in zip(self.params, flat, strict=True):
            parameter.assign(array)
        for variable in (self.steps, *self.means, *self.squares):
            variable.assign(tf.zeros_like(variable))

    def get_weights(self) -> Weights:
        arrays = [parameter.numpy() for parameter in self.params]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def compile(self, epochs: int) -> None:
        if self.case.predict:
            self.predict(self.x[: self.batch])
        else:
            self.train(epochs, shuffle=False)

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.run(tf.constant(self.orders(epochs, shuffle))).numpy()

    def predict(self, x: Floats) -> Floats:
        return self.forward(tf.constant(x)).numpy()

    def _forward(self, x: Any, training: bool = False) -> Any:
        pairs = iter(zip(self.params[::2], self.params[1::2], strict=True))
        running = iter(self.statistics)
        for layer in self.case.layers:
            match layer:
                case Dense():
                    w, b = next(pairs)
                    x = x @ w + b
                case BatchNorm(eps, momentum):
                    (w, b), old = next(pairs), next(running)
                    mean, var = tf.nn.moments(x, [0])
                    x = (x - mean) * (tf.math.rsqrt(var + eps) * w) + b
                    for variable, new in zip(
                        old, (mean, var * (self.batch / (self.batch - 1))), strict=True
                    ):
                        variable.assign_add(momentum * (new - variable))
                case Dropout(probability):
                    x = tf.nn.dropout(x, probability) if training else x
                case Activation(function):
                    x = FUNCTIONS[function](x)
        return x

    def _loss(self, z: Any, y: Any) -> Any:
        if self.case.loss == CROSS_ENTROPY:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, z)
        elif self.case.loss == BINARY:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(y, z)
        else:
            losses = tf.square(z - y)
        return tf.reduce_mean(losses)

    def _run(self, orders: Any) -> Any:
        loss = tf.constant(0.0)
        for rows in orders:
            x, y = self.tensor_x, self.tensor_y
            if not self.full_batch:
                x, y = tf.gather(x, rows), tf.gather(y, rows)
            with tf.GradientTape() as tape:
                loss = self._loss(self._forward(x, training=True), y)
            self._update(tape.gradient(loss, self.params))
        return loss

    def _update(self, grads: list[Any]) -> None:
        settings: Any = self.case.optimizer
        if not isinstance(settings, Adam):
            for parameter, grad, velocity in zip(self.params, grads, self.means, strict=True):
                update = grad + settings.weight_decay * parameter if settings.weight_decay else grad
                if settings.momentum:
                    velocity.assign(settings.momentum * velocity + update)
                    update = (
                        update + settings.momentum * velocity if settings.nesterov else velocity
                    )
                parameter.assign_sub(settings.learning_rate * update)
            return
        learning_rate, (beta1, beta2), eps = settings
        self.steps.assign_add(1)
        rate = learning_rate / (1 - beta1**self.steps)
        unbias = tf.math.rsqrt(1 - beta2**self.steps)
        for parameter, grad, mean, square in zip(
            self.params, grads, self.means, self.squares, strict=True
        ):
            mean.assign_add((1 - beta1) * (grad - mean))
            square.assign_add((1 - beta2) * (grad * grad - square))
            parameter.assign_sub(rate * mean / (tf.sqrt(square) * unbias + eps))
