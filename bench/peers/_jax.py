"""JAX at its best: all steps of a run in one compiled ``lax.scan``."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _cases import (
    BINARY,
    CROSS_ENTROPY,
    LEAKY_SLOPE,
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

Params = list[tuple[jax.Array, jax.Array]]
FUNCTIONS = {
    "relu": jax.nn.relu,
    "leaky_relu": lambda z: jax.nn.leaky_relu(z, LEAKY_SLOPE),
    "tanh": jnp.tanh,
}


class Scan(Peer):
    """Parameters, data and the order of samples are arguments of one compiled function; the
    parameters are donated. The channels of images are their last axis, which is JAX's habit.

    Convolutions run a step at a time: in a scan, XLA's use one thread and are ten times slower.
    """

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        self.device_x = jnp.asarray(np.moveaxis(x, 1, 3) if case.images else x)
        self.device_y = jnp.asarray(y)
        self.forward = jax.jit(lambda params, x: self._forward(params, [], x, None)[0])
        self.state: Any = None

    @staticmethod
    def version() -> str:
        return jax.__version__

    def set_weights(self, weights: Weights) -> None:
        # Copies: an array that shares memory with NumPy cannot be donated.
        params = [
            (jnp.array(w, copy=True), jnp.array(b, copy=True))
            for w, b in channels_last(self.case, weights)
        ]
        means, squares = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        if isinstance(self.case.optimizer, Adam):
            memory: Any = (jnp.zeros(()), means, squares)
        else:
            memory = means if self.case.optimizer.momentum else ()
        statistics = [
            (jnp.zeros(shape), jnp.ones(shape))
            for layer, shape in self.case.shapes()
            if isinstance(layer, BatchNorm)
        ]
        self.state = params, memory, statistics, jax.random.key(0)

    def get_weights(self) -> Weights:
        params = [(np.array(w), np.array(b)) for w, b in self.state[0]]
        return channels_last(self.case, params, back=True)

    def compile(self, epochs: int) -> None:
        if self.case.predict:
            self.predict(self.x[: self.batch])
            return
        orders = self.orders(epochs, shuffle=False)
        run = jax.jit(self._step if self.case.images else self._run, donate_argnums=0)
        self.compiled = run.lower(
            self.state,
            self.device_x,
            self.device_y,
            orders[0] if self.case.images else orders,
        ).compile()

    def train(self, epochs: int, shuffle: bool = True) -> None:
        orders = self.orders(epochs, shuffle)
        for rows in orders if self.case.images else [orders]:
            self.state, loss = self.compiled(self.state, self.device_x, self.device_y, rows)
        jax.block_until_ready((self.state, loss))

    def predict(self, x: Floats) -> Floats:
        return np.asarray(self.forward(self.state[0], x))

    def _forward(self, params: Params, statistics: Params, x: jax.Array, key: Any) -> Any:
        """Outputs and new running statistics."""
        pairs, running, updated = iter(params), iter(statistics), []
        for layer in self.case.layers:
            match layer:
                case Dense():
                    w, b = next(pairs)
                    x = x.reshape(len(x), -1) @ w + b
                case Conv():
                    w, b = next(pairs)
                    border = [(layer.padding, layer.padding)] * 2
                    axes = ("NHWC", "HWIO", "NHWC")
                    x = (
                        jax.lax.conv_general_dilated(x, w, (1, 1), border, dimension_numbers=axes)
                        + b
                    )
                case Pool(size):
                    window = (1, size, size, 1)
                    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
                case BatchNorm(eps, momentum):
                    (w, b), mean, var = next(pairs), x.mean(axis=0), x.var(axis=0)
                    x = (x - mean) * (jax.lax.rsqrt(var + eps) * w) + b
                    unbiased = (mean, var * (len(x) / (len(x) - 1)))
                    updated.append(
                        tuple(
                            old + momentum * (new - old)
                            for old, new in zip(next(running), unbiased, strict=True)
                        )
                    )
                case Dropout(probability):
                    key, mask = jax.random.split(key)
                    kept = jax.random.bernoulli(mask, 1 - probability, x.shape)
                    x = jnp.where(kept, x / (1 - probability), 0)
                case Activation(function):
                    x = FUNCTIONS[function](x)
        return x, updated

    def _loss(self, params: Params, statistics: Params, x: Any, y: Any, key: Any) -> Any:
        z, statistics = self._forward(params, statistics, x, key)
        if self.case.loss == CROSS_ENTROPY:
            loss = -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()
        elif self.case.loss == BINARY:
            loss = (jnp.logaddexp(0, z) - z * y).mean()
        else:
            loss = jnp.square(z - y).mean()
        return loss, statistics

    def _run(self, state: Any, x: jax.Array, y: jax.Array, orders: jax.Array) -> Any:
        return jax.lax.scan(lambda state, rows: self._step(state, x, y, rows), state, orders)

    def _step(self, state: Any, x: jax.Array, y: jax.Array, rows: jax.Array) -> Any:
        params, memory, statistics, key = state
        if not self.full_batch:
            # The order is known to hold valid rows; without the promise each element is checked.
            x, y = (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
        key, masks = jax.random.split(key) if self.case != self.case.without_dropout else (key, key)
        (loss, statistics), grads = jax.value_and_grad(self._loss, has_aux=True)(
            params, statistics, x, y, masks
        )
        if isinstance(self.case.optimizer, Adam):
            params, memory = _adam(self.case.optimizer, params, grads, *memory)
        else:
            params, memory = _sgd(self.case.optimizer, params, grads, memory)
        return (params, memory, statistics, key), loss


def _sgd(settings: Any, params: Params, grads: Params, velocities: Any) -> Any:
    learning_rate, momentum, nesterov, weight_decay = settings
    updates = grads
    if weight_decay:
        updates = jax.tree.map(lambda g, p: g + weight_decay * p, updates, params)
    if momentum:
        velocities = jax.tree.map(lambda v, u: momentum * v + u, velocities, updates)
        updates = (
            jax.tree.map(lambda u, v: u + momentum * v, updates, velocities)
            if nesterov
            else velocities
        )
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), velocities


def _adam(
    settings: Adam, params: Params, grads: Params, steps: jax.Array, means: Any, squares: Any
) -> Any:
    learning_rate, (beta1, beta2), eps = settings
    steps += 1
    rate, unbias = learning_rate / (1 - beta1**steps), 1 / jnp.sqrt(1 - beta2**steps)
    means = jax.tree.map(lambda m, g: m + (1 - beta1) * (g - m), means, grads)
    squares = jax.tree.map(lambda v, g: v + (1 - beta2) * (g * g - v), squares, grads)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * unbias + eps), params, means, squares
    )
    return params, (steps, means, squares)
