"""Pickles that would run code, take memory, or simply hold something else."""

import builtins
import gzip
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest

from cnet import datasets
from cnet.datasets import _pickle


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def command(tmp_path):
    return f"echo > {tmp_path / 'executed'}"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, command),
        (builtins.eval, lambda folder: f"open({str(folder / 'executed')!r}, 'w')"),
        (builtins.exec, lambda folder: f"open({str(folder / 'executed')!r}, 'w')"),
        (subprocess.getoutput, command),
        (builtins.open, lambda folder: (str(folder / "executed"), "w")),
        (np.load, lambda folder: (str(folder / "executed"), "w+", True)),
        (np.memmap, lambda folder: (str(folder / "executed"), "u1", "w+", 0, 10)),
        (builtins.getattr, lambda folder: (np.ndarray, "tofile")),
        (pickle.loads, lambda folder: pickle.dumps(Call(os.system, command(folder)))),
    ],
)
def test_nothing_is_called(function, arguments, protocol, rejected, tmp_path, recwarn):
    given = arguments(tmp_path)
    given = given if isinstance(given, tuple) else (given,)
    hidden = (np.zeros((1, 784), np.float32), Call(function, *given))
    for payload in (Call(function, *given), (hidden, hidden)):
        for content in (
            pickle.dumps(payload, protocol),
            gzip.compress(pickle.dumps(payload, protocol)),
        ):
            assert "is not a pickle of MNIST's arrays: it " in rejected("mnist.pkl.gz", content)
            assert not (tmp_path / "executed").exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
ARRAY = RECONSTRUCT + b"(cnumpy\nndarray\n(K\x00tU\x01btR"
BYTE = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
FLOAT = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR"


BUFFER = b"cnumpy._core.numeric\n_frombuffer\n"
WORD = b"C\x04" + bytes(4)


def text(data):
    return b"U" + bytes([len(data)]) + data


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"cos\nsystem\n", "refers to 'os.system', but only NumPy arrays are read from a pickle"),
        (b"\x8c\x02os\x8c\x06system\x93", "refers to 'os.system', but only"),
        (b"K\x01K\x02\x93", "refers to a global by something that is not a name"),
        (b"cnumpy.core.multiarray\nscalar\n", "refers to 'numpy.core.multiarray.scalar'"),
        (b"cnumpy\nndarray\n.__class__\n", "should end after"),
        (b"(ios\nsystem\n", "uses the operation INST"),
        (b"(cos\nsystem\no", "refers to 'os.system'"),
        (b"(U\x01ao", "uses the operation OBJ"),
        (b"\x82\x01", "uses the operation EXT1"),
        (b"Pname\n", "uses the operation PERSID"),
        (b"U\x01aQ", "uses the operation BINPERSID"),
        (b"cnumpy\nndarray\n)\x81", "uses the operation NEWOBJ"),
        (b"cnumpy\nndarray\n)}\x92", "uses the operation EMPTY_DICT"),
        (b"cnumpy\nndarray\n)R", "makes a call that does not build an array"),
        (b"U\x01a)R", "makes a call that does not build"),
        (b"c_codecs\nencode\n(U\x01aU\x03rottR", "makes a call that does not build"),
        (
            b"c_codecs\nencode\n(X\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1tR",
            "can't encode character",
        ),
        (RECONSTRUCT + b"(U\x07ndarray(K\x00tU\x01btR", "expected an empty ndarray to fill"),
        (
            RECONSTRUCT + b"(cnumpy\nndarray\n(J\xff\xff\xff\x7ftU\x01btR",
            "expected an empty ndarray to fill",
        ),
        (RECONSTRUCT + b"(cnumpy\ndtype\n(K\x00tU\x01btR", "expected an empty ndarray to fill"),
        (
            b"cnumpy\ndtype\n(U\x01OK\x00K\x01tR",
            "expected a dtype of plain integers or floating-point numbers",
        ),
        (b"cnumpy\ndtype\n(U\x02M8K\x00K\x01tR", "expected a dtype of plain"),
        (b"cnumpy\ndtype\n(U\x06f4,O,OK\x00K\x01tR", "expected a dtype of plain"),
        (
            FLOAT + b"(K\x03U\x01<NU\x01aNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            "expected a plain dtype with a byte order",
        ),
        (FLOAT + b"U\x01ab", "expected a plain dtype"),
        (b"U\x01aU\x01bb", "sets the state of a str"),
        (b"cnumpy\nndarray\nNb", "sets the state of a _Name"),
        (b"cnumpy\nndarray\n(NNtb", "sets the state of a _Name"),
        (
            ARRAY + b"(K\x01(K\x01K\x01t" + FLOAT + b"I00\n" + text(bytes(5)) + b"tb",
            "takes 4 bytes, got 5",
        ),
        (
            ARRAY + b"(K\x01(K\x01K\x02t" + FLOAT + b"I00\n" + text(bytes(4)) + b"tb",
            "takes 8 bytes, got 4",
        ),
        (
            ARRAY
            + b"(K\x01(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft"
            + FLOAT
            + b"I00\n"
            + text(b"")
            + b"tb",
            "expected a shape",
        ),
        (
            ARRAY
            + b"(K\x01(J\x80\x96\x98\x00J\x80\x96\x98\x00t"
            + FLOAT
            + b"I00\n"
            + text(b"")
            + b"tb",
            "takes 400000000000000 bytes, got 0",
        ),
        (
            ARRAY
            + b"(K\x01(J\xff\xff\xff\xffJ\xff\xff\xff\xfft"
            + FLOAT
            + b"I00\n"
            + text(bytes(4))
            + b"tb",
            "expected a shape",
        ),
        (
            ARRAY
            + b"(K\x01(\x8a\xff"
            + b"\x7f" * 255
            + b"K\x01t"
            + FLOAT
            + b"I00\n"
            + text(b"")
            + b"tb",
            "expected a shape",
        ),
        (
            ARRAY + b"(K\x01(" + b"K\x01" * 4 + b"t" + FLOAT + b"I00\n" + text(b"") + b"tb",
            "shape of at most 3",
        ),
        (
            ARRAY + b"(K\x01(U\x01at" + FLOAT + b"I00\n" + text(b"") + b"tb",
            "shape of at most 3 numbers",
        ),
        (
            ARRAY + b"(K\x01(K\x01tNI00\n" + text(b"") + b"tb",
            "expected an array's version, shape, dtype",
        ),
        (
            ARRAY + b"(K\x01(K\x01t" + FLOAT + b"I00\nNtb",
            "expected an array's version, shape, dtype",
        ),
        (
            ARRAY + b"(K\x01(K\x01t" + FLOAT + b"I00\n(Nttb",
            "expected an array's version, shape, dtype",
        ),
        (b"R", "pops a value from an empty stack"),
        (b"t", "is not a pickle of MNIST's arrays"),
        (b"K\x01\x86", "pops a value from an empty stack"),
        (b"h\x07", "is not a pickle of MNIST's arrays"),
        (b"q\x07", "is not a pickle of MNIST's arrays"),
        (b"K\x01" * 1001, "expected at most 1000 operations"),
        (b"U\xffabc", "should take 255 bytes, but the file holds at most"),
        (b"T\xff\xff\xff\x00abc", "should take 16777215 bytes, but the file holds at most"),
        (b"T\xff\xff\xff\x7fabc", "holds more than 268435456 bytes, the limit for a pickle"),
        (b"T\xff\xff\xff\xffabc", "byte count < 0"),
        (
            b"\x8e" + struct.pack("<Q", 2**40),
            "holds more than 268435456 bytes, the limit for a pickle",
        ),
        (b"\x8e" + struct.pack("<Q", 2**64 - 1), "bytes8 byte count > sys.maxsize"),
        (
            b"\x96" + struct.pack("<Q", 2**40),
            "holds more than 268435456 bytes, the limit for a pickle",
        ),
        (b"c" + b"a" * 300 + b"\nb\n", "holds a name of more than 256 bytes"),
        (b"cnumpy\nnd\\u\n", "holds a name with a backslash"),
        (b"\xff", "is not a pickle of MNIST's arrays: at position"),
        (b"", "expected two or three (x, y) tuples"),
        (
            b"(dp0\n",
            "uses the operation DICT, so it contains a dict, expected a tuple of two or three (x, "
            "y) tuples",
        ),
        (b"]q\x00", "uses the operation EMPTY_LIST, so it contains a list, expected a tuple"),
        (
            b"S'text'\n",
            "uses the operation STRING, so it is a pickle of protocol 0, a text format: save it "
            "again with pickle.dump",
        ),
        (b"Vtext\n", "uses the operation UNICODE, so it is a pickle of protocol 0"),
        (
            b"\x97",
            "uses the operation NEXT_BUFFER, so its arrays are in external buffers: save it again",
        ),
        (
            BUFFER + b"(U\x04\x00\x00\x00\x00" + FLOAT + b"(K\x01K\x01tU\x01CtR",
            "expected an array's bytes, dtype, shape and order",
        ),
        (
            BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x01tU\x01AtR",
            "expected an array's bytes, dtype, shape and order",
        ),
        (
            BUFFER + b"(" + WORD + b"N(K\x01K\x01tU\x01CtR",
            "expected an array's bytes, dtype, shape and order",
        ),
        (
            BUFFER + b"(" + WORD + FLOAT + b"K\x01U\x01CtR",
            "expected an array's bytes, dtype, shape and order",
        ),
        (BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x02tU\x01CtR", "takes 8 bytes, got 4"),
        (BUFFER + b"(" + WORD + FLOAT + b"(J\xff\xff\xff\xffK\x01tU\x01CtR", "expected a shape"),
        (BUFFER + b"(" + WORD + FLOAT + b"(J\xff\xff\xff\x7fK\x00tU\x01CtR", "expected a shape"),
        (
            BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x01tU\x01K(K\x00K\x00ttR",
            "expected a permutation of the array's axes",
        ),
        (
            BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x01tU\x01K(NNttR",
            "expected a permutation of the array's axes",
        ),
        (
            BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x01tU\x01K(K\x00ttR",
            "expected a permutation of the array's axes",
        ),
        (
            BUFFER + b"(" + WORD + FLOAT + b"(K\x01K\x01tU\x01CtR(NNtb",
            "expected an array's version, shape",
        ),
    ],
)
def test_what_no_such_file_needs(body, expected, rejected):
    if not body:
        body = b"N"
    for protocol in (b"", b"\x80\x02", b"\x80\x04"):
        assert expected in rejected("mnist.pkl", protocol + body + b".")


def test_no_stop_and_more_after_it(files, few, rejected):
    content = files.python2_pickle(files.pickle_parts(few))
    assert "bytes, but the file holds at most 0" in rejected("mnist.pkl", content[:-1])
    assert "should end after" in rejected("mnist.pkl", content + b".")
    assert "bytes, but the file holds at most 0" in rejected("mnist.pkl", b"")


@pytest.mark.parametrize("store", [b"r\xff\xff\xff\xff", b"p99999999999\n"])
def test_a_far_memo_index_takes_no_memory(store, files, few, tmp_path):
    content = files.python2_pickle(files.pickle_parts(few))
    (tmp_path / "mnist.pkl").write_bytes(content[:-1] + store + b".")
    assert len(datasets.mnist(tmp_path, validation=0, normalize=False).train.x) == 6


def test_a_value_nested_in_itself_again_and_again(rejected):
    doubled = b"".join(b"q\x01h\x01h\x01\x86" for _ in range(90))
    for end in (b".", b"U\x01a\x93.", b"U\x01aR.", b"cnumpy\ndtype\nh\x01R.", ARRAY + b"h\x01b."):
        assert "mnist.pkl" in rejected("mnist.pkl", b"\x80\x02)" + doubled + end)


@pytest.mark.parametrize(
    "use",
    [
        b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R",
        ARRAY + b"(K\x01(J\xa0\x86\x01\x00t" + BYTE + b"I00\nh\x01tb",
    ],
)
def test_one_string_used_again_and_again(use, rejected, monkeypatch):
    monkeypatch.setattr(_pickle, "_MAX_BYTES", 1_000_000)
    string = b"T" + struct.pack("<i", 100_000) + bytes(100_000) + b"q\x01"
    assert "expected two or three" in rejected("mnist.pkl", b"\x80\x02" + string + use * 10 + b".")
    assert "its strings take more than 1000000 bytes in total" in rejected(
        "mnist.pkl", b"\x80\x02" + string + use * 11 + b"."
    )


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((3, 783), np.float32), np.zeros(3, int), "images of shape (3, 783), expected"),
        (np.full((3, 784), 7, np.int16), np.zeros(3, int), "pixels from 7 to 7, expected"),
        (
            np.full((3, 784), 2, np.float32),
            np.zeros(3, int),
            "pixels from 2.0 to 2.0, expected floating-point values from 0 to 1",
        ),
        (
            np.full((3, 784), np.inf, np.float32),
            np.zeros(3, int),
            "pixels from inf to inf, expected floating-point values from 0 to 1",
        ),
        (
            np.zeros((3, 784), np.float32),
            np.zeros((3, 10), int),
            "labels of shape (3, 10), expected (n,)",
        ),
        (
            np.zeros((3, 784), np.float32),
            np.array([0, 0.5, 1]),
            "label 1 (counted from 0) is 0.5",
        ),
        (
            np.zeros((3, 784), np.float32),
            np.full(3, 4),
            "every label is 4, so this is probably not the label data",
        ),
        (
            np.arange(3),
            np.zeros((3, 784), np.float32),
            "images of shape (3,), expected (n, 28, 28) or (n, 784): these look like labels",
        ),
        (
            np.zeros((3, 784), np.float32),
            np.zeros(4, int),
            "4 labels, expected one for each of the 3 images",
        ),
        (
            np.zeros((3, 784), np.float32),
            np.array([1, 11, 0]),
            "label 1 (counted from 0) is 11",
        ),
        (np.zeros((0, 784), np.float32), np.zeros(0, int), "holds 0 images or labels"),
    ],
)
def test_arrays_that_are_no_images_or_labels(x, y, expected, files, few, rejected):
    parts = files.pickle_parts(few)
    assert expected in rejected("mnist.pkl", files.python2_pickle([(x, y), *parts[1:]]))
    assert expected in rejected("mnist.pkl", files.python2_pickle([*parts[:2], (x, y)]))


@pytest.mark.parametrize("content", [None, (), ((), ()), (1, 2, 3), "text", (b"x", b"y")])
def test_other_values(content, rejected):
    assert "expected two or three (x, y) tuples of arrays" in rejected(
        "mnist.pkl", pickle.dumps(content, 3)
    )
