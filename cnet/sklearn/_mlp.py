"""The two estimators."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import column_or_1d

from cnet import nn
from cnet._arrays import Array
from cnet.sklearn._base import BaseMLP
from cnet.sklearn._losses import BinaryCrossEntropy, PoissonLoss

_PARAMETERS = """hidden_layer_sizes : int or sequence of int
        Widths of the hidden layers; an empty sequence makes a linear model.
    activation : {"identity", "logistic", "tanh", "relu"}
        Of the hidden layers.
    solver : {"lbfgs", "sgd", "adam"}
        L-BFGS on the whole data set, or steps on batches.
    alpha : float
        L2 penalty of the weights, without biases: half of alpha times the sum of their squares is added to the sum of the
        losses of a batch. (A last, smaller batch counts as a whole one.)
    batch_size : int or "auto"
        "auto" is 200, or all rows if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For "sgd": as it is; divided by ``(t_ + 1) ** power_t`` after each epoch; or divided by 5 whenever training stalls.
    learning_rate_init : float
    power_t : float
    max_iter : int
        The most epochs or, for "lbfgs", iterations.
    shuffle : bool
        Visit the rows in a new order in each epoch.
    random_state : int, RandomState or None
        For initial weights, which are scikit-learn's bit for bit, the order of rows, and the split for early stopping.
    tol, n_iter_no_change : float, int
        Training ends when the loss, or with early stopping the validation score, has not improved by `tol` for more than
        so many epochs.
    verbose : bool
        Print a line for each epoch.
    warm_start : bool
        `fit` goes on with the net there is.
    momentum, nesterovs_momentum : float, bool
        For "sgd". When the learning rate changes, momentum is as PyTorch has it: the buffer holds gradients, not steps.
    early_stopping, validation_fraction : bool, float
        Hold out a part of the data, end when its score stalls, and keep the weights that scored best.
    beta_1, beta_2, epsilon : float
        For "adam".
    max_fun : int
        For "lbfgs": the most evaluations of the loss.
    dropout : float
        Not in scikit-learn: the probability of a hidden value to be dropped while training.
    batch_norm : bool
        Not in scikit-learn: normalise over the batch before each activation.
    callbacks : iterable
        Not in scikit-learn: see `cnet.callbacks`. For "sgd" and "adam"."""

_ATTRIBUTES = """model_ : nn.Sequential
        The net, without the output activation. ``model_.save(path)`` writes it to a file, ``cnet.to_onnx(model_, path)`` to one for other runtimes.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, outputs) and biases of each layer: the net's own arrays.
    history_ : dict of lists
        A number per epoch: ``"loss"`` (without the penalty, for squared errors not halved, for several labels their mean),
        ``"accuracy"`` where there is one, and ``"val_"`` of both with validation data. ``pandas.DataFrame(history_)`` makes a table of it.
    loss_, best_loss_, loss_curve_ : float, float, list of float
        As scikit-learn defines them, with the penalty; the curve and the best are those of "sgd" and "adam".
    validation_scores_, best_validation_score_ : list of float, float
        With early stopping.
    n_iter_, t_ : int
        Epochs of the last fit, and rows visited in all of them.
    n_features_in_, n_outputs_, n_layers_, out_activation_ : int, int, int, str
    feature_names_in_ : ndarray
        If `X` had names of columns."""


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""A classifier: scikit-learn's ``MLPClassifier`` on cnet's compiled loops.

    Names and meanings of parameters and attributes are scikit-learn's. Sparse input is refused. float32 input is computed with in
    float32, anything else in float64. With "sgd" and "adam" orders of rows differ from scikit-learn's, and so do results, a little.

    Parameters
    ----------
    {_PARAMETERS}

    Attributes
    ----------
    classes_ : ndarray
    {_ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cnet.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), MLPClassifier(32, solver="lbfgs", alpha=1.0, random_state=0))
    >>> bool(model.fit(X, y).score(X, y) > 0.95)
    True
    """

    def _encode(self, y: Any, incremental: bool) -> Array:
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            found = unique_labels(y)
            if self.warm_start and not incremental and set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
            if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
                raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}.")
        if self._label_binarizer.y_type_ == "multiclass":
            self.n_outputs_, self.out_activation_ = len(self.classes_), "softmax"
            labels: Array = np.searchsorted(self.classes_, y)
            return labels
        encoded: Array = self._label_binarizer.transform(y)
        self.n_outputs_, self.out_activation_ = encoded.shape[1], "logistic"
        return encoded

    def _loss(self) -> tuple[nn.Loss, float, float]:
        if self.out_activation_ == "softmax":
            return nn.CrossEntropyLoss(), 1.0, 1.0
        return BinaryCrossEntropy(), float(self.n_outputs_), float(self.n_outputs_)

    def _score(self, x: Array, encoded: Array, weights: Array | None) -> float:
        outputs = self.model_(x)
        predicted = outputs.argmax(axis=1) if self.out_activation_ == "softmax" else outputs > 0
        return float(accuracy_score(encoded, predicted.astype(encoded.dtype), sample_weight=weights))

    @available_if(lambda self: self._has_epochs())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Go on for one epoch over this data.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, shape (n_samples,), or None
        classes : array-like or None
            All classes that will ever come: needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As for `fit`; or if early stopping is asked for.
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer().fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, (None, None), incremental=True)

    def predict(self, X: Any) -> Array:
        """The class of each row.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_classes)
        """
        probabilities = self._probabilities(X)
        result: Array = self._label_binarizer.inverse_transform(probabilities.ravel() if self.n_outputs_ == 1 else probabilities)
        return result

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, in the order of `classes_`.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
        """
        probabilities = self._probabilities(X)
        return np.hstack([1 - probabilities, probabilities]) if self.n_outputs_ == 1 else probabilities

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _probabilities(self, X: Any) -> Array:
        outputs = self._outputs(X)
        return (nn.Softmax() if self.out_activation_ == "softmax" else nn.Sigmoid())(outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = f"""A regressor: scikit-learn's ``MLPRegressor`` on cnet's compiled loops.

    Names and meanings of parameters and attributes are scikit-learn's. Sparse input is refused. float32 input is computed with in
    float32, anything else in float64. With "sgd" and "adam" orders of rows differ from scikit-learn's, and so do results, a little.

    Parameters
    ----------
    loss : {{"squared_error", "poisson"}}
        Half the squared difference; or half the Poisson deviance, for counts, with an exponential as output activation.
    {_PARAMETERS}

    Attributes
    ----------
    {_ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from cnet.sklearn import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> model = MLPRegressor(hidden_layer_sizes=20, solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0)
    >>> bool(model.fit(X, y / 100).score(X, y / 100) > 0.95)
    True
    """

    _parameter_constraints = {**BaseMLP._parameter_constraints, "loss": [StrOptions({"squared_error", "poisson"})]}  # noqa: RUF012 - as scikit-learn looks for it

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        batch_norm: bool = False,
        callbacks: Any = (),
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            dropout=dropout,
            batch_norm=batch_norm,
            callbacks=callbacks,
        )
        self.loss = loss

    def _encode(self, y: Any, incremental: bool) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and y.size and y.min() < 0:
            raise ValueError("loss='poisson' takes counts: y must not be negative")
        y = y.reshape(len(y), -1)
        if incremental and hasattr(self, "model_") and y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} columns, the net {self.n_outputs_} outputs")
        self.n_outputs_ = int(y.shape[1])
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        encoded: Array = y
        return encoded

    def _loss(self) -> tuple[nn.Loss, float, float]:
        # cnet's losses are means over rows and outputs, scikit-learn's gradients sums over outputs
        if self.loss == "poisson":
            return PoissonLoss(), float(self.n_outputs_), float(self.n_outputs_)
        return nn.MSELoss(), self.n_outputs_ / 2, 0.5

    def _score(self, x: Array, encoded: Array, weights: Array | None) -> float:
        predicted = self._values(self.model_(x))
        return float(r2_score(encoded, predicted, sample_weight=weights)) if np.isfinite(predicted).all() else np.nan

    @available_if(lambda self: self._has_epochs())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on for one epoch over this data.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, shape (n_samples,), or None

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As for `fit`; or if early stopping is asked for.
        """
        return self._fit(X, y, sample_weight, (None, None), incremental=True)

    def predict(self, X: Any) -> Array:
        """The values for each row.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
        """
        values = self._values(self._outputs(X))
        return values.ravel() if self.n_outputs_ == 1 else values

    def _values(self, outputs: Array) -> Array:
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs
