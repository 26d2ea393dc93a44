"""NumPy: a network hand-written, with care.

Every array is allocated once and every operation works in place, so that a step is BLAS and little
else.
"""

import numpy as np

from _cases import BINARY, CROSS_ENTROPY, LEAKY_SLOPE, Adam, Case
from peers._peer import Floats, Peer, Targets, Weights


class HandWritten(Peer):
    """Forward, backward and update in NumPy."""

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        pairs = list(zip(case.sizes, case.sizes[1:], strict=False))
        self.w = [np.empty(pair, np.float32) for pair in pairs]
        self.b = [np.empty(outputs, np.float32) for _, outputs in pairs]
        self.dw = [np.empty_like(w) for w in self.w]
        self.db = [np.empty_like(b) for b in self.b]
        self.rows = np.arange(self.batch)
        self.a = self._activations(self.batch)
        self.da = [np.empty_like(a) for a in self.a]
        self.adam = isinstance(case.optimizer, Adam)
        self.x_batch = (
            None if self.full_batch else np.empty((self.batch, case.sizes[0]), np.float32)
        )

    @staticmethod
    def supports(case: Case) -> bool:
        return case.dense

    def _activations(self, rows: int) -> list[Floats]:
        return [np.empty((rows, outputs), np.float32) for outputs in self.case.sizes[1:]]

    @staticmethod
    def version() -> str:
        return np.__version__

    def set_weights(self, weights: Weights) -> None:
        for w, b, (new_w, new_b) in zip(self.w, self.b, weights, strict=True):
            w[...] = new_w
            b[...] = new_b
        self.steps = 0
        self.arrays = [
            (parameter, grad, *(np.zeros_like(parameter) for _ in range(3)))
            for parameters, grads in ((self.w, self.dw), (self.b, self.db))
            for parameter, grad in zip(parameters, grads, strict=True)
        ]

    def get_weights(self) -> Weights:
        return [(w.copy(), b.copy()) for w, b in zip(self.w, self.b, strict=True)]

    def train(self, epochs: int, shuffle: bool = True) -> None:
        if self.x_batch is None:
            for _ in range(epochs):
                self._step(self.x, self.y)
            return
        for _ in range(epochs):
            for rows in self.order(shuffle):
                # Unless told to clip, take() gathers into a buffer first.
                np.take(self.x, rows, axis=0, out=self.x_batch, mode="clip")
                self._step(self.x_batch, self.y[rows])

    def predict(self, x: Floats) -> Floats:
        return self._forward(x, self.a).copy()

    def _forward(self, x: Floats, activations: list[Floats]) -> Floats:
        for w, b, a in zip(self.w, self.b, activations, strict=True):
            np.dot(x, w, out=a)
            a += b
            if a is not activations[-1]:
                self._activate(a)
            x = a
        return x

    def _activate(self, z: Floats) -> None:
        if self.case.activation == "tanh":
            np.tanh(z, out=z)
        elif self.case.activation == "relu":
            np.maximum(z, 0, out=z)
        else:
            np.maximum(z, z * LEAKY_SLOPE, out=z)

    def _times_derivative(self, dz: Floats, a: Floats) -> None:
        """Multiply by the activation's derivative, told by its output."""
        if self.case.activation == "tanh":
            np.multiply(a, a, out=a)
            np.subtract(1, a, out=a)
            dz *= a
        elif self.case.activation == "relu":
            dz *= a > 0
        else:
            np.multiply(dz, LEAKY_SLOPE, out=dz, where=a < 0)

    def _step(self, x: Floats, y: Targets) -> float:
        # With SGD gradients are, from here on, those of learning rate times loss: the update is
        # then a subtraction.
        scale = 1 if self.adam else self.case.optimizer.learning_rate
        dz = self._forward(x, self.a)
        loss = self._loss(dz, y, scale)
        for i in reversed(range(len(self.w))):
            before = self.a[i - 1] if i else x
            np.dot(before.T, dz, out=self.dw[i])
            np.sum(dz, axis=0, out=self.db[i])
            if i:
                np.dot(dz, self.w[i].T, out=self.da[i - 1])
                self._times_derivative(self.da[i - 1], before)
                dz = self.da[i - 1]
        if self.adam:
            self._adam_step()
        elif momentum := self.case.optimizer.momentum:
            for parameter, grad, velocity, *_ in self.arrays:
                velocity *= momentum
                velocity += grad
                parameter -= velocity
        else:
            for parameter, grad, *_ in self.arrays:
                parameter -= grad
        return loss

    def _loss(self, z: Floats, y: Targets, scale: float) -> float:
        """The mean loss; z becomes its gradient, times a scale."""
        if self.case.loss == CROSS_ENTROPY:
            z -= z.max(axis=1, keepdims=True)
            z_label = z[self.rows, y]
            np.exp(z, out=z)
            total = z.sum(axis=1, keepdims=True)
            loss = float((np.log(total[:, 0]) - z_label).mean())
            z *= scale / self.batch / total
            z[self.rows, y] -= scale / self.batch
        elif self.case.loss == BINARY:
            loss = float((np.logaddexp(0, z) - z * y).mean())
            np.negative(z, out=z)
            np.exp(z, out=z)
            z += 1
            np.reciprocal(z, out=z)
            z -= y
            z *= scale / z.size
        else:
            z -= y
            loss = float(np.vdot(z, z)) / z.size
            z *= 2 * scale / z.size
        return loss

    def _adam_step(self) -> None:
        learning_rate, (beta1, beta2), eps = self.case.optimizer
        self.steps += 1
        rate, unbias = learning_rate / (1 - beta1**self.steps), (1 - beta2**self.steps) ** -0.5
        for parameter, grad, mean, square, update in self.arrays:
            mean *= beta1
            np.multiply(grad, 1 - beta1, out=update)
            mean += update
            square *= beta2
            grad *= grad
            grad *= 1 - beta2
            square += grad
            np.sqrt(square, out=update)
            update *= unbias
            update += eps
            np.divide(mean, update, out=update)
            update *= rate
            parameter -= update
