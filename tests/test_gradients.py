"""Backward passes against central finite differences in float64, for every kernel, layer and loss.

The numerical gradient is taken of the float64 reference; a backward kernel is held to it in both
dtypes. The float64 kernels are also held against finite differences of the compiled forward pass,
through whole networks.
"""

import numpy as np
import pytest
from cases import CASES
from test_kernels import in_double, normalized_error, run

from cnet import nn

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-9}
MAX_ELEMENTS = 20


def numerical_gradient(function, a, positions, relative_step=False):
    """d function / d a at flat `positions`: a five-point stencil, whose error is of the fourth
    order.
    """
    result = []
    for i in positions:
        values = []
        h = 2e-3 * (abs(a.flat[i]) if relative_step else 1)
        for step in (-2, -1, 1, 2):
            b = a.copy()
            b.flat[i] += step * h
            values.append(function(b))
        result.append((8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h))
    return np.array(result)


def positions(rng, a):
    return (
        np.arange(a.size)
        if a.size <= MAX_ELEMENTS
        else rng.choice(a.size, MAX_ELEMENTS, replace=False)
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.wrt], ids=lambda case: case.name)
def test_kernels(case, isa, dtype, rng):
    for shape in case.shapes:
        inputs = case.inputs(rng, shape, dtype)
        outputs = run(case, dtype, inputs)
        exact = in_double(inputs)
        for output, name in case.wrt.items():
            where = positions(rng, exact[name])
            numerical = numerical_gradient(
                lambda a, exact=exact, name=name: case.loss({**exact, name: a}),
                exact[name],
                where,
                case.relative_step,
            )
            assert (
                normalized_error(outputs[output].ravel()[where], numerical) <= TOLERANCE[dtype]
            ), (output, shape)


def check_module(module, loss, x, target, rng):
    """Parameters and input of a float64 module under a loss, through forward passes of the module
    itself.
    """
    grad = loss.forward_backward(module.forward(x, training=True), target)[1]
    dx = module.backward(grad)

    def of_input(a):
        return loss.forward(module.forward(a), target)

    where = positions(rng, x)
    assert normalized_error(dx.ravel()[where], numerical_gradient(of_input, x, where)) <= 1e-9
    for parameter in module.parameters():

        def of_parameter(a, parameter=parameter):
            before = parameter.data.copy()
            parameter.data = a
            value = loss.forward(module.forward(x), target)
            parameter.data = before
            return value

        where = positions(rng, parameter.data)
        numerical = numerical_gradient(of_parameter, parameter.data.copy(), where)
        assert normalized_error(parameter.grad.ravel()[where], numerical) <= 1e-9


ACTIVATIONS = [
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Softplus,
    nn.Softmax,
    nn.Identity,
    nn.Flatten,
]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nets(activation, isa, rng):
    model = nn.Sequential(
        nn.Linear(5, 9),
        activation(),
        nn.Linear(9, 4, bias=False),
        activation(),
        nn.Linear(4, 3),
        seed=1,
        dtype="float64",
    )
    x = rng.standard_normal((500, 5))
    # Rows for which no activation is near the kink of ReLU, where finite differences mean nothing.
    clear = np.minimum(np.abs(model[:1](x)).min(axis=1), np.abs(model[:3](x)).min(axis=1)) > 0.05
    check_module(model, nn.CrossEntropyLoss(), x[clear][:6], rng.integers(0, 3, 6), rng)


@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (nn.CrossEntropyLoss(), np.array([0, 2, 1, 1])),
        (nn.CrossEntropyLoss(), np.array([[1.0, 0, 0], [0.2, 0.3, 0.5], [0, 0, 2], [0, 0, 0]])),
        (nn.NLLLoss(), np.array([0, 2, 1, 1])),
        (nn.NLLLoss(), np.array([[1.0, 0, 0], [0.2, 0.3, 0.5], [0, 0, 2], [0, 0, 0]])),
        (nn.MSELoss(), np.arange(12.0).reshape(4, 3)),
        (nn.CrossEntropyLoss([0.5, 1, 3], label_smoothing=0.1), np.array([0, 2, 1, 1])),
        (
            nn.CrossEntropyLoss([0.5, 1, 3], label_smoothing=0.1),
            np.array([[1.0, 0, 0], [0.2, 0.3, 0.5], [0, 0, 2], [0, 0, 0]]),
        ),
        (nn.L1Loss(), np.arange(12.0).reshape(4, 3)),
        (nn.HuberLoss(3.3), np.arange(12.0).reshape(4, 3)),
        (nn.SmoothL1Loss(beta=3.3), np.arange(12.0).reshape(4, 3)),
        (nn.QuantileLoss(0.3), np.arange(12.0).reshape(4, 3)),
        (nn.PoissonNLLLoss(), np.arange(12.0).reshape(4, 3)),
        (nn.BCEWithLogitsLoss(), np.arange(12.0).reshape(4, 3) % 2),
    ],
)
def test_losses(loss, target, isa, rng):
    head = nn.Softmax() if isinstance(loss, nn.NLLLoss) else nn.Identity()
    model = nn.Sequential(nn.Linear(5, 3), head, seed=1, dtype="float64")
    check_module(model, loss, rng.standard_normal((4, 5)), target, rng)


def test_backward_params_gives_the_gradients_of_backward(isa, dtype, rng):
    model = nn.Sequential(
        nn.Flatten(), nn.Tanh(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4), seed=1, dtype=dtype
    )
    x = rng.standard_normal((7, 3, 4)).astype(dtype)
    grad = rng.standard_normal((7, 4)).astype(dtype)
    model.forward(x, training=True)
    model.backward(grad)
    whole = [parameter.grad for parameter in model.parameters()]
    model.backward_params(grad)
    for parameter, expected in zip(model.parameters(), whole, strict=True):
        np.testing.assert_array_equal(parameter.grad, expected)
