"""cnet: the trainer that users call, its single steps, and its layers called one by one."""

import numpy as np

import cnet
from _cases import Case
from cnet import nn, optim
from cnet._core import _isa
from peers._layers import criterion, network, optimizer
from peers._peer import Floats, Peer, Targets, Weights


class Fit(Peer):
    """``Trainer.fit``, with all that it does once a call, such as looking for NaN in the data."""

    def __init__(self, case: Case, x: Floats, y: Targets, threads: int) -> None:
        super().__init__(case, x, y, threads)
        cnet.set_num_threads(threads)
        self.model = network(nn, case)
        self.loss = criterion(nn, case)

    @staticmethod
    def version() -> str:
        return f"{cnet.__version__}, {_isa.active_isa()} kernels"

    def set_learning_rate(self, learning_rate: float) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate

    def set_weights(self, weights: Weights) -> None:
        flat = [
            array
            for w, b in weights
            for array in (w.transpose(2, 1, 0, 3) if w.ndim == 4 else w, b)
        ]
        for parameter, values in zip(self.model.parameters(), flat, strict=True):
            parameter.data = np.ascontiguousarray(values)
        self.optimizer = optimizer(optim, self.case, self.model.parameters())
        self.trainer = cnet.Trainer(self.model, self.loss, self.optimizer)

    def get_weights(self) -> Weights:
        arrays = [
            (p.data.transpose(2, 1, 0, 3) if p.data.ndim == 4 else p.data).copy()
            for p in self.model.parameters()
        ]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def train(self, epochs: int, shuffle: bool = True) -> None:
        self.trainer.fit(
            self.x,
            self.y,
            epochs=epochs,
            batch_size=self.batch,
            shuffle=shuffle and not self.full_batch,
            seed=self.seed,
            verbose=False,
        )

    def predict(self, x: Floats) -> Floats:
        return self.model(x)


class Step(Fit):
    """``Trainer.step`` in a loop over batches."""

    @staticmethod
    def supports(case: Case) -> bool:
        return not case.predict

    def train(self, epochs: int, shuffle: bool = True) -> None:
        for x, y in self.batches(epochs, shuffle):
            self.trainer.step(x, y)


class ByHand(Fit):
    """The loop that a user writes to see every step."""

    def train(self, epochs: int, shuffle: bool = True) -> None:
        for x, y in self.batches(epochs, shuffle):
            _, grad = self.loss.forward_backward(self.model.forward(x, training=True), y)
            self.model.backward_params(grad)
            self.optimizer.step()

    def predict(self, x: Floats) -> Floats:
        return self.model.forward(x)
