"""Kinds of files, told apart by their first bytes: for the error that a file of another kind gets.
Nothing is parsed or executed.
"""

import os

_LOOKED_AT = 512
"""Bytes at the beginning of a file."""
_TO_STATE = "and pass its arrays to model.load_state_dict"
_PYTORCH = (
    "a PyTorch file",
    f"read it with torch.load, {_TO_STATE}, or a whole module to cnet.from_torch",
)
_KERAS = "a Keras file", f"read it with Keras, {_TO_STATE}"
_WEB_PAGE = (
    "the download brought a page in place of the file: download it again, from the address of "
    "the file itself"
)
_COMPRESSED = "decompress it first"
_TEXT = {*b"\t\n\f\r", *range(32, 127)}
_KINDS: list[tuple[bytes, str, str]] = [
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", *_PYTORCH),  # as before version 1.6
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file, such as Keras writes",
        f"read it with Keras or h5py, {_TO_STATE}",
    ),
    (b"\x93NUMPY", "a NumPy file", f"read it with numpy.load, {_TO_STATE}"),
    (
        b"version https://git-lfs",
        "a git-LFS pointer, which stands for the file",
        "get the file itself with: git lfs pull",
    ),
    (b"\x1f\x8b", "a gzip file", _COMPRESSED),
    (b"BZh", "a bzip2 file", _COMPRESSED),
    (b"\xfd7zXZ\x00", "an xz file", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _COMPRESSED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _COMPRESSED),
    (b"GGUF", "a GGUF file", ""),
    (b"PAR1", "a Parquet file", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"%PDF", "a PDF file", ""),
    (b"\x7fELF", "a program", ""),
]


def kind_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the kind of a file by its contents, and advice; both are empty for unknown kinds."""
    with open(path, "rb") as file:
        head = file.read(_LOOKED_AT)
    if not head:
        return "an empty file", "it may not have been written or downloaded to the end"
    for begin, kind, advice in _KINDS:
        if head.startswith(begin):
            return kind, advice
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(head)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle", "cnet reads none, as they can execute code: write models with model.save"
    if (
        head[:1] == b"\x08"
        and head[1:2] < b"\x20"
        and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42")
    ):
        return "an ONNX file", f"read it with onnx, {_TO_STATE}"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file", ""
    if head[257:262] == b"ustar":
        return "a tar archive", "extract it first"
    return _kind_of_text(head)


def _kind_of_zip(head: bytes) -> tuple[str, str]:
    """By the name of the first file in the archive."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")].decode(errors="replace")
    inner = name.partition("/")[2]
    if inner in ("data.pkl", "version", "byteorder") or inner.startswith(("data/", "code/", ".")):
        return _PYTORCH
    if name.endswith(".npy"):
        return "a NumPy archive", f"read it with numpy.load, {_TO_STATE}"
    if name in ("metadata.json", "config.json", "model.weights.h5"):
        return _KERAS
    return "a zip archive", "extract it first"


def _kind_of_text(head: bytes) -> tuple[str, str]:
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")):
        return "an HTML page", _WEB_PAGE
    if begin.startswith(b"<?xml"):
        return "an XML document, such as the error of a server", _WEB_PAGE
    if begin.startswith((b"{", b"[")):
        return "a JSON file", ""
    return ("a text file", "") if all(byte in _TEXT for byte in head) else ("", "")
