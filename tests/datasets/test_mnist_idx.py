"""IDX files that are not what they should be."""

import gzip
import struct

import numpy as np
import pytest

from cnet import datasets

IMAGES, LABELS = 0, 1


@pytest.fixture
def rejected(files, few, tmp_path):
    """Replace one of four good files and give the message of the ValueError that must come of
    it.
    """

    def load(which, content, ending=""):
        folder = files.idx(tmp_path / "mnist", few)
        path = folder / files.idx_names[which]
        path.unlink()
        path = path.with_name(path.name + ending)
        path.write_bytes(content)
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller looks at the message
            datasets.mnist(folder, validation=0, normalize=False)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return load


def header(*sizes, magic=None):
    return (magic or bytes([0, 0, 8, len(sizes)])) + struct.pack(f">{len(sizes)}I", *sizes)


@pytest.mark.parametrize(
    "magic",
    [b"\0\0\x08\x01", b"\0\0\x0d\x03", b"\0\x01\x08\x03", b"PK\x03\x04", b"\x03\x08\0\0", b"<htm"],
)
def test_another_magic_number(magic, rejected):
    message = rejected(IMAGES, header(6, 28, 28, magic=magic) + bytes(6 * 784))
    assert f"starts with the bytes {magic.hex(' ')}, expected 00 00 08 03" in message


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html>\n<html>", "an HTML page: the download failed, download the file again"),
        (b"\xef\xbb\xbf\n <HTML lang='en'>", "an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "an XML file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "a Git LFS pointer instead of the file",
        ),
        (b"PK\x03\x04" + bytes(30), "a zip archive: unpack it and pass the file inside"),
        (gzip.compress(gzip.compress(b"twice")), "gzip data: unpack it with gunzip"),
        (b"BZh91AY", "compressed with bzip2: unpack it"),
        (bytes(257) + b"ustar" + bytes(250), "a tar archive: unpack it"),
    ],
    ids=["HTML", "HTML with a BOM", "XML", "Git LFS", "zip", "gzip", "bzip2", "tar"],
)
def test_another_kind_of_file(content, kind, rejected):
    assert f"; it looks like {kind}" in rejected(IMAGES, content)
    assert f"; it looks like {kind}" in rejected(LABELS, gzip.compress(content), ".gz")


def test_labels_in_place_of_images(files, few, rejected):
    message = rejected(LABELS, files.idx_bytes(few.train_images))
    assert (
        "expected 00 00 08 01 (IDX, unsigned bytes, dimensions: 1); it looks like an IDX file of "
        "images"
    ) in message
    assert "it looks like an IDX file of labels" in rejected(
        IMAGES, files.idx_bytes(few.train_labels)
    )


@pytest.mark.parametrize(
    "broken", [b"", b"<html>", bytes(100)], ids=["nothing", "HTML", "zero bytes"]
)
def test_a_broken_file_that_hides_a_good_one(broken, files, few, rejected, tmp_path):
    files.idx(tmp_path / "mnist", few, ".gz")
    message = rejected(IMAGES, broken)
    assert (
        "to read train-images-idx3-ubyte.gz in the same folder instead, remove this file" in message
    )


def test_labels_of_another_set(files, few, rejected):
    message = rejected(LABELS, files.idx_bytes(few.test_labels))
    assert "2 labels, expected one for each of the 6 images in" in message


def test_zeros_and_ones_are_black_and_white(files, few, tmp_path):
    arrays = few._replace(train_images=few.train_images // 128, test_images=few.test_images // 128)
    data = datasets.mnist(files.idx(tmp_path, arrays), validation=0, normalize=False)
    np.testing.assert_array_equal(data.train.x, arrays.train_images.reshape(-1, 784) * 255)
    np.testing.assert_array_equal(data.test.x, arrays.test_images.reshape(-1, 784) * 255)


@pytest.mark.parametrize(
    "sizes", [(6, 28, 27), (6, 0, 0), (6, 32, 32), (6, 65536, 65536), (6, 784, 1)]
)
def test_images_of_another_size(sizes, rejected):
    message = rejected(IMAGES, header(*sizes) + bytes(6 * 784))
    assert f"images of shape ({sizes[1]}, {sizes[2]}), expected (28, 28)" in message


@pytest.mark.parametrize("count", [0, 10_000_001, 2**32 - 1])
def test_an_absurd_count(count, rejected):
    assert f"holds {count} images or labels, expected 1 to 10000000" in rejected(
        IMAGES, header(count, 28, 28)
    )
    assert f"holds {count} images or labels, expected 1 to 10000000" in rejected(
        LABELS, header(count)
    )


@pytest.mark.parametrize("missing", [1, 784, 6 * 784])
def test_a_file_cut_short(missing, files, few, rejected):
    content = files.idx_bytes(few.train_images)[:-missing]
    assert (
        f"the data should take 4704 bytes, but the file holds at most {4704 - missing}"
        in rejected(IMAGES, content)
    )
    message = rejected(IMAGES, gzip.compress(content), ".gz")
    assert f"the data should take 4704 bytes, but the file ends after {4704 - missing}" in message


@pytest.mark.parametrize("length", range(16))
def test_a_header_cut_short(length, files, few, rejected):
    content = files.idx_bytes(few.train_images)[:length]
    assert "bytes, but the file holds at most" in rejected(IMAGES, content)
    assert "bytes, but the file ends after" in rejected(IMAGES, gzip.compress(content), ".gz")


def test_bytes_after_the_data(files, few, rejected):
    content = files.idx_bytes(few.train_images)
    assert "should end after 4720 bytes, but has more" in rejected(IMAGES, content + b"\0")
    assert "should end after 4720 bytes, but has more" in rejected(
        IMAGES, gzip.compress(content + b"\0"), ".gz"
    )
    assert "damaged: Not a gzipped file" in rejected(
        IMAGES, gzip.compress(content) + b"junk", ".gz"
    )


@pytest.mark.parametrize("kept", [3, 12, 200, -1, -8])
def test_a_gzip_file_cut_short(kept, files, few, rejected):
    content = gzip.compress(files.idx_bytes(few.train_images))[:kept]
    assert "the compressed data are damaged" in rejected(IMAGES, content, ".gz")


def test_a_gzip_file_with_a_flipped_bit(files, few, rejected):
    content = bytearray(gzip.compress(files.idx_bytes(few.train_labels)))
    content[-6] ^= 1
    assert "the compressed data are damaged: CRC check failed" in rejected(
        LABELS, bytes(content), ".gz"
    )


@pytest.mark.parametrize("count", [5, 7])
def test_as_many_labels_as_images(count, files, few, rejected):
    message = rejected(LABELS, files.idx_bytes(np.zeros(count, np.uint8)))
    assert f"{count} labels, expected one for each of the 6 images in" in message


def test_labels_are_digits(files, rejected):
    message = rejected(LABELS, files.idx_bytes(np.array([0, 9, 3, 10, 255, 1], np.uint8)))
    assert (
        "label 3 (counted from 0) is 10, expected 0 to 9; the labels range from 0 to 255, but "
        "only data sets of 10 classes are supported"
    ) in message
