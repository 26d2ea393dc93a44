"""JAX at its best: all steps of a run in one compiled ``lax.scan``."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from _cases import Case
from peers._peer import (
    ADAM,
    CNN_LEARNING_RATE,
    CNN_MOMENTUM,
    CNN_REMARK,
    LEAKY_SLOPE,
    LEARNING_RATE,
    Floats,
    Ints,
    Peer,
    Weights,
)

Params = list[tuple[jax.Array, jax.Array]]


class Scan(Peer):
    """Parameters, data and the order of rows are arguments of one compiled function; the parameters
    are donated.
    """

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        self.device_x = jnp.asarray(x)
        self.device_y = jnp.asarray(y)
        leaky_relu = partial(jax.nn.leaky_relu, negative_slope=LEAKY_SLOPE)
        self.activation = {
            "": None,
            "relu": jax.nn.relu,
            "leaky_relu": leaky_relu,
            "tanh": jnp.tanh,
        }[case.activation]
        self.forward = jax.jit(self._forward)
        self.params: Params = []
        self.adam: Any = None

    @staticmethod
    def version() -> str:
        return jax.__version__

    def set_weights(self, weights: Weights) -> None:
        # Copies: an array that shares memory with NumPy cannot be donated.
        self.params = [(jnp.array(w, copy=True), jnp.array(b, copy=True)) for w, b in weights]
        if self.case.adam:
            self.adam = (
                jnp.zeros(()),
                *(jax.tree.map(jnp.zeros_like, self.params) for _ in range(2)),
            )

    def get_weights(self) -> Weights:
        return [(np.array(w), np.array(b)) for w, b in self.params]

    def compile(self, epochs: int) -> None:
        if not self.case.training:
            self.predict(self.x[:1])
            return
        run = jax.jit(self._run, donate_argnums=0)
        self.compiled = run.lower(
            (self.params, self.adam),
            self.device_x,
            self.device_y,
            self._orders(epochs, shuffle=False),
        ).compile()

    def train(self, epochs: int, shuffle: bool = True) -> None:
        (self.params, self.adam), _ = jax.block_until_ready(
            self.compiled(
                (self.params, self.adam),
                self.device_x,
                self.device_y,
                self._orders(epochs, shuffle),
            )
        )

    def _orders(self, epochs: int, shuffle: bool) -> NDArray[np.int32]:
        if self.full_batch:
            return np.empty((epochs, 0), np.int32)
        return np.concatenate([self.order(shuffle) for _ in range(epochs)]).astype(np.int32)

    def predict(self, row: Floats) -> Floats:
        return np.asarray(self.forward(self.params, row))

    def _forward(self, params: Params, x: jax.Array) -> jax.Array:
        for i, (w, b) in enumerate(params):
            x = x @ w + b
            if i < len(params) - 1:
                x = self.activation(x)
        return x

    def _loss(self, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        log_p = jax.nn.log_softmax(self._forward(params, x))
        return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

    def _run(
        self, state: Any, x: jax.Array, y: jax.Array, orders: jax.Array
    ) -> tuple[Any, jax.Array]:
        def step(state: Any, rows: jax.Array) -> tuple[Any, jax.Array]:
            params, adam = state
            # The order is known to hold valid rows; without the promise each element is checked.
            batch = (
                (x, y)
                if self.full_batch
                else (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
            )
            loss, grads = jax.value_and_grad(self._loss)(params, *batch)
            if self.case.adam:
                return _adam(params, grads, *adam), loss
            return (jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), adam), loss

        return jax.lax.scan(step, state, orders)


def _adam(params: Params, grads: Params, steps: jax.Array, means: Params, squares: Params) -> Any:
    learning_rate, (beta1, beta2), eps = ADAM
    steps += 1
    rate, unbias = learning_rate / (1 - beta1**steps), 1 / jnp.sqrt(1 - beta2**steps)
    means = jax.tree.map(lambda m, g: m + (1 - beta1) * (g - m), means, grads)
    squares = jax.tree.map(lambda v, g: v + (1 - beta2) * (g * g - v), squares, grads)
    params = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) * unbias + eps), params, means, squares
    )
    return params, (steps, means, squares)


class Cnn(Scan):
    """The convolutional network, with channels last, which is JAX's habit; its state is parameters,
    velocities and a key.

    A step at a time: in a scan, XLA's convolutions run on one thread and are ten times slower.
    """

    remark = CNN_REMARK

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x.reshape(-1, 28, 28, 1), y, threads)

    def set_weights(self, weights: Weights) -> None:
        rng = np.random.default_rng(0)
        shapes = [(3, 3, 1, 32), (3, 3, 32, 64), (1600, 128), (128, 10)]
        values = [
            rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape).astype(np.float32)
            for shape in shapes
        ]
        params = [(jnp.array(w), jnp.zeros(w.shape[-1])) for w in values]
        self.params = params, jax.tree.map(jnp.zeros_like, params), jax.random.key(0)

    def _logits(self, params: Params, x: jax.Array, key: jax.Array) -> jax.Array:
        for w, b in params[:2]:
            x = jax.nn.relu(
                jax.lax.conv_general_dilated(
                    x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                + b
            )
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        (w, b), (w_out, b_out) = params[2:]
        x = jax.nn.relu(x.reshape(len(x), -1) @ w + b)
        x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x * 2, 0)
        return x @ w_out + b_out

    def compile(self, epochs: int) -> None:
        rows = self._orders(1, shuffle=False)[0]
        self.compiled = (
            jax.jit(self._step, donate_argnums=0)
            .lower(self.params, self.device_x, self.device_y, rows)
            .compile()
        )

    def train(self, epochs: int, shuffle: bool = True) -> None:
        for rows in self._orders(epochs, shuffle):
            self.params, loss = self.compiled(self.params, self.device_x, self.device_y, rows)
        loss.block_until_ready()

    def _step(self, state: Any, x: jax.Array, y: jax.Array, rows: jax.Array) -> Any:
        def loss(params: Params, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
            return -jnp.take_along_axis(
                jax.nn.log_softmax(self._logits(params, x, key)), y[:, None], axis=1
            ).mean()

        params, velocities, key = state
        key, mask = jax.random.split(key)
        value, grads = jax.value_and_grad(loss)(
            params, *(a.at[rows].get(mode="promise_in_bounds") for a in (x, y)), mask
        )
        velocities = jax.tree.map(lambda v, g: CNN_MOMENTUM * v + g, velocities, grads)
        params = jax.tree.map(
            lambda p, v, g: p - CNN_LEARNING_RATE * (g + CNN_MOMENTUM * v),
            params,
            velocities,
            grads,
        )
        return (params, velocities, key), value
