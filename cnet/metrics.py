"""How well predicted classes agree with the true ones."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import FLOAT64
from cnet._utils.arrays import Array, as_array, check_finite

_MOST_CLASSES = 1 << 15  # a matrix of 8 GB
_LARGEST_LABEL = 1 << 53  # whole numbers up to here are exact in float64


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """The fraction of rows whose class was predicted.

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
        raise ValueError(
            f"there is a label {largest}, expected 0 to {min(count, _MOST_CLASSES) - 1}"
        )
    return (
        np.bincount(true * count + predicted, minlength=count * count)
        .reshape(count, count)
        .astype(np.int64, copy=False)
    )


def top_k_accuracy(y_true: ArrayLike, scores: ArrayLike, k: int = 5) -> float:
    """The fraction of rows whose class is among the `k` with the highest scores; of equal scores
    the first counts as higher.

    Parameters
    ----------
    y_true : array-like, shape (n,)
        Class numbers, from 0; at least one row.
    scores : array-like, shape (n, classes)
        What a model gives for each class: logits or probabilities.
    k : int
        At least 1; with 1, this is `accuracy` of ``scores.argmax(axis=1)``.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If they are not class numbers below `classes`, rows are not equally many or none, or a score
        is not finite.

    Examples
    --------
    >>> from cnet.metrics import top_k_accuracy
    >>> top_k_accuracy([0, 2], [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]], k=2)
    0.5
    """
    true, values = _labels(y_true, "y_true"), as_array(scores, "scores")
    if values.ndim != 2 or len(values) != len(true):
        raise ValueError(
            f"scores has shape {values.shape}, expected ({len(true)}, classes): a row for each of "
            "y_true"
        )
    if not len(true):
        raise ValueError("y_true has no rows: the accuracy of nothing is not defined")
    if true.max() >= values.shape[1]:
        raise ValueError(f"there is a label {true.max()}, but scores has {values.shape[1]} columns")
    check_finite(values, "scores", FLOAT64)
    try:
        count = operator.index(k)
    except TypeError:
        raise TypeError(f"k is {k!r}, expected an integer of at least 1") from None
    if count < 1:
        raise ValueError(f"k is {count}, expected an integer of at least 1")
    own = np.take_along_axis(values, true[:, None], axis=1)
    before = np.arange(values.shape[1]) < true[:, None]
    rank = ((values > own) | ((values == own) & before)).sum(axis=1)
    return float(np.mean(rank < count))


def class_report(
    y_true: ArrayLike, y_pred: ArrayLike, classes: int | None = None
) -> dict[str, Array]:
    """Precision and recall of each class. ``pandas.DataFrame(class_report(...))`` makes a table of
    it.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        Class numbers, from 0.
    classes : int or None
        How many classes there are; None counts up to the largest that occurs.

    Returns
    -------
    dict of ndarray, shape (classes,)
        ``"precision"``: of the rows predicted as this class, the share that is; NaN if there are
        none. ``"recall"``: of the rows of this class, the share predicted as it; NaN if there are
        none. ``"f1"``: their harmonic mean, ``2 * hits / (predicted + support)``. ``"support"``:
        the rows of this class.

    Raises
    ------
    TypeError, ValueError
        As for `confusion_matrix`.

    Examples
    --------
    >>> from cnet.metrics import class_report
    >>> for name, values in class_report([0, 1, 2, 2], [0, 1, 2, 0]).items():
    ...     print(name, values.round(2))
    precision [0.5 1.  1. ]
    recall [1.  1.  0.5]
    f1 [0.67 1.   0.67]
    support [1 1 2]
    """
    matrix = confusion_matrix(y_true, y_pred, classes)
    hits, predicted, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    return {
        "precision": _share(hits, predicted),
        "recall": _share(hits, support),
        "f1": _share(2 * hits, predicted + support),
        "support": support,
    }


def _share(part: Array, whole: Array) -> Array:
    """``part / whole``, NaN where there is nothing to share."""
    share: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    true, predicted = _labels(y_true, "y_true"), _labels(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise ValueError(
            f"y_true has {len(true)} rows, y_pred {len(predicted)}: expected equally many"
        )
    return true, predicted


def _labels(y: ArrayLike, name: str) -> Array:
    """Class numbers as int64."""
    array = as_array(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = f"; for rows of outputs pass {name}.argmax(axis=1)" if array.ndim == 2 else ""
        raise ValueError(
            f"{name} has shape {array.shape}, expected class numbers of shape (n,){hint}"
        )
    if array.size and not (
        array.min() >= 0 and array.max() < _LARGEST_LABEL and np.array_equal(array, np.floor(array))
    ):
        raise ValueError(
            f"{name} holds other values than whole numbers from 0, expected class numbers"
        )
    return array.astype(np.int64)
