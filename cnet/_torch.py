"""Nets from PyTorch, and to it: a table of the layers that both have.

Layers, their arguments and what is in `state_dict` have the same names in both. The table says what cannot be seen from
cnet's side: where a layer of PyTorch keeps the arguments, and which of its other settings mean what cnet does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cnet import nn
from cnet._arrays import real_dtype
from cnet.nn._module import is_builtin


class _Layer(NamedTuple):
    arguments: tuple[str, ...] = ()
    """Arguments that both have: attributes of PyTorch's layer."""
    settings: dict[str, tuple[Any, ...]] = {}  # noqa: RUF012 - of a tuple, whose defaults nobody changes
    """Arguments that only PyTorch has, and the values of them that mean what cnet does."""


_ONE = (1, (1, 1))
_POOL = ("kernel_size", "stride", "padding")
_BATCH_NORM = _Layer(("num_features", "eps", "momentum", "affine"), {"track_running_stats": (True,)})
_LAYERS = {
    "Linear": _Layer(("in_features", "out_features", "bias")),
    "Conv2d": _Layer(
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "bias"), {"dilation": _ONE, "groups": (1,), "padding_mode": ("zeros",)}
    ),
    "MaxPool2d": _Layer(_POOL, {"dilation": _ONE, "return_indices": (False,), "ceil_mode": (False,)}),
    "AvgPool2d": _Layer(_POOL, {"ceil_mode": (False,), "count_include_pad": (True,), "divisor_override": (None,)}),
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "LayerNorm": _Layer(("normalized_shape", "eps", "elementwise_affine", "bias")),
    "Dropout": _Layer(("p",)),
    "Flatten": _Layer((), {"start_dim": (1,), "end_dim": (-1,)}),
    "Identity": _Layer(),
    "Rescale": _Layer(("scale", "offset")),
    "ReLU": _Layer(),
    "LeakyReLU": _Layer(("negative_slope",)),
    "ELU": _Layer(("alpha",)),
    "GELU": _Layer(("approximate",)),
    "Tanh": _Layer(),
    "Sigmoid": _Layer(),
    "Softmax": _Layer((), {"dim": (-1, 1, None)}),  # rows have one axis, and for these None is 1
}


def from_torch(module: Any) -> nn.Module:
    """Make a net, or a layer, of one of PyTorch's.

    Outputs are those of the module in its ``eval()`` mode, up to rounding, and training goes on from its weights. Nothing is
    shared: the weights are copied. A layer that stands in two places becomes two.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Sequential``, with others in it or not, of layers that cnet has; or such a layer. Of float32 or float64.

    Returns
    -------
    nn.Module
        An `nn.Sequential` for a ``Sequential``, the layer of the same name for a layer; of the dtype of `module`.

    Raises
    ------
    TypeError
        If `module` is no module of PyTorch, or has layers that cnet has not; the message names them all.
    ValueError
        If a layer has a setting that cnet's has not, or parameters of another dtype.

    Examples
    --------
    >>> import cnet
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Linear(784, 32), torch.nn.GELU(), torch.nn.Linear(32, 10))
    >>> model = cnet.from_torch(net)
    >>> model
    Sequential(
      (0): Linear(in_features=784, out_features=32)
      (1): GELU(approximate='none')
      (2): Linear(in_features=32, out_features=10)
    )
    >>> x = torch.rand(5, 784)
    >>> bool(abs(model(x) - net(x).detach().numpy()).max() < 1e-5)
    True
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is {module!r}, expected a torch.nn.Module such as torch.nn.Sequential")
    kinds = {_theirs(name, torch): name for name in _LAYERS}
    _refuse((place, _type_name(leaf, torch)) for place, leaf in _leaves(module, torch.nn.Sequential) if type(leaf) not in kinds)

    def convert(part: Any, path: str) -> nn.Module:
        if type(part) is torch.nn.Sequential:
            return nn.Sequential(*(convert(child, f"{path}{name}.") for name, child in _children(part)))
        try:
            return _layer(part, kinds[type(part)])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{_place(path)} is {_type_name(part, torch)}: {error}") from None

    return convert(module, "")


def to_torch(model: nn.Module) -> Any:
    """Make a PyTorch net, or layer, of one of cnet's.

    Outputs are the same, up to rounding. Nothing is shared: the weights are copied.

    Parameters
    ----------
    model : nn.Module
        An `nn.Sequential`, with others in it or not, of cnet's own layers; or such a layer.

    Returns
    -------
    torch.nn.Module
        On the CPU, of the dtype of `model`, and in training mode, as PyTorch's modules begin: ``eval()`` ends that.

    Raises
    ------
    TypeError
        If `model` is no module of cnet, or has layers that PyTorch has not: `nn.Heads`, and those that users write.

    Examples
    --------
    >>> import cnet
    >>> from cnet import nn
    >>> cnet.to_torch(nn.Sequential(nn.Linear(784, 10), nn.Softmax(), seed=0))
    Sequential(
      (0): Linear(in_features=784, out_features=10, bias=True)
      (1): Softmax(dim=-1)
    )
    """
    torch = _torch()
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {model!r}, expected a module of cnet such as nn.Sequential")
    unknown = (layer for layer in _leaves(model, nn.Sequential) if not is_builtin(layer[1]) or type(layer[1]).__name__ not in _LAYERS)
    _refuse((place, type(layer).__name__) for place, layer in unknown)

    def convert(part: nn.Module) -> Any:
        if type(part) is nn.Sequential:
            return torch.nn.Sequential(*map(convert, part))
        name = type(part).__name__
        return _theirs(name, torch)(**part.config(), **{setting: values[0] for setting, values in _LAYERS[name].settings.items()})

    with torch.device("meta"):  # no weights are drawn, and PyTorch's random numbers stay where they are
        module = convert(model)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()}, assign=True)
    return module


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("nets from and to PyTorch need PyTorch: pip install torch") from None
    return torch


def _theirs(name: str, torch: Any) -> Any:
    """PyTorch's layer of this name, or a layer of this name for PyTorch."""
    from cnet import _torch_layers

    return getattr(torch.nn, name, None) or getattr(_torch_layers, name)


def _leaves(module: Any, container: type, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a net, and how they are called in it."""
    if type(module) is container:
        for name, child in _children(module):
            yield from _leaves(child, container, f"{path}{name}.")
    else:
        yield _place(path), module


def _children(net: Any) -> Iterable[tuple[str, Any]]:
    """The layers of a net; PyTorch's ``named_children()`` would leave out what comes twice."""
    children: Iterable[tuple[str, Any]] = net.named_children() if isinstance(net, nn.Module) else net._modules.items()
    return children


def _place(path: str) -> str:
    return f"layer {path[:-1]}" if path else "the module"


def _type_name(module: Any, torch: Any) -> str:
    kind = type(module)
    return f"torch.nn.{kind.__name__}" if getattr(torch.nn, kind.__name__, None) is kind else f"{kind.__module__}.{kind.__qualname__}"


def _refuse(unknown: Iterator[tuple[str, str]]) -> None:
    """Raise TypeError if there are any."""
    if found := ", ".join(f"{place} is {kind}" for place, kind in unknown):
        raise TypeError(f"{found}: what cnet and PyTorch both have is Sequential, {', '.join(_LAYERS)}")


def _layer(theirs: Any, name: str) -> nn.Module:
    """cnet's layer of this name, for PyTorch's."""
    arguments, settings = _LAYERS[name]
    for setting, values in settings.items():
        if getattr(theirs, setting) not in values:
            raise ValueError(f"{setting} is {getattr(theirs, setting)!r}, and cnet has only {values[0]!r}")
    construct: Callable[..., nn.Module] = getattr(nn, name)
    layer = construct(**{argument: _argument(theirs, argument) for argument in arguments})
    own, state = dict(layer._named_state()), theirs.state_dict()
    if own.keys() != state.keys():
        raise ValueError(f"it has {', '.join(state) or 'no parameters'}, expected {', '.join(own)}")
    dtypes = [str(tensor.dtype).removeprefix("torch.") for tensor in state.values() if tensor.is_floating_point()]
    for array in own.values():
        try:
            array.cast(real_dtype(dtypes[0]))
        except ValueError as error:
            raise ValueError(f"{error}: convert the net with .float()") from None
    return layer.load_state_dict({key: tensor.cpu().numpy() for key, tensor in state.items()})


def _argument(theirs: Any, name: str) -> Any:
    value = getattr(theirs, name)
    if name == "bias":
        return value is not None
    if name == "padding" and value == "valid":
        return 0
    if name == "padding" and value == "same":
        if not all(size % 2 for size in theirs.kernel_size):
            raise ValueError(f"padding is 'same' for a kernel_size of {theirs.kernel_size}, which needs more on one side, and cnet pads both alike")
        return tuple(size // 2 for size in theirs.kernel_size)
    return value
