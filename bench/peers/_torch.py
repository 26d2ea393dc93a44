"""PyTorch, eager and compiled."""

from typing import Any

import numpy as np
import torch
from torch import nn

from _cases import Adam, Case
from peers._layers import criterion, network, optimizer
from peers._peer import Floats, Peer, Targets, Weights


class Eager(Peer):
    """The usual loop, except that batches are indexed from tensors: a ``DataLoader`` would take
    several times as long.
    """

    memory_format = torch.contiguous_format

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.model = network(nn, case)
        self.criterion = criterion(nn, case)
        self.forward = self.model
        self.tensor_x = torch.from_numpy(x)
        self.tensor_y = torch.from_numpy(y)
        if case.images:
            self.model = self.model.to(memory_format=self.memory_format)
            self.tensor_x = self.tensor_x.to(memory_format=self.memory_format)

    @staticmethod
    def version() -> str:
        return torch.__version__

    def set_learning_rate(self, learning_rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def set_weights(self, weights: Weights) -> None:
        flat = [array for w, b in weights for array in (_turned(w, (3, 0, 1, 2)), b)]
        with torch.no_grad():
            for parameter, values in zip(self.model.parameters(), flat, strict=True):
                parameter.copy_(torch.from_numpy(values))
        self._restart()

    def _restart(self) -> None:
        """An optimizer that remembers nothing; Adam fused, the fastest of its forms."""
        self.optimizer = optimizer(torch.optim, self.case, self.model.parameters(), fused=True)

    def get_weights(self) -> Weights:
        arrays = [
            _turned(parameter.detach().numpy(), (1, 2, 3, 0)).copy()
            for parameter in self.model.parameters()
        ]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.model.train()
        if self.full_batch:
            for _ in range(epochs):
                self._step(self.tensor_x, self.tensor_y)
            return
        for _ in range(epochs):
            for rows in torch.from_numpy(self.order(shuffle)):
                self._step(self.tensor_x[rows], self.tensor_y[rows])

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.model(x), y)

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = self._loss(x, y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self, x: Floats) -> Floats:
        with torch.inference_mode():
            return self.forward(torch.from_numpy(x)).numpy()


class ChannelsLast(Eager):
    """With the channels of a pixel side by side."""

    memory_format = torch.channels_last

    @staticmethod
    def supports(case: Case) -> bool:
        return case.images


class Bfloat16(Eager):
    """Mixed precision: products in bfloat16, by ``torch.autocast``."""

    memory_format = torch.channels_last

    def _loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.criterion(self.model(x), y)

    def predict(self, x: Floats) -> Floats:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return self.forward(torch.from_numpy(x)).float().numpy()


class Compiled(Eager):
    """``torch.compile`` of the whole step: forward, loss, gradient and update in one function."""

    set_learning_rate = Peer.set_learning_rate

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        torch._dynamo.reset()  # else the limit on recompilations counts the networks before
        self.compiled_step = torch.compile(self._functional_step, dynamic=False)
        self.forward = torch.compile(self.model, dynamic=False)

    def _restart(self) -> None:
        self.steps = torch.zeros(())
        self.means, self.squares = (
            [torch.zeros_like(parameter) for parameter in self.model.parameters()] for _ in range(2)
        )

    def compile(self, epochs: int) -> None:
        if self.case.predict:
            self.predict(self.x[: self.batch])
        else:
            self._step(self.tensor_x[: self.batch], self.tensor_y[: self.batch])

    def _functional_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        parameters = list(self.model.parameters())
        loss = self._loss(x, y)
        with torch.no_grad():
            grads = torch.autograd.grad(loss, parameters)
            (self._adam if isinstance(self.case.optimizer, Adam) else self._sgd)(parameters, grads)
        return loss

    def _sgd(self, parameters: list[torch.Tensor], grads: tuple[torch.Tensor, ...]) -> None:
        learning_rate, momentum, nesterov, weight_decay = self.case.optimizer
        for parameter, grad, velocity in zip(parameters, grads, self.means, strict=True):
            update = grad + weight_decay * parameter if weight_decay else grad
            if momentum:
                velocity.mul_(momentum).add_(update)
                update = update + momentum * velocity if nesterov else velocity
            parameter.sub_(update, alpha=learning_rate)

    def _adam(self, parameters: list[torch.Tensor], grads: tuple[torch.Tensor, ...]) -> None:
        learning_rate, (beta1, beta2), eps = self.case.optimizer
        self.steps.add_(1)
        rate, unbias = learning_rate / (1 - beta1**self.steps), (1 - beta2**self.steps).rsqrt()
        for parameter, grad, mean, square in zip(
            parameters, grads, self.means, self.squares, strict=True
        ):
            mean.lerp_(grad, 1 - beta1)
            square.lerp_(grad * grad, 1 - beta2)
            parameter.sub_(rate * mean / (square.sqrt() * unbias + eps))

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        return self.compiled_step(x, y).item()


def _turned(w: np.ndarray[Any, Any], axes: tuple[int, ...]) -> Floats:
    """Weights between PyTorch's order of axes and the benchmark's."""
    return np.ascontiguousarray(w.transpose(axes) if w.ndim == 4 else w.T)
