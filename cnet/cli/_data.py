"""Data sets for the option ``--data``."""

import os
from collections.abc import Callable

from cnet import datasets
from cnet._utils.hints import did_you_mean
from cnet.cli._console import CommandError

_NAMED: dict[str, Callable[[int], datasets.Dataset]] = {
    "digits": lambda validation: datasets.digits(validation=validation),
    "mnist": lambda validation: datasets.mnist(validation=validation),
}


def load_data(name: str, validation: int = 0) -> datasets.Dataset:
    """Load the data set of a name or path, with `validation` training images held out."""
    if name in _NAMED:
        return _NAMED[name](validation)
    path = os.path.expanduser(name)
    if not os.path.exists(path):
        raise CommandError(
            f"--data: no file, folder or data set named {name!r}{did_you_mean(name, _NAMED)}; "
            f"expected {', '.join(_NAMED)} or a path"
        )
    return datasets.mnist(path, validation=validation, stratify=validation > 0)


def describe(name: str, data: datasets.Dataset) -> str:
    """Return the name of the data and the number of images in each split."""
    parts = {"training": data.train, "validation": data.validation, "test": data.test}
    counts = [f"{len(split.x):,} {part}" for part, split in parts.items() if split is not None]
    return f"{name}: {', '.join(counts)} images"
