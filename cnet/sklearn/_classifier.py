"""The classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)
from sklearn.utils.validation import column_or_1d

from cnet import nn
from cnet._utils.arrays import Array, refuse_masked
from cnet.sklearn._base import BaseMLP
from cnet.sklearn._labels import Columns, Labels, OneOfSeveral, labels_of, same_labels
from cnet.sklearn._parameters import ATTRIBUTES, PARAMETERS, Parameters
from cnet.sklearn._samples import Samples, split
from cnet.sklearn._unchanged import unchanged_on_error


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""A classifier: scikit-learn's ``MLPClassifier`` on cnet's compiled loops.

    Names and meanings of parameters and attributes are scikit-learn's, and so are results, to
    rounding, for the same `random_state`. Sparse input is rejected. float32 input is computed with
    in float32, except by "lbfgs", and anything else in float64. Unlike scikit-learn's, it also
    learns several columns of classes at a time, each with a softmax of its own.

    Parameters
    ----------
    {PARAMETERS}
    class_weight : dict, list of dict, "balanced" or None
        Not in scikit-learn's MLP, and as its other classifiers have it: what a row counts by its
        class, on top of its `sample_weight`; a dict for each column where `y` has several.
        "balanced": classes count the same, however many rows they have.

    Attributes
    ----------
    classes_ : ndarray, or list of ndarray if `y` has several columns of classes
    {ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cnet.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = MLPClassifier(32, solver="lbfgs", alpha=1.0, random_state=0)
    >>> model = make_pipeline(StandardScaler(), net)
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    class_weight: Any = field(default=None, kw_only=True)

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn looks for it
        **Parameters._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def _encode(self, y: Any, incremental: bool) -> tuple[Array, tuple[int, ...], str]:
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "_labels") or not (self.warm_start or incremental):
            self._labels = labels_of(y)
        elif (
            self.warm_start
            and not incremental
            and not same_labels(found := labels_of(y), self._labels)
        ):
            kind = "" if found.activation == self._labels.activation else ", of another kind"
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self._labels.classes}, `y` has "
                f"{found.classes}{kind}"
            )
        elif len(unknown := self._labels.unknown(y)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: {unknown}. `self.classes_` has "
                f"{self._labels.classes}."
            )
        self.classes_ = self._labels.classes
        return self._labels.encode(y), self._labels.widths, self._labels.activation

    def _class_weights(self, y: Array, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, str):
            factors: Array = compute_sample_weight(self.class_weight, y)
        else:
            dicts = (
                self.class_weight if isinstance(self.class_weight, list) else [self.class_weight]
            )
            columns = self._labels.columns
            if len(dicts) != len(columns) or not all(isinstance(each, dict) for each in dicts):
                raise ValueError(
                    f"class_weight is {self.class_weight!r}, expected a dict for each column of "
                    f"y: it has {len(columns)}"
                )
            factors = np.ones(len(y))
            for classes, each, column in zip(columns, dicts, y.reshape(len(y), -1).T, strict=True):
                known = classes.tolist()
                if set(each) - set(known) and set(known) - set(each):
                    raise ValueError(f"class_weight is {each}, and the classes are {known}")
                factors *= np.array([each.get(label, 1.0) for label in known])[
                    np.searchsorted(classes, column)
                ]
        return factors if weights is None else weights * factors

    def _loss(self) -> tuple[nn.Loss, float, float]:
        return self._labels.loss(self.model_), self._labels.scale, self._labels.scale

    def _validation_score(self, samples: Samples) -> float:
        return float(
            np.average(
                self._labels.right(self.model_(samples.x), samples.encoded), weights=samples.weights
            )
        )

    def _split(self, encoded: Array, random_state: np.random.RandomState) -> tuple[Array, Array]:
        two = self._labels.columns[0] if self._labels.widths == (1,) else None
        strata = np.unique(encoded, axis=0, return_inverse=True)[1].reshape(-1)
        return split(encoded, strata, self.validation_fraction, random_state, two)

    @available_if(lambda self: self._has_epochs())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on for one epoch over this data.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, shape (n_samples,), or None
        classes : array-like, list of array-like for several columns of classes, or None
            All classes that will ever come: needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As for `fit`; or if early stopping or ``class_weight="balanced"`` is asked for.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs to count all rows, and partial_fit sees some: "
                "give a dict of weights"
            )
        with unchanged_on_error(self, goes_on=True):
            self._set_labels(y, classes)
            self._fit(X, y, sample_weight, (None, None), incremental=True)
        return self

    def _set_labels(self, y: Any, classes: Any) -> None:
        """Take note of the classes that `partial_fit` is told."""
        if isinstance(classes, list | tuple) and classes and np.ndim(classes[0]):
            labels: Labels = Columns([OneOfSeveral(np.unique(each)) for each in classes])
            if not hasattr(self, "_labels"):
                self._labels = labels
            elif not same_labels(labels, self._labels):
                raise ValueError(f"classes are {labels.classes}, and were {self.classes_} before")
        elif _check_partial_fit_first_call(self, classes):
            self._labels = labels_of(y if type_of_target(y).startswith("multilabel") else classes)

    def predict(self, X: Any) -> Array:
        """The class of each row.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or, where `y` had several columns, (n_samples, n_columns)
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Or a list of them, where `y` had several columns of classes.
        """
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of `predict_proba`: -inf where a probability is 0.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Or a list of them, where `y` had several columns of classes.
        """
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return (
                [np.log(each) for each in probabilities]
                if isinstance(probabilities, list)
                else np.log(probabilities)
            )

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The part of the rows that are predicted correctly, in all columns where `y` has several.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, shape (n_samples,), or None

        Returns
        -------
        float
        """
        refuse_masked(y, "y")
        refuse_masked(sample_weight, "sample_weight")
        if not isinstance(getattr(self, "classes_", None), list):
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X)
        return float(np.average((predicted == np.asarray(y)).all(axis=1), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
