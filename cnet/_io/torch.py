"""Networks from PyTorch, and to it: a table of the layers that both have.

Layers, their arguments and what is in `state_dict` have the same names in both. What a module of
PyTorch does beyond that, by hooks or its own method, is rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cnet import nn
from cnet._utils.arrays import real_dtype
from cnet.nn._module import is_builtin

_POOL = ("kernel_size", "stride", "padding")
_BATCH_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
# Arguments of the layers that both have, which are attributes of PyTorch's. cnet's constructors
# reject what they cannot do.
_LAYERS = {
    "Linear": ("in_features", "out_features", "bias"),
    "Conv2d": (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
        "padding_mode",
    ),
    "MaxPool2d": (*_POOL, "dilation", "return_indices", "ceil_mode"),
    "AvgPool2d": (*_POOL, "ceil_mode", "count_include_pad", "divisor_override"),
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
    "Identity": (),
    "Rescale": ("scale", "offset"),
    "Softmax": ("dim",),
    **{kind.__name__: kind._settings for kind in vars(nn).values() if hasattr(kind, "_settings")},
}
_FOR_PYTORCH = {"Softmax": {"dim": -1}}  # where PyTorch's default means something else
_HOOKS = {
    "_forward_pre_hooks": "forward hooks",
    "_forward_hooks": "forward hooks",
    "_backward_pre_hooks": "backward hooks",
    "_backward_hooks": "backward hooks",
}
_INSTEAD = {
    "OptimizedModule": "pass the module that was compiled, module._orig_mod",
    "DataParallel": "pass the module in it, module.module",
    "DistributedDataParallel": "pass the module in it, module.module",
}


def from_torch(module: Any) -> nn.Module:
    """Make a network, or a layer, of one of PyTorch's.

    Outputs are those of the module in its ``eval()`` mode, up to rounding, and training continues
    from its weights. Nothing is shared: the weights are copied. A layer that stands in two places
    becomes two. What is frozen there is frozen here.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Sequential``, with others in it or not, of layers that cnet has; or such a
        layer. Of float32 or float64.

    Returns
    -------
    nn.Module
        An `nn.Sequential` for a ``Sequential``, the layer of the same name for a layer; of the
        dtype of `module`.

    Raises
    ------
    TypeError
        If `module` is no module of PyTorch, or has layers that cnet has not; the message names them
        all.
    ValueError
        If a layer has a setting that cnet's has not, parameters of another dtype or without values,
        hooks, or its own method.

    Examples
    --------
    >>> import cnet
    >>> import torch
    >>> layers = torch.nn.Linear(784, 32), torch.nn.GELU(), torch.nn.Linear(32, 10)
    >>> net = torch.nn.Sequential(*layers)
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
        raise TypeError(
            f"module is {module!r}, expected a torch.nn.Module such as torch.nn.Sequential"
        )
    kinds = {_theirs(name, torch): name for name in _LAYERS}
    unknown = (
        (place, leaf)
        for place, leaf in _leaves(module, torch.nn.Sequential)
        if type(leaf) not in kinds
    )
    _refuse((place, f"{_type_name(leaf, torch)}{_instead(leaf)}") for place, leaf in unknown)

    def convert(part: Any, path: str) -> nn.Module:
        try:
            layer = None if type(part) is torch.nn.Sequential else _layer(part, kinds[type(part)])
            _refuse_extras(part)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{_place(path)} is {_type_name(part, torch)}: {error}") from None
        return layer or nn.Sequential(
            *(convert(child, f"{path}{name}.") for name, child in _children(part))
        )

    return convert(module, "")


def to_torch(model: nn.Module) -> Any:
    """Make a PyTorch network, or layer, of one of cnet's.

    Outputs are the same, up to rounding. Nothing is shared: the weights are copied. What is frozen
    here is frozen there.

    Parameters
    ----------
    model : nn.Module
        An `nn.Sequential`, with others in it or not, of cnet's own layers; or such a layer.

    Returns
    -------
    torch.nn.Module
        On the CPU, of the dtype of `model`, and in training mode, as PyTorch's modules begin:
        ``eval()`` ends that.

    Raises
    ------
    TypeError
        If `model` is no module of cnet, or has layers that PyTorch has not: `nn.Heads`, and those
        that users write.

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
    unknown = (
        layer
        for layer in _leaves(model, nn.Sequential)
        if not is_builtin(layer[1]) or type(layer[1]).__name__ not in _LAYERS
    )
    _refuse((place, type(layer).__name__) for place, layer in unknown)

    def convert(part: nn.Module) -> Any:
        if type(part) is nn.Sequential:
            return torch.nn.Sequential(*map(convert, part))
        name = type(part).__name__
        return _theirs(name, torch)(**part.config(), **_FOR_PYTORCH.get(name, {}))

    with torch.device(
        "meta"
    ):  # no weights are drawn, and PyTorch's random numbers stay where they are
        module = convert(model)
    module.load_state_dict(
        {name: torch.from_numpy(value) for name, value in model.state_dict().items()}, assign=True
    )
    for name, parameter in model.named_parameters():
        module.get_parameter(name).requires_grad_(parameter.requires_grad)
    return module


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("networks from and to PyTorch need PyTorch: pip install torch") from None
    return torch


def _theirs(name: str, torch: Any) -> Any:
    """PyTorch's layer of this name, or a layer of this name for PyTorch."""
    from cnet._io import torch_layers as _torch_layers

    return getattr(torch.nn, name, None) or getattr(_torch_layers, name)


def _leaves(module: Any, container: type, path: str = "") -> Iterator[tuple[str, Any]]:
    """The layers of a network, and how they are called in it."""
    if type(module) is container:
        for name, child in _children(module):
            yield from _leaves(child, container, f"{path}{name}.")
    else:
        yield _place(path), module


def _children(net: Any) -> Iterable[tuple[str, Any]]:
    """The layers of a network; PyTorch's ``named_children()`` would leave out what comes twice."""
    children: Iterable[tuple[str, Any]] = (
        net.named_children() if isinstance(net, nn.Module) else net._modules.items()
    )
    return children


def _place(path: str) -> str:
    return f"layer {path[:-1]}" if path else "the module"


def _type_name(module: Any, torch: Any) -> str:
    kind = type(module)
    return (
        f"torch.nn.{kind.__name__}"
        if getattr(torch.nn, kind.__name__, None) is kind
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _instead(module: Any) -> str:
    """What to do with a module that wraps or changes one that cnet may have."""
    name = type(module).__name__
    if type(module).__module__ == "torch.nn.utils.parametrize":
        return " (call torch.nn.utils.parametrize.remove_parametrizations first)"
    return f" ({_INSTEAD[name]})" if name in _INSTEAD else ""


def _refuse(unknown: Iterator[tuple[str, str]]) -> None:
    """Raise TypeError if there are any."""
    if found := ", ".join(f"{place} is {kind}" for place, kind in unknown):
        raise TypeError(
            f"{found}: what cnet and PyTorch both have is Sequential, {', '.join(_LAYERS)}"
        )


def _refuse_extras(module: Any) -> None:
    """Raise ValueError if a module does something beside what its class does."""
    for attribute, what in _HOOKS.items():
        if getattr(module, attribute, None):
            raise ValueError(
                f"it has {what}, which cnet would leave out: remove them, or put a layer of your "
                "own there"
            )
    if "forward" in vars(module):
        raise ValueError(
            "its forward was replaced, which cnet would leave out: make a custom layer of it"
        )


def _layer(theirs: Any, name: str) -> nn.Module:
    """cnet's layer of this name, for PyTorch's."""
    construct: Callable[..., nn.Module] = getattr(nn, name)
    layer = construct(**{argument: _argument(theirs, argument) for argument in _LAYERS[name]})
    own, state = dict(layer._named_state()), theirs.state_dict()
    if own.keys() != state.keys():
        raise ValueError(
            f"it has {', '.join(state) or 'no parameters'}, expected {', '.join(own) or 'none'}"
        )
    if any(tensor.is_meta for tensor in state.values()):
        raise ValueError(
            "its parameters are on the meta device, where they have no values: load them first"
        )
    dtypes = {
        str(tensor.dtype).removeprefix("torch."): name
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    if len(dtypes) > 1:
        raise ValueError(f"its parameters are of several dtypes: {', '.join(dtypes)}")
    for array in own.values():
        try:
            array.cast(real_dtype(next(iter(dtypes))))
        except ValueError as error:
            raise ValueError(f"{error}: convert the network with .float()") from None
    layer.load_state_dict({key: tensor.cpu().numpy() for key, tensor in state.items()})
    for key, parameter in theirs.named_parameters():
        own[key].requires_grad = parameter.requires_grad  # type: ignore[union-attr]
    return layer


def _argument(theirs: Any, name: str) -> Any:
    value = getattr(theirs, name)
    return value is not None if name == "bias" else value
