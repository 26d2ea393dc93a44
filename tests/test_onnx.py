"""ONNX files: ONNX Runtime makes the same of them. Runs where it is installed, as in CI."""

import sys

import numpy as np
import pytest
from nets import LAYERS, kinds, layer, random_net

import cnet
from cnet import nn

onnx = pytest.importorskip(
    "onnx", reason='not required by the test suite: pip install "cnet[onnx]"'
)
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="not required by the test suite: pip install onnxruntime"
)

NEWEST = min(onnx.defs.onnx_opset_version(), 22)
ROUNDED = {
    "LeakyReLU",
    "ELU",
    "GELU",
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "LayerNorm",
}  # attributes of ONNX are of float32
NO_DOUBLE = {
    "Conv2d",
    "AvgPool2d",
    "LeakyReLU",
    "ELU",
    "GELU",
    "Softplus",
    "GroupNorm",
}  # in ONNX Runtime


@pytest.fixture
def export(tmp_path):
    """A function that writes a network, checks the file, and gives it back as what evaluates it."""

    def export(model, shape=None, **settings):
        path = tmp_path / "m.onnx"
        cnet.to_onnx(model, path, input_shape=shape, **settings)
        onnx.checker.check_model(str(path), full_check=True)
        return path

    return export


def run(path, x, reference=False):
    if reference:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(str(path)).run(None, {"input": x})
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {"input": x}
    )


def relative(got, expected):
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return np.abs(got - expected).max() / max(1e-30, np.abs(expected).max())


@pytest.mark.parametrize(("kind", "settings", "shape"), LAYERS, ids=str)
def test_layers(kind, settings, shape, dtype, export, rng):
    model = layer(kind, settings, rng, str(dtype))
    path = export(model, shape, dtype=dtype)
    x = rng.standard_normal((6, *shape)).astype(dtype)
    double = dtype == np.float64
    (output,) = run(path, x, reference=double and kind in NO_DOUBLE)
    assert relative(output, model(x)) <= (
        1e-5 if not double else 1e-7 if kind in ROUNDED else 1e-12
    )


def test_every_layer_is_among_those():
    assert {kind for kind, _, _ in LAYERS} == kinds()


@pytest.mark.parametrize("seed", range(40))
def test_nets(seed, export):
    rng = np.random.default_rng(seed)
    model, shape = random_net(rng)
    path = export(model, shape)
    for rows in (1, 7):
        x = rng.standard_normal((rows, *shape)).astype(np.float32)
        (output,) = run(path, x)
        assert relative(output, model(x)) <= 1e-5


def test_a_net_of_float64(export, rng):
    layers = (
        nn.Linear(5, 8),
        nn.BatchNorm1d(8),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Linear(8, 6),
        nn.LayerNorm(6),
        nn.ReLU(),
        nn.Linear(6, 3),
        nn.Softmax(),
    )
    model = nn.Sequential(*layers, seed=0, dtype="float64")
    x = rng.standard_normal((7, 5))
    assert relative(run(export(model), x)[0], model(x)) <= 1e-12
    (output,) = run(export(model, dtype="float32"), x.astype(np.float32))
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, model(x), rtol=1e-5)


def test_heads_are_outputs_by_name(export, rng):
    heads = nn.Heads(
        digit=nn.Sequential(nn.Linear(4, 10), nn.Softmax()),
        trunk=nn.Identity(),
        output=nn.Linear(4, 2),
    )
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), heads, seed=0)
    x = rng.standard_normal((7, 6)).astype(np.float32)
    path = export(model)
    file = onnx.load(path)
    assert [(output.name, sizes(output)) for output in file.graph.output] == [
        ("digit", ["n", 10]),
        ("trunk", ["n", 4]),
        ("output", ["n", 2]),
    ]
    for got, expected in zip(run(path, x), heads.split(model(x)), strict=True):
        assert relative(got, expected) <= 1e-5
    assert [
        output.name
        for output in onnx.load(export(nn.Heads(nn.Linear(3, 2), nn.Linear(3, 2)))).graph.output
    ] == ["0", "1"]


def test_heads_before_other_layers_and_in_heads(export, rng):
    inner = nn.Heads(a=nn.Linear(4, 3), b=nn.Linear(4, 2))
    model = nn.Sequential(
        nn.Linear(6, 4),
        nn.Heads(c=inner, d=nn.Linear(4, 1)),
        nn.Linear(6, 2),
        nn.Heads(nn.Tanh()),
        nn.Dropout(),
        seed=0,
    )
    x = rng.standard_normal((7, 6)).astype(np.float32)
    (output,) = run(export(model), x)
    assert relative(output, model(x)) <= 1e-5


def sizes(value):
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def test_what_the_file_says(export):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Dropout(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(72, 3, bias=False),
        seed=0,
    )
    path = export(model, [1, 8, 8])
    file = onnx.load(path)
    assert (file.producer_name, file.producer_version) == ("cnet", cnet.__version__)
    assert [(entry.domain, entry.version) for entry in file.opset_import] == [("", 13)]
    assert file.ir_version == 7
    assert [(value.name, sizes(value)) for value in [*file.graph.input, *file.graph.output]] == [
        ("input", ["n", 1, 8, 8]),
        ("output", ["n", 3]),
    ]
    assert [(node.name, node.op_type) for node in file.graph.node] == [
        ("0.Conv", "Conv"),
        ("2.Relu", "Relu"),
        ("3.Flatten", "Flatten"),
        ("4.Gemm", "Gemm"),
    ]
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    assert weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(weights[name], value)
    before = path.read_bytes()
    assert export(model, (1, 8, 8)).read_bytes() == before


LOWEST = {"LayerNorm": (17, 8), "GELU": (20, 9)}
"""Opset, and version of the file's format; of the others 13 and 7."""


@pytest.mark.parametrize(("kind", "settings", "shape"), LAYERS, ids=str)
def test_the_lowest_opset_and_each_above_it(kind, settings, shape, export, rng):
    model, x = layer(kind, settings, rng), rng.standard_normal((6, *shape)).astype(np.float32)
    least, file_format = LOWEST.get(kind, (13, 7))
    file = onnx.load(export(model, shape))
    assert (file.opset_import[0].version, file.ir_version) == (least, file_format)
    for opset in range(least, NEWEST + 1):
        path = export(model, shape, opset=opset)
        assert onnx.load(path).opset_import[0].version == opset
        (output,) = run(path, x)
        assert relative(output, model(x)) <= 1e-5, opset
    if least > 13:
        with pytest.raises(
            ValueError,
            match=rf"^opset is {least - 1}, expected at least {least}: (Gelu|LayerNormalization) "
            r"needs it",
        ):
            export(model, shape, opset=least - 1)


@pytest.mark.parametrize("seed", range(20))
def test_nets_have_the_lowest_opset_and_names_for_all(seed, export):
    rng = np.random.default_rng(seed)
    model, shape = random_net(rng)
    path = export(model, shape)
    file, kinds_there = onnx.load(path), {type(module).__name__ for module in model.modules()}
    assert file.opset_import[0].version == max(LOWEST.get(kind, (13, 7))[0] for kind in kinds_there)
    names = [node.name for node in file.graph.node]
    assert len(set(names)) == len(names)
    assert all(node.name.endswith(f".{node.op_type}") for node in file.graph.node)
    x = rng.standard_normal((3, *shape)).astype(np.float32)
    for opset in range(20, NEWEST + 1):
        assert relative(run(export(model, shape, opset=opset), x)[0], model(x)) <= 1e-5


@pytest.mark.parametrize("opset", [13, 14, 15, 17, min(21, NEWEST)])
def test_softmax_is_taken_along_a_row(opset, export, rng):
    """Up to opset 12, its axis was another one by default."""
    x = rng.standard_normal((4, 7)).astype(np.float32)
    path = export(nn.Softmax(), (7,), opset=opset)
    for reference in (False, True):
        (output,) = run(path, x, reference)
        np.testing.assert_allclose(output.sum(axis=1), 1, rtol=1e-6)
        assert relative(output, nn.Softmax()(x)) <= 1e-6


def test_nothing_stands_behind_the_last_layer(export, rng):
    """So that onnx's own converter, which knows no older Identity of these, takes the file to older
    opsets too.
    """
    heads = nn.Heads(
        a=nn.Sequential(nn.Linear(4, 3), nn.Softmax()),
        b=nn.Linear(4, 2),
        c=nn.Identity(),
        d=nn.Dropout(),
    )
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), heads, seed=0)
    file = onnx.load(export(model, opset=20))
    named = [(node.name, *node.output) for node in file.graph.node]
    assert named == [
        ("0.Gemm", "0.value"),
        ("1.Relu", "c"),  # which both of the heads without layers give
        ("2.a.0.Gemm", "2.a.0.value"),
        ("2.a.1.Softmax", "a"),
        ("2.b.Gemm", "b"),
        ("d.Identity", "d"),
    ]
    x = rng.standard_normal((7, 6)).astype(np.float32)
    for got, expected in zip(run(export(model), x), heads.split(model(x)), strict=True):
        assert relative(got, expected) <= 1e-5

    plain = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(), seed=0)
    for opset in (20, 17):
        path = export(plain, opset=opset)
        for older in (15, 14, 13):
            converted = onnx.version_converter.convert_version(onnx.load(path), older)
            onnx.checker.check_model(converted, full_check=True)
            onnx.save(converted, path.with_suffix(".older"))
            assert relative(run(path.with_suffix(".older"), x)[0], plain(x)) <= 1e-5


@pytest.mark.parametrize(
    ("opset", "error", "message"),
    [
        (12, ValueError, r"opset is 12, expected at least 13$"),
        (0, ValueError, "opset is 0, expected an integer of at least 1"),
        (13.0, TypeError, r"opset is 13\.0, expected an integer"),
        (10_000, ValueError, "opset is 10000, but the installed version of onnx knows those up to"),
    ],
)
def test_opsets_that_cannot_be_written(opset, error, message, tmp_path):
    with pytest.raises(error, match=message):
        cnet.to_onnx(nn.Linear(5, 2), tmp_path / "m.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_an_estimators_net(export):
    sklearn = pytest.importorskip("cnet.sklearn")
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_iris(return_X_y=True)
    estimator = sklearn.MLPClassifier(
        8, solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0
    ).fit(x, y)
    (output,) = run(export(estimator.model_), x)
    np.testing.assert_array_equal(output.argmax(axis=1), estimator.predict(x))


class Own(nn.Module):
    def forward(self, x, training=False):
        return x


def test_a_layer_of_ones_own_is_rejected(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=r"^layer 1\.a is Own, which is not one of cnet's layers"):
        cnet.to_onnx(nn.Sequential(nn.Linear(3, 4), nn.Heads(a=Own())), path)
    with pytest.raises(TypeError, match=r"^the model is Own, "):
        cnet.to_onnx(Own(), path, input_shape=(3,))
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("model", "settings", "error", "message"),
    [
        (
            nn.Sequential(nn.Conv2d(1, 2, 3)),
            {},
            ValueError,
            r"say which with input_shape=, such as input_shape=\(1, 28, 28\)",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 2, 3)),
            {"input_shape": (2, 8, 8)},
            ValueError,
            "takes images of shape",
        ),
        (
            nn.Linear(5, 2),
            {"input_shape": 5},
            TypeError,
            "input_shape is 5, expected the shape of a row",
        ),
        (nn.ReLU(), {"input_shape": (5, 0)}, ValueError, "input_shape is 0, expected"),
        (nn.Linear(5, 2), {"dtype": "float16"}, ValueError, "dtype is 'float16', expected"),
        (nn.Heads(input=nn.Linear(5, 2)), {}, ValueError, "a head is called 'input'"),
        (
            nn.Heads(a=nn.Identity()),
            {"input_shape": (2, 3)},
            ValueError,
            "head a has outputs of shape",
        ),
        ([], {}, TypeError, "expected a module of cnet"),
    ],
)
def test_what_cannot_be_written(model, settings, error, message, tmp_path):
    with pytest.raises(error, match=message):
        cnet.to_onnx(model, tmp_path / "m.onnx", **settings)
    assert not list(tmp_path.iterdir())


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "cnet\[onnx\]"'):
        cnet.to_onnx(nn.Linear(3, 2), tmp_path / "m.onnx")
