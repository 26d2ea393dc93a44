"""Files turned into images as nets know them from MNIST: 28x28 pixels, light on dark, the digit in the middle."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnet._arrays import Array
from cnet.cli._console import CommandError

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 28
_BOX = 20
_FAINT = 0.2  # darker than this share of the strongest ink is paper: shadows, and what JPEG adds
_LEAST_CONTRAST = 0.1
_SHAPES = {(SIDE, SIDE), (SIDE * SIDE,)}


def read_images(name: str) -> Array:
    """The images in a file: uint8, or float32 from 0 to 1, shape (n, 28, 28)."""
    path = Path(os.path.expanduser(name))
    if not path.is_file():
        raise CommandError(f"{name}: {'is a folder, expected an image or a .npy file' if path.is_dir() else 'there is no such file'}")
    return _read_array(path) if path.suffix.lower() == ".npy" else like_mnist(_read_grey(path), name)[None]


def _read_array(path: Path) -> Array:
    try:
        # Unlike np.load, this takes nothing but arrays: no archive, no pickle. Mapped, a false claim of size takes no memory.
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a malformed header makes NumPy raise almost anything
        raise CommandError(f"{path} cannot be read as an array: {error}") from error
    shape = array.shape
    if shape in _SHAPES:
        array = array[None]
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape[1:] not in _SHAPES or not len(array):
        raise CommandError(f"{path} has shape {shape}, expected one image, 28x28 or 784, or an array of them, (n, 28, 28) or (n, 784)")
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise CommandError(f"{path} has dtype {array.dtype}, expected uint8 (0 to 255) or floats (0 to 1)")
        if not ((array >= 0) & (array <= 1)).all():
            raise CommandError(f"{path} has floats outside 0 to 1: expected grey levels divided by 255")
        array = array.astype(np.float32)
    images: Array = array.reshape(-1, SIDE, SIDE)
    return images


def _read_grey(path: Path) -> Array:
    """An image file as grey levels, float32 from 0 to 1."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise CommandError(f'{path}: reading images needs Pillow: pip install "cnet[image]"') from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that do not matter here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _grey(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything at a damaged file
        raise CommandError(f"{path} cannot be read as an image: {error}") from error


def _grey(image: "Image") -> Array:
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow's own conversion cuts 16-bit levels off at 255.
        levels = np.asarray(image, np.float32)
        return levels / max(float(levels.max()), 1 if image.mode == "F" else 65535)
    if image.has_transparency_data:
        from PIL import Image

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("L"), np.float32) / np.float32(255)


def like_mnist(grey: Array, name: str) -> Array:
    """An image made like MNIST's, uint8 (28, 28); one that is like them already stays as it is.

    Parameters
    ----------
    grey : ndarray of float32, shape (height, width)
        From 0 to 1.
    name : str
        Of the file, for errors.
    """
    low, high = float(grey.min()), float(grey.max())
    if not high - low >= _LEAST_CONTRAST:
        raise CommandError(f"{name} is blank: its pixels are all alike, or nearly so")
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    light_paper = paper - low > high - paper
    if grey.shape == (SIDE, SIDE) and not light_paper:
        return (grey * 255).round().astype(np.uint8)
    ink = (paper - grey) / (paper - low) if light_paper else (grey - paper) / (high - paper)
    return _centred(_fitted(_cropped(ink)))


def _cropped(ink: Array) -> Array:
    """The smallest part of the image that holds all of its ink; shadows beside the ink are taken away."""
    ink = np.where(ink > _FAINT, ink, 0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _fitted(ink: Array) -> Array:
    """Scaled to fit 20x20 pixels, its proportions kept, its strongest ink 1."""
    from PIL import Image

    height, width = ink.shape
    scale = _BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small: Array = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)).clip(0)
    small /= small.max()
    return small


def _centred(ink: Array) -> Array:
    """Placed in 28x28 pixels so that its centre of mass lies in the middle, as far as there is room."""
    image = np.zeros((SIDE, SIDE), np.uint8)
    corner = []
    for axis in (0, 1):
        mass = ink.sum(axis=1 - axis)
        centre = float(mass @ np.arange(len(mass)) / mass.sum())
        corner.append(min(max(round(SIDE / 2 - centre), 0), SIDE - len(mass)))
    top, left = corner
    image[top : top + ink.shape[0], left : left + ink.shape[1]] = (ink * 255).round().astype(np.uint8)
    return image
