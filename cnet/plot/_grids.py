"""Grids of images: with labels and predictions, worst mistakes, and weights of the first layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cnet._utils.arrays import Array, as_array, reject_masked
from cnet._utils.image_shape import image_layout, image_shape
from cnet._utils.validation import integer
from cnet.nn import Module
from cnet.plot._axes import FAINT, WRONG, AxesArray, new_axes, pyplot, some_axes

_MAX_IMAGES = 400
_CELL = 1.05
_SATURATED = 0.995


def images(
    x: ArrayLike,
    y: ArrayLike | None = None,
    predicted: ArrayLike | None = None,
    *,
    columns: int | None = None,
    shape: tuple[int, int] | None = None,
    ax: Any = None,
) -> AxesArray:
    """Plot images in a grid, with labels and predictions above them; wrong ones are red.

    Parameters
    ----------
    x : array-like, shape (n, height, width), (n, channels, height, width) or (n, pixels)
        At most 400 images of 1 or 3 channels, uint8 or float. The range from the lowest to the
        highest value of all images is shown as black to white (0 to 1 for 3 channels).
    y : array-like, shape (n,), or None
        True classes, or any other titles.
    predicted : array-like, shape (n,), or None
        Predicted classes.
    columns : int or None
        Number of images per row. None makes the grid nearly square.
    shape : (height, width) or None
        Shape of images that are flat, (n, pixels). None assumes squares.
    ax : array of Axes or None
        One for each image.

    Returns
    -------
    ndarray of Axes, shape (rows, columns)
        Or shape (Axes,), if `ax` was given. Axes beyond the last image are blank.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `x` is not an array of at most 400 images, if `y` or `predicted` does not have one label
        per image, if `columns` or `shape` is invalid, or if `ax` has fewer Axes than images.

    Examples
    --------
    >>> from cnet import datasets, plot
    >>> x, y = datasets.digits(train=12, test=0).train
    >>> plot.images(x, y, columns=6).shape
    (2, 6)
    """
    pictures = _pictures(x, shape)
    n = len(pictures)
    true, guessed = (
        None if labels is None else _labels(name, labels, n)
        for name, labels in (("y", y), ("predicted", predicted))
    )
    titles, wrong = [""] * n, [False] * n
    for i in range(n):
        if guessed is None:
            titles[i] = "" if true is None else str(true[i])
        elif true is None or true[i] == guessed[i]:
            titles[i] = str(guessed[i])
        else:
            titles[i], wrong[i] = f"{guessed[i]}, is {true[i]}", True
    gray = {"cmap": "gray", "vmin": pictures.min(), "vmax": pictures.max()}
    return _grid(pictures, titles, wrong, columns, ax, gray if pictures.ndim == 3 else {})


def mistakes(
    model: Module,
    x: ArrayLike,
    y: ArrayLike,
    *,
    n: int = 25,
    columns: int | None = None,
    shape: tuple[int, int] | None = None,
    ax: Any = None,
) -> AxesArray:
    """Plot the images with the worst wrong predictions of a classifier, worst first.

    The error of a prediction is the difference between the output of the predicted class and that
    of the true class.

    Parameters
    ----------
    model : nn.Module
    x : array-like, shape (m, ...)
        Images in the form that `model` expects.
    y : array-like, shape (m,)
        True classes, or one-hot vectors of shape (m, classes).
    n : int
        Maximum number of images to show.
    columns, shape, ax : optional
        As for `images`.

    Returns
    -------
    ndarray of Axes
        As for `images`.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If `x` or `y` does not match the model or each other, if an option of `images` is invalid,
        or if the model makes no mistake.

    Examples
    --------
    >>> from cnet import datasets, nn, plot
    >>> model = nn.Sequential(nn.Linear(784, 10), seed=0)
    >>> plot.mistakes(model, *datasets.digits(train=50, test=0).train, n=6).shape
    (2, 3)
    """
    if not isinstance(model, Module):
        raise TypeError(f"model is {model!r}, expected a module such as nn.Sequential(...)")
    array, labels = as_array(x, "x"), as_array(y, "y")
    outputs = model(array)
    if outputs.ndim != 2:
        raise ValueError(
            f"the model's outputs have shape {outputs.shape}, expected one number for each class"
        )
    labels = labels.argmax(axis=1) if labels.ndim == 2 else labels
    if labels.shape != (len(array),) or not len(array):
        raise ValueError(
            f"x has {len(array)} samples, y the shape {labels.shape}: expected at least one sample "
            "and one class for each"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= outputs.shape[1]:
        raise ValueError(f"y has values other than classes 0 to {outputs.shape[1] - 1}")
    guessed = outputs.argmax(axis=1)
    excess = outputs.max(axis=1) - outputs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(guessed != labels)
    if not len(wrong):
        raise ValueError("the model makes no mistake on these images: there is nothing to plot")
    worst = wrong[np.argsort(-excess[wrong], kind="stable")][:n]
    return images(array[worst], labels[worst], guessed[worst], columns=columns, shape=shape, ax=ax)


def weights(
    model: Module,
    *,
    n: int = 100,
    columns: int | None = None,
    shape: tuple[int, int] | None = None,
    ax: Any = None,
) -> AxesArray:
    """Plot the weights of a network's first layer as images, one for each unit.

    Red is positive and blue is negative, on the same scale for all units. 1 in 200 weights is
    outside the scale.

    Parameters
    ----------
    model : nn.Module
        The first layer with weights must be a dense or a convolutional layer.
    n : int
        Maximum number of units to show.
    columns, shape, ax : optional
        As for `images`.

    Returns
    -------
    ndarray of Axes
        As for `images`.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is not installed.
    TypeError, ValueError
        If the model has no such layer, or if an option of `images` is invalid.

    Examples
    --------
    >>> from cnet import nn, plot
    >>> plot.weights(nn.Sequential(nn.Linear(784, 12), seed=0)).shape
    (3, 4)
    """
    if not isinstance(model, Module):
        raise TypeError(f"model is {model!r}, expected a module such as nn.Sequential(...)")
    first = next(
        (value for name, value in model.state_dict().items() if name.endswith("weight")), None
    )
    if first is None:
        raise ValueError(f"{model!r} has no weights")
    pictures = _pictures(first[:n].mean(axis=1) if first.ndim == 4 else first[:n], shape)
    largest = float(np.quantile(np.abs(pictures), _SATURATED)) or 1
    return _grid(
        pictures,
        [""] * len(pictures),
        [False] * len(pictures),
        columns,
        ax,
        {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest},
    )


def _pictures(x: ArrayLike, shape: tuple[int, int] | None) -> Array:
    """Return images as Matplotlib expects them: (n, height, width), or (n, height, width, 3)."""
    array = as_array(x, "x")
    if not array.ndim:
        raise ValueError("x is a single number, expected an array with one entry per image")
    if len(array) > _MAX_IMAGES:
        raise ValueError(
            f"x has {len(array)} images, expected at most {_MAX_IMAGES}: pass fewer, such as x[:25]"
        )
    channels, height, width = image_layout(array.shape[1:], image_shape(shape))
    if channels not in (1, 3):
        raise ValueError(f"images have {channels} channels, expected 1 or 3")
    if not array.size:
        raise ValueError("x has no images: there is nothing to plot")
    pictures = array.reshape(len(array), channels, height, width)
    return pictures[:, 0] if channels == 1 else pictures.transpose(0, 2, 3, 1)


def _labels(name: str, labels: ArrayLike, n: int) -> Array:
    reject_masked(labels, name)
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}, expected ({n},): one label per image")
    return array


def _grid(
    pictures: Array,
    titles: list[str],
    wrong: list[bool],
    columns: int | None,
    ax: Any,
    options: dict[str, Any],
) -> AxesArray:
    pyplot()
    n = len(pictures)
    if ax is None:
        height, width = pictures.shape[1:3]
        if columns is None:
            columns = math.ceil(math.sqrt(n * height / width))
        columns = min(integer("columns", columns, 1, wrong_type=ValueError, alternative="None"), n)
        axes = new_axes(
            -(-n // columns),
            columns,
            _CELL,
            _CELL * height / width + (0.2 if any(titles) else 0),
            "compressed",
        )
    else:
        axes = some_axes(ax, n)
    for one in axes.flat:
        one.set_axis_off()
    for one, picture, title, red in zip(axes.flat, pictures, titles, wrong, strict=False):
        one.imshow(picture, **options)
        one.set_title(title, color=WRONG if red else FAINT, fontsize=10, pad=3)
    return axes
