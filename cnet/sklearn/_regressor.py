"""The estimator for regression."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from cnet import nn
from cnet._utils.arrays import Array, reject_masked
from cnet._utils.warnings import warn
from cnet.sklearn._base import BaseMLP
from cnet.sklearn._losses import PoissonLoss
from cnet.sklearn._parameters import ATTRIBUTES, PARAMETERS, Parameters
from cnet.sklearn._samples import Samples, split
from cnet.sklearn._unchanged import unchanged_on_error


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = f"""Regressor with the interface of scikit-learn's ``MLPRegressor``.

    Parameters and attributes have the names and meanings of scikit-learn's. Results for the same
    `random_state` agree with scikit-learn's to rounding. Sparse input is rejected. The arithmetic
    is in float32 for float32 input, except with "lbfgs", and in float64 otherwise.

    Parameters
    ----------
    loss : {{"squared_error", "poisson", "absolute_error", "huber", "quantile"}}
        Loss of an output `x` with target `y`, with ``d = y - x``. "squared_error" is ``d**2 / 2``.
        "poisson" is half the Poisson deviance, ``y * log(y / x) - y + x``, for counts; the output
        activation is then the exponential. The others are not in scikit-learn's MLP:
        "absolute_error" is ``abs(d)``, "huber" is `nn.HuberLoss`, and "quantile" is
        `nn.QuantileLoss`.
    {PARAMETERS}
    quantile : float
        For the loss "quantile": the quantile to predict, above 0 and below 1.
    delta : float
        For the loss "huber": the difference at which it changes from quadratic to linear, above 0.

    Attributes
    ----------
    {ATTRIBUTES}

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from cnet.sklearn import MLPRegressor
    >>> X, y = make_regression(200, 5, random_state=0)
    >>> model = MLPRegressor(
    ...     hidden_layer_sizes=20, solver="lbfgs", alpha=1.0, max_iter=1000, random_state=0
    ... )
    >>> bool(model.fit(X, y / 100).score(X, y / 100) > 0.95)
    True
    """

    loss: str = "squared_error"
    hidden_layer_sizes: Any = (100,)
    activation: str = "relu"
    quantile: float = field(default=0.5, kw_only=True)
    delta: float = field(default=1.0, kw_only=True)

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn looks for it
        **Parameters._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson", "absolute_error", "huber", "quantile"})],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
        "delta": [Interval(Real, 0, None, closed="neither")],
    }

    def _encode(self, y: Any, incremental: bool) -> tuple[Array, tuple[int, ...], str]:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and y.size and y.min() < 0:
            warn(
                "loss='poisson' is for counts, and y holds negative values: the "
                "predictions for these samples approach 0"
            )
        encoded: Array = y.reshape(len(y), -1)
        return encoded, (encoded.shape[1],), "exp" if self.loss == "poisson" else "identity"

    def _loss(self) -> tuple[nn.Loss, float, float]:
        # cnet's losses are means over samples and outputs, and scikit-learn's gradients are sums
        # over outputs
        outputs = float(self.n_outputs_)
        if self.loss == "squared_error":
            return nn.MSELoss(), outputs / 2, 0.5
        if self.loss == "poisson":
            return PoissonLoss(), outputs, outputs
        if self.loss == "huber":
            return nn.HuberLoss(delta=float(self.delta)), outputs, 1.0
        if self.loss == "quantile":
            return nn.QuantileLoss(float(self.quantile)), outputs, 1.0
        return nn.L1Loss(), outputs, 1.0

    def _validation_score(self, samples: Samples) -> float:
        predicted = self._values(self.model_(samples.x))
        return (
            float(r2_score(samples.encoded, predicted, sample_weight=samples.weights))
            if np.isfinite(predicted).all()
            else np.nan
        )

    def _split(self, encoded: Array, random_state: np.random.RandomState) -> tuple[Array, Array]:
        return split(encoded, None, self.validation_fraction, random_state, None)

    @available_if(lambda self: self._has_epochs())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these samples. The first call creates the network.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like, shape (n_samples,), or None
            Weights of the samples, at least 0.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            As for `fit`. Also with ``early_stopping=True``.
        """
        with unchanged_on_error(self, continues=True):
            self._fit(X, y, sample_weight, (None, None), incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Predict the targets of samples.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs)
            Predicted targets.
        """
        values = self._values(self._outputs(X))
        return values.ravel() if self.n_outputs_ == 1 else values

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the coefficient of determination R^2 of the predictions.

        It is ``1 - sum((y - predicted)**2) / sum((y - mean(y))**2)``, and with several outputs the
        mean of theirs.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like, shape (n_samples,), or None
            Weights of the samples in the sums and means.

        Returns
        -------
        float
            R^2, at most 1.
        """
        reject_masked(y, "y")
        reject_masked(sample_weight, "sample_weight")
        return float(super().score(X, y, sample_weight))

    def _values(self, outputs: Array) -> Array:
        """Apply the output activation."""
        return np.exp(outputs) if self.out_activation_ == "exp" else outputs
