"""JAX at its best: all steps of a run in one compiled ``lax.scan``."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from _cases import Case
from peers._peer import LEAKY_SLOPE, LEARNING_RATE, Floats, Ints, Peer, Weights

Params = list[tuple[jax.Array, jax.Array]]


class Scan(Peer):
    """Parameters, data and the order of rows are arguments of one compiled function; the parameters are donated."""

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        self.device_x = jnp.asarray(x)
        self.device_y = jnp.asarray(y)
        leaky_relu = partial(jax.nn.leaky_relu, negative_slope=LEAKY_SLOPE)
        self.activation = {"": None, "relu": jax.nn.relu, "leaky_relu": leaky_relu, "tanh": jnp.tanh}[case.activation]
        self.forward = jax.jit(self._forward)
        self.params: Params = []

    @staticmethod
    def version() -> str:
        return jax.__version__

    def set_weights(self, weights: Weights) -> None:
        # Copies: an array that shares memory with NumPy cannot be donated.
        self.params = [(jnp.array(w, copy=True), jnp.array(b, copy=True)) for w, b in weights]

    def get_weights(self) -> Weights:
        return [(np.array(w), np.array(b)) for w, b in self.params]

    def compile(self, epochs: int) -> None:
        if not self.case.training:
            self.predict(self.x[:1])
            return
        run = jax.jit(self._run, donate_argnums=0)
        self.compiled = run.lower(self.params, self.device_x, self.device_y, self._orders(epochs, shuffle=False)).compile()

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.params, _ = jax.block_until_ready(self.compiled(self.params, self.device_x, self.device_y, self._orders(epochs, shuffle)))

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

    def _run(self, params: Params, x: jax.Array, y: jax.Array, orders: jax.Array) -> tuple[Params, jax.Array]:
        def step(params: Params, rows: jax.Array) -> tuple[Params, jax.Array]:
            # The order is known to hold valid rows; without the promise each element is checked.
            batch = (x, y) if self.full_batch else (a.at[rows].get(mode="promise_in_bounds") for a in (x, y))
            loss, grads = jax.value_and_grad(self._loss)(params, *batch)
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), loss

        return jax.lax.scan(step, params, orders)
