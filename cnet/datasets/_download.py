"""Download of the four MNIST files from the first working mirror, verified by SHA-256."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NamedTuple

from ._idx import NAMES

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)


class RemoteFile(NamedTuple):
    """Size and checksum of the canonical gzip file. Any other file is rejected."""

    size: int
    sha256: str


FILES = dict(
    zip(
        NAMES,
        (
            RemoteFile(9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            RemoteFile(28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            RemoteFile(1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            RemoteFile(4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        strict=True,
    )
)
_TIMEOUT_SECONDS = 30


def data_folder() -> Path:
    """Return the folder where cnet keeps data: ``$CNET_DATA``, or the user's cache folder.

    Raises
    ------
    ModuleNotFoundError
        If ``$CNET_DATA`` is not set and pooch, which determines the cache folder, is not installed.
    """
    folder = os.environ.get("CNET_DATA")
    if folder:
        return Path(folder).expanduser()
    return Path(_pooch("CNET_DATA, the folder of data files, is not set").os_cache("cnet"))


def download(folder: Path, names: Iterable[str]) -> None:
    """Download MNIST files into a folder. Files that already exist are kept.

    Parameters
    ----------
    folder : Path
        Target folder, created if it does not exist.
    names : iterable of str
        Keys of `FILES` to download.

    Raises
    ------
    ModuleNotFoundError
        If pooch is not installed.
    OSError
        If no mirror delivered a file. The message has the reasons, and describes the manual
        download.
    """
    pooch = _pooch(f"there are no MNIST files in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        _download_one(pooch, folder, f"{name}.gz", FILES[name], MIRRORS)


def _pooch(reason: str) -> ModuleType:
    """Return the pooch module, or raise an error that gives the reason and the alternatives."""
    try:
        import pooch  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{reason}, and downloading them needs pooch: pip install "cnet[download]"; or set '
            "CNET_DATA to a folder that holds mnist/, or pass path="
        ) from error
    module: ModuleType = pooch
    return module


def _download_one(
    pooch: ModuleType, folder: Path, name: str, file: RemoteFile, mirrors: Sequence[str]
) -> None:
    """Try each mirror in turn. pooch renames its temporary file once the checksum matches."""
    failures = []
    for mirror in mirrors:
        downloader = _SizedDownloader(pooch, file.size)
        try:
            pooch.retrieve(
                mirror + name, f"sha256:{file.sha256}", name, folder, downloader=downloader
            )
            return
        except (OSError, ValueError) as error:
            failures.append(f"  {mirror}: {error}")
    manual = ", ".join(f"{other}.gz" for other in NAMES)
    raise OSError(
        f"could not download {name}; tried these mirrors:\n" + "\n".join(failures) + "\n"
        f"To install it manually, put {manual} into {folder}, or pass the folder of these files "
        "as path="
    )


class _SizedDownloader:
    """pooch's downloader with a size limit, because the checksum is only verified at the end."""

    def __init__(self, pooch: ModuleType, size: int) -> None:
        self._download = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS, chunk_size=1 << 16)
        self._size = size

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        with open(output_file, "wb") as file:
            self._download(url, _SizedFile(file, self._size), pooch)


class _SizedFile:
    """A file that accepts at most a given number of bytes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > self._size:
            raise ValueError(f"the server sends more than the {self._size} bytes of this file")
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
