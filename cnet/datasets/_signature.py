"""Recognition, by the first bytes, of file types that are often mistaken for data files."""

from __future__ import annotations

# Number of bytes that `kind_of` needs.
START = 512

_UNPACK = "unpack it and pass the file inside"
_FETCH = "the download failed, download the file again"
_TEXTS = (
    (b"<!doctype html", f"an HTML page: {_FETCH}"),
    (b"<html", f"an HTML page: {_FETCH}"),
    (b"<head", f"an HTML page: {_FETCH}"),
    (b"<svg", "an SVG drawing: export it as PNG"),
    (b"<?xml", "an XML file"),
    (b"<", "an HTML or XML file"),
    (b"{", "a JSON file"),
    (
        b"version https://git-lfs",
        "a Git LFS pointer instead of the file: get the file itself with git lfs pull",
    ),
)
_BYTES = (
    (b"PK\x03\x04", f"a zip archive: {_UNPACK}"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "gzip data: unpack it with gunzip"),
    (b"BZh", f"compressed with bzip2: {_UNPACK}"),
    (b"\xfd7zXZ\x00", f"compressed with xz: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"compressed with Zstandard: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!", f"a RAR archive: {_UNPACK}"),
    (b"\xff\xfe", "UTF-16 text: save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text: save it as UTF-8"),
    (b"\x00\x00\x08\x01", "an IDX file of labels"),
    (b"\x00\x00\x08\x03", "an IDX file of images"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document: export the page as PNG"),
    (b"PAR1", "a Parquet file"),
    (b"MATLAB", "a MATLAB file"),
    (b"SQLite", "an SQLite database"),
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TAR = slice(257, 262)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def kind_of(start: bytes) -> str | None:
    """Describe a file by its first bytes, with a remedy if there is one; None for an unknown type.

    Parameters
    ----------
    start : bytes
        The first `START` bytes of the file, after decompression, or all of a shorter one.

    Examples
    --------
    >>> kind_of(b"<!DOCTYPE html><html>")
    'an HTML page: the download failed, download the file again'
    >>> kind_of(b"5,0,0,0") is None
    True
    """
    if start[_TAR] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        return "a HEIC photo: export it as JPEG or PNG"
    text = start.removeprefix(_BYTE_ORDER_MARK).lstrip().lower()
    for mark, kind in _TEXTS:
        if text.startswith(mark):
            return kind
    for mark, kind in _BYTES:
        if start.startswith(mark):
            return kind
    return None
