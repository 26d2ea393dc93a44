"""Saved models: a safetensors file with the weights, and the architecture as JSON in its metadata.

The weights have the names and shapes of PyTorch. The architecture is a list of layer names and
constructor arguments. Reading looks the names up among cnet's layers, and executes nothing from the
file. Sizes are checked against the tensors in the file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cnet import nn
from cnet._utils.files import check_target, full_path, write_atomically
from cnet._utils.foreign import kind_of
from cnet._version import __version__
from cnet.nn._module import provide
from cnet.nn._neutral import NEUTRAL

_FORMAT = "1"
_NOT_ARCHITECTURE = {"seed", "dtype", "weight_init", "bias_init"}
_LARGEST_HEADER = 100_000_000  # bytes, the limit of safetensors
_MAX_NESTED = 50  # levels of nested networks, so that a crafted file cannot exhaust the stack


def _describe(module: nn.Module, depth: int = 0) -> dict[str, Any]:
    if depth > _MAX_NESTED:
        raise ValueError(
            f"the model has nested networks more than {_MAX_NESTED} deep, which a file cannot "
            "hold: save its weights with state_dict()"
        )
    name = type(module).__name__
    if getattr(nn, name, None) is not type(module):
        raise TypeError(
            f"{name} is not one of cnet's layers, so a file cannot name it: save its weights with "
            "state_dict()"
        )
    if isinstance(module, nn.Sequential):
        return {"type": name, "layers": [_describe(layer, depth + 1) for layer in module]}
    if isinstance(module, nn.Heads):
        return {
            "type": name,
            "heads": {key: _describe(head, depth + 1) for key, head in module.heads.items()},
        }
    return {"type": name, **module.config()}


def _construct(description: Any, tensors: dict[str, Any], prefix: str, dtype: str) -> nn.Module:
    """Construct a module and fill in its weights, which are removed from `tensors`.

    A layer gets its weights before its container is constructed, which would allocate them. So
    sizes that the file claims, but has no tensors for, take no memory.
    """
    if prefix.count(".") > _MAX_NESTED:
        raise ValueError(f"it has nested networks more than {_MAX_NESTED} deep")
    match description:
        case {"type": "Sequential", "layers": [*layers]} if len(description) == 2:
            return nn.Sequential(
                *(
                    _construct(layer, tensors, f"{prefix}{i}.", dtype)
                    for i, layer in enumerate(layers)
                )
            )
        case {"type": "Heads", "heads": {**heads}} if len(description) == 2:
            return nn.Heads(
                **{
                    str(key): _construct(head, tensors, f"{prefix}{key}.", dtype)
                    for key, head in heads.items()
                }
            )
        case {"type": str(name)} if (
            name in nn.__all__ and not description.keys() & _NOT_ARCHITECTURE
        ):
            arguments = {key: value for key, value in description.items() if key != "type"}
            if foreign := arguments.keys() & NEUTRAL:
                raise ValueError(f"{name} has an unexpected keyword argument {min(foreign)!r}")
            kind = getattr(nn, name)
            if isinstance(kind, type) and issubclass(kind, nn.Module) and kind is not nn.Module:
                module: nn.Module = kind(**arguments)
                named: list[tuple[str, nn.Parameter | nn.Buffer]] = [
                    *module.named_parameters(),
                    *module.named_buffers(),
                ]
                for key, state in named:
                    state.cast(np.dtype(dtype))
                    _fill(state, prefix + key, tensors)
                return module
    raise ValueError(f"it names a layer that this version of cnet does not know: {description!r}")


def _fill(state: nn.Parameter | nn.Buffer, name: str, tensors: dict[str, Any]) -> None:
    if name not in tensors:
        raise ValueError(f"it has no tensor {name}")
    tensor = tensors.pop(name)
    shape = tuple(tensor.get_shape())
    if shape != state.shape[::-1]:
        raise ValueError(f"tensor {name} has shape {shape}, but its layer {state.shape[::-1]}")
    values = values_of(tensor, name)
    if values.dtype != state.dtype:
        raise ValueError(f"tensor {name} is of {values.dtype}, but the model of {state.dtype}")
    state.data = values.T


def values_of(tensor: Any, name: str) -> Any:
    """Return the values of a tensor of a file, which must not be empty for safetensors."""
    try:
        # Older versions of safetensors do not support an ellipsis.
        return tensor[(slice(None),) * len(tensor.get_shape())]
    except (AttributeError, TypeError):
        raise ValueError(f"tensor {name} is of a type that NumPy does not have") from None


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, see `nn.Module.save`."""
    from safetensors.numpy import save as serialize

    path = check_target(path)
    metadata = {
        "format": "pt",  # the tensors are in PyTorch's layout
        "cnet": _FORMAT,
        "cnet_version": __version__,
        "architecture": json.dumps(_describe(model)),
        "dtype": str(model.dtype),
    }
    write_atomically(path, in_order(serialize(model.state_dict(), metadata)))


def in_order(content: bytes) -> bytes:
    """Return a file with the entries of its header sorted.

    The order that safetensors writes differs from call to call. Sorted, the same model always gives
    the same file.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(8, "little") + header + content[end:]


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Read a model from a file that `nn.Module.save` wrote.

    Nothing in the file is executed, so it may come from an unknown source.

    Parameters
    ----------
    path : path-like
        Path of the file. ``~`` is expanded.

    Returns
    -------
    nn.Module
        The model, with the weights and the dtype in the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds something other than a model of cnet, or is from a later
        version of cnet with another format.

    Examples
    --------
    >>> import cnet, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> cnet.nn.Sequential(cnet.nn.Linear(784, 10), seed=0).save(path)
    >>> cnet.load(path)([[0.0] * 784]).shape
    (1, 10)
    """
    with opened(path, "a model") as file:
        metadata = file.metadata() or {}
        if "cnet_checkpoint" in metadata:
            raise ValueError("it is a checkpoint: read it with Trainer.load_checkpoint")
        if "cnet" not in metadata:
            raise ValueError(
                "it holds tensors but no cnet model: read them with safetensors and load_state_dict"
            )
        if metadata["cnet"] != _FORMAT:
            raise ValueError(
                f"it is in format {metadata['cnet']} of cnet {metadata.get('cnet_version', '?')}, "
                f"this version reads format {_FORMAT}"
            )
        dtype = metadata.get("dtype", "float32")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"its dtype is {dtype[:40]!r}, expected 'float32' or 'float64'")
        tensors = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        model = _construct(
            json.loads(metadata.get("architecture", "null"), object_pairs_hook=_unique),
            tensors,
            "",
            dtype,
        )
        if tensors:
            raise ValueError(f"no layer takes its {', '.join(tensors)}")
    return model


@contextmanager
def opened(path: str | os.PathLike[str], what: str) -> Iterator[Any]:
    """Open a safetensors file that should hold `what`.

    Errors in the file, also those that the ``with`` block raises, become a ValueError with the path
    of the file.
    """
    from safetensors import SafetensorError, safe_open

    path = full_path(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{path} is not a file" if os.path.exists(path) else f"{path}: there is no such file"
        )
    try:
        _check_header(path)
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as {what}: {_printable(str(error))}") from None


def _check_header(path: str) -> None:
    """Raise ValueError if a file is of another kind or cut off, or if its header repeats a name.

    Of two tensors with one name, safetensors would read the last.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        claimed = int.from_bytes(file.read(8), "little")
        begins = file.read(1) == b"{"
        if not begins or claimed > _LARGEST_HEADER:
            kind, advice = kind_of(path)
            looks = f" (it looks like {kind})" if kind else ""
            raise ValueError(f"it is not a safetensors file{looks}{advice and ': '}{advice}")
        if claimed > size - 8:
            raise ValueError(
                f"it is cut off: its header has {claimed} bytes, and there are {size - 8}"
            )
        file.seek(8)
        json.loads(file.read(claimed), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dictionary. Raises ValueError if a name occurs twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {name!r} twice")
        found[name] = value
    return found


def _printable(text: str) -> str:
    """Return a message with text from a file, shortened, and without control characters."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:301])
    return text if len(text) <= 300 else f"{text[:300]}..."


provide(save=save)
