"""The same images load to the same arrays from every format, and a wrong place to look is named."""

import gzip
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from cnet import datasets

FORMATS = (
    "idx",
    "idx.gz",
    "idx dotted",
    "npz",
    "npz stored",
    "pkl.gz",
    "pkl.gz /255",
    "csv",
    "csv header",
)


def write(files, folder, arrays, form) -> Path:
    """Write one format; what to pass as the path."""
    folder.mkdir()
    match form:
        case "idx":
            return files.idx(folder, arrays)
        case "idx.gz":
            return files.idx(folder, arrays, ".gz")
        case "idx dotted":
            return files.idx(folder, arrays, ".gz", dotted=True)
        case "npz" | "npz stored":
            return files.npz(folder / "mnist.npz", arrays, compressed=form == "npz")
        case "pkl.gz" | "pkl.gz /255":
            return files.pickle(folder / "mnist.pkl.gz", arrays, 255 if "/" in form else 256)
    return files.csv(folder, arrays, header=form == "csv header")


def load(path, **options):
    """The pixels as they are stored."""
    return datasets.mnist(path, normalize=False, **options)


def assert_holds(data, arrays, validation):
    cut = len(arrays.train_images) - validation
    images, labels = arrays.train_images.reshape(-1, 784), arrays.train_labels
    expected = [(data.train, images[:cut], labels[:cut])]
    if validation:
        expected.append((data.validation, images[cut:], labels[cut:]))
    expected.append((data.test, arrays.test_images.reshape(-1, 784), arrays.test_labels))
    for split, x, y in expected:
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int64
        assert split.x.flags.c_contiguous
        np.testing.assert_array_equal(split.x, x)
        np.testing.assert_array_equal(split.y, y)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_arrays(form, files, arrays, tmp_path):
    path = write(files, tmp_path / "data", arrays, form)
    assert_holds(load(path, validation=7), arrays, 7)
    assert_holds(load(str(path), validation=7), arrays, 7)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_found_in_its_folder(form, files, arrays, tmp_path):
    write(files, tmp_path / "data", arrays, form)
    assert_holds(load(tmp_path / "data", validation=1), arrays, 1)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("parts", [2, 3])
def test_pickles_of_python_3(protocol, parts, files, arrays, tmp_path):
    content = tuple(files.pickle_parts(arrays))
    if parts == 2:
        train, validation, test = content
        content = (
            tuple(np.concatenate(both) for both in zip(train, validation, strict=True)),
            test,
        )
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(content, protocol))
    assert_holds(load(tmp_path, validation=3), arrays, 3)


def fortran(images):
    return np.asfortranarray(images).reshape(-1, 28, 28, order="A")


LAYOUTS = {
    "Fortran order": fortran,
    "other axes first": lambda images: np.ascontiguousarray(images.transpose(1, 2, 0)).transpose(
        2, 0, 1
    ),
    "every other pixel of more": lambda images: np.repeat(images, 2, axis=2)[:, :, ::2],
    "reversed": lambda images: images[::-1].copy()[::-1],
    "read only": lambda images: np.frombuffer(images.tobytes(), images.dtype).reshape(images.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["u1", ">f8", "f4", "<i4"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickled_arrays_in_other_layouts(layout, dtype, protocol, arrays, tmp_path):
    scale = 255 if "f" in dtype else 1
    parts = ((arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels))
    content = tuple((LAYOUTS[layout]((x / scale).astype(dtype)), y.astype(">i2")) for x, y in parts)
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(content, protocol))
    assert_holds(load(tmp_path, validation=3), arrays, 3)


def test_pickles_of_protocol_5_by_numpy_1(arrays, tmp_path):
    content = tuple(
        (x / 255, y)
        for x, y in (
            (arrays.train_images, arrays.train_labels),
            (arrays.test_images, arrays.test_labels),
        )
    )
    written = pickle.dumps(content, 5)
    # The length of a name stands before it; that of a frame does not matter.
    old = written.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
    (tmp_path / "mnist.pkl").write_bytes(old)
    assert_holds(load(tmp_path, validation=3), arrays, 3)


@pytest.mark.parametrize("name", ["mnist.npz", "stored.npz", "mnist.pkl"])
def test_arrays_are_contiguous_whatever_the_files_are(name, arrays, tmp_path):
    x_train, x_test = fortran(arrays.train_images), fortran(arrays.test_images)
    if name.endswith("npz"):
        save = np.savez if name == "stored.npz" else np.savez_compressed
        save(
            tmp_path / name,
            x_train=x_train,
            y_train=arrays.train_labels,
            x_test=x_test,
            y_test=arrays.test_labels,
        )
    else:
        (tmp_path / name).write_bytes(
            pickle.dumps(((x_train, arrays.train_labels), (x_test, arrays.test_labels)), 4)
        )
    assert_holds(load(tmp_path / name, validation=7), arrays, 7)
    flat = load(tmp_path / name, validation=7, flatten=False)
    assert all(split.x.flags.c_contiguous for split in (flat.train, flat.validation, flat.test))


@pytest.mark.parametrize("form", FORMATS)
def test_labels_that_are_all_alike_are_rejected(form, files, arrays, tmp_path):
    for part in ("train_labels", "test_labels"):
        labels = getattr(arrays, part)
        folder = tmp_path / part
        path = write(files, folder, arrays._replace(**{part: np.full_like(labels, 3)}), form)
        with pytest.raises(
            ValueError,
            match=r"every label is 3, so this is probably not the label data|every label is 3 if "
            r"column 1 holds the labels",
        ):
            datasets.mnist(path, validation=0)


@pytest.mark.parametrize("form", FORMATS)
def test_a_set_of_one_image(form, files, arrays, tmp_path):
    one = arrays._replace(test_images=arrays.test_images[:1], test_labels=arrays.test_labels[:1])
    assert_holds(load(write(files, tmp_path / "data", one, form), validation=0), one, 0)


def test_fractions_that_are_no_pixels_are_float32_or_rejected(files, arrays, tmp_path):
    parts = [(x * np.float32(0.7), y) for x, y in files.pickle_parts(arrays)]
    (tmp_path / "mnist.pkl").write_bytes(files.python2_pickle(parts))
    data = datasets.mnist(tmp_path, validation=0)
    assert data.train.x.dtype == data.test.x.dtype == np.float32
    np.testing.assert_array_equal(data.train.x, np.concatenate([parts[0][0], parts[1][0]]))
    with pytest.raises(
        ValueError,
        match="normalize=False returns uint8 images, but these are float32 and are not whole "
        "numbers divided by 255",
    ):
        datasets.mnist(tmp_path, validation=0, normalize=False)


def test_one_form_for_both_splits_of_an_npz(arrays, tmp_path):
    np.savez(
        tmp_path / "mnist.npz",
        x_train=arrays.train_images,
        y_train=arrays.train_labels,
        x_test=arrays.test_images.astype(np.float32) * np.float32(0.001),
        y_test=arrays.test_labels,
    )
    data = datasets.mnist(tmp_path, validation=0, normalize=True)
    assert data.train.x.dtype == data.test.x.dtype == np.float32
    np.testing.assert_array_equal(
        data.train.x, arrays.train_images.reshape(-1, 784) / np.float32(255)
    )


def test_idx_comes_first_and_a_part_of_it_does_not_count(files, arrays, few, tmp_path):
    files.npz(tmp_path / "mnist.npz", few)
    files.idx(tmp_path, arrays)
    assert_holds(load(tmp_path, validation=1), arrays, 1)
    (tmp_path / files.idx_names[3]).unlink()
    assert_holds(load(tmp_path, validation=1), few, 1)


def test_a_path_of_the_users_own_type_and_home(files, few, tmp_path, monkeypatch):
    class Own(os.PathLike):
        def __fspath__(self):
            return str(tmp_path)

    files.idx(tmp_path / "mnist", few)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_holds(load("~/mnist", validation=1), few, 1)
    files.idx(tmp_path, few)
    assert_holds(load(Own(), validation=1), few, 1)


def test_nothing_that_fits_is_one_error_with_what_was_found(tmp_path, files, few):
    with pytest.raises(FileNotFoundError, match=r"found nothing; expected the four IDX files"):
        datasets.mnist(tmp_path)
    files.idx(tmp_path, few, ".gz")
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"found t10k-images-idx3-ubyte\.gz, .*of the four IDX files, these are missing: "
        r"train-labels-idx1-ubyte; expected .*train-labels",
    ):
        datasets.mnist(tmp_path)
    for number in range(20):
        (tmp_path / f"a{number}").touch()
    with pytest.raises(FileNotFoundError, match=r"and 13 more"):
        datasets.mnist(tmp_path)


def test_a_path_to_nothing_and_to_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder; expected"):
        datasets.mnist(tmp_path / "nowhere")
    (tmp_path / "mnist.parquet").touch()
    with pytest.raises(ValueError, match=r"mnist\.parquet: unknown file format"):
        datasets.mnist(tmp_path / "mnist.parquet")
    (tmp_path / "train.csv.zip").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(
        ValueError,
        match=r"unknown file format \(it looks like a zip archive: unpack it and pass the file "
        r"inside\)",
    ):
        datasets.mnist(tmp_path / "train.csv.zip")
    with pytest.raises(TypeError):
        datasets.mnist(42)


@pytest.mark.parametrize(
    ("written", "missing"),
    [
        ("train-labels-idx1-ubyte (1).gz", 1),
        ("t10k-images.idx3-ubyte.gz.part", 2),
        ("train-images-idx3-ubyte(2)", 0),
    ],
)
def test_a_file_under_a_browsers_name_is_pointed_out(written, missing, files, few, tmp_path):
    files.idx(tmp_path, few)
    (tmp_path / files.idx_names[missing]).rename(tmp_path / written)
    with pytest.raises(
        FileNotFoundError,
        match=re.escape(
            f"of the four IDX files, these are missing: {files.idx_names[missing]}; rename "
            f"{written} if it "
            "is complete"
        ),
    ):
        datasets.mnist(tmp_path)


@pytest.mark.parametrize("below", ["MNIST/raw", "raw"])
def test_torchvisions_folder(below, files, few, tmp_path):
    files.idx(tmp_path / below, few)
    assert_holds(load(tmp_path, validation=1), few, 1)


def test_hints_at_what_is_in_a_folder(files, few, tmp_path):
    files.idx(tmp_path / "FashionMNIST" / "raw", few)
    files.idx(tmp_path / "idx", few)
    for name in ("archive.zip", "emnist-letters-train-images-idx3-ubyte.gz"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError) as caught:
        datasets.mnist(tmp_path)
    for hint in (
        "EMNIST is not supported: its images are transposed",
        "unpack archive.zip",
        "the four IDX files are in FashionMNIST/raw, idx: pass that folder",
    ):
        assert hint in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["mnist_train.csv.gz", "train.csv.gz", "fashion-mnist_train.csv", "fashion-mnist_train.csv.gz"],
)
def test_csv_files_of_other_names_are_found_in_their_folder(name, files, arrays, tmp_path):
    compress = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(
        compress(files.csv_bytes(arrays.train_images, arrays.train_labels))
    )
    (tmp_path / name.replace("train", "test")).write_bytes(
        compress(files.csv_bytes(arrays.test_images, arrays.test_labels))
    )
    assert_holds(load(tmp_path, validation=1), arrays, 1)
    assert_holds(load(tmp_path / name, validation=1), arrays, 1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["mnist.npz", "mnist.pkl.gz", "train.csv", "mnist.parquet"])
def test_a_pipe_is_rejected_before_it_can_hang(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is not a regular file"):
        datasets.mnist(tmp_path / name)
