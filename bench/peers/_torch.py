"""PyTorch, eager and compiled."""

import copy

import torch
from torch import nn

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


class Eager(Peer):
    """The usual loop, except that batches are indexed from tensors: a ``DataLoader`` would take
    several times as long.
    """

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        torch.set_num_threads(threads)
        activation = {
            "": nn.Identity,
            "relu": nn.ReLU,
            "leaky_relu": lambda: nn.LeakyReLU(LEAKY_SLOPE),
            "tanh": nn.Tanh,
        }[case.activation]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(case.sizes, case.sizes[1:], strict=False):
            layers += [activation(), nn.Linear(inputs, outputs)]
        self.model = nn.Sequential(*layers[1:])
        self._restart()
        self.forward = self.model
        self.tensor_x = torch.from_numpy(x)
        self.tensor_y = torch.from_numpy(y)

    def _restart(self) -> None:
        """An optimizer that remembers nothing."""
        if self.case.adam:  # fused, the fastest of its forms
            self.optimizer = torch.optim.Adam(self.model.parameters(), *ADAM, fused=True)
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), LEARNING_RATE)

    @staticmethod
    def version() -> str:
        return torch.__version__

    def set_sgd(self, learning_rate: float, momentum: float, weight_decay: float) -> None:
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def set_weights(self, weights: Weights) -> None:
        flat = [array for w, b in weights for array in (w.T, b)]
        with torch.no_grad():
            for parameter, values in zip(self.model.parameters(), flat, strict=True):
                parameter.copy_(torch.from_numpy(values))
        if self.case.adam:
            self._restart()

    def get_weights(self) -> Weights:
        arrays = [parameter.detach().numpy().T.copy() for parameter in self.model.parameters()]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def train(self, epochs: int, shuffle: bool = True) -> None:
        if self.full_batch:
            for _ in range(epochs):
                self._step(self.tensor_x, self.tensor_y)
            return
        for _ in range(epochs):
            for rows in torch.from_numpy(self.order(shuffle)):
                self._step(self.tensor_x[rows], self.tensor_y[rows])

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def predict(self, row: Floats) -> Floats:
        with torch.inference_mode():
            return self.forward(torch.from_numpy(row)).numpy()


class Compiled(Eager):
    """``torch.compile`` of the whole step: forward, loss, gradient and update in one function."""

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        torch._dynamo.reset()  # else the limit on recompilations counts the networks before
        self.compiled_step = torch.compile(self._functional_step, dynamic=False)
        self.forward = torch.compile(self.model, dynamic=False)

    set_sgd = Peer.set_sgd

    def _restart(self) -> None:
        self.steps = torch.zeros(())
        self.means, self.squares = (
            [torch.zeros_like(parameter) for parameter in self.model.parameters()] for _ in range(2)
        )

    def compile(self, epochs: int) -> None:
        if self.case.training:
            self._step(self.tensor_x[: self.batch], self.tensor_y[: self.batch])
        else:
            self.predict(self.x[:1])

    def _functional_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        parameters = list(self.model.parameters())
        loss = nn.functional.cross_entropy(self.model(x), y)
        with torch.no_grad():
            grads = torch.autograd.grad(loss, parameters)
            if self.case.adam:
                self._adam(parameters, grads)
            else:
                for parameter, grad in zip(parameters, grads, strict=True):
                    parameter.sub_(grad, alpha=LEARNING_RATE)
        return loss

    def _adam(self, parameters: list[torch.Tensor], grads: tuple[torch.Tensor, ...]) -> None:
        learning_rate, (beta1, beta2), eps = ADAM
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


class Cnn(Eager):
    """The convolutional net."""

    remark = CNN_REMARK
    memory_format = torch.contiguous_format

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        torch.manual_seed(0)
        convolutions = [
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        model = nn.Sequential(
            *convolutions,
            nn.Flatten(),
            nn.Linear(1600, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        )
        self.model = model.to(memory_format=self.memory_format)
        self.state = copy.deepcopy(self.model.state_dict())
        self.tensor_x = self.tensor_x.reshape(-1, 1, 28, 28).to(memory_format=self.memory_format)

    def set_weights(self, weights: Weights) -> None:
        self.model.load_state_dict(self.state)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=CNN_LEARNING_RATE, momentum=CNN_MOMENTUM, nesterov=True
        )


class CnnChannelsLast(Cnn):
    """With the channels of a pixel side by side."""

    memory_format = torch.channels_last
