"""MNIST, from any of the usual file formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ._csv import load_csv
from ._dataset import Dataset, build
from ._download import data_folder, download
from ._idx import NAMES, find_idx, load_idx, missing_idx
from ._images import Arrays
from ._npz import load_npz
from ._pickle import load_pickle
from ._reader import DataFileError, require_regular
from ._signature import START, kind_of

_LOADERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": load_npz,
    ".pkl": load_pickle,
    ".pkl.gz": load_pickle,
    ".csv": load_csv,
    ".csv.gz": load_csv,
}
_TABLES = ("mnist_train.csv", "train.csv", "fashion-mnist_train.csv")
_USUAL_NAMES = (
    "mnist.npz",
    "mnist.pkl.gz",
    "mnist.pkl",
    *_TABLES,
    *(f"{name}.gz" for name in _TABLES),
)
# Subfolders where torchvision stores the files, relative to its root folder.
_BELOW = ("MNIST/raw", "raw")
_EXPECTED = (
    f"expected the four IDX files {', '.join(NAMES)} (each may end in .gz), or mnist.npz, "
    "mnist.pkl.gz, mnist_train.csv or train.csv"
)
_LISTED = 10


def mnist(
    path: str | os.PathLike[str] | None = None,
    *,
    validation: float = 5000,
    stratify: bool = False,
    normalize: bool = True,
    flatten: bool = True,
    one_hot: bool = False,
    standardize: bool = False,
) -> Dataset:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits, 28x28 pixels.

    Data sets in the same format, such as Fashion-MNIST and KMNIST, can be loaded as well.

    Parameters
    ----------
    path : str or PathLike, optional
        A folder that contains one of the following, or the path of one of these files (except IDX):

        - the four IDX files (``train-images-idx3-ubyte`` and so on, gzip-compressed or not);
        - ``mnist.npz``, the file that Keras uses;
        - ``mnist.pkl.gz``, the Python 2 pickle of 50,000, 10,000 and 10,000 images. Its first two
          parts are joined;
        - ``mnist_train.csv``, ``train.csv`` or ``fashion-mnist_train.csv``, gzip-compressed or not:
          a label and 784 pixels in each line. With a header line, the label may be in any column,
          named ``label``, ``class``, ``target``, ``y`` or ``digit``. Without one, the label is in
          the first or the last column, and the file is rejected if it is not certain which. The
          test set is read from the file of the same name with "test" in place of "train", if that
          file exists and has labels.

        The IDX files may also be in the subfolder ``MNIST/raw`` or ``raw``, where torchvision
        stores them.

        The default is the folder ``mnist`` in ``$CNET_DATA``, or else in the user's cache folder.
        If it contains none of these, the IDX files are downloaded to it (this needs ``pip install
        "cnet[download]"``).
    validation : int or float
        Number or fraction of images to hold out from the end of the training set.
    stratify : bool
        Hold out images from the end of each class instead, the same fraction of each class.
    normalize : bool
        Divide pixels by 255, to float32 in [0, 1]. With False, pixels are uint8 in [0, 255], which
        take a quarter of the memory, for networks that begin with ``nn.Rescale(1 / 255)``.
    flatten : bool
        Return each image as 784 pixels instead of the shape (1, 28, 28).
    one_hot : bool
        Return each label as a float32 one-hot vector.
    standardize : bool
        Return each pixel as float32 with mean 0 and standard deviation 1 over the training split. A
        pixel that is constant there becomes 0 everywhere. ``.mean`` and ``.std`` are available, in
        the units selected by `normalize`.

    Returns
    -------
    Dataset
        ``.train``, ``.validation`` (None with ``validation=0``) and ``.test`` (None if the source
        has no labeled test set). Each is a `Split` of ``x``, by default float32 of shape (n, 784),
        and ``y``, by default int64 of shape (n,).

    Raises
    ------
    OSError
        If `path` does not exist or contains no data set, or if the download fails.
    ModuleNotFoundError
        If a download is needed and pooch is not installed.
    TypeError
        If `validation` is not a number.
    ValueError
        If a file is damaged or is not in the expected format, if all labels of a set are equal, if
        `validation` is negative or leaves no training image, if the images are sorted by label and
        `stratify` is False, or if `normalize` is False and the images are not stored as whole
        numbers from 0 to 255.

    Examples
    --------
    >>> from cnet import datasets
    >>> data = datasets.mnist("data/mnist")  # doctest: +SKIP
    >>> data  # doctest: +SKIP
    Dataset(
        train=Split(x: float32 (55000, 784), y: int64 (55000,)),
        validation=Split(x: float32 (5000, 784), y: int64 (5000,)),
        test=Split(x: float32 (10000, 784), y: int64 (10000,)),
    )
    """
    arrays = _load_default() if path is None else _load(Path(path).expanduser())
    return build(
        *arrays,
        validation=validation,
        stratify=stratify,
        normalize=normalize,
        flatten=flatten,
        one_hot=one_hot,
        standardize=standardize,
    )


def _load_default() -> Arrays:
    """Load from the data folder, after downloading the missing files."""
    folder = data_folder() / "mnist"
    arrays = _load_folder(folder)
    if arrays is None:
        present = find_idx(folder)
        download(folder, [name for name in NAMES if name not in present])
        arrays = load_idx(find_idx(folder))
    return arrays


def _load(path: Path) -> Arrays:
    """Load from a folder or a file."""
    if path.is_dir():
        arrays = _load_folder(path)
        if arrays is None:
            raise FileNotFoundError(f"{path}: found {_listing(path)}; {_hints(path)}{_EXPECTED}")
        return arrays
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; {_EXPECTED}")
    loader = _loader(path)
    if loader is None:
        require_regular(path)
        with open(path, "rb") as file:
            kind = kind_of(file.read(START))
        looks = f" (it looks like {kind})" if kind else ""
        raise DataFileError(
            str(path), f"unknown file format{looks}; pass a folder or one of the files: {_EXPECTED}"
        )
    return loader(path)


def _load_folder(folder: Path) -> Arrays | None:
    """Load the first complete set of files in a folder, or return None if there is none."""
    files = find_idx(folder)
    if len(files) == len(NAMES):
        return load_idx(files)
    for name in _USUAL_NAMES:
        loader = _loader(folder / name)
        if loader is not None and (folder / name).is_file():
            return loader(folder / name)
    for below in _BELOW:
        files = find_idx(folder / below)
        if len(files) == len(NAMES):
            return load_idx(files)
    return None


def _hints(folder: Path) -> str:
    """Return hints about a folder that contains no complete set, each ended by a semicolon."""
    hints = [missing] if (missing := missing_idx(folder)) else []
    names = sorted(entry.name for entry in folder.iterdir())
    if any(name.lower().startswith("emnist") for name in names):
        hints.append(
            "EMNIST is not supported: its images are transposed, and most variants have other "
            "classes"
        )
    archives = [
        name for name in names if name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz"))
    ]
    if archives:
        hints.append(f"unpack {', '.join(archives[:_LISTED])}")
    complete = [
        below
        for name in names
        for below in (name, f"{name}/raw")
        if len(find_idx(folder / below)) == len(NAMES)
    ]
    if complete:
        hints.append(f"the four IDX files are in {', '.join(complete[:_LISTED])}: pass that folder")
    return "".join(f"{hint}; " for hint in hints)


def _loader(path: Path) -> Callable[[Path], Arrays] | None:
    """Return the loader for a file of this name, or None."""
    return next(
        (loader for ending, loader in _LOADERS.items() if path.name.lower().endswith(ending)), None
    )


def _listing(folder: Path) -> str:
    """Return a short list of a folder's content."""
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"
