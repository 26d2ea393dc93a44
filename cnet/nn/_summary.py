"""The table that ``model.summary()`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cnet._arrays import shape_text

if TYPE_CHECKING:
    from cnet.nn._module import Module


def summary_text(model: Module, input_shape: tuple[int, ...] | None = None) -> str:
    """Layers, output shapes and numbers of parameters, as a table."""
    layers = dict(_leaves(model if isinstance(model, Iterable) else [model]))
    rows = []
    shape = input_shape
    wanted = [*(layer.input_shape for layer in layers.values()), None]
    for i, (name, layer) in enumerate(layers.items()):
        shape = wanted[i] if shape is None else shape
        shape = wanted[i + 1] if shape is None else layer.output_shape(shape)
        rows.append((f"{name} {layer!r}", "?" if shape is None else shape_text(shape), f"{sum(p.size for p in layer.parameters()):,}"))
    header = ("layer", "output", "parameters")
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(3)]
    lines = [f"{name:{widths[0]}}  {output:{widths[1]}}  {count:>{widths[2]}}" for name, output, count in [header, *rows]]
    rule = "-" * len(lines[0])
    total = sum(p.size for p in model.parameters())
    size = total * model.dtype.itemsize
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    return "\n".join([lines[0], rule, *lines[1:], rule, f"total: {total:,} parameters, {amount} as {model.dtype}"])


def _leaves(layers: Iterable[Module], prefix: str = "") -> Iterator[tuple[str, Module]]:
    """The layers of a net, and of the nets in it, under the names that `state_dict` gives them."""
    for i, layer in enumerate(layers):
        if isinstance(layer, Iterable):
            yield from _leaves(layer, f"{prefix}{i}.")
        else:
            yield f"{prefix}{i}", layer
