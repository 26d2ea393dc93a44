"""Saved models: a safetensors file with the weights under PyTorch's names and the architecture as JSON beside them.

The architecture is a list of layer names and constructor arguments. Reading looks the names up among cnet's own layers
and never evaluates anything; sizes are checked against the tensors that the file really holds.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from cnet import nn
from cnet._arrays import real_dtype
from cnet._version import __version__

_FORMAT = "1"
_NOT_ARCHITECTURE = {"seed", "dtype", "weight_init", "bias_init"}


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that a crash at any moment leaves the old one or the new one, never a part."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _describe(module: nn.Module) -> dict[str, Any]:
    name = type(module).__name__
    if getattr(nn, name, None) is not type(module):
        raise TypeError(f"{name} is not one of cnet's layers, so a file cannot name it: save its weights with state_dict()")
    if isinstance(module, nn.Sequential):
        return {"type": name, "layers": [_describe(layer) for layer in module]}
    return {"type": name, **module.config()}


def _construct(description: Any, tensors: dict[str, Any], prefix: str, dtype: str) -> nn.Module:
    """A module with its weights, which are taken out of `tensors`.

    Weights are filled before a container sees them: no memory is spent on sizes that the file only claims.
    """
    match description:
        case {"type": "Sequential", "layers": [*layers]}:
            return nn.Sequential(*(_construct(layer, tensors, f"{prefix}{i}.", dtype) for i, layer in enumerate(layers)))
        case {"type": str(name), **arguments} if name in nn.__all__ and not arguments.keys() & _NOT_ARCHITECTURE:
            kind = getattr(nn, name)
            if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.Module:
                module: nn.Module = kind(**arguments)
                for key, parameter in module.named_parameters():
                    parameter.cast(real_dtype(dtype))
                    _fill(parameter, prefix + key, tensors)
                return module
    raise ValueError(f"it names a layer that this version of cnet does not know: {description!r}")


def _fill(parameter: nn.Parameter, name: str, tensors: dict[str, Any]) -> None:
    if name not in tensors:
        raise ValueError(f"it has no tensor {name}")
    tensor = tensors.pop(name)
    shape = tuple(tensor.get_shape())
    if shape != parameter.shape[::-1]:
        raise ValueError(f"tensor {name} has shape {shape}, but its layer {parameter.shape[::-1]}")
    parameter.data = tensor[:].T


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """See `nn.Module.save`."""
    from safetensors.numpy import save as serialize

    metadata = {
        "format": "pt",  # the tensors are in PyTorch's layout
        "cnet": _FORMAT,
        "cnet_version": __version__,
        "architecture": json.dumps(_describe(model)),
        "dtype": str(model.dtype),
    }
    write_atomically(path, serialize(model.state_dict(), metadata))


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    nn.Module

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, holds no cnet model, or comes from a later version that writes another format.

    Examples
    --------
    >>> import cnet, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> cnet.nn.Sequential(cnet.nn.Linear(784, 10), seed=0).save(path)
    >>> cnet.load(path)([[0.0] * 784]).shape
    (1, 10)
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if "cnet" not in metadata:
                raise ValueError("it holds tensors but no cnet model: read them with safetensors and load_state_dict")
            if metadata["cnet"] != _FORMAT:
                raise ValueError(f"it is in format {metadata['cnet']} of cnet {metadata.get('cnet_version', '?')}, this version reads format {_FORMAT}")
            tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            model = _construct(json.loads(metadata.get("architecture", "null")), tensors, "", metadata.get("dtype", "float32"))
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as a model: {error}") from None
    if tensors:
        raise ValueError(f"{path} cannot be read as a model: no layer takes its {', '.join(tensors)}")
    return model
