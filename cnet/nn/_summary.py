"""The table of layers that ``model.summary()`` prints, and that notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from cnet._utils.arrays import shape_text

Module = Any
Shape = tuple[int, ...] | None


_HEADER = ("layer", "output", "parameters")


def summary_text(model: Module, input_shape: tuple[int, ...] | None = None) -> str:
    """Return a table of the layers, their output shapes and numbers of parameters, as text."""
    rows = _rows(model, input_shape)
    widths = [max(len(row[column]) for row in [_HEADER, *rows]) for column in range(3)]
    lines = [
        f"{name:{widths[0]}}  {output:{widths[1]}}  {count:>{widths[2]}}"
        for name, output, count in [_HEADER, *rows]
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:], rule, _total(model)])


def summary_html(model: Module) -> str:
    """Return the table of `summary_text` as HTML, for a notebook."""
    from html import escape

    def line(cells: tuple[str, str, str], kind: str) -> str:
        sides = ("left", "left", "right")
        return "".join(
            [
                "<tr>",
                *(
                    f'<{kind} style="text-align: {side}">{escape(cell)}</{kind}>'
                    for cell, side in zip(cells, sides, strict=True)
                ),
                "</tr>",
            ]
        )

    body = "".join(line(row, "td") for row in _rows(model, None))
    head = f"<caption>{escape(_total(model))}</caption><thead>{line(_HEADER, 'th')}</thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _rows(model: Module, input_shape: Shape) -> list[tuple[str, str, str]]:
    """Return the rows of the table: layer, output shape, number of parameters."""
    return [
        (
            f"{name} {layer!r}",
            "?" if shape is None else shape_text(shape),
            f"{sum(p.size for p in layer.parameters()):,}",
        )
        for name, layer, shape in _leaves(model, "", input_shape, None)
    ]


def _total(model: Module) -> str:
    """Return the last line of the table, with the total number and size of the parameters."""
    total = sum(p.size for p in model.parameters())
    size = total * model.dtype.itemsize
    amount = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
    return f"total: {total:,} parameters, {amount} as {model.dtype}"


def _leaves(
    module: Module, prefix: str, shape: Shape, following: Shape
) -> Iterator[tuple[str, Module, Shape]]:
    """Yield the layers of a network and its nested networks.

    Each comes with its name in `state_dict` and its output shape, which is None if it is not known.
    `following` is the input shape of the next layer, and is used if the input shape is not known.
    """
    if isinstance(module, Iterable):
        layers = list(module)
        wanted = [*(layer.input_shape for layer in layers[1:]), following]
        for i, layer in enumerate(layers):
            yield from _leaves(layer, f"{prefix}{i}.", shape, wanted[i])
            shape = _output_shape(layer, shape, wanted[i])
    elif module._has_branches:
        for name, head in module.named_children():
            yield from _leaves(head, f"{prefix}{name}.", shape, None)
    else:
        yield prefix[:-1] or "0", module, _output_shape(module, shape, following)


def _output_shape(module: Module, shape: Shape, following: Shape) -> Shape:
    """Return the output shape of a layer; None if it is not known."""
    shape = module.input_shape if shape is None else shape
    return following if shape is None else module.output_shape(shape)
