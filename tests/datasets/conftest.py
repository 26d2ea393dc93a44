"""Small MNIST-like arrays, and their files in every format that cnet reads."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MEGABYTE = 1 << 20


class Arrays(NamedTuple):
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def make_arrays(train: int, test: int) -> Arrays:
    """Random images and labels: every pixel value and every digit occurs if there are enough of
    them.
    """
    rng = np.random.default_rng(train * 1000 + test)
    return Arrays(
        rng.integers(0, 256, (train, 28, 28), np.uint8),
        rng.integers(0, 10, train, np.uint8),
        rng.integers(0, 256, (test, 28, 28), np.uint8),
        rng.integers(0, 10, test, np.uint8),
    )


def idx_bytes(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def write_idx(folder: Path, arrays: Arrays, ending: str = "", dotted: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        data = idx_bytes(array)
        spelled = name.replace("-idx", ".idx") if dotted else name
        (folder / f"{spelled}{ending}").write_bytes(
            gzip.compress(data) if ending == ".gz" else data
        )
    return folder


def write_npz(path: Path, arrays: Arrays, compressed: bool = True) -> Path:
    x_train, y_train, x_test, y_test = arrays
    save = np.savez_compressed if compressed else np.savez
    save(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def csv_bytes(
    images: np.ndarray, labels: np.ndarray, header: bool = False, newline: str = "\n"
) -> bytes:
    lines = [
        ",".join(map(str, [label, *image.ravel()]))
        for image, label in zip(images, labels, strict=True)
    ]
    if header:
        lines.insert(0, "label," + ",".join(f"pixel{index}" for index in range(784)))
    return "".join(line + newline for line in lines).encode()


def write_csv(folder: Path, arrays: Arrays, header: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mnist_train.csv").write_bytes(
        csv_bytes(arrays.train_images, arrays.train_labels, header)
    )
    (folder / "mnist_test.csv").write_bytes(
        csv_bytes(arrays.test_images, arrays.test_labels, header)
    )
    return folder / "mnist_train.csv"


def pickled_array(array: np.ndarray, first: bool) -> bytes:
    """An array as Python 2's cPickle wrote it: bytes are strings, and what was said before is
    fetched from the memo.
    """
    reconstruct = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02"
        if first
        else b"h\x01h\x02"
    )
    dtype = b"cnumpy\ndtype\n" + b"U\x02" + array.dtype.str[1:].encode() + b"K\x00K\x01\x87R"
    order = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    sizes = b"".join(b"J" + struct.pack("<i", size) for size in array.shape)
    shape = sizes + (b"\x85" if array.ndim == 1 else b"\x86")
    content = b"T" + struct.pack("<i", array.nbytes) + array.tobytes()
    return (
        reconstruct
        + b"K\x00\x85U\x01b\x87R(K\x01"
        + shape
        + dtype
        + order
        + b"\x89"
        + content
        + b"tb"
    )


def python2_pickle(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """A tuple of (x, y) tuples as Python 2's cPickle wrote it, protocol 2."""
    body = b"".join(
        pickled_array(x, index == 0) + pickled_array(y, False) + b"\x86"
        for index, (x, y) in enumerate(parts)
    )
    return b"\x80\x02" + body + {2: b"\x86", 3: b"\x87"}[len(parts)] + b"."


def pickle_parts(arrays: Arrays, scale: int = 256) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training, validation and test data in the form of the well-known pickle."""
    x, y, x_test, y_test = arrays
    cut = len(x) * 5 // 6
    parts = ((x[:cut], y[:cut]), (x[cut:], y[cut:]), (x_test, y_test))
    return [
        (x.reshape(-1, 784).astype(np.float32) / np.float32(scale), y.astype(np.int64))
        for x, y in parts
    ]


def write_pickle(path: Path, arrays: Arrays, scale: int = 256) -> Path:
    path.write_bytes(gzip.compress(python2_pickle(pickle_parts(arrays, scale))))
    return path


def gzip_bomb(start: bytes, megabytes: int) -> bytes:
    """A gzip file of about a thousandth of what it expands to: `start`, then zeros."""
    return gzip.compress(start) + gzip.compress(bytes(MEGABYTE)) * megabytes


def npy_bytes(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def zip_bomb(start: bytes, megabytes: int) -> tuple[bytes, int]:
    """The same as a raw deflate stream, for a zip member, and how many bytes it expands to."""
    compressor = zlib.compressobj(wbits=-15)
    head = compressor.compress(start) + compressor.flush(zlib.Z_FULL_FLUSH)
    zeros = compressor.compress(bytes(MEGABYTE)) + compressor.flush(zlib.Z_FULL_FLUSH)
    # A full flush forgets what came before, so the compressed megabyte can be repeated.
    return head + zeros * megabytes + compressor.flush(), len(start) + megabytes * MEGABYTE


def zip_bytes(members: dict[str, tuple[bytes, int, int]]) -> bytes:
    """A zip file of (stored bytes, claimed size, method) by name, whose claims nobody checks."""
    out, directory = io.BytesIO(), b""
    for name, (data, size, method) in members.items():
        fields = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, 0, len(data), size, len(name), 0)
        directory += (
            b"PK\x01\x02\x14\x00"
            + fields
            + struct.pack("<HHHII", 0, 0, 0, 0, out.tell())
            + name.encode()
        )
        out.write(b"PK\x03\x04" + fields + name.encode() + data)
    start, count = out.tell(), len(members)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), start, 0)
    return out.getvalue() + directory + b"PK\x05\x06" + end


class Files:
    """The functions above, for tests: a fixture, since test folders are not packages."""

    arrays = staticmethod(make_arrays)
    idx_names = IDX_NAMES
    idx_bytes = staticmethod(idx_bytes)
    idx = staticmethod(write_idx)
    npz = staticmethod(write_npz)
    npy_bytes = staticmethod(npy_bytes)
    zip_bytes = staticmethod(zip_bytes)
    zip_bomb = staticmethod(zip_bomb)
    csv = staticmethod(write_csv)
    csv_bytes = staticmethod(csv_bytes)
    pickle = staticmethod(write_pickle)
    pickle_parts = staticmethod(pickle_parts)
    python2_pickle = staticmethod(python2_pickle)
    gzip_bomb = staticmethod(gzip_bomb)


@pytest.fixture(scope="session")
def files() -> type[Files]:
    return Files


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    """Sixty training and ten test images."""
    return make_arrays(60, 10)


@pytest.fixture(scope="session")
def few() -> Arrays:
    """Six training and two test images, for tests of many files."""
    return make_arrays(6, 2)


@pytest.fixture
def rejected(tmp_path: Path) -> Callable[..., str]:
    """Load a file of the given content and give the message of the ValueError that must come
    of it.
    """
    from cnet import datasets

    def load(name: str, content: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=name) as caught:
            datasets.mnist(path, validation=0, normalize=False)
        message = str(caught.value)
        assert str(path) in message
        assert len(message) < 1000
        return message

    return load
