"""Digests of trained networks, to compare the bits of two versions: ``python tests/digests.py``.

A change that only moves or renames code leaves every digest as it was, on the same instruction set.
The first argument is a file to compare with, as an earlier call has written to standard output.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import cnet
from cnet import nn, optim
from cnet._core import _isa

RNG = np.random.default_rng(0)
X = RNG.random((700, 60), np.float32) * (RNG.random((700, 60)) < 0.2)
IMAGES = RNG.integers(0, 256, (130, 2, 9, 8)).astype(np.uint8)
LABELS = np.arange(700) % 5
TARGETS = X[:, :3] @ RNG.standard_normal((3, 2)).astype(np.float32)


def mlp(*layers, out=5, dtype="float32"):
    """A network with one hidden layer of 40, and these layers behind it."""
    return nn.Sequential(nn.Linear(60, 40), *layers, nn.Linear(40, out), seed=0, dtype=dtype)


def cnn(*first):
    """A convolutional network."""
    layers = (
        nn.Conv2d(2, 7, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(7, 5, 2),
        nn.Tanh(),
    )
    return nn.Sequential(*first, *layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5, 5), seed=0)


class Twice(nn.Module):
    """A layer without a lowering: the network runs eagerly."""

    def forward(self, x, training=False):
        return 2 * x

    def backward(self, dout):
        return 2 * dout

    def output_shape(self, input_shape):
        return input_shape


def heads():
    """A network with two outputs, and its loss."""
    last = nn.Heads(a=nn.Linear(20, 5), b=nn.Linear(20, 2))
    loss = nn.HeadsLoss(last, [nn.CrossEntropyLoss(), nn.MSELoss()], weights=[1, 0.3])
    return nn.Sequential(nn.Linear(60, 20), nn.ReLU(), last, seed=0), loss


def sgd(parameters):
    """Momentum and weight decay."""
    return optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3)


OPTIMIZERS = {
    "plain": lambda p: optim.SGD(p, lr=0.1),
    "momentum": sgd,
    "nesterov": lambda p: optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    "clipped": lambda p: optim.SGD(p, lr=0.05, clip_norm=0.1),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=1e-3),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
}
LOSSES = {
    "mse": nn.MSELoss(),
    "l1": nn.L1Loss(),
    "huber": nn.HuberLoss(),
    "quantile": nn.QuantileLoss(0.8),
    "poisson": nn.PoissonNLLLoss(),
    "bce": nn.BCEWithLogitsLoss(),
}


def cases():
    """Name, model, loss, optimizer, samples, targets and batch size of each training."""
    for name, optimizer in OPTIMIZERS.items():
        yield name, mlp(nn.ReLU()), nn.CrossEntropyLoss(), optimizer, X, LABELS, 32
    for layer in nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.GELU("tanh"), nn.Sigmoid(), nn.Tanh():
        yield repr(layer), mlp(layer), nn.CrossEntropyLoss(), sgd, X, LABELS, 50
    for name, loss in LOSSES.items():
        targets = {"poisson": abs(TARGETS), "bce": (TARGETS > 0) * 1.0}.get(name, TARGETS)
        yield name, mlp(nn.Tanh(), out=2), loss, sgd, X, targets, 64
    smoothed = nn.CrossEntropyLoss(weight=[1, 2, 1, 1, 3], label_smoothing=0.1)
    yield "smoothed", mlp(nn.ReLU()), smoothed, sgd, X, LABELS, 32
    yield "nll", nn.Sequential(mlp(nn.ReLU()), nn.Softmax()), nn.NLLLoss(), sgd, X, LABELS, 32
    yield (
        "norms",
        mlp(nn.BatchNorm1d(40), nn.ReLU(), nn.LayerNorm(40)),
        smoothed,
        sgd,
        X,
        LABELS,
        35,
    )
    yield "dropout", mlp(nn.ReLU(), nn.Dropout(0.3)), smoothed, sgd, X, LABELS, 700
    yield "float64", mlp(nn.GELU(), dtype="float64"), smoothed, sgd, X, LABELS, 33
    yield "dense", mlp(nn.ReLU()), smoothed, sgd, X + 1, LABELS, 300
    yield "eager", mlp(nn.ReLU(), Twice()), smoothed, sgd, X, LABELS, 32
    yield "heads", *heads(), sgd, X, {"a": LABELS, "b": TARGETS}, 32
    images, labels = IMAGES.astype(np.float32) / 255, LABELS[: len(IMAGES)]
    yield "cnn", cnn(), nn.CrossEntropyLoss(), sgd, images, labels, 16
    rescaled = cnn(nn.Rescale(1 / 255))
    yield "uint8", rescaled, nn.CrossEntropyLoss(), sgd, IMAGES, labels, 16
    yield "norm2d", cnn(nn.BatchNorm2d(2)), nn.CrossEntropyLoss(), sgd, images, labels, 16


def digest(model, loss, optimizer, x, y, batch):
    """SHA-256 of losses, weights and predictions after three epochs."""
    trainer = cnet.Trainer(model, loss, optimizer(model.parameters()))
    history = trainer.fit(x, y, epochs=3, batch_size=batch, seed=1, verbose=False)
    output = model(x)
    outputs = list(output.values()) if isinstance(output, dict) else [output]
    found = hashlib.sha256(repr(history["loss"]).encode())
    for array in *(p.data for p in model.parameters()), *outputs:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:24]


def main():
    """Print all digests, or those that differ from a file's."""
    lines = [f"instruction set {_isa.active_isa()}"]
    lines += [f"{name} {digest(*case)}" for name, *case in cases()]
    if len(sys.argv) > 1:
        before = Path(sys.argv[1]).read_text().splitlines()
        lines = [f"{old} -> {new}" for old, new in zip(before, lines, strict=True) if old != new]
        print(*lines, f"{len(lines)} of {len(before)} differ", sep="\n")
        sys.exit(bool(lines))
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
