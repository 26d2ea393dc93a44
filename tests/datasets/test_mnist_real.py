"""The real MNIST, where a folder of data files is named by CNET_DATA."""

import os
from pathlib import Path

import numpy as np
import pytest

from cnet import datasets

FOLDER = Path(os.environ.get("CNET_DATA", ""), "mnist")

pytestmark = pytest.mark.skipif(
    "CNET_DATA" not in os.environ or not (FOLDER / "t10k-images-idx3-ubyte.gz").is_file(),
    reason="CNET_DATA names no folder that holds MNIST's files in mnist/",
)


@pytest.fixture(scope="module")
def data():
    return datasets.mnist(normalize=False)


def test_shapes(data):
    assert data.train.x.shape == (55000, 784)
    assert data.validation.x.shape == (5000, 784)
    assert data.test.x.shape == (10000, 784)
    assert data.train.x.dtype == np.uint8


def test_labels(data):
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    labels = np.concatenate([data.train.y, data.validation.y])
    assert np.bincount(labels).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]
    assert np.bincount(data.test.y).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]


def test_pixels(data):
    # The mean and deviation that MNIST's users know; the last digits depend on the split.
    assert data.train.x.mean() / 255 == pytest.approx(0.1307, abs=3e-4)
    assert data.train.x.std() / 255 == pytest.approx(0.3081, abs=3e-4)
    assert data.test.x.max() == 255


def test_the_same_from_its_folder(data):
    again = datasets.mnist(FOLDER, validation=10000, flatten=False, normalize=False)
    assert again.train.x.shape == (50000, 1, 28, 28)
    np.testing.assert_array_equal(again.train.x.reshape(50000, 784), data.train.x[:50000])
    np.testing.assert_array_equal(again.test.y, data.test.y)


def test_standardized(data):
    x = datasets.mnist(standardize=True, normalize=False).train.x
    assert x.dtype == np.float32
    deviations = x.std(axis=0, dtype=np.float64)
    alive = data.train.x.max(axis=0) > 0
    np.testing.assert_allclose(x.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(deviations[alive], 1, rtol=1e-4)
    assert not x[:, ~alive].any()
