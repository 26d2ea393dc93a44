"""Conversion of image files to the layout of MNIST: 28x28 pixels, light on dark, centered."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnet._utils.arrays import Array
from cnet.cli._console import CommandError
from cnet.cli._layout import SIDE, like_mnist
from cnet.datasets._signature import START, kind_of

if TYPE_CHECKING:
    from PIL.Image import Image

_SHAPES = {(SIDE, SIDE), (SIDE * SIDE,)}
# Maximum length of the longer side in pixels. Larger images are reduced by an integer factor, and
# stay at least this large.
_ENOUGH = 2000
_PLAIN = 0.3  # maximum range of the gray levels of ink of a single color
_SOLID = 0.6  # minimum fraction of its bounding box that a solid picture, unlike writing, fills


class Images(NamedTuple):
    """Images from a file, in the form that a network takes.

    Attributes
    ----------
    pixels : ndarray, shape (n, 28, 28)
        uint8, or float32 from 0 to 1.
    remarks : tuple of str
        Reasons for doubt that each image shows one digit.
    """

    pixels: Array
    remarks: tuple[str, ...] = ()


def read_images(name: str) -> Images:
    """Read the images in a file."""
    path = Path(os.path.expanduser(name))
    if not path.is_file():
        raise CommandError(f"{name}: {_no_file(name, path)}")
    if path.suffix.lower() == ".npy":
        return Images(_read_array(path))
    gray, frames = _read_gray(path)
    try:
        ink = like_mnist(gray)
    except ImportError as error:
        raise CommandError(
            f'{path}: reading images needs {error.name}: pip install "cnet[image]"'
        ) from None
    if ink is None:
        which = f"in the first of its {frames} images, " if frames > 1 else ""
        raise CommandError(f"{name} is blank: {which}no ink stands out from the paper")
    return Images((ink.strength * 255).round().astype(np.uint8)[None], ink.remarks)


def _no_file(name: str, path: Path) -> str:
    """Return the reason why there is no file to read."""
    if path.is_dir():
        return "is a folder, expected an image or a .npy file"
    if name == "-" or path.exists():
        return (
            "is not a regular file; standard input and pipes are not supported: save the image to "
            "a file"
        )
    return "there is no such file"


def _read_array(path: Path) -> Array:
    try:
        # Unlike np.load, this only reads arrays: no archives, no pickles. Memory-mapping keeps a
        # false size in the header from allocating memory.
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy raises almost anything for a malformed header
        raise CommandError(f"{path} cannot be read as an array: {error}") from error
    shape = array.shape
    if shape in _SHAPES:
        array = array[None]
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] not in _SHAPES or not len(array):
        raise CommandError(
            f"{path} has shape {shape}, expected one image, 28x28 or 784, or an array of images, "
            "(n, 28, 28) or (n, 784)"
        )
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise CommandError(
                f"{path} has dtype {array.dtype}, expected uint8 (0 to 255) or floats (0 to 1)"
            )
        if not ((array >= 0) & (array <= 1)).all():
            raise CommandError(f"{path} has floats outside 0 to 1: expected pixels divided by 255")
        array = array.astype(np.float32)
    elif array.max() == 1:
        array = array * np.uint8(255)  # black and white, stored as 0 and 1
    images: Array = array.reshape(-1, SIDE, SIDE)
    return images


def _read_gray(path: Path) -> tuple[Array, int]:
    """Read an image file: gray levels, float32 from 0 to 1, and the number of images in it."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise CommandError(
            f'{path}: reading images needs Pillow: pip install "cnet[image]"'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # irrelevant metadata, and the size, which is checked below
            with Image.open(path) as image:
                image.draft(image.mode, (_ENOUGH, _ENOUGH))
                if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
                    raise Image.DecompressionBombError
                return _gray(ImageOps.exif_transpose(image)), getattr(image, "n_frames", 1)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            kind = kind_of(file.read(START))
        problem = (
            f"it looks like {kind}"
            if kind
            else "Pillow does not recognize it; expected an image, or a NumPy array (.npy)"
        )
    except Image.DecompressionBombError:
        problem = (
            f"it has more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels: make it "
            f"smaller, {_ENOUGH} pixels on a side are enough"
        )
    except Exception as error:  # Pillow's decoders raise almost anything for a damaged file
        problem = str(error)
    raise CommandError(f"{path} cannot be read as an image: {problem}")


def _gray(image: "Image") -> Array:
    if image.mode == "F" or image.mode.startswith("I"):
        # Such pixels have no known maximum; 12 bits stored in 16 are common. Pillow's own
        # conversion would clip them at 255.
        levels: Array = np.asarray(image, np.float32)
        if not np.isfinite(levels).all():
            raise ValueError("it has pixels that are not finite numbers")
        levels = levels - min(0, levels.min())
        levels /= max(levels.max(), np.finfo(np.float32).tiny)
        return levels
    transparent = image.has_transparency_data
    image = image.convert("RGBA" if transparent else "L")
    image = image.reduce(max(1, max(image.size) // _ENOUGH))
    if not transparent:
        return _levels(image)
    return _on_paper(_levels(image.convert("RGB").convert("L")), _levels(image.getchannel("A")))


def _levels(image: "Image") -> Array:
    return np.asarray(image, np.float32) / np.float32(255)


def _on_paper(gray: Array, alpha: Array) -> Array:
    """Put a transparent image on paper.

    Ink of a single color, which may be white, is taken from the transparency. Other images are put
    on a background of a suitable level.
    """
    opaque = alpha > alpha.max() / 2
    visible = gray[opaque]
    if not visible.size:
        return np.ones_like(gray)
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    solid = opaque[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > _SOLID
    # On a solid card, only a small part may be ink.
    low, high = np.percentile(visible, [0, 100] if solid else [5, 95])
    if high - low < _PLAIN and not opaque.all():
        return 1 - alpha
    # A card includes its own paper. Ink of several colors needs paper different from all of them.
    paper = np.float32(np.median(visible) if solid else 1 - high >= low)
    mixed: Array = gray * alpha + paper * (1 - alpha)
    return mixed
