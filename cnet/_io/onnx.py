"""Export of networks to ONNX files: a table of layers and their operators.

Initializers have the names of `state_dict` and the shapes of PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from cnet import nn
from cnet._utils.arrays import Array, real_dtype
from cnet._utils.builtin import is_builtin
from cnet._utils.files import check_target, write_atomically
from cnet._utils.validation import integer
from cnet._version import __version__

_MIN_OPSET = 13  # the operators below have not changed their meaning since
_SINCE = {
    "LayerNormalization": 17,
    "Gelu": 20,
}  # first opset that has the operator, if it is a later one
_INPUT = "input"


class _Operator(NamedTuple):
    name: str
    weights: tuple[str, ...] = ()
    attributes: Callable[[Any], dict[str, Any]] = lambda layer: {}


def _window(layer: Any) -> dict[str, Any]:
    return {"kernel_shape": layer.kernel_size, "strides": layer.stride, "pads": 2 * layer.padding}


_BATCH_NORM = _Operator(
    "BatchNormalization",
    ("weight", "bias", "running_mean", "running_var"),
    lambda layer: {"epsilon": layer.eps},
)
_OPERATORS: dict[str, _Operator | None] = {  # None: the output is the input
    "Linear": _Operator("Gemm", ("weight", "bias"), lambda layer: {"transB": 1}),
    "Conv2d": _Operator("Conv", ("weight", "bias"), _window),
    "MaxPool2d": _Operator("MaxPool", (), _window),
    "AvgPool2d": _Operator(
        "AveragePool", (), lambda layer: {**_window(layer), "count_include_pad": 1}
    ),
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "LayerNorm": _Operator(
        "LayerNormalization",
        ("weight", "bias"),
        lambda layer: {"axis": -len(layer.normalized_shape), "epsilon": layer.eps},
    ),
    "Dropout": None,
    "Flatten": _Operator("Flatten"),
    "Identity": None,
    "ReLU": _Operator("Relu"),
    "LeakyReLU": _Operator("LeakyRelu", (), lambda layer: {"alpha": layer.negative_slope}),
    "ELU": _Operator("Elu", (), lambda layer: {"alpha": layer.alpha}),
    "GELU": _Operator("Gelu", (), lambda layer: {"approximate": layer.approximate}),
    "Tanh": _Operator("Tanh"),
    "Sigmoid": _Operator("Sigmoid"),
    "Softmax": _Operator("Softmax"),
}


def to_onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    input_shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    opset: int | None = None,
) -> None:
    """Write a network to an ONNX file, for prediction by other runtimes.

    This needs ``pip install "cnet[onnx]"``.

    The graph predicts as the model does outside training. Its input is named "input". Its output is
    named "output"; if the network ends in `nn.Heads`, each output has the name of its head. The
    batch size is free. Input is floating point, for 8-bit images too: `nn.Rescale` becomes part of
    the graph. The file is written beside its final place and moved there when it is complete.

    The name of an operator is the name of its layer in `state_dict` and its type, such as "0.Gemm",
    or "1.digit.Gemm" in `nn.Heads`.

    Parameters
    ----------
    model : nn.Module
    path : path-like
        The usual suffix is ``.onnx``.
    input_shape : tuple of int, optional
        Shape of one sample. By default, the shape that the first layer expects.
    dtype : {"float32", "float64"}, optional
        Data type of weights, input and output. By default, that of the model. ONNX Runtime has
        convolution, average pooling and some activations in float32 only.
    opset : int, optional
        Version of ONNX's operators, at least 13. By default, the lowest that has all operators of
        the model, so that old runtimes can read the file: 13, with `nn.LayerNorm` 17, and with
        `nn.GELU` 20. The IR version of the file is the lowest for the opset.

    Raises
    ------
    ImportError
        If onnx is not installed.
    TypeError
        If the model has a custom layer, or an argument is of another type.
    ValueError
        If samples of `input_shape` do not fit the model. If `input_shape` is missing and the first
        layer accepts several shapes. If an operator needs a later opset, or the installed onnx does
        not know the opset. If a head is named "input".

    Examples
    --------
    >>> import cnet
    >>> import onnx.reference
    >>> import numpy as np
    >>> from cnet import nn
    >>> layers = nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5408, 10), nn.Softmax()
    >>> model = nn.Sequential(*layers, seed=0)
    >>> cnet.to_onnx(model, "m.onnx", input_shape=(1, 28, 28))
    >>> x = np.ones((5, 1, 28, 28), np.float32)
    >>> (output,) = onnx.reference.ReferenceEvaluator("m.onnx").run(None, {"input": x})
    >>> bool(abs(output - model(x)).max() < 1e-5)
    True
    """
    try:
        from onnx import defs, helper, numpy_helper
    except ImportError:
        raise ImportError('ONNX files need onnx: pip install "cnet[onnx]"') from None
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {model!r}, expected a module of cnet such as nn.Sequential")
    path = check_target(path)
    shape = model.input_shape if input_shape is None else input_shape
    if not isinstance(shape, list | tuple | None):
        raise TypeError(
            f"input_shape is {shape!r}, expected the shape of a row such as (1, 28, 28)"
        )
    if shape is None:
        raise ValueError(
            "the model takes rows of several shapes: say which with input_shape=, such as "
            "input_shape=(1, 28, 28)"
        )
    shape = tuple(integer("input_shape", size, 1) for size in shape)
    arithmetic = model.dtype if dtype is None else real_dtype(dtype)
    element = helper.np_dtype_to_tensor_dtype(arithmetic)
    graph = _Graph(helper.make_node)
    outputs = graph.outputs(model, "", _Value(_INPUT, shape))
    if _INPUT in outputs:
        raise ValueError(
            f"a head is called {_INPUT!r}, as the input of the network is in the file: give it "
            "another name"
        )
    version = graph.opset(opset, defs.onnx_opset_version())
    graph.name_outputs(outputs)
    content = helper.make_graph(
        graph.nodes,
        "cnet",
        [helper.make_tensor_value_info(_INPUT, element, ["n", *shape])],
        [
            helper.make_tensor_value_info(name, element, ["n", *value.shape])
            for name, value in outputs.items()
        ],
        [
            numpy_helper.from_array(_as_constant(array, arithmetic), name)
            for name, array in graph.weights.items()
        ],
    )
    imports = [helper.make_opsetid("", version)]
    file_format = helper.find_min_ir_version_for(imports)
    file = helper.make_model(
        content,
        opset_imports=imports,
        ir_version=file_format,
        producer_name="cnet",
        producer_version=__version__,
    )
    write_atomically(path, file.SerializeToString())


class _Value(NamedTuple):
    """A value of the graph: the output of an operator, or the input of the network."""

    name: str
    shape: tuple[int, ...]
    """Shape of one sample."""


class _Graph:
    """Operators and weights, collected layer by layer.

    A path is the name of a layer in `state_dict`, with a dot at the end.
    """

    def __init__(self, make_node: Callable[..., Any]) -> None:
        self._make_node = make_node
        self.nodes: list[Any] = []
        self.weights: dict[str, Array] = {}

    def opset(self, wanted: Any, newest: int) -> int:
        """Return the version of the operators: the wanted one, or the lowest that has all."""
        needed = {node.name: _SINCE.get(node.op_type, _MIN_OPSET) for node in self.nodes}
        least = max([_MIN_OPSET, *needed.values()])
        if wanted is None:
            return least
        version = integer("opset", wanted, 1)
        if version < least:
            reason = next(
                (
                    f": {name} needs it"
                    for name, since in needed.items()
                    if since == least > _MIN_OPSET
                ),
                "",
            )
            raise ValueError(f"opset is {version}, expected at least {least}{reason}")
        if version > newest:
            raise ValueError(
                f"opset is {version}, but the installed version of onnx knows those up to {newest}"
            )
        return version

    def name_outputs(self, outputs: dict[str, _Value]) -> None:
        """Give the outputs their final names.

        An output that equals the input or another output needs an Identity operator, since a value
        has one name.
        """
        names: dict[str, str] = {}
        for name, value in outputs.items():
            if value.name == _INPUT or value.name in names:
                self.nodes.append(
                    self._make_node("Identity", [value.name], [name], f"{name}.Identity")
                )
            else:
                names[value.name] = name
        for node in self.nodes:
            for values in (node.input, node.output):
                values[:] = [names.get(value, value) for value in values]

    def outputs(self, module: nn.Module, path: str, value: _Value) -> dict[str, _Value]:
        """Add a module, with this input. Returns its output, or the output of each head."""
        if not is_builtin(module):
            place = f"layer {path[:-1]}" if path else "the model"
            raise TypeError(
                f"{place} is {type(module).__name__}, which is not one of cnet's layers, so that "
                "it is not known what ONNX calls it"
            )
        if isinstance(module, nn.Sequential):
            *others, (last, layer) = module.named_children()
            for name, other in others:
                value = self._output(other, f"{path}{name}.", value)
            return self.outputs(layer, f"{path}{last}.", value)
        if isinstance(module, nn.Heads):
            module.output_shape(value.shape)  # raises unless each output has one axis
            return {
                name: self._output(head, f"{path}{name}.", value)
                for name, head in module.named_children()
            }
        kind = type(module).__name__
        if kind in _COMPOSED:
            return {"output": _COMPOSED[kind](self, module, path, value)}
        shape = module.output_shape(value.shape)
        operator = _OPERATORS[kind]
        if operator is None:
            return {"output": value}
        weights = {
            f"{path}{name}": array
            for name in operator.weights
            if (array := _weight(module, name)) is not None
        }
        self.weights |= weights
        return {
            "output": self.add(
                operator.name, path, [value.name, *weights], shape, **operator.attributes(module)
            )
        }

    def _output(self, module: nn.Module, path: str, value: _Value) -> _Value:
        """Add a module. Returns its output; the outputs of heads are concatenated."""
        outputs = list(self.outputs(module, path, value).values())
        if len(outputs) == 1:
            return outputs[0]
        return self.add(
            "Concat",
            path,
            [output.name for output in outputs],
            (sum(output.shape[0] for output in outputs),),
            axis=1,
        )

    def add(
        self, operator: str, path: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any
    ) -> _Value:
        # The name of a head has no dot, so it cannot be the name of this value. Without a path, the
        # model is one layer, and has no heads.
        value = _Value(f"{path}value", shape)
        self.nodes.append(
            self._make_node(operator, inputs, [value.name], f"{path}{operator}", **attributes)
        )
        return value


def _rescale(graph: _Graph, layer: nn.Rescale, path: str, value: _Value) -> _Value:
    """``scale * x + offset``."""
    graph.weights[f"{path}scale"] = np.array(layer.scale)
    if not layer.offset:
        return graph.add("Mul", path, [value.name, f"{path}scale"], value.shape)
    graph.weights[f"{path}offset"] = np.array(layer.offset)
    product = graph.add("Mul", f"{path}product.", [value.name, f"{path}scale"], value.shape)
    return graph.add("Add", path, [product.name, f"{path}offset"], value.shape)


def _silu(graph: _Graph, layer: nn.SiLU, path: str, value: _Value) -> _Value:
    """``x * sigmoid(x)``."""
    sigmoid = graph.add("Sigmoid", f"{path}sigmoid.", [value.name], value.shape)
    return graph.add("Mul", path, [value.name, sigmoid.name], value.shape)


def _softplus(graph: _Graph, layer: nn.Softplus, path: str, value: _Value) -> _Value:
    """``log(1 + exp(beta * x)) / beta``. ONNX has an operator for a beta of 1."""
    if layer.beta == 1:
        return graph.add("Softplus", path, [value.name], value.shape)
    beta = f"{path}beta"
    graph.weights[beta] = np.array(layer.beta)
    product = graph.add("Mul", f"{path}product.", [value.name, beta], value.shape)
    softplus = graph.add("Softplus", f"{path}softplus.", [product.name], value.shape)
    return graph.add("Div", path, [softplus.name, beta], value.shape)


def _group_norm(graph: _Graph, layer: nn.GroupNorm, path: str, value: _Value) -> _Value:
    """Instance normalization of groups as channels, so that an old opset is enough."""
    groups, channels = layer.num_groups, layer.num_channels
    constants = {
        "grouped_shape": np.array([0, groups, -1]),
        "shape": np.array([0, *value.shape]),
        "ones": np.ones(groups),
        "zeros": np.zeros(groups),
    }
    graph.weights |= {f"{path}{name}": array for name, array in constants.items()}
    grouped = graph.add(
        "Reshape", f"{path}grouped.", [value.name, f"{path}grouped_shape"], (groups, -1)
    )
    normalized = graph.add(
        "InstanceNormalization",
        f"{path}normalized.",
        [grouped.name, f"{path}ones", f"{path}zeros"],
        grouped.shape,
        epsilon=layer.eps,
    )
    inputs = [normalized.name, f"{path}shape"]
    if layer.weight is None or layer.bias is None:
        return graph.add("Reshape", path, inputs, value.shape)
    result = graph.add("Reshape", f"{path}ungrouped.", inputs, value.shape)
    per_channel = (channels, *(1 for _ in value.shape[1:]))
    graph.weights[f"{path}weight"] = layer.weight.data.reshape(per_channel)
    graph.weights[f"{path}bias"] = layer.bias.data.reshape(per_channel)
    product = graph.add("Mul", f"{path}product.", [result.name, f"{path}weight"], value.shape)
    return graph.add("Add", path, [product.name, f"{path}bias"], value.shape)


_COMPOSED: dict[str, Callable[[_Graph, Any, str, _Value], _Value]] = {
    "Rescale": _rescale,
    "GroupNorm": _group_norm,
    "SiLU": _silu,
    "Softplus": _softplus,
}
"""Functions that add the layers that are not one operator with arguments of the table."""


def _as_constant(array: Array, arithmetic: np.dtype[Any]) -> Array:
    """Return numbers in the dtype of the network. Shapes stay integers."""
    return array if array.dtype == np.int64 else array.astype(arithmetic)


def _weight(layer: Any, name: str) -> Array | None:
    """Return an array of a layer in ONNX's shape, or None if the layer has none.

    ONNX requires all arrays of a normalization.
    """
    array = getattr(layer, name)
    if array is None and hasattr(layer, "eps"):
        shape = getattr(layer, "normalized_shape", None) or layer.num_features
        return np.full(shape, float(name == "weight"))
    return None if array is None else np.ascontiguousarray(array.data.T)
