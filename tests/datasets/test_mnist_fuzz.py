"""Files damaged at random load to sound arrays or raise a ValueError that names them, and do
nothing else.
"""

import gzip
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import datasets

NAMES = (
    "mnist.npz",
    "stored/mnist.npz",
    "mnist.pkl",
    "mnist.pkl.gz",
    "protocol5/mnist.pkl",
    "train.csv",
    "plain/train.csv",
    "images",
    "images.gz",
    "labels",
)


@pytest.fixture(scope="module")
def original(files, tmp_path_factory):
    """The bytes of a good file of each name: through a function, so that hypothesis does not print
    them all.
    """
    arrays = files.arrays(3, 2)
    folder = tmp_path_factory.mktemp("good")
    pickled = files.python2_pickle(files.pickle_parts(arrays))
    images, labels = (files.idx_bytes(array) for array in arrays[:2])
    contents = {
        "mnist.npz": files.npz(folder / "a.npz", arrays).read_bytes(),
        "stored/mnist.npz": files.npz(folder / "b.npz", arrays, compressed=False).read_bytes(),
        "mnist.pkl": pickled,
        "mnist.pkl.gz": gzip.compress(pickled),
        "protocol5/mnist.pkl": pickle.dumps(tuple(files.pickle_parts(arrays)), 5),
        "train.csv": files.csv_bytes(arrays.train_images, arrays.train_labels, header=True),
        "plain/train.csv": files.csv_bytes(arrays.train_images, arrays.train_labels),
        "images": images,
        "images.gz": gzip.compress(images),
        "labels": labels,
    }
    return lambda name: contents[name]


@pytest.fixture(scope="module")
def load(files, tmp_path_factory):
    """Load one file, or one of four IDX files whose others are good."""
    folder = tmp_path_factory.mktemp("damaged")
    index = {"images": 0, "images.gz": 0, "labels": 1}

    def load(name, content):
        if name in index:
            files.idx(folder, files.arrays(3, 2))
            path = folder / files.idx_names[index[name]]
            path.write_bytes(content)
            return path, folder
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path, path

    return load


def check(path, given_path):
    try:
        data = datasets.mnist(given_path, validation=0)
    except ValueError as error:
        message = str(error)
    else:
        assert data.train.x.dtype in (np.uint8, np.float32)
        assert data.train.x.shape == (len(data.train.y), 784)
        assert set(data.train.y) <= set(range(10))
        return
    assert message.startswith(str(path))
    assert len(message) < 1000


# Headers lie at the start of a file, checksums and a zip's directory at the end.
REGIONS = {
    "start": lambda offset, size: offset % max(1, min(size, 300)),
    "end": lambda offset, size: size - offset % max(1, min(size, 300)),
    "any": lambda offset, size: offset % max(1, size),
}
EDIT = st.tuples(
    st.sampled_from(sorted(REGIONS)),
    st.integers(0, 10**6),
    st.sampled_from([0, 1, 2, 4, 100]),
    st.binary(max_size=8),
)


# A damaged .npy header makes NumPy warn before it rejects.
@pytest.mark.filterwarnings(
    "ignore:Reading `.npy` or `.npz` file required additional header parsing"
)
@pytest.mark.parametrize("name", NAMES)
@given(edits=st.lists(EDIT, min_size=1, max_size=3), kept=st.one_of(st.just(1), st.floats(0, 1)))
@settings(max_examples=100, deadline=None)
def test_random_edits(name, edits, kept, original, load):
    content = bytearray(original(name))
    for region, offset, removed, inserted in edits:
        start = REGIONS[region](offset, len(content))
        content[start : start + removed] = inserted
    check(*load(name, bytes(content[: int(kept * len(content))])))


@pytest.mark.parametrize("name", NAMES)
@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes(name, content, load):
    check(*load(name, content))


@given(content=st.binary(max_size=100))
@settings(deadline=None)
def test_random_bytes_after_a_pickles_start(content, load):
    check(
        *load(
            "mnist.pkl",
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + content,
        )
    )
