"""How well predicted classes agree with the true ones."""

import operator

import numpy as np
from numpy.typing import ArrayLike

from cnet._arrays import Array, as_array

_MOST_CLASSES = 1 << 15  # a matrix of 8 GB
_LARGEST_LABEL = 1 << 53  # whole numbers up to here are exact in float64


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The share of rows whose class was predicted.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Class numbers, from 0; at least one row.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If they are not class numbers, are not equally many, or are none.

    Examples
    --------
    >>> from cnet.metrics import accuracy
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    true, predicted = _pair(y_true, y_pred)
    if not len(true):
        raise ValueError("y_true has no rows: the accuracy of nothing is not defined")
    return float(np.mean(true == predicted))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int | None = None) -> Array:
    """How often each class was taken for each other one.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Class numbers, from 0.
    classes : int or None
        How many classes there are; None counts up to the largest that occurs.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        Row `i`, column `j` counts the rows of class `i` that were predicted as class `j`.

    Raises
    ------
    TypeError, ValueError
        If they are not class numbers below `classes`, or are not equally many.

    Examples
    --------
    >>> from cnet.metrics import confusion_matrix
    >>> confusion_matrix([0, 1, 2, 2], [0, 1, 2, 0])
    array([[1, 0, 0],
           [0, 1, 0],
           [1, 0, 1]])
    """
    true, predicted = _pair(y_true, y_pred)
    largest = max((int(labels.max()) for labels in (true, predicted) if len(labels)), default=-1)
    try:
        count = largest + 1 if classes is None else operator.index(classes)
    except TypeError:
        raise TypeError(f"classes is {classes!r}, expected a whole number or None") from None
    if classes is not None and not 1 <= count <= _MOST_CLASSES:
        raise ValueError(f"classes is {count}, expected a whole number from 1 to {_MOST_CLASSES}")
    if largest >= min(count, _MOST_CLASSES):
        raise ValueError(f"there is a label {largest}, expected 0 to {min(count, _MOST_CLASSES) - 1}")
    return np.bincount(true * count + predicted, minlength=count * count).reshape(count, count).astype(np.int64, copy=False)


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    true, predicted = _labels(y_true, "y_true"), _labels(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise ValueError(f"y_true has {len(true)} rows, y_pred {len(predicted)}: expected equally many")
    return true, predicted


def _labels(y: ArrayLike, name: str) -> Array:
    """Class numbers as int64."""
    array = as_array(y, name)
    if array.ndim != 1:
        hint = f"; for rows of outputs pass {name}.argmax(axis=1)" if array.ndim == 2 else ""
        raise ValueError(f"{name} has shape {array.shape}, expected class numbers of shape (n,){hint}")
    if array.size and not (array.min() >= 0 and array.max() < _LARGEST_LABEL and np.array_equal(array, np.floor(array))):
        raise ValueError(f"{name} holds other values than whole numbers from 0, expected class numbers")
    return array.astype(np.int64)
