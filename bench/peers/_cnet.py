"""cnet: the trainer that users call, and its layers called one by one."""

import numpy as np

import cnet
from _cases import Case
from cnet import nn, optim
from cnet._core import _isa
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


class _Net(Peer):
    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x, y, threads)
        cnet.set_num_threads(threads)
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
        self.loss = nn.CrossEntropyLoss()
        self._restart()

    def _restart(self) -> None:
        """An optimizer that remembers nothing."""
        parameters = self.model.parameters()
        self.optimizer = (
            optim.Adam(parameters, *ADAM)
            if self.case.adam
            else optim.SGD(parameters, LEARNING_RATE)
        )

    @staticmethod
    def version() -> str:
        return f"{cnet.__version__}, {_isa.active_isa()} kernels"

    def set_weights(self, weights: Weights) -> None:
        flat = [array for layer in weights for array in layer]
        for parameter, values in zip(self.model.parameters(), flat, strict=True):
            parameter.data = values
        if self.case.adam:
            self._restart()

    def get_weights(self) -> Weights:
        arrays = [parameter.data.copy() for parameter in self.model.parameters()]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def predict(self, row: Floats) -> Floats:
        return self.model(row)


class Fit(_Net):
    """``Trainer.fit``, with all that it does once a call, such as looking for NaN in the data."""

    def set_sgd(self, learning_rate: float, momentum: float, weight_decay: float) -> None:
        self.optimizer = optim.SGD(
            self.model.parameters(), lr=learning_rate, momentum=momentum, weight_decay=weight_decay
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def set_weights(self, weights: Weights) -> None:
        super().set_weights(weights)
        self.trainer = cnet.Trainer(self.model, self.loss, self.optimizer)

    def train(self, epochs: int, shuffle: bool = True) -> None:
        shuffle = shuffle and not self.full_batch
        self.trainer.fit(
            self.x,
            self.y,
            epochs=epochs,
            batch_size=self.batch,
            shuffle=shuffle,
            seed=self.seed,
            verbose=False,
        )


class ByHand(_Net):
    """The loop that a user writes to see every step."""

    def train(self, epochs: int, shuffle: bool = True) -> None:
        if self.full_batch:
            for _ in range(epochs):
                self._step(self.x, self.y)
            return
        for rows in self.batches(epochs, shuffle):
            self._step(np.take(self.x, rows, axis=0), self.y[rows])

    def _step(self, x: Floats, y: Ints) -> None:
        _, grad = self.loss.forward_backward(self.model.forward(x, training=True), y)
        self.model.backward_params(grad)
        self.optimizer.step()

    def predict(self, row: Floats) -> Floats:
        return self.model.forward(row)


class Cnn(Fit):
    """The convolutional net."""

    remark = CNN_REMARK

    def __init__(self, case: Case, x: Floats, y: Ints, threads: int) -> None:
        super().__init__(case, x.reshape(-1, 1, 28, 28), y, threads)
        convolutions = [
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        self.model = nn.Sequential(
            *convolutions,
            nn.Flatten(),
            nn.Linear(1600, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
            seed=0,
        )
        self.state = self.model.state_dict()

    def set_weights(self, weights: Weights) -> None:
        self.model.load_state_dict(self.state)
        optimizer = optim.SGD(
            self.model.parameters(), lr=CNN_LEARNING_RATE, momentum=CNN_MOMENTUM, nesterov=True
        )
        self.trainer = cnet.Trainer(self.model, self.loss, optimizer)
