"""Base of the estimators: checks of the data, training, and access to the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_regressor
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from cnet import nn
from cnet._data.samples import Rows
from cnet._training.input_scale import sample, warn_if_large
from cnet._utils.arrays import Array
from cnet.sklearn._callbacks import CallbackSupportMixin, with_callbacks
from cnet.sklearn._checks import check_sample_weight, validate_data
from cnet.sklearn._coefs import NetArrays
from cnet.sklearn._lbfgs import fit_lbfgs
from cnet.sklearn._network import build, dense, rebuild
from cnet.sklearn._parameters import Parameters
from cnet.sklearn._record import begin, packed, unpacked
from cnet.sklearn._samples import Samples
from cnet.sklearn._stochastic import NON_FINITE, fit_epochs
from cnet.sklearn._trainer import EstimatorTrainer
from cnet.sklearn._unchanged import unchanged_on_error

_DTYPES = (np.float64, np.float32)


class BaseMLP(CallbackSupportMixin, Parameters):
    """Base of `MLPClassifier` and `MLPRegressor`."""

    # Defined by the subclasses

    hidden_layer_sizes: Any
    n_outputs_: int
    out_activation_: str

    def _encode(self, y: Any, incremental: bool) -> tuple[Array, tuple[int, ...], str]:
        """Return targets for the network, the widths of its heads, and their activation.

        Targets have shape (n_samples, ...).
        """
        raise NotImplementedError

    def _class_weights(self, y: Array, weights: Array | None) -> Array | None:
        """Return sample weights, multiplied by the class weights."""
        return weights

    def _loss(self) -> tuple[nn.Loss, float, float]:
        """Return the loss, and the factors from its gradient and its value to scikit-learn's."""
        raise NotImplementedError

    def _validation_score(self, samples: Samples) -> float:
        """Return the score of the network for validation data."""
        raise NotImplementedError

    def _split(self, encoded: Array, random_state: np.random.RandomState) -> tuple[Array, Array]:
        """Return the indices of the samples to train on and to hold out."""
        raise NotImplementedError

    # Fitting

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train a new network or, with ``warm_start=True``, continue with the existing one.

        If it fails, or is interrupted before the first step, the estimator does not change.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            Samples. The arithmetic is in float32 for float32, except with "lbfgs", and in float64
            otherwise.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
            Labels or targets.
        sample_weight : array-like, shape (n_samples,), or None
            Weights of the samples, at least 0.
        X_val, y_val : array-like or None
            Your own validation data. `history_` then has its metrics. With
            ``early_stopping=True``, its score decides when to stop, and no part of `X` is held out.
            In a pipeline, have it transformed with ``Pipeline(..., transform_input=["X_val"])``.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of bounds, the data has the wrong type or shape, training diverges
            without early stopping, or training is to continue with a network of other layers.
        RuntimeError
            If the estimator is being fitted already.
        """
        with unchanged_on_error(self, continues=self.warm_start):
            self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)
        return self

    def _has_epochs(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit needs a solver that takes mini-batches, and solver='lbfgs' does not: "
                "use 'sgd' or 'adam'"
            )
        return True

    @with_callbacks
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any], incremental: bool
    ) -> None:
        self._validate_params()
        sizes = self.hidden_layer_sizes
        hidden = [int(size) for size in (sizes if isinstance(sizes, Iterable) else [sizes])]
        if min(hidden, default=1) < 1:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        continues = self.warm_start or incremental
        fresh = not hasattr(self, "model_") or not continues
        X, y = validate_data(
            self,
            X,
            y,
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=_DTYPES,
            order="C",
            reset=fresh,
        )
        encoded, widths, self.out_activation_ = self._encode(y, incremental)
        weights = self._class_weights(
            y, None if sample_weight is None else check_sample_weight(sample_weight, X)
        )
        if weights is not None and (weights.min() < 0 or not weights.sum() > 0):
            raise ValueError(
                "sample_weight, by class_weight where there is one, must not be negative, and "
                "not all zero"
            )
        random_state = check_random_state(self.random_state)
        if fresh:
            self._trainer: EstimatorTrainer | None = None
            self.model_ = build(self, [X.shape[1], *hidden], widths, random_state, X.dtype)
            self.n_layers_, self.n_outputs_ = len(hidden) + 2, sum(widths)
            given = self.__dict__.pop("_given", {})
            for name, arrays in given.items() if continues else ():
                self._assign(name, arrays)
        else:
            self.model_ = rebuild(self, hidden, widths, random_state)
        if (
            self.solver == "lbfgs" and self.model_.dtype != np.float64
        ):  # as in scikit-learn: float32 is not precise enough for a line search
            self._trainer = None
            for state in self.model_._states():
                state.cast(np.dtype(np.float64))
        samples = Samples(self._cast(X), y, encoded, weights)
        held_out = self._validation(*validation)
        begin(self, fresh)
        if self.solver == "lbfgs":
            if fresh:
                warn_if_large(self.model_, sample(Rows(samples.x, samples.x.dtype)))
            fit_lbfgs(self, samples, held_out)
        else:
            fit_epochs(self, samples, held_out, random_state, fresh, incremental)
        if not all(np.isfinite(parameter.data).all() for parameter in self.model_.parameters()):
            raise ValueError(f"{NON_FINITE}.")

    def _validation(self, X: Any, y: Any) -> Samples | None:
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val belong together, and one of them is missing")
        try:
            X, y = validate_data(
                self,
                X,
                y,
                multi_output=True,
                y_numeric=is_regressor(self),
                dtype=_DTYPES,
                order="C",
                reset=False,
            )
            encoded, widths, _ = self._encode(y, incremental=True)
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation data X_val and y_val: {error}") from None
        if sum(widths) != self.n_outputs_:
            raise ValueError(f"y_val has {sum(widths)} columns, y {self.n_outputs_}")
        return Samples(self._cast(X), y, encoded, self._class_weights(y, None))

    def _cast(self, X: Array) -> Array:
        """Return samples in the dtype of the network."""
        with np.errstate(over="ignore"):
            x: Array = np.require(X, self.model_.dtype, "C")
        if x.dtype.itemsize < X.dtype.itemsize and not np.isfinite(x).all():
            raise ValueError(
                f"X holds values beyond the range of {x.dtype}, in which this network computes as "
                f"it was first fitted to {x.dtype}"
            )
        return x

    # Results

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each dense layer, of shape (inputs, outputs).

        They are the arrays of the network itself, which may be changed in place. Assignment to one
        layer, such as ``coefs_[0] = array``, or to the whole list copies the values. Before the
        first fit, only the whole of `coefs_` and `intercepts_` can be assigned. `partial_fit` and,
        with ``warm_start=True``, `fit` then start from these values.
        """
        return self._arrays("coefs_")

    @coefs_.setter
    def coefs_(self, values: list[ArrayLike]) -> None:
        self._assign("coefs_", values)

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each dense layer, which may be changed or assigned like `coefs_`."""
        return self._arrays("intercepts_")

    @intercepts_.setter
    def intercepts_(self, values: list[ArrayLike]) -> None:
        self._assign("intercepts_", values)

    def _arrays(self, name: str) -> list[Array]:
        if not hasattr(self, "model_"):
            given: dict[str, list[Array]] = self.__dict__.get("_given", {})
            if name not in given:
                raise AttributeError(f"{type(self).__name__} has no {name} before fit")
            return given[name]
        parameters = [
            layer.weight if name == "coefs_" else layer.bias for layer in dense(self.model_)
        ]
        lists: dict[str, NetArrays] = self.__dict__.setdefault("_lists", {})
        if name not in lists or lists[name].parameters != parameters:
            lists[name] = NetArrays(name, [parameter for parameter in parameters if parameter])
        lists[name].refresh()
        return lists[name]

    def _assign(self, name: str, values: Any) -> None:
        if hasattr(self, "model_"):
            self._arrays(name)[:] = values
        else:
            self.__dict__.setdefault("_given", {})[name] = values

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _outputs(self, X: Any) -> Array:
        """Return outputs of the network before the output activation, of shape (n, n_outputs_).

        They have the dtype that scikit-learn's would have.
        """
        check_is_fitted(self)
        X = validate_data(self, X, order="C", reset=False)
        dtype = np.float64 if X.dtype.itemsize > 8 else np.result_type(X.dtype, self.model_.dtype)
        return self.model_(self._cast(X)).astype(dtype, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        """Omit the lists of arrays, which are created when needed."""
        return packed(
            {name: value for name, value in super().__getstate__().items() if name != "_lists"}
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpacked(state))
