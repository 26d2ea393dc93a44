"""A layer of each kind for rows of six features, and small networks."""

import itertools

import numpy as np
import pytest

from cnet import nn

LAYERS = {
    "linear": lambda: nn.Linear(6, 6, seed=3),
    "no bias": lambda: nn.Linear(6, 6, bias=False, seed=3),
    "relu": nn.ReLU,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softmax": nn.Softmax,
    "elu": lambda: nn.ELU(0.5),
    "gelu": nn.GELU,
    "gelu tanh": lambda: nn.GELU("tanh"),
    "silu": nn.SiLU,
    "softplus": lambda: nn.Softplus(2.0),
    "group norm": lambda: nn.GroupNorm(3, 6),
    "layer norm": lambda: nn.LayerNorm(6),
    "layer norm alone": lambda: nn.LayerNorm(6, eps=1e-3, elementwise_affine=False),
    "flatten": nn.Flatten,
    "identity": nn.Identity,
    "nested": lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6), seed=3),
}

each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def net(*sizes, activation=nn.ReLU, **settings):
    layers = [
        layer
        for n_in, n_out in itertools.pairwise(sizes)
        for layer in (nn.Linear(n_in, n_out), activation())
    ]
    return nn.Sequential(*layers[:-1], **settings)


def weights(model):
    return [parameter.data.copy() for parameter in model.parameters()]


def assert_same(a, b):
    for x, y in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(x, y)


def normed(end=3):
    """A network for five features with a layer of each kind that draws, or keeps statistics."""
    return nn.Sequential(
        nn.Linear(5, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Dropout(0.2), nn.Linear(9, end), seed=1
    )


def two_heads():
    """A network for five features with a head for three classes, and one for two numbers."""
    ends = nn.Heads(kind=nn.Linear(9, 3), size=nn.Linear(9, 2))
    return nn.Sequential(nn.Linear(5, 9), nn.ReLU(), ends, seed=1)


def two_losses(model, size=nn.MSELoss):
    """The loss of `two_heads`."""
    return nn.HeadsLoss(model[-1], {"kind": nn.CrossEntropyLoss(), "size": size()})


def training_state(trainer):
    """The bytes of all weights, statistics and moments of a trainer, and its steps."""
    arrays = [*trainer.model.state_dict().values()]
    for moments in trainer.optimizer.state_dict()["state"].values():
        arrays += [np.asarray(moment) for moment in moments.values()]
    return [array.tobytes() for array in arrays], trainer.global_step
