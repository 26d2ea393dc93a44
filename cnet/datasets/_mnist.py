"""MNIST, from whichever of its usual files is at hand."""

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
# Where torchvision puts the files, below the folder that it is given.
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

    Other data in the same form (Fashion-MNIST, KMNIST) load just as well.

    Parameters
    ----------
    path : str or PathLike, optional
        A folder that holds one of these, or one of the files after the first item:

        - the four IDX files (``train-images-idx3-ubyte`` and so on, gzip-compressed or not);
        - ``mnist.npz``, as Keras has it;
        - ``mnist.pkl.gz``, the Python 2 pickle of 50,000, 10,000 and 10,000 images, whose first two
          parts are joined;
        - ``mnist_train.csv``, ``train.csv`` or ``fashion-mnist_train.csv``, gzip-compressed or not:
          a label and 784 pixels a line. A line of names above may put the label in any column,
          named ``label``, ``class``, ``target``, ``y`` or ``digit``; without names it is in the
          first or the last one, and the file is rejected if it is not certain which. The test set
          is read from the same name with "test" for "train", if there is such a file and it has
          labels.

        The files may also lie in ``MNIST/raw`` or ``raw`` below the folder, where torchvision puts
        them.

        By default the folder ``mnist`` in ``$CNET_DATA``, or else in the user's cache folder; the
        IDX files are downloaded to it if it holds none of these (that needs ``pip install
        "cnet[download]"``).
    validation : int or float
        How many images to hold out, a count or a fraction, taken from the end of the training set.
    stratify : bool
        Take them from the end of each class instead: the same share of each.
    normalize : bool
        Divide pixels by 255, to float32 in [0, 1]. With False they are uint8 in [0, 255], a quarter
        of the memory, for networks that begin with ``nn.Rescale(1 / 255)``.
    flatten : bool
        Give each image as a row of 784 pixels; otherwise its shape is (1, 28, 28).
    one_hot : bool
        Give each label as a float32 row that is 1 at the digit's index and 0 elsewhere.
    standardize : bool
        Give each pixel as float32 with mean 0 and standard deviation 1 over the training split; a
        pixel that never changes there is 0 everywhere. ``.mean`` and ``.std`` are kept, in the
        units that `normalize` chose.

    Returns
    -------
    Dataset
        ``.train``, ``.validation`` (None with ``validation=0``) and ``.test`` (None if the source
        has no labeled test set), each a `Split` of ``x``, float32 of shape (n, 784), and ``y``,
        int64 of shape (n,), unless asked otherwise.

    Raises
    ------
    OSError
        If there is nothing at `path`, or if the download failed.
    ModuleNotFoundError
        If a download is needed and pooch is not installed.
    TypeError
        If `validation` is not a number.
    ValueError
        If a file is not what it should be, if all labels of a set are alike, if `validation` is
        negative or leaves no training image, or if the images are sorted by label and `stratify` is
        False.

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
    """Load from the data folder, after fetching what it lacks."""
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
        raise FileNotFoundError(f"{path}: there is no such file or folder; {_EXPECTED}")
    loader = _loader(path)
    if loader is None:
        require_regular(path)
        with open(path, "rb") as file:
            kind = kind_of(file.read(START))
        looks = f" (it looks like {kind})" if kind else ""
        raise DataFileError(
            str(path), f"is a file of another kind{looks}; pass a folder, or a file: {_EXPECTED}"
        )
    return loader(path)


def _load_folder(folder: Path) -> Arrays | None:
    """Load the first complete set of files in a folder; None if there is none."""
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
    """What may be wrong with a folder that holds no complete set, ended by a semicolon."""
    hints = [missing] if (missing := missing_idx(folder)) else []
    names = sorted(entry.name for entry in folder.iterdir())
    if any(name.lower().startswith("emnist") for name in names):
        hints.append(
            "EMNIST is not read: its images are transposed, and most of its sets have other classes"
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
        hints.append(
            f"there are four IDX files in {', '.join(complete[:_LISTED])}: pass that folder"
        )
    return "".join(f"{hint}; " for hint in hints)


def _loader(path: Path) -> Callable[[Path], Arrays] | None:
    """What reads a file of this name."""
    return next(
        (loader for ending, loader in _LOADERS.items() if path.name.lower().endswith(ending)), None
    )


def _listing(folder: Path) -> str:
    """What a folder holds, in a few words."""
    names = sorted(entry.name for entry in folder.iterdir())
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"
