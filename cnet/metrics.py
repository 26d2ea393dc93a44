"""Metrics of classifiers: accuracy, confusion matrix, precision and recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cnet._core import FLOAT64
from cnet._utils.arrays import Array, as_array, check_finite
from cnet._utils.validation import COUNT_LIMIT, integer

_MAX_CLASSES = 1 << 15  # a matrix of 8 GB


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of the samples that are classified correctly.

    The formula is ``mean(y_true == y_pred)``.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        True and predicted labels: integers of at least 0, of any dtype. At least one sample.

    Returns
    -------
    float
        Accuracy, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If the labels are not integers of at least 0, their numbers differ, or there are none.

    Examples
    --------
    >>> from cnet.metrics import accuracy
    >>> accuracy([0, 1, 2, 2], [0, 1, 2, 0])
    0.75
    """
    true, predicted = _pair(y_true, y_pred)
    if not len(true):
        raise ValueError("y_true has no samples, expected at least one")
    return float(np.mean(true == predicted))


def confusion_matrix(y_true: ArrayLike, y_pred: ArrayLike, classes: int | None = None) -> Array:
    """Numbers of samples, by true and by predicted class.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        True and predicted labels: integers of at least 0, of any dtype.
    classes : int or None
        Number of classes, from 1 to 32768. None is the largest label plus 1.

    Returns
    -------
    ndarray of int64, shape (classes, classes)
        Element ``[i, j]`` is the number of samples of class `i` that were predicted as class `j`.
        The diagonal has the samples that were classified correctly.

    Raises
    ------
    TypeError, ValueError
        If `classes` is out of bounds, the labels are not integers from 0 to ``classes - 1``, or
        their numbers differ.

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
    count = (
        largest + 1
        if classes is None
        else integer("classes", classes, 1, _MAX_CLASSES, alternative="None")
    )
    if largest >= min(count, _MAX_CLASSES):
        raise ValueError(
            f"there is a label {largest}, expected 0 to {min(count, _MAX_CLASSES) - 1}"
        )
    return (
        np.bincount(true * count + predicted, minlength=count * count)
        .reshape(count, count)
        .astype(np.int64, copy=False)
    )


def top_k_accuracy(y_true: ArrayLike, scores: ArrayLike, k: int = 5) -> float:
    """Fraction of the samples whose class is among the `k` classes with the highest scores.

    Of classes with equal scores, the one with the smallest label ranks first, as in ``argmax``.

    Parameters
    ----------
    y_true : array-like, shape (n,)
        True labels: integers from 0 to ``classes - 1``. At least one sample.
    scores : array-like, shape (n, classes)
        Outputs of a model: logits or probabilities.
    k : int
        At least 1. With 1, the result is the `accuracy` of ``scores.argmax(axis=1)``.

    Returns
    -------
    float
        Top-k accuracy, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If a label is out of bounds, `scores` is of another shape or not finite, `k` is not an
        integer of at least 1, or there are no samples.

    Examples
    --------
    >>> from cnet.metrics import top_k_accuracy
    >>> top_k_accuracy([0, 2], [[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]], k=2)
    0.5
    """
    true, values = _labels(y_true, "y_true"), as_array(scores, "scores")
    if values.ndim != 2 or len(values) != len(true):
        raise ValueError(
            f"scores has shape {values.shape}, expected ({len(true)}, classes): the "
            "outputs for each sample of y_true"
        )
    if not len(true):
        raise ValueError("y_true has no samples, expected at least one")
    if true.max() >= values.shape[1]:
        raise ValueError(f"there is a label {true.max()}, but scores has {values.shape[1]} columns")
    check_finite(values, "scores", FLOAT64)
    k = integer("k", k, 1)
    own = np.take_along_axis(values, true[:, None], axis=1)
    before = np.arange(values.shape[1]) < true[:, None]
    rank = ((values > own) | ((values == own) & before)).sum(axis=1)
    return float(np.mean(rank < k))


def class_report(
    y_true: ArrayLike, y_pred: ArrayLike, classes: int | None = None
) -> dict[str, Array]:
    """Precision, recall, F1 score and support of each class.

    A class has `support` samples. `predicted` samples were predicted as this class, and `hits` of
    them are of this class. The formulas are::

        precision = hits / predicted
        recall = hits / support
        f1 = 2 * precision * recall / (precision + recall) = 2 * hits / (predicted + support)

    ``pandas.DataFrame(class_report(...))`` makes a table of it.

    Parameters
    ----------
    y_true, y_pred : array-like, shape (n,)
        True and predicted labels: integers of at least 0, of any dtype.
    classes : int or None
        Number of classes, from 1 to 32768. None is the largest label plus 1.

    Returns
    -------
    dict of ndarray, shape (classes,)
        ``"precision"``, ``"recall"``, ``"f1"`` and ``"support"``. A number is NaN if its
        denominator is 0. The F1 score is computed by the second formula.

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
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, predicted + support),
        "support": support,
    }


def _ratio(part: Array, whole: Array) -> Array:
    """Return ``part / whole``, NaN where `whole` is 0."""
    ratio: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return ratio


def _pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[Array, Array]:
    """Return both as int64, after a check of their lengths."""
    true, predicted = _labels(y_true, "y_true"), _labels(y_pred, "y_pred")
    if len(true) != len(predicted):
        raise ValueError(
            f"y_true has {len(true)} samples, y_pred {len(predicted)}: expected the same number"
        )
    return true, predicted


def _labels(y: ArrayLike, name: str) -> Array:
    """Return labels as int64."""
    array = as_array(y, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = f"; for outputs of a model pass {name}.argmax(axis=1)" if array.ndim == 2 else ""
        raise ValueError(f"{name} has shape {array.shape}, expected labels of shape (n,){hint}")
    if array.size and not (
        array.min() >= 0 and array.max() < COUNT_LIMIT and np.array_equal(array, np.floor(array))
    ):
        raise ValueError(f"{name} holds values other than labels, expected integers of at least 0")
    return array.astype(np.int64)
