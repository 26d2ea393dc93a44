"""Saved models: what is written, how it survives trouble, and what hostile files can do:
nothing.
"""

import gzip
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

import cnet
from cnet import nn

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files and signals")


def every_layer(dtype="float32", seed=0):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.LeakyReLU(0.125),
        nn.Linear(5, 4, bias=False),
        nn.ReLU(),
        nn.Sequential(
            nn.Linear(4, 4, weight_init="he", bias_init=nn.init.Uniform()),
            nn.Tanh(),
            nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()),
        ),
        nn.Identity(),
        nn.Linear(4, 3),
        nn.Softmax(),
        seed=seed,
        dtype=dtype,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def assert_same(a, b):
    assert repr(a) == repr(b)
    assert a.dtype == b.dtype
    x, y = a.state_dict(), b.state_dict()
    assert list(x) == list(y)
    for name, value in x.items():
        assert value.dtype == y[name].dtype
        np.testing.assert_array_equal(value, y[name])


# Round trip


def test_what_is_loaded_is_what_was_saved(path, dtype, rng):
    model = every_layer(dtype)
    model[1].bias.data = rng.standard_normal(5)
    model.save(path)
    loaded = cnet.load(path)
    assert_same(loaded, model)
    x = rng.standard_normal((20, 2, 3))
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3, 2, seed=0),
        lambda: nn.Linear(3, 2),
        nn.ReLU,
        lambda: nn.LeakyReLU(0.3),
        lambda: nn.Sequential(nn.Tanh(), nn.Softmax()),
    ],
)
def test_models_of_one_layer_and_without_weights(make, path):
    model = make()
    model.save(path)
    assert_same(cnet.load(path), model)


def test_weights_keep_every_bit(path):
    model = nn.Linear(4, 2, seed=0)
    model.weight.data = [[np.nan, np.inf], [-np.inf, -0.0], [1e-45, 3.4e38], [0.1, -1]]
    model.save(path)
    assert cnet.load(path).weight.data.tobytes() == model.weight.data.tobytes()


def test_a_loaded_model_trains_on_as_the_one_that_was_saved(path, rng):
    x, y = rng.standard_normal((40, 6)), rng.integers(0, 3, 40)
    states = []
    model = every_layer()
    model.save(path)
    for net in (model, cnet.load(path)):
        trainer = cnet.Trainer(
            net, nn.NLLLoss(), cnet.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        )
        trainer.fit(x, y, epochs=2, seed=0, verbose=False)
        states.append(net.state_dict())
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])


def test_the_file_holds_pytorchs_tensors_and_nothing_of_the_training(path):
    model = every_layer()
    model.forward(np.ones((2, 6)), training=True)
    model.backward(np.ones((2, 3)))
    model.save(path)
    tensors = load_file(path)
    assert {name: value.shape for name, value in tensors.items()} == {
        "1.weight": (5, 6),
        "1.bias": (5,),
        "3.weight": (4, 5),
        "5.0.weight": (4, 4),
        "5.0.bias": (4,),
        "5.2.0.weight": (4, 4),
        "5.2.0.bias": (4,),
        "7.weight": (3, 4),
        "7.bias": (3,),
    }
    np.testing.assert_array_equal(tensors["1.weight"].T, model[1].weight.data)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert metadata["cnet"] == "1"
    assert metadata["cnet_version"] == cnet.__version__
    assert metadata["dtype"] == "float32"
    assert json.loads(metadata["architecture"])["layers"][2] == {
        "type": "LeakyReLU",
        "negative_slope": 0.125,
    }


def test_the_same_model_gives_the_same_bytes(path):
    model = every_layer()
    model.save(path)
    first = path.read_bytes()
    cnet.load(path).save(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    "kind",
    [str, Path, lambda path: type("Fs", (), {"__fspath__": lambda self: str(path)})()],
    ids=["str", "Path", "os.PathLike"],
)
def test_paths_of_any_kind(kind, path):
    nn.Linear(3, 2, seed=0).save(kind(path))
    assert_same(cnet.load(kind(path)), nn.Linear(3, 2, seed=0))


@pytest.mark.parametrize("name", ["m", "ü 模型.safetensors", "a" * 240 + ".safetensors", ".hidden"])
def test_names_of_any_kind(name, tmp_path):
    nn.Linear(3, 2, seed=0).save(tmp_path / name)
    assert_same(cnet.load(tmp_path / name), nn.Linear(3, 2, seed=0))
    assert os.listdir(tmp_path) == [name]


def test_a_name_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nn.Linear(3, 2, seed=0).save("m")
    assert_same(cnet.load("m"), nn.Linear(3, 2, seed=0))


# What cannot be saved


class Own(nn.Module):
    def forward(self, x, training=False):
        return x


class Linear(nn.Linear):
    """By the name of one of cnet's layers."""


@pytest.mark.parametrize("layer", [Own(), Linear(3, 3)], ids=["own", "subclass"])
def test_layers_that_are_not_cnets_cannot_be_saved(layer, path):
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(layer))
    with pytest.raises(
        TypeError,
        match=r"(Own|Linear) is not one of cnet's layers, so a file cannot name it: save its "
        r"weights with state_dict\(\)",
    ):
        model.save(path)
    assert not path.exists()


def nested(depth):
    model = nn.Linear(2, 2, seed=0)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model


def test_nets_in_nets_are_read_as_deep_as_they_are_written(path):
    nested(50).save(path)
    assert_same(cnet.load(path), nested(50))
    with pytest.raises(ValueError, match="nested networks more than 50 deep"):
        nested(51).save(path)
    assert_same(cnet.load(path), nested(50))


# Writing


@posix
def test_what_is_written_is_on_disk_before_it_gets_its_name(path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(fd):
        events.append(
            "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else f"file of {os.fstat(fd).st_size}"
        )
        fsync(fd)

    def seen_replace(source, target):
        events.append(f"replace {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    every_layer().save(path)
    assert events == [f"file of {path.stat().st_size}", "replace model.safetensors", "folder"]


def test_errors_of_the_file_system_pass(tmp_path):
    model = nn.Linear(3, 2, seed=0)
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "nowhere" / "m")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        model.save(tmp_path / "folder")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        model.save(tmp_path / "file" / "m")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(path, umask):
    before = os.umask(umask)
    try:
        nn.Linear(3, 2, seed=0).save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@posix
def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    (tmp_path / "runs").mkdir()
    target, link, dangling = tmp_path / "runs" / "m1", tmp_path / "latest", tmp_path / "next"
    nn.Linear(3, 2, seed=0).save(target)
    link.symlink_to(Path("runs") / "m1")
    dangling.symlink_to(Path("runs") / "m2")
    every_layer().save(link)
    every_layer().save(dangling)
    assert link.is_symlink()
    assert dangling.is_symlink()
    for path in (target, link, tmp_path / "runs" / "m2"):
        assert_same(cnet.load(path), every_layer())
    assert sorted(os.listdir(tmp_path)) == ["latest", "next", "runs"]
    assert sorted(os.listdir(tmp_path / "runs")) == ["m1", "m2"]


SAVERS = """
import os, random, sys, time, traceback
from cnet import nn

def save_for_ever(path):
    model = nn.Linear(100, 300, seed=0)
    i = 0
    while True:
        i += 1
        model.weight.data[...] = i
        model.bias.data[...] = i
        model.save(path)

paths, seed = sys.argv[2:], int(sys.argv[1])
random.seed(seed)
for path in paths:
    pid = os.fork()
    if not pid:
        try:
            save_for_ever(path)
        finally:
            traceback.print_exc()
            os._exit(1)
    while not os.path.exists(path):
        time.sleep(0.001)
    time.sleep(random.random() * 0.02)
    os.kill(pid, 9)
    assert os.waitpid(pid, 0)[1] == 9
"""


@posix
def test_a_process_killed_while_it_saves_leaves_a_whole_file(tmp_path):
    paths = [tmp_path / f"m{i}" for i in range(50)]
    subprocess.run([sys.executable, "-c", SAVERS, "0", *map(str, paths)], check=True, timeout=120)
    counts = []
    for path in paths:
        model = cnet.load(path)
        (value,) = {*np.unique(model.weight.data), *np.unique(model.bias.data)}
        counts.append(value)
    assert max(counts) > 1, "some were killed while they replaced a file"


# Reading


def architecture(*layers):
    return {"type": "Sequential", "layers": list(layers)}


def linear(n_in=3, n_out=2, **more):
    return {"type": "Linear", "in_features": n_in, "out_features": n_out, **more}


def tensors(**changes):
    found = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32), **changes}
    return {name: value for name, value in found.items() if value is not None}


def write(path, described, arrays=None, **metadata):
    text = described if isinstance(described, str) else json.dumps(described)
    metadata = {"cnet": "1", "dtype": "float32", "architecture": text, **metadata}
    path.write_bytes(
        to_bytes(
            tensors() if arrays is None else arrays,
            {k: v for k, v in metadata.items() if v is not None},
        )
    )
    return path


def rejected(path, message=""):
    with pytest.raises(
        ValueError, match=f"{path.name} cannot be read as a model: .*{message}"
    ) as caught:
        cnet.load(path)
    text = str(caught.value)
    assert len(text) < 600 + len(str(path))
    assert text.isprintable()
    return text


def test_the_files_made_here_are_good_but_for_what_is_changed(path):
    assert repr(cnet.load(write(path, linear()))) == "Linear(in_features=3, out_features=2)"
    assert (
        repr(cnet.load(write(path, architecture({"type": "ReLU"}), {})))
        == "Sequential(\n  (0): ReLU()\n)"
    )
    assert cnet.load(write(path, linear(), dtype=None)).dtype == np.float32


UNKNOWN = "it names a layer that this version of cnet does not know: "

DESCRIPTIONS = {
    "another layer": ({"type": "Conv3d"}, UNKNOWN),
    "function": ({"type": "os.system"}, UNKNOWN),
    "base": ({"type": "Module"}, UNKNOWN),
    "dunder": ({"type": "__class__"}, UNKNOWN),
    "private": ({"type": "_linear"}, UNKNOWN),
    "parameter": ({"type": "Parameter", "shape": [3]}, UNKNOWN),
    "loss": ({"type": "Loss"}, UNKNOWN),
    "a loss": ({"type": "MSELoss"}, UNKNOWN),
    "module": ({"type": "init"}, UNKNOWN),
    "no type": ({"in_features": 3}, UNKNOWN),
    "type no text": ({"type": ["Linear"]}, UNKNOWN),
    "null": ("null", UNKNOWN),
    "number": ("3", UNKNOWN),
    "list": ([linear()], UNKNOWN),
    "no json": ("{", "Expecting property name"),
    "missing": (None, UNKNOWN),
    "seed": (linear(seed=1), UNKNOWN),
    "dtype": (linear(dtype="float64"), UNKNOWN),
    "initializer": (linear(weight_init="he"), UNKNOWN),
    "bias initializer": (linear(bias_init="he"), UNKNOWN),
    "seed of a network": ({**architecture(linear()), "seed": 1}, UNKNOWN),
    "unknown argument": (linear(device="cuda"), "unexpected keyword argument 'device'"),
    "self": (linear(self=1), "multiple values for argument 'self'"),
    "missing argument": (
        {"type": "Linear", "in_features": 3},
        "missing 1 required positional argument",
    ),
    "text as size": (linear("3"), "in_features is '3', expected an integer of at least 1"),
    "fraction as size": (linear(3.0), r"in_features is 3\.0"),
    "infinite size": (
        '{"type": "Linear", "in_features": 1e999, "out_features": 2}',
        "in_features is inf",
    ),
    "no size": (linear(0), "in_features is 0"),
    "negative size": (linear(-3), "in_features is -3"),
    "another size": (linear(4), r"tensor weight has shape \(2, 3\), but its layer \(2, 4\)"),
    "claimed size": (
        linear(10**9, 10**9),
        r"tensor weight has shape \(2, 3\), but its layer \(1000000000, 1000000000\)",
    ),
    "size beyond machine words": (linear(10**30, 2), "tensor weight has shape"),
    "number of many digits": (
        '{"type": "LeakyReLU", "negative_slope": 1' + "0" * 5000 + "}",
        "digits",
    ),
    "huge slope": ({"type": "LeakyReLU", "negative_slope": 10**400}, "negative_slope is 1000"),
    "no slope": ('{"type": "LeakyReLU", "negative_slope": NaN}', "negative_slope is nan"),
    "text as slope": ({"type": "LeakyReLU", "negative_slope": "0.1"}, r"negative_slope is '0\.1'"),
    "no layers": (architecture(), "Sequential has no layers"),
    "layers missing": ({"type": "Sequential"}, "Sequential has no layers"),
    "layers no list": (
        {"type": "Sequential", "layers": linear()},
        "unexpected keyword argument 'layers'",
    ),
    "shapes that do not match": (architecture(linear(), linear()), ""),
    "deep": (
        '{"type":"Sequential","layers":[' * 60 + '{"type":"ReLU"}' + "]}" * 60,
        "nested networks more than 50 deep",
    ),
    "deeper": ('{"type":"Sequential","layers":[' * 100_000 + "]}" * 100_000, "recursion"),
    "brackets": ("[" * 1_000_000, "recursion"),
    "lone surrogates": ('{"type": "\\ud800", "\\udfff\\u001b[31m": 1}', UNKNOWN),
    "argument of control characters": (
        '{"type": "ReLU", "\\udfff\\u001b[31m\\n": 1}',
        "unexpected keyword argument",
    ),
    "long": ({"type": "x" * 1_000_000}, UNKNOWN),
    "wide": (architecture(*[{"type": "ReLU"}] * 1000, {"type": "Bad"}), UNKNOWN),
}


@pytest.mark.parametrize(("described", "message"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_descriptions_that_are_rejected(described, message, path):
    rejected(
        write(path, described) if described is not None else write(path, "", architecture=None),
        message,
    )


TENSORS = {
    "missing": (tensors(bias=None), "it has no tensor bias"),
    "all missing": ({}, "it has no tensor weight"),
    "extra": (tensors(extra=np.zeros(3)), "no layer takes its extra"),
    "many extra": (
        tensors(**{f"extra{i}\x1b": np.zeros(1) for i in range(1000)}),
        "no layer takes its extra",
    ),
    "transposed": (
        tensors(weight=np.zeros((3, 2), np.float32)),
        r"tensor weight has shape \(3, 2\), but its layer \(2, 3\)",
    ),
    "another rank": (
        tensors(bias=np.zeros((2, 1), np.float32)),
        r"tensor bias has shape \(2, 1\), but its layer \(2,\)",
    ),
    "empty": (tensors(bias=np.zeros(0, np.float32)), r"tensor bias has shape \(0,\)"),
    "integers": (
        tensors(weight=np.zeros((2, 3), np.int64)),
        "tensor weight is of int64, but the model of float32",
    ),
    "bytes": (tensors(weight=np.zeros((2, 3), np.uint8)), "tensor weight is of uint8"),
    "truth values": (tensors(bias=np.zeros(2, np.bool_)), "tensor bias is of bool"),
    "complex": (tensors(bias=np.zeros(2, np.complex64)), "tensor bias is of complex64"),
    "half": (tensors(bias=np.zeros(2, np.float16)), "tensor bias is of float16"),
    "double": (tensors(bias=np.zeros(2)), "tensor bias is of float64"),
}


@pytest.mark.parametrize(("arrays", "message"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_rejected(arrays, message, path):
    rejected(write(path, linear(), arrays), message)


def raw(path, header, body=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + body)
    return path


@pytest.mark.parametrize(
    ("kind", "size"),
    [("BF16", 12), ("F8_E4M3", 6), ("F8_E5M2", 6), ("F4", 3), ("U16", 12), ("I8", 6), ("X9", 6)],
)
def test_types_that_numpy_may_not_have(kind, size, path):
    metadata = {"cnet": "1", "dtype": "float32", "architecture": json.dumps(linear())}
    header = {
        "__metadata__": metadata,
        "weight": {"dtype": kind, "shape": [2, 3], "data_offsets": [0, size]},
        "bias": {"dtype": "F32", "shape": [2], "data_offsets": [size, size + 8]},
    }
    rejected(raw(path, header, bytes(size + 8)))


@pytest.mark.parametrize(
    "dtype", ["float16", "int64", "<f8", "f4,f4", "O", "", "float32\n", "x" * 100_000]
)
def test_dtypes_that_are_rejected(dtype, path):
    rejected(write(path, linear(), dtype=dtype), "its dtype is .*, expected 'float32' or 'float64'")


def test_a_later_format(path):
    text = rejected(write(path, linear(), cnet="2", cnet_version="3.1.0"))
    assert text.endswith("it is in format 2 of cnet 3.1.0, this version reads format 1")
    assert rejected(write(path, linear(), cnet="2")).endswith(
        "it is in format 2 of cnet ?, this version reads format 1"
    )
    rejected(write(path, linear(), cnet="\x1b" * 1_000_000), "it is in format")


def test_files_of_others(path):
    path.write_bytes(to_bytes(tensors()))
    message = "it holds tensors but no cnet model: read them with safetensors and load_state_dict"
    assert rejected(path).endswith(message)
    path.write_bytes(to_bytes(tensors(), {"format": "pt"}))
    assert rejected(path).endswith(message)
    model = nn.Linear(3, 2)
    model.load_state_dict(load_file(path))
    assert (model.weight.data == 0).all()


def of_torch(path, legacy=False):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.ones(2, 3)}, path, _use_new_zipfile_serialization=not legacy)


def of_torchscript(path):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(3, 2), torch.ones(1, 3)), path)


def of_h5py(path):
    with pytest.importorskip("h5py").File(path, "w") as file:
        file["weight"] = np.zeros((2, 3))


def of_onnx(path):
    pytest.importorskip("onnx")
    cnet.to_onnx(nn.Linear(3, 2, seed=0), path)


def of_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"{}")


def of_savez(path):
    with open(path, "wb") as file:
        np.savez(file, weight=np.zeros((2, 3)))


def of_numpy(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros((2, 3)))


def content(data):
    return lambda path: path.write_bytes(data)


TO_STATE = "and pass its arrays to model.load_state_dict"
KINDS = {
    "PyTorch": (
        of_torch,
        f"a PyTorch file): read it with torch.load, {TO_STATE}, or a whole module to "
        "cnet.from_torch",
    ),
    "old PyTorch": (
        lambda path: of_torch(path, legacy=True),
        "a PyTorch file): read it with torch.load, ",
    ),
    "TorchScript": (of_torchscript, "a PyTorch file): "),
    "HDF5": (
        of_h5py,
        f"an HDF5 file, such as Keras writes): read it with Keras or h5py, {TO_STATE}",
    ),
    "Keras": (
        lambda path: of_zip(path, "metadata.json", "config.json", "model.weights.h5"),
        "a Keras file): read it with Keras, ",
    ),
    "ONNX": (of_onnx, f"an ONNX file): read it with onnx, {TO_STATE}"),
    "npz": (of_savez, f"a NumPy archive): read it with numpy.load, {TO_STATE}"),
    "npy": (of_numpy, f"a NumPy file): read it with numpy.load, {TO_STATE}"),
    "zip": (lambda path: of_zip(path, "notes.txt"), "a zip archive): extract it first"),
    "pickle": (
        content(pickle.dumps({"weight": 1})),
        "a pickle): cnet reads none, as they can execute code: write models with model.save",
    ),
    "attack": (content(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR."), "a pickle): "),
    "gzip": (content(gzip.compress(b"{}")), "a gzip file): decompress it first"),
    "xz": (content(b"\xfd7zXZ\x00" + bytes(9)), "an xz file): "),
    "bzip2": (content(b"BZh91AY&SY" + bytes(9)), "a bzip2 file): "),
    "page": (
        content(b"\n<!DOCTYPE html><html>Not found</html>"),
        "an HTML page): the download brought a page in place of the file: download it again, ",
    ),
    "error": (
        content(b'\xef\xbb\xbf<?xml version="1.0"?><Error>'),
        "an XML document, such as the error of a server): ",
    ),
    "git-LFS": (
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        "a git-LFS pointer, which stands for the file): get the file itself with: git lfs pull",
    ),
    "JSON": (content(b' {"weight": [1, 2]}'), "a JSON file)"),
    "text": (content(b"weight 1.0\n"), "a text file)"),
    "empty": (
        content(b""),
        "an empty file): it may not have been written or downloaded to the end",
    ),
    "image": (content(b"\x89PNG\r\n\x1a\n" + bytes(100)), "a PNG image)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_other_kinds_are_called_by_their_names(kind, path, trainer):
    write, message = KINDS[kind]
    write(path)
    beginning = "it is not a safetensors file (it looks like "
    assert beginning + message in rejected(path)
    with pytest.raises(
        ValueError, match="cannot be read as a checkpoint: it is not a safetensors file"
    ) as caught:
        trainer.load_checkpoint(path)
    assert beginning + message in str(caught.value)
    assert os.listdir(path.parent) == [path.name]


@pytest.fixture
def trainer():
    net = nn.Linear(3, 2, seed=0)
    return cnet.Trainer(net, nn.MSELoss(), cnet.optim.SGD(net.parameters()))


@pytest.mark.parametrize(
    "content",
    [b"\x00" * 7, b"\x00" * 8, b"\xff" * 100, b"\x80\x06\x95", b"PK\x05\x06" + bytes(18)],
    ids=["7 zero bytes", "8 zero bytes", "100 bytes of 255", "pickle", "empty zip"],
)
def test_files_of_unknown_kinds(content, path):
    path.write_bytes(content)
    assert rejected(path).endswith("it is not a safetensors file")


@pytest.mark.parametrize("end", [9, 20, 100])
def test_a_file_that_is_cut_off_in_its_header(end, path):
    nn.Linear(3, 2, seed=0).save(path)
    path.write_bytes(path.read_bytes()[:end])
    rejected(path, f"it is cut off: its header has [0-9]+ bytes, and there are {end - 8}")


WEIGHT = '"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}'
BIAS = '"bias": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]}'


@pytest.mark.parametrize(
    "extra",
    [
        WEIGHT,
        WEIGHT.replace("[2, 3]", "[3, 2]"),
        '"bias": {"dtype": "F32", "dtype": "F32", "shape": [2], "data_offsets": [24, 32]}',
    ],
)
def test_a_name_that_comes_twice(extra, path):
    metadata = json.dumps({"cnet": "1", "dtype": "float32", "architecture": json.dumps(linear())})
    raw(path, f'{{"__metadata__": {metadata}, {WEIGHT}, {BIAS}}}'.encode(), bytes(32))
    assert cnet.load(path).weight.shape == (3, 2)
    raw(path, f'{{"__metadata__": {metadata}, {WEIGHT}, {BIAS}, {extra}}}'.encode(), bytes(32))
    rejected(path, "it has '(weight|bias|dtype)' twice")
    write(path, '{"type": "Linear", "in_features": 3, "out_features": 3, "out_features": 2}')
    rejected(path, "it has 'out_features' twice")


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[]",
        b"null",
        b"{",
        b'{"__metadata__": {"cnet": 1}}',
        b'{"__metadata__": 5}',
        b'{"__metadata__": {"cnet": "1"}, '
        b'"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}',
        b'{"__metadata__": {"cnet": "1"}, '
        b'"weight": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 0]}}',
        b'{"__metadata__": {"cnet": "1"}, '
        b'"weight": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"__metadata__": {"cnet": "1"}, '
        b'"weight": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"__metadata__": {"cnet": "1"}, '
        b'"weight": {"dtype": "F32", "shape": [0], "data_offsets": [99999999999, 99999999999]}}',
        b'{"__metadata__": {"cnet": "1"}, "\xff": 1}',
        b"{" * 100_000,
        b" " * 100_000,
    ],
)
def test_headers_that_are_rejected(header, path):
    rejected(raw(path, header))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: there is no such file"):
        cnet.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path.name} is not a file"):
        cnet.load(tmp_path)
    if os.path.exists("/dev/zero"):
        with pytest.raises(FileNotFoundError, match="/dev/zero is not a file"):
            cnet.load("/dev/zero")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "model.safetensors"
    every_layer().save(path)
    return path.read_bytes()


def loads_or_is_rejected(path, content):
    """A damaged file is rejected, or happens to be a model still; whichever, little memory is
    taken.
    """
    path.write_bytes(content)
    tracemalloc.start()
    try:
        assert repr(cnet.load(path))
        message = ""
    except ValueError as error:
        message = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5e6
    assert not message or message.startswith(f"{path} cannot be read as a model: ")
    assert message.removeprefix(str(path)).isprintable()


often = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(content=st.binary(max_size=300))
@often
def test_random_bytes(content, tmp_path):
    loads_or_is_rejected(tmp_path / "m", content)


@given(header=st.binary(max_size=300), body=st.binary(max_size=30))
@often
def test_random_headers(header, body, tmp_path):
    loads_or_is_rejected(tmp_path / "m", struct.pack("<Q", len(header)) + header + body)


@given(data=st.data())
@often
def test_truncated_files(data, good, tmp_path):
    loads_or_is_rejected(tmp_path / "m", good[: data.draw(st.integers(0, len(good) - 1))])


@given(data=st.data())
@often
def test_flipped_bits(data, good, tmp_path):
    content = bytearray(good)
    header = 8 + struct.unpack("<Q", good[:8])[0]
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header))] ^= 1 << data.draw(st.integers(0, 7))
    loads_or_is_rejected(tmp_path / "m", bytes(content))


@given(data=st.data())
@often
def test_bytes_put_in_and_taken_out(data, good, tmp_path):
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 20)))
    loads_or_is_rejected(
        tmp_path / "m", good[:start] + data.draw(st.binary(max_size=20)) + good[stop:]
    )


TYPES = [
    "Linear",
    "ReLU",
    "LeakyReLU",
    "Sequential",
    "Softmax",
    "Flatten",
    "Identity",
    "Conv2d",
    "MaxPool2d",
    "Dropout",
    "BatchNorm1d",
    "LayerNorm",
    "GELU",
]
NAMES = [
    "in_features",
    "out_features",
    "bias",
    "negative_slope",
    "in_channels",
    "out_channels",
    "kernel_size",
    "padding",
    "p",
    "eps",
]
NAMES += ["num_features", "normalized_shape", "approximate"]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(TYPES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "layers", "self", "seed", *NAMES]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=10,
)


@given(
    described=values
    | st.fixed_dictionaries(
        {"type": st.sampled_from(TYPES)},
        optional={"layers": values, **{name: values | st.just(3) | st.just(2) for name in NAMES}},
    )
)
@settings(often, max_examples=50)
def test_random_descriptions(described, tmp_path):
    write(tmp_path / "m", json.dumps(described))
    loads_or_is_rejected(tmp_path / "m", (tmp_path / "m").read_bytes())
    write(tmp_path / "m", json.dumps(architecture(described, linear())))
    loads_or_is_rejected(tmp_path / "m", (tmp_path / "m").read_bytes())


@given(
    changes=st.dictionaries(
        st.sampled_from(["cnet", "dtype", "architecture", "cnet_version", "format"]),
        st.none() | st.text(max_size=20),
    )
)
@often
def test_random_metadata(changes, tmp_path):
    path = tmp_path / "m"
    write(path, linear(), **{k: v for k, v in changes.items() if k != "architecture"})
    loads_or_is_rejected(path, path.read_bytes())
    if isinstance(changes.get("architecture"), str):
        write(path, changes["architecture"])
        loads_or_is_rejected(path, path.read_bytes())


def test_a_claim_of_gigabytes_costs_nothing(path):
    """Layers are constructed from what a file says, and filled only with what it holds."""
    write(path, architecture(linear(10**5, 10**5), linear(10**5, 10**5)))
    tracemalloc.start()
    try:
        rejected(path, "it has no tensor 0.weight")
        write(path, linear(10**9, 10**9))
        rejected(path, "tensor weight has shape")
        for kind, sizes in {
            "Conv2d": ("in_channels", "out_channels", "kernel_size"),
            "BatchNorm1d": ("num_features",),
            "LayerNorm": ("normalized_shape",),
        }.items():
            write(path, {"type": kind, **dict.fromkeys(sizes, 10**9)})
            rejected(path, "tensor weight has shape")
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_layers_without_weights_in_great_number_are_only_slow(path):
    """Work and memory grow with the size of the file, not faster."""
    write(path, architecture(*[{"type": "Identity"}] * 3000), {})
    assert len(cnet.load(path)) == 3000
