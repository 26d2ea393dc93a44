"""The same images load to the same arrays from every format, and a wrong place to look is named."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cnet import datasets

FORMATS = ("idx", "idx.gz", "idx dotted", "npz", "npz stored", "pkl.gz", "pkl.gz /255", "csv", "csv header")


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


def assert_holds(data, arrays, validation):
    cut = len(arrays.train_images) - validation
    images, labels = arrays.train_images.reshape(-1, 784), arrays.train_labels
    expected = [(images[:cut], labels[:cut]), (images[cut:], labels[cut:])]
    expected.append((arrays.test_images.reshape(-1, 784), arrays.test_labels))
    for split, (x, y) in zip((data.train, data.validation, data.test), expected, strict=True):
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int64
        assert split.x.flags.c_contiguous
        np.testing.assert_array_equal(split.x, x)
        np.testing.assert_array_equal(split.y, y)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_arrays(form, files, arrays, tmp_path):
    path = write(files, tmp_path / "data", arrays, form)
    assert_holds(datasets.mnist(path, validation=7, normalize=False), arrays, 7)
    assert_holds(datasets.mnist(str(path), validation=7, normalize=False), arrays, 7)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_found_in_its_folder(form, files, arrays, tmp_path):
    write(files, tmp_path / "data", arrays, form)
    assert_holds(datasets.mnist(tmp_path / "data", validation=1, normalize=False), arrays, 1)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("parts", [2, 3])
def test_pickles_of_python_3(protocol, parts, files, arrays, tmp_path):
    content = tuple(files.pickle_parts(arrays))
    if parts == 2:
        train, validation, test = content
        content = (tuple(np.concatenate(both) for both in zip(train, validation, strict=True)), test)
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(content, protocol))
    assert_holds(datasets.mnist(tmp_path, validation=3, normalize=False), arrays, 3)


def test_pickled_arrays_in_other_layouts(files, arrays, tmp_path):
    content = tuple(
        (np.asfortranarray(x.astype(">f8")).reshape(-1, 28, 28, order="A"), y.astype(">i2"))
        for x, y in ((arrays.train_images / 255, arrays.train_labels), (arrays.test_images / 255, arrays.test_labels))
    )
    (tmp_path / "mnist.pkl").write_bytes(pickle.dumps(content, 2))
    assert_holds(datasets.mnist(tmp_path, validation=3, normalize=False), arrays, 3)


def test_fractions_that_are_no_pixels_are_float32_or_refused(files, arrays, tmp_path):
    parts = [(x * np.float32(0.7), y) for x, y in files.pickle_parts(arrays)]
    (tmp_path / "mnist.pkl").write_bytes(files.python2_pickle(parts))
    data = datasets.mnist(tmp_path, validation=0)
    assert data.train.x.dtype == data.test.x.dtype == np.float32
    np.testing.assert_array_equal(data.train.x, np.concatenate([parts[0][0], parts[1][0]]))
    with pytest.raises(ValueError, match="normalize=False gives uint8 images, but these are float32, and not whole pixels divided by 255"):
        datasets.mnist(tmp_path, validation=0, normalize=False)


def test_one_form_for_both_splits_of_an_npz(arrays, tmp_path):
    np.savez(
        tmp_path / "mnist.npz",
        x_train=arrays.train_images,
        y_train=arrays.train_labels,
        x_test=arrays.test_images.astype(np.float32) * np.float32(0.001),
        y_test=arrays.test_labels,
    )
    data = datasets.mnist(tmp_path, validation=0)
    assert data.train.x.dtype == data.test.x.dtype == np.float32
    np.testing.assert_array_equal(data.train.x, arrays.train_images.reshape(-1, 784) / np.float32(255))


def test_idx_comes_first_and_a_part_of_it_does_not_count(files, arrays, few, tmp_path):
    files.npz(tmp_path / "mnist.npz", few)
    files.idx(tmp_path, arrays)
    assert_holds(datasets.mnist(tmp_path, validation=1, normalize=False), arrays, 1)
    (tmp_path / files.idx_names[3]).unlink()
    assert_holds(datasets.mnist(tmp_path, validation=1, normalize=False), few, 1)


def test_a_path_of_the_users_own_type_and_home(files, few, tmp_path, monkeypatch):
    class Own(os.PathLike):
        def __fspath__(self):
            return str(tmp_path)

    files.idx(tmp_path / "mnist", few)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_holds(datasets.mnist("~/mnist", validation=1, normalize=False), few, 1)
    files.idx(tmp_path, few)
    assert_holds(datasets.mnist(Own(), validation=1, normalize=False), few, 1)


def test_nothing_that_fits_is_one_error_with_what_was_found(tmp_path, files, few):
    with pytest.raises(FileNotFoundError, match=r"found nothing; expected the four IDX files"):
        datasets.mnist(tmp_path, normalize=False)
    files.idx(tmp_path, few, ".gz")
    (tmp_path / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"found t10k-images-idx3-ubyte\.gz, .*expected .*train-labels"):
        datasets.mnist(tmp_path, normalize=False)
    for number in range(20):
        (tmp_path / f"a{number}").touch()
    with pytest.raises(FileNotFoundError, match=r"and 13 more"):
        datasets.mnist(tmp_path, normalize=False)


def test_a_path_to_nothing_and_to_something_else(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: there is no such file or folder; expected"):
        datasets.mnist(tmp_path / "nowhere", normalize=False)
    (tmp_path / "mnist.parquet").touch()
    with pytest.raises(ValueError, match=r"mnist\.parquet: is a file of another kind"):
        datasets.mnist(tmp_path / "mnist.parquet", normalize=False)
    with pytest.raises(TypeError):
        datasets.mnist(42, normalize=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["mnist.npz", "mnist.pkl.gz", "train.csv"])
def test_a_pipe_is_refused_before_it_can_hang(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match="is not a regular file"):
        datasets.mnist(tmp_path / name, normalize=False)
