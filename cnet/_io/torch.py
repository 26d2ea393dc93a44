"""Conversion of networks from and to PyTorch: a table of the layers that both have.

Layers, their arguments and the entries of `state_dict` have the same names in both. A module of
PyTorch with hooks, or with a replaced ``forward``, is rejected, since they would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cnet import nn
from cnet._utils.arrays import real_dtype
from cnet._utils.builtin import is_builtin

_POOL = ("kernel_size", "stride", "padding")
_BATCH_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
# Arguments of the layers that both have. In PyTorch they are attributes, too. The constructors of
# cnet reject values that they do not support.
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
_FOR_PYTORCH = {"Softmax": {"dim": -1}}  # arguments whose default differs in PyTorch
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
    """Convert a network or a layer from PyTorch.

    Outputs equal those of `module` in ``eval()`` mode, up to rounding. Training can continue from
    its weights, which are copied. A layer that occurs twice becomes two layers, which no longer
    share their weights. Frozen parameters stay frozen.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Sequential``, which may be nested, of layers that cnet has; or one such layer.
        Parameters are float32 or float64.

    Returns
    -------
    nn.Module
        An `nn.Sequential` for a ``Sequential``, or the layer of the same name. The dtype is that of
        `module`.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `module` is not a module of PyTorch, or has layers that cnet lacks. The message lists all
        of them.
    ValueError
        If a layer has a setting that cnet does not support, parameters of another dtype or on the
        meta device, hooks, or a replaced ``forward``.

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
    _reject((place, f"{_type_name(leaf, torch)}{_instead(leaf)}") for place, leaf in unknown)

    def convert(part: Any, path: str) -> nn.Module:
        try:
            layer = None if type(part) is torch.nn.Sequential else _layer(part, kinds[type(part)])
            _reject_extras(part)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{_place(path)} is {_type_name(part, torch)}: {error}") from None
        return layer or nn.Sequential(
            *(convert(child, f"{path}{name}.") for name, child in _children(part))
        )

    return convert(module, "")


def to_torch(model: nn.Module) -> Any:
    """Convert a network or a layer to PyTorch.

    Outputs are equal, up to rounding. The weights are copied. Frozen parameters stay frozen.

    Parameters
    ----------
    model : nn.Module
        An `nn.Sequential`, which may be nested, of built-in layers; or one such layer.

    Returns
    -------
    torch.nn.Module
        A module on the CPU, of the dtype of `model`. Like any new module of PyTorch, it is in
        training mode: call its ``eval()`` before prediction.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `model` is not a module of cnet, or has layers that PyTorch lacks: `nn.Heads` and custom
        layers.

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
    _reject((place, type(layer).__name__) for place, layer in unknown)

    def convert(part: nn.Module) -> Any:
        if type(part) is nn.Sequential:
            return torch.nn.Sequential(*map(convert, part))
        name = type(part).__name__
        return _theirs(name, torch)(**part.config(), **_FOR_PYTORCH.get(name, {}))

    with torch.device(
        "meta"
    ):  # avoids initial weights, which would advance PyTorch's random number generator
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
    """Return PyTorch's layer of this name, or cnet's substitute where PyTorch has none."""
    from cnet._io import torch_layers as _torch_layers

    return getattr(torch.nn, name, None) or getattr(_torch_layers, name)


def _leaves(module: Any, container: type, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the layers of a network, each with its place for messages."""
    if type(module) is container:
        for name, child in _children(module):
            yield from _leaves(child, container, f"{path}{name}.")
    else:
        yield _place(path), module


def _children(net: Any) -> Iterable[tuple[str, Any]]:
    """Return the layers of a network; PyTorch's ``named_children()`` omits those that repeat."""
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
    """Return advice on a module that wraps or changes another one, which cnet may have."""
    name = type(module).__name__
    if type(module).__module__ == "torch.nn.utils.parametrize":
        return " (call torch.nn.utils.parametrize.remove_parametrizations first)"
    return f" ({_INSTEAD[name]})" if name in _INSTEAD else ""


def _reject(unknown: Iterator[tuple[str, str]]) -> None:
    """Raise TypeError if there are unknown layers, given as places and types."""
    if found := ", ".join(f"{place} is {kind}" for place, kind in unknown):
        raise TypeError(
            f"{found}: what cnet and PyTorch both have is Sequential, {', '.join(_LAYERS)}"
        )


def _reject_extras(module: Any) -> None:
    """Raise ValueError if a module has hooks, or a ``forward`` other than that of its class."""
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
    """Return cnet's layer of this name, with the settings and weights of PyTorch's."""
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
