"""What the classifier and the regressor have in common: from parameters and data to a trained net."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from cnet import nn
from cnet._arrays import Array
from cnet._trainer import Trainer
from cnet.sklearn import _lbfgs
from cnet.sklearn._epochs import Epochs, start_record
from cnet.sklearn._network import build, dense, draw_seed, make_optimizer, set_decay

_DTYPES = (np.float64, np.float32)


class BaseMLP(BaseEstimator):
    """Base of `MLPClassifier` and `MLPRegressor`."""

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - as scikit-learn looks for it
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_norm": ["boolean"],
    }

    def __init__(
        self,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.callbacks = callbacks

    # What the subclasses add

    n_outputs_: int
    out_activation_: str

    def _encode(self, y: Any, incremental: bool) -> Array:
        """Target values as the net learns them: one row per sample; the subclass notes `n_outputs_` and `out_activation_`."""
        raise NotImplementedError

    def _loss(self) -> tuple[nn.Loss, float, float]:
        """The loss; what its gradient is multiplied by to be scikit-learn's; and the same for its value."""
        raise NotImplementedError

    def _score(self, x: Array, encoded: Array, weights: Array | None) -> float:
        """The score of validation data."""
        raise NotImplementedError

    # Fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Train a new net or, with ``warm_start=True``, go on with the one there is.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            float32 is computed with in float32, all else in float64.
        y : array-like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like, shape (n_samples,), or None
            Negative weights are refused.
        X_val, y_val : array-like or None
            Validation data of your own. `history_` then has its figures and, with ``early_stopping=True``, it decides, and no part of `X` is
            held out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of bounds, the data does not fit, or training diverges.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)

    def _has_epochs(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit takes a step after another, which solver='lbfgs' does not: use 'sgd' or 'adam'")
        return True

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any], incremental: bool) -> Self:
        self._validate_params()
        sizes = self.hidden_layer_sizes
        hidden = [int(size) for size in (sizes if isinstance(sizes, Iterable) else [sizes])]
        if min(hidden, default=1) < 1:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        fresh = not hasattr(self, "model_") or not (self.warm_start or incremental)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=is_regressor(self), dtype=_DTYPES, order="C", reset=fresh)
        weights = None if sample_weight is None else _weights(sample_weight, X)
        encoded = self._encode(y, incremental)
        random_state = check_random_state(self.random_state)
        if fresh:
            start_record(self)
            self._trainer: Trainer | None = None
            self.model_ = build([X.shape[1], *hidden, self.n_outputs_], self.activation, self.dropout, self.batch_norm, random_state, X.dtype)
            self.n_layers_ = len(hidden) + 2
        X = X.astype(self.model_.dtype, copy=False)
        held_out = self._validation(*validation)
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, encoded, weights)
        else:
            self._fit_epochs(X, encoded, weights, held_out, random_state, incremental)
        if not all(np.isfinite(parameter.data).all() for parameter in self.model_.parameters()):
            raise ValueError("Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed.")
        return self

    def _validation(self, X: Any, y: Any) -> tuple[Array, Array, None] | None:
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val belong together, and one of them is missing")
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=is_regressor(self), dtype=_DTYPES, order="C", reset=False)
        return X.astype(self.model_.dtype, copy=False), self._encode(y, incremental=True), None

    def _fit_lbfgs(self, X: Array, encoded: Array, weights: Array | None) -> None:
        if self.dropout or self.batch_norm:
            raise ValueError("solver='lbfgs' needs a net that gives the same result each time: use dropout=0 and batch_norm=False, or another solver")
        loss, scale, report = self._loss()
        decay = self.alpha / (len(X) if weights is None else weights.sum())
        settings = {"max_eval": self.max_fun, "max_iter": self.max_iter, "tol": self.tol}
        targets = loss.prepare_target(encoded, (self.n_outputs_,), X.dtype)
        value, curve, problem = _lbfgs.train(self.model_, loss, X, targets, weights, decay, scale, settings, bool(self.verbose))
        self.loss_, self.n_iter_ = report / scale * value, len(curve)
        self.history_.setdefault("loss", []).extend(report / scale * value for value in curve)
        if problem:
            warnings.warn(f"lbfgs stopped after {self.n_iter_} iterations: {problem}. Raise max_iter, or scale the data.", ConvergenceWarning, stacklevel=4)

    def _fit_epochs(
        self, X: Array, encoded: Array, weights: Array | None, held_out: tuple[Any, ...] | None, random_state: np.random.RandomState, incremental: bool
    ) -> None:
        if self.early_stopping and held_out is None:
            X, encoded, weights, held_out = self._hold_out(X, encoded, weights, random_state)
        auto = self.batch_size == "auto"
        batch = min(200 if auto else int(self.batch_size), len(X))
        if not auto and int(self.batch_size) > len(X):
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4)
        mean_weight = 1.0 if weights is None else float(weights.mean())
        loss, scale, report = self._loss()
        trainer = self._trainer if incremental else None
        if trainer is None:
            self._trainer = trainer = Trainer(self.model_, loss, make_optimizer(self, self.model_, scale))
        trainer.loss = loss
        set_decay(trainer.optimizer, self.alpha, batch * mean_weight, scale)
        score = (lambda: self._score(*held_out)) if self.early_stopping and held_out else None
        epochs = Epochs(self, report, scale if self.solver == "sgd" else 1.0, self.alpha / (batch * mean_weight), len(X), score)
        self.n_iter_ = 0
        try:
            trainer.fit(
                X,
                encoded,
                sample_weight=weights,
                epochs=1 if incremental else self.max_iter,
                batch_size=batch,
                shuffle=self.shuffle,
                seed=draw_seed(random_state),
                validation_data=held_out,
                callbacks=[epochs, *self.callbacks],
                verbose=False,
            )
        except FloatingPointError as error:
            raise ValueError(
                f"Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed: {error}"
            ) from error
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        for name, values in trainer.history.items():
            self.history_.setdefault(name, []).extend(values)
        if epochs.best_weights is not None:
            self.model_.load_state_dict(epochs.best_weights)
        if self.n_iter_ == self.max_iter and not epochs.converged and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _hold_out(self, X: Array, encoded: Array, weights: Array | None, random_state: np.random.RandomState) -> tuple[Any, ...]:
        indices = np.arange(len(X))
        stratify = encoded if is_classifier(self) and self.n_outputs_ == 1 else None
        train, test = train_test_split(indices, random_state=random_state, test_size=self.validation_fraction, stratify=stratify)
        if len(test) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        parts = [(X[part], encoded[part], None if weights is None else weights[part]) for part in (train, test)]
        return *parts[0], parts[1]

    # What was learned

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each dense layer, (inputs, outputs); not copies. They may be assigned."""
        return [layer.weight.data for layer in self._dense("coefs_")]

    @coefs_.setter
    def coefs_(self, values: list[ArrayLike]) -> None:
        for layer, value in zip(self._dense("coefs_"), values, strict=True):
            layer.weight.data = value

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each dense layer; not copies. They may be assigned."""
        return [layer.bias.data for layer in self._dense("intercepts_") if layer.bias]

    @intercepts_.setter
    def intercepts_(self, values: list[ArrayLike]) -> None:
        for layer, value in zip(self._dense("intercepts_"), values, strict=True):
            if layer.bias:
                layer.bias.data = value

    def _dense(self, name: str) -> list[nn.Linear]:
        if not hasattr(self, "model_"):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit")
        return dense(self.model_)

    def _outputs(self, X: Any) -> Array:
        """What the net makes of rows: logits, values, or logarithms of expected counts."""
        check_is_fitted(self)
        return self.model_(validate_data(self, X, dtype=_DTYPES, order="C", reset=False))


def _weights(sample_weight: Any, X: Array) -> Array:
    weights: Array = _check_sample_weight(sample_weight, X)
    if weights.min() < 0 or not weights.sum() > 0:
        raise ValueError("sample_weight must not be negative, and not all zero")
    return weights
