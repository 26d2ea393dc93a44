"""npz files that are not what they should be."""

import io
import zipfile

import numpy as np
import pytest

from cnet import datasets

DEFLATED, LZMA = zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA


def npz(few, **changes):
    """A good file but for the changes; None leaves an array out."""
    names = ("x_train", "y_train", "x_test", "y_test")
    members = dict(zip(names, few, strict=True)) | changes
    stream = io.BytesIO()
    np.savez_compressed(
        stream, **{name: array for name, array in members.items() if array is not None}
    )
    return stream.getvalue()


def test_no_zip_at_all(rejected):
    for content in (b"", b"PK", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00"):
        message = rejected("mnist.npz", content)
        assert "is not a readable npz" in message or "it holds nothing" in message


def test_a_missing_array(few, rejected):
    message = rejected("mnist.npz", npz(few, y_train=None))
    assert (
        "has no array y_train; it holds x_train.npy, x_test.npy, y_test.npy, expected x_train, "
        "y_train"
    ) in message


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_a_pickled_array_is_not_unpickled(name, few, rejected, tmp_path):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    message = rejected("mnist.npz", npz(few, **{name: np.array([Payload()] * 6)}))
    assert f"[{name}]: " in message
    assert "expected" in message
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"x_train": np.zeros((6, 28, 27), np.uint8)},
            "images of shape (6, 28, 27), expected (n, 28, 28) or (n, 784)",
        ),
        (
            {"x_train": np.zeros((6, 28, 28, 3), np.uint8)},
            "images of shape (6, 28, 28, 3), expected",
        ),
        ({"x_train": np.zeros((), np.uint8)}, "holds 0 images or labels, expected 1 to"),
        ({"x_test": np.zeros((0, 28, 28), np.uint8)}, "holds 0 images or labels, expected 1 to"),
        (
            {"x_train": np.full((6, 784), 2, np.int8)},
            "pixels from 2 to 2, expected floating-point values from 0 to 1 or whole numbers "
            "from 0 to "
            "255",
        ),
        ({"x_train": np.full((6, 784), 256)}, "pixels from 256 to 256, expected"),
        ({"x_train": np.full((6, 784), -1)}, "pixels from -1 to -1, expected"),
        ({"x_train": np.full((6, 784), 16.0)}, "pixels from 16.0 to 16.0, expected"),
        (
            {"x_train": np.linspace(0, 255, 6 * 784).reshape(6, 784)},
            "pixels from 0.0 to 255.0, expected floating-point values from 0 to 1",
        ),
        (
            {"x_test": np.eye(28, dtype=np.uint8)[None].repeat(2, axis=0)},
            "[x_test]: pixels from 0 to 1, but from 0 to 255 in the other images",
        ),
        ({"x_train": np.zeros((6, 784), np.complex128)}, "images of dtype complex128, expected"),
        ({"x_train": np.zeros((6, 784), np.complex64)}, "images of dtype complex64, expected"),
        ({"x_train": np.zeros((6, 784), "U1")}, "images of dtype <U1, expected"),
        (
            {"x_train": np.zeros((6, 784), [("a", "u1")])},
            "expected uint8, float32, float64 or another",
        ),
        (
            {"x_train": np.full((6, 784), np.nan)},
            "pixels from nan to nan, expected floating-point values from 0 to 1",
        ),
        (
            {"x_test": np.full((2, 784), -0.5)},
            "pixels from -0.5 to -0.5, expected floating-point values from 0 to 1",
        ),
        ({"y_train": np.zeros((6, 2), np.uint8)}, "labels of shape (6, 2), expected (n,)"),
        (
            {"y_train": np.eye(10)[:6]},
            "labels of shape (6, 10), expected (n,): convert one-hot labels with y.argmax(axis=1)",
        ),
        (
            {"y_train": np.zeros((6, 784), np.uint8)},
            "labels of shape (6, 784), expected (n,): these look like images",
        ),
        (
            {"x_train": np.arange(6, dtype=np.uint8)},
            "images of shape (6,), expected (n, 28, 28) or (n, 784): these look like labels",
        ),
        ({"y_train": np.arange(6) / 2}, "label 1 (counted from 0) is 0.5, expected 0 to 9"),
        (
            {"y_train": np.full(6, np.nan)},
            "label 0 (counted from 0) is nan, expected 0 to 9",
        ),
        (
            {"y_train": np.array(list("012345"))},
            "labels of dtype <U1, expected an integer type: convert them with y.astype(int)",
        ),
        (
            {"y_train": np.arange(6) * 5 + 1},
            "is 11, expected 0 to 9; the labels range from 1 to 26, but only data sets of 10 "
            "classes are supported",
        ),
        (
            {"y_train": np.full(6, 3)},
            "[y_train]: every label is 3, so this is probably not the label data",
        ),
        ({"y_test": np.zeros(2, int)}, "[y_test]: every label is 0"),
        ({"y_train": np.full((6, 1), 7.0)}, "[y_train]: every label is 7"),
        ({"y_train": np.zeros(6, bool)}, "labels of dtype bool, expected an integer type"),
        ({"y_train": np.zeros(5, np.uint8)}, "5 labels, expected one for each of the 6 images in"),
        ({"y_test": np.array([-1, 0])}, "label 0 (counted from 0) is -1, expected 0 to 9"),
        (
            {"y_test": np.array([0, 2**64 - 1], np.uint64)},
            "label 1 (counted from 0) is 18446744073709551615",
        ),
    ],
)
def test_arrays_that_are_no_images_or_labels(changes, expected, few, rejected):
    assert expected in rejected("mnist.npz", npz(few, **changes))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (10000001, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-6, -28, 28), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (9000000, 28, 28), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6, 28, 28), }",
        "{'descr': '|u1', 'fortran_order': 1, 'shape': (6, 28, 28), }",
        "{'descr': '|u1', 'shape': (6, 28, 28), }",
        "{'descr': ('|u1', (1000000000,)), 'fortran_order': False, 'shape': (6, 28, 28), }",
        "__import__('os').system('true')",
        "(" * 5000,
        "-" * 9000 + "1",
        "{'descr': '|u1'" + " " * 20000,
        "\xff\xfe",
        "",
    ],
)
@pytest.mark.filterwarnings(
    "ignore:Reading `.npy` or `.npz` file required additional header parsing"
)
def test_a_header_that_lies_or_is_none(header, files, rejected):
    content = files.npy_bytes(header, bytes(6 * 784))
    message = rejected(
        "mnist.npz", files.zip_bytes({"x_train.npy": (content, len(content), zipfile.ZIP_STORED)})
    )
    assert "[x_train]: " in message


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x02\x00" + bytes(9), b"x" * 99],
)
def test_a_member_that_is_no_array(content, files, rejected):
    assert "[x_train]: " in rejected(
        "mnist.npz", files.zip_bytes({"x_train.npy": (content, len(content), 0)})
    )


@pytest.mark.parametrize("claimed", [0, 100, 6 * 784, 10**6, 2**32 - 1])
def test_a_member_that_lies_about_its_size(claimed, files, rejected):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 28, 28), }"
    data, _ = files.zip_bomb(files.npy_bytes(header, bytes(6 * 784)), 0)
    assert "[x_train]: " in rejected(
        "mnist.npz", files.zip_bytes({"x_train.npy": (data, claimed, DEFLATED)})
    )


def test_a_damaged_member(few, rejected):
    content = bytearray(npz(few))
    content[200] ^= 255
    assert "[x_train]: the compressed data are damaged" in rejected("mnist.npz", bytes(content))


def test_an_unbounded_compression_method(few, files, rejected):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", LZMA) as archive:
        archive.writestr("x_train.npy", b"")
    assert "uses zip compression method 14, expected stored or deflated" in rejected(
        "mnist.npz", stream.getvalue()
    )


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.int16, np.uint64, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize("shape", [(-1, 784), (-1, 28, 28), (-1, 28, 28, 1), (-1, 1, 28, 28)])
def test_black_and_white_images_of_any_type_and_shape(dtype, shape, few, tmp_path):
    x_train, x_test = (
        (images // 128).reshape(shape).astype(dtype)
        for images in (few.train_images, few.test_images)
    )
    (tmp_path / "mnist.npz").write_bytes(npz(few, x_train=x_train, x_test=x_test))
    data = datasets.mnist(tmp_path, validation=0, normalize=False)
    assert data.train.x.dtype == data.test.x.dtype == np.uint8
    np.testing.assert_array_equal(data.train.x, few.train_images.reshape(-1, 784) // 128 * 255)
    np.testing.assert_array_equal(data.test.x, few.test_images.reshape(-1, 784) // 128 * 255)


@pytest.mark.parametrize("dtype", [np.int16, ">i4", np.uint64, np.float16, np.float32, ">f8"])
@pytest.mark.parametrize("label_dtype", [np.int8, ">u8", np.float32])
def test_pixels_up_to_255_and_labels_of_other_types(dtype, label_dtype, few, tmp_path):
    changes = {
        "x_train": few.train_images.astype(dtype)[..., None],
        "y_train": few.train_labels.astype(label_dtype)[:, None],
    }
    (tmp_path / "mnist.npz").write_bytes(npz(few, **changes))
    data = datasets.mnist(tmp_path, validation=0, normalize=False)
    assert data.train.x.dtype == np.uint8
    np.testing.assert_array_equal(data.train.x, few.train_images.reshape(-1, 784))
    np.testing.assert_array_equal(data.train.y, few.train_labels)


def test_one_image_alone_has_labels_that_are_all_alike(few, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(
        npz(few, x_test=few.test_images[:1], y_test=few.test_labels[:1])
    )
    np.testing.assert_array_equal(
        datasets.mnist(tmp_path, validation=0).test.y, few.test_labels[:1]
    )


def test_other_kinds_of_files(rejected):
    assert "is not a readable npz (zip) file" in rejected("mnist.npz", b"<html>")
    for content, kind in (
        (b"<!doctype html>", "HTML page: the download failed"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x1f\x8b", "gzip data"),
    ):
        assert kind in rejected("mnist.npz", content)


def test_an_encrypted_member(few, rejected):
    content = bytearray(npz(few))
    start = content.index(b"PK\x01\x02")
    content[start + 8] |= 1
    content[6] |= 1
    assert "[x_train]: cannot be read from the zip file" in rejected("mnist.npz", bytes(content))
