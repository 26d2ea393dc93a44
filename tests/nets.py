"""Layers of every kind, and networks of them at random: what other libraries are to make the same
of.
"""

import numpy as np

from cnet import nn

# Kind, settings, and the shape of a row.
LAYERS = [
    ("Linear", {"in_features": 5, "out_features": 4}, (5,)),
    ("Linear", {"in_features": 1, "out_features": 1, "bias": False}, (1,)),
    ("Conv2d", {"in_channels": 3, "out_channels": 5, "kernel_size": 3}, (3, 9, 11)),
    (
        "Conv2d",
        {
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": (2, 3),
            "stride": (1, 2),
            "padding": (0, 1),
            "bias": False,
        },
        (1, 9, 11),
    ),
    ("MaxPool2d", {"kernel_size": 2}, (3, 9, 11)),
    ("MaxPool2d", {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1)}, (3, 9, 11)),
    ("AvgPool2d", {"kernel_size": 2}, (3, 9, 11)),
    ("AvgPool2d", {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}, (3, 9, 11)),
    ("BatchNorm1d", {"num_features": 5}, (5,)),
    ("BatchNorm1d", {"num_features": 5, "eps": 0.01, "momentum": None, "affine": False}, (5,)),
    ("BatchNorm2d", {"num_features": 3}, (3, 9, 11)),
    ("BatchNorm2d", {"num_features": 3, "eps": 0.01, "momentum": 0.3, "affine": False}, (3, 9, 11)),
    ("LayerNorm", {"normalized_shape": 5}, (5,)),
    ("LayerNorm", {"normalized_shape": (9, 11), "eps": 0.01, "bias": False}, (3, 9, 11)),
    ("LayerNorm", {"normalized_shape": (3, 9, 11), "elementwise_affine": False}, (3, 9, 11)),
    ("GroupNorm", {"num_groups": 2, "num_channels": 6}, (6,)),
    ("GroupNorm", {"num_groups": 3, "num_channels": 6, "eps": 0.01}, (6, 9, 11)),
    ("GroupNorm", {"num_groups": 1, "num_channels": 3, "affine": False}, (3, 9, 11)),
    ("Dropout", {"p": 0.3}, (5,)),
    ("Flatten", {}, (3, 9, 11)),
    ("Identity", {}, (3, 9, 11)),
    ("Rescale", {"scale": 0.3}, (5,)),
    ("Rescale", {"scale": 1 / 127.5, "offset": -1.0}, (3, 9, 11)),
    ("ReLU", {}, (5,)),
    ("LeakyReLU", {"negative_slope": 0.1}, (3, 9, 11)),
    ("ELU", {"alpha": 0.7}, (5,)),
    ("GELU", {}, (3, 9, 11)),
    ("GELU", {"approximate": "tanh"}, (5,)),
    ("SiLU", {}, (3, 9, 11)),
    ("Softplus", {}, (3, 9, 11)),
    ("Softplus", {"beta": 0.7}, (5,)),
    ("Tanh", {}, (3, 9, 11)),
    ("Sigmoid", {}, (5,)),
    ("Softmax", {}, (5,)),
]


def kinds():
    """The names of all layers: modules that are not made of others."""
    found = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
    }
    return found - {"Module", "Sequential", "Heads"}


def filled(model, rng):
    """The model with random parameters and running statistics."""
    state = {
        name: rng.standard_normal(value.shape)
        / np.sqrt(max(1, value.size // len(np.atleast_1d(value))))
        for name, value in model.state_dict().items()
    }
    for name, values in state.items():
        if name.endswith("running_var"):
            state[name] = 0.5 + np.abs(values)
        elif name.endswith("num_batches_tracked"):
            state[name] = rng.integers(1, 9)
    return model.load_state_dict(state)


def layer(kind, settings, rng, dtype="float32"):
    """A layer of the table."""
    return filled(nn.Sequential(getattr(nn, kind)(**settings), dtype=dtype), rng)[0]


def random_net(rng, dtype="float32"):
    """A network of layers on images and on rows of one axis, some of them in nested networks,
    and the shape of its input.
    """
    input_shape = shape = tuple(map(int, (rng.integers(1, 4), *rng.integers(7, 13, 2))))
    layers = []
    for kind in [
        *rng.choice(IMAGES, rng.integers(1, 6)),
        "Flatten",
        "Linear",
        *rng.choice(ROWS, rng.integers(0, 6)),
    ]:
        candidate = fitting(kind, shape, rng)
        try:
            shape = candidate.output_shape(shape)
        except ValueError:  # images have become too small for it
            continue
        layers.append(candidate)
    cut = int(rng.integers(len(layers)))
    layers = [*layers[:cut], nn.Sequential(*layers[cut:])]
    return filled(nn.Sequential(*layers, dtype=dtype), rng), input_shape


ACTIVATIONS = ["Identity", "ReLU", "LeakyReLU", "ELU", "GELU", "Tanh", "Sigmoid"]
IMAGES = [
    "Conv2d",
    "Conv2d",
    "MaxPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "LayerNorm",
    "Dropout",
    "Rescale",
    *ACTIVATIONS,
]
ROWS = ["Linear", "Linear", "BatchNorm1d", "LayerNorm", "Dropout", "Softmax", *ACTIVATIONS]


def fitting(kind, shape, rng):
    """A layer of this kind for rows of this shape."""
    window = {"kernel_size": tuple(rng.integers(1, 4, 2)), "stride": tuple(rng.integers(1, 3, 2))}
    settings = {
        "Linear": lambda: {
            "in_features": shape[0],
            "out_features": rng.integers(1, 20),
            "bias": bool(rng.integers(2)),
        },
        "Conv2d": lambda: {
            "in_channels": shape[0],
            "out_channels": rng.integers(1, 9),
            "padding": tuple(rng.integers(0, 3, 2)),
            **window,
        },
        "MaxPool2d": lambda: {"padding": min(window["kernel_size"]) // 2, **window},
        "AvgPool2d": lambda: {"padding": min(window["kernel_size"]) // 2, **window},
        "BatchNorm1d": lambda: {"num_features": shape[0], "affine": bool(rng.integers(2))},
        "BatchNorm2d": lambda: {"num_features": shape[0], "affine": bool(rng.integers(2))},
        "GroupNorm": lambda: {
            "num_groups": shape[0] if rng.integers(2) else 1,
            "num_channels": shape[0],
            "affine": bool(rng.integers(2)),
        },
        "LayerNorm": lambda: {
            "normalized_shape": shape[rng.integers(len(shape)) :],
            "elementwise_affine": bool(rng.integers(2)),
        },
        "Rescale": lambda: {"scale": rng.random(), "offset": rng.integers(2) * rng.random()},
        "LeakyReLU": lambda: {"negative_slope": rng.random()},
        "ELU": lambda: {"alpha": rng.random()},
        "Softplus": lambda: {"beta": 0.1 + rng.random()},
        "GELU": lambda: {"approximate": str(rng.choice(["none", "tanh"]))},
    }
    return getattr(nn, kind)(**settings.get(kind, dict)())
