"""Arguments by position: each means in cnet what it means in PyTorch, or comes by its name alone.
So do the methods and the defaults.
"""

import inspect

import pytest

from cnet import nn, optim

torch = pytest.importorskip(
    "torch", reason="PyTorch is not a requirement of the test suite: pip install torch==2.13.0"
)

OTHER_NAMES = {
    ("Parameter", "shape"): "data",
    ("Buffer", "shape"): "data",
}  # which may be the values, as there
OTHER_DEFAULTS = {
    ("SGD", "lr"): 0.1,
    ("LBFGS", "max_iter"): 200,
    ("LBFGS", "history_size"): 10,
    ("Softmax", "dim"): -1,  # None is deprecated there
}
METHODS = [
    "load_state_dict",
    "zero_grad",
    "train",
    "eval",
    "requires_grad_",
    "apply",
    "children",
    "modules",
    "parameters",
    "to",
]


def both():
    for ours, theirs in ((nn, torch.nn), (optim, torch.optim)):
        for name in ours.__all__:
            if isinstance(getattr(ours, name), type) and hasattr(theirs, name):
                yield pytest.param(name, getattr(ours, name), getattr(theirs, name), id=name)


BOTH = list(both())


def arguments(kind):
    """Without self."""
    make = kind.__new__ if kind in (torch.nn.Parameter, torch.nn.Buffer) else kind.__init__
    return list(inspect.signature(make).parameters.values())[1:]


def by_position(parameters):
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]


@pytest.mark.parametrize(("name", "ours", "theirs"), BOTH)
def test_arguments_by_position_mean_the_same(name, ours, theirs):
    got = [OTHER_NAMES.get((name, argument), argument) for argument in by_position(arguments(ours))]
    expected = by_position(arguments(theirs))
    assert got[: len(expected)] == expected[: len(got)]
    assert not got[len(expected) :]


@pytest.mark.parametrize(("name", "ours", "theirs"), BOTH)
def test_arguments_that_both_have_have_the_same_defaults(name, ours, theirs):
    defaults = {parameter.name: parameter.default for parameter in arguments(theirs)}
    for parameter in arguments(ours):
        if parameter.name in defaults and parameter.name != "dtype":
            expected = OTHER_DEFAULTS.get((name, parameter.name), defaults[parameter.name])
            assert parameter.default == expected, parameter.name


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_the_same_by_position(name):
    got, expected = (
        by_position(list(inspect.signature(getattr(module, name)).parameters.values())[1:])
        for module in (nn.Module, torch.nn.Module)
    )
    if name == "load_state_dict":
        got[0] = "state_dict"
    if name != "to":  # there it takes anything
        assert got == expected[: len(got)]


def test_there_is_something_to_compare():
    assert len(BOTH) >= 28


def test_dtypes_and_devices_of_pytorch_are_understood():
    assert nn.Linear(3, 2, dtype=torch.float64, device=torch.device("cpu")).dtype == "float64"
    assert nn.Sequential(nn.Linear(3, 2), dtype=torch.double).dtype == "float64"
    assert nn.Parameter(torch.ones(3, requires_grad=False), dtype=torch.float64).dtype == "float64"
    model = nn.Sequential(nn.Linear(3, 2))
    assert (
        model.to(torch.device("cpu"))
        is model.to(torch.float32)
        is model.to("cpu", torch.float32)
        is model
    )
    for wrong in (torch.float64, torch.device("cuda", 0), torch.float16):
        with pytest.raises(ValueError, match=r"of float32: give another dtype|cnet has only 'cpu'"):
            model.to(wrong)
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        with pytest.raises(
            ValueError, match=r"dtype is torch\.\w+, expected 'float32' or 'float64'"
        ):
            nn.Linear(3, 2, dtype=dtype)
