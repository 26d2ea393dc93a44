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
