"""The estimator for classification."""

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
from cnet._utils.arrays import Array, reject_masked
from cnet.sklearn._base import BaseMLP
from cnet.sklearn._labels import Columns, Labels, OneOfSeveral, labels_of, same_labels
from cnet.sklearn._parameters import ATTRIBUTES, PARAMETERS, Parameters
from cnet.sklearn._samples import Samples, split
from cnet.sklearn._unchanged import unchanged_on_error


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""Classifier with the interface of scikit-learn's ``MLPClassifier``.

    Parameters and attributes have the names and meanings of scikit-learn's. Results for the same
    `random_state` agree with scikit-learn's to rounding. Sparse input is rejected. The arithmetic
    is in float32 for float32 input, except with "lbfgs", and in float64 otherwise. Unlike
    scikit-learn's classifier, it accepts several columns of classes. Each column then has a head
    with softmax.

    Parameters
    ----------
    {PARAMETERS}
    class_weight : dict, list of dict, "balanced" or None
        Not in scikit-learn's MLP. Class weights, as in its other classifiers: the weight of each
        sample is multiplied by that of its class. If `y` has several columns, one dict for each.
        "balanced" is ``n_samples / (n_classes * n_samples_of_class)``, which gives all classes the
        same total weight.

    Attributes
    ----------
    classes_ : ndarray, or list of ndarray if `y` has several columns of classes
        Sorted labels.
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
        """Train for one epoch on these samples. The first call creates the network.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Labels.
        sample_weight : array-like, shape (n_samples,), or None
            Weights of the samples, at least 0.
        classes : array-like, list of array-like for several columns of classes, or None
            All classes, including those that this call has no samples of. The first call needs it.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            As for `fit`. Also with ``early_stopping=True`` or ``class_weight="balanced"``.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs the labels of all samples, and partial_fit has "
                "some of them: pass a dict of class weights"
            )
        with unchanged_on_error(self, continues=True):
            self._set_labels(y, classes)
            self._fit(X, y, sample_weight, (None, None), incremental=True)
        return self

    def _set_labels(self, y: Any, classes: Any) -> None:
        """Set the classes from the arguments of `partial_fit`, or check them."""
        if isinstance(classes, list | tuple) and classes and np.ndim(classes[0]):
            labels: Labels = Columns([OneOfSeveral(np.unique(each)) for each in classes])
            if not hasattr(self, "_labels"):
                self._labels = labels
            elif not same_labels(labels, self._labels):
                raise ValueError(f"classes are {labels.classes}, and were {self.classes_} before")
        elif _check_partial_fit_first_call(self, classes):
            self._labels = labels_of(y if type_of_target(y).startswith("multilabel") else classes)

    def predict(self, X: Any) -> Array:
        """Predict the class of each sample.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples,) or, if `y` had several columns, (n_samples, n_columns)
            Predicted labels.
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X: Any) -> Any:
        """Compute the probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Probabilities; a list of arrays if `y` had several columns of classes.
        """
        outputs = self._outputs(X)
        return self._labels.probabilities(outputs)

    def predict_log_proba(self, X: Any) -> Any:
        """Compute the logarithms of `predict_proba`: -inf where a probability is 0.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
            Logarithms; a list of arrays if `y` had several columns of classes.
        """
        probabilities = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return (
                [np.log(each) for each in probabilities]
                if isinstance(probabilities, list)
                else np.log(probabilities)
            )

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy: the weighted fraction of samples that are classified correctly.

        If `y` has several columns, a sample is classified correctly if it is in all of them.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            True labels.
        sample_weight : array-like, shape (n_samples,), or None
            Weights of the samples.

        Returns
        -------
        float
            Accuracy, from 0 to 1.
        """
        reject_masked(y, "y")
        reject_masked(sample_weight, "sample_weight")
        if not isinstance(getattr(self, "classes_", None), list):
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X)
        return float(np.average((predicted == np.asarray(y)).all(axis=1), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
