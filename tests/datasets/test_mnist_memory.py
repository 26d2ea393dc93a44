"""Files that claim or expand to far more than they hold are rejected within a few megabytes of
memory.
"""

import gzip
import io
import os
import struct
import subprocess
import sys
import zipfile

import pytest

LIMIT_MEGABYTES = 64
SCRIPT = f"""
import resource, sys
from cnet import datasets
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + ({LIMIT_MEGABYTES} << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    datasets.mnist(sys.argv[1], validation=0, normalize=False)
except ValueError as error:
    print(error)
"""
U1 = "{{'descr': '|u1', 'fortran_order': False, 'shape': ({}, 28, 28), }}"
# A bomb of 1.5 MB that expands to 1.5 GB.
EXPANDED = 1500


def idx_header(count):
    return bytes([0, 0, 8, 3]) + struct.pack(">III", count, 28, 28)


def bomb_that_keeps_its_promise(files, folder):
    images = (EXPANDED << 20) // 784
    return files.gzip_bomb(idx_header(images), EXPANDED), "the file holds at most"


def bomb_that_expands_to_more(files, folder):
    return files.gzip_bomb(
        idx_header(60_000), EXPANDED
    ), "should end after 47040016 bytes, but has more"


def header_of_ten_million(files, folder):
    return gzip.compress(idx_header(10_000_000)), "the file holds at most"


def header_of_four_billion(files, folder):
    return idx_header(2**32 - 1), "holds 4294967295 images or labels"


def sparse_file(files, folder):
    path = folder / "sparse"
    path.write_bytes(idx_header(1000))
    os.truncate(path, 1 << 40)
    return path, "should end after 784016 bytes, but has more"


IDX = [
    bomb_that_keeps_its_promise,
    bomb_that_expands_to_more,
    header_of_ten_million,
    header_of_four_billion,
    sparse_file,
]


def npz_bomb(files, folder):
    images = (EXPANDED << 20) // 784
    data, size = files.zip_bomb(files.npy_bytes(U1.format(images)), EXPANDED)
    return "mnist.npz", files.zip_bytes({"x_train.npy": (data, size, 8)}), "the file holds at most"


def npz_that_expands_to_more(files, folder):
    data, size = files.zip_bomb(files.npy_bytes(U1.format(1000)), EXPANDED)
    return "mnist.npz", files.zip_bytes({"x_train.npy": (data, size, 8)}), "but has more"


def npz_header_of_ten_million(files, folder):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x_train.npy", files.npy_bytes(U1.format(10_000_000)))
    return "mnist.npz", stream.getvalue(), "the file holds at most"


def pickle_bomb(files, folder):
    start = b"\x80\x02T" + struct.pack("<i", EXPANDED << 20)
    return "mnist.pkl.gz", files.gzip_bomb(start, EXPANDED), "holds more than 268435456 bytes"


def pickle_of_one_large_string(files, folder):
    start = b"\x80\x02T" + struct.pack("<i", 200 << 20)
    return "mnist.pkl.gz", files.gzip_bomb(start, 10), "the file holds at most"


def pickle_of_large_bytes(files, folder):
    return (
        "mnist.pkl",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40),
        "holds more than 268435456 bytes",
    )


def pickle_of_a_large_frame(files, folder):
    return (
        "mnist.pkl",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
        "expected two or three",
    )


def pickle_memo_bomb(files, folder):
    return "mnist.pkl", b"\x80\x02Nr\xff\xff\xff\xff.", "expected two or three"


def csv_bomb(files, folder):
    return "train.csv", files.gzip_bomb(b"", EXPANDED), "line 1 has more than"


def csv_of_newlines(files, folder):
    return "train.csv", b"\n" * (30 << 20), "holds 0 images"


FILES = [
    *(npz_bomb, npz_that_expands_to_more, npz_header_of_ten_million),
    *(
        pickle_bomb,
        pickle_of_one_large_string,
        pickle_of_large_bytes,
        pickle_of_a_large_frame,
        pickle_memo_bomb,
    ),
    *(csv_bomb, csv_of_newlines),
]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux both limits a process's memory and shows it"
)


def load_within_the_limit(path):
    """What the ValueError said; anything else, a MemoryError above all, fails."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", SCRIPT, path]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("make", IDX)
def test_idx(make, files, few, tmp_path):
    folder = files.idx(tmp_path / "mnist", few)
    content, expected = make(files, tmp_path)
    path = folder / files.idx_names[0]
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content.rename(path)
    assert expected in load_within_the_limit(folder)


@pytest.mark.parametrize("make", FILES)
def test_file(make, files, tmp_path):
    name, content, expected = make(files, tmp_path)
    (tmp_path / name).write_bytes(content)
    assert expected in load_within_the_limit(tmp_path / name)


def test_the_limit_is_felt(files, tmp_path):
    """A good file that needs more memory than the limit fails, so the limit is real."""
    arrays = files.arrays(100_000, 1)
    path = files.npz(tmp_path / "mnist.npz", arrays, compressed=False)
    with pytest.raises(AssertionError, match="MemoryError"):
        load_within_the_limit(path)
