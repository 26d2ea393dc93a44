"""What the classifier and the regressor have in common: from parameters and data to a trained net."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from cnet import nn
from cnet._arrays import Array
from cnet._trainer import Trainer
from cnet.sklearn import _lbfgs
from cnet.sklearn._callbacks import CallbackSupportMixin, tasks, with_callbacks
from cnet.sklearn._epochs import Epochs, start_record
from cnet.sklearn._masked import check_sample_weight, validate_data
from cnet.sklearn._network import build, dense, draw_seed, make_optimizer, set_decay
from cnet.sklearn._parameters import Parameters

_DTYPES = (np.float64, np.float32)


class BaseMLP(CallbackSupportMixin, Parameters):
    """Base of `MLPClassifier` and `MLPRegressor`."""

    # What the subclasses add

    hidden_layer_sizes: Any
    n_outputs_: int
    out_activation_: str

    def _encode(self, y: Any, incremental: bool) -> tuple[Array, tuple[int, ...], str]:
        """Target values as the net learns them, one row per sample; the widths of its heads; and the name of their activation."""
        raise NotImplementedError

    def _class_weights(self, y: Array, weights: Array | None) -> Array | None:
        """The weights of the rows, multiplied by those of their classes."""
        return weights

    def _loss(self) -> tuple[nn.Loss, float, float]:
        """The loss; what its gradient is multiplied by to be scikit-learn's; and the same for its value."""
        raise NotImplementedError

    def _validation_score(self, x: Array, encoded: Array, weights: Array | None) -> float:
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
        self._fit(X, y, sample_weight, (X_val, y_val), incremental=False)
        return self

    def _has_epochs(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit takes a step after another, which solver='lbfgs' does not: use 'sgd' or 'adam'")
        return True

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, Any], incremental: bool) -> None:
        self._validate_params()
        sizes = self.hidden_layer_sizes
        hidden = [int(size) for size in (sizes if isinstance(sizes, Iterable) else [sizes])]
        if min(hidden, default=1) < 1:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        fresh = not hasattr(self, "model_") or not (self.warm_start or incremental)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=is_regressor(self), dtype=_DTYPES, order="C", reset=fresh)
        encoded, widths, self.out_activation_ = self._encode(y, incremental)
        weights = self._class_weights(y, None if sample_weight is None else check_sample_weight(sample_weight, X))
        if weights is not None and (weights.min() < 0 or not weights.sum() > 0):
            raise ValueError("sample_weight, by class_weight where there is one, must not be negative, and not all zero")
        self.n_outputs_ = sum(widths)
        random_state = check_random_state(self.random_state)
        if fresh:
            start_record(self)
            self._trainer: Trainer | None = None
            self.model_ = build(self, [X.shape[1], *hidden], widths, random_state, X.dtype)
            self.n_layers_ = len(hidden) + 2
        X = X.astype(self.model_.dtype, copy=False)
        held_out = self._validation(*validation)
        if self.solver == "lbfgs":
            self._fit_lbfgs(X, y, encoded, weights)
        else:
            if self.early_stopping and held_out is None:
                train, test = self._split(encoded, random_state)
                held_out = X[test], encoded[test], None if weights is None else weights[test]
                X, y, encoded, weights = X[train], y[train], encoded[train], None if weights is None else weights[train]
            self._fit_epochs(X, y, encoded, weights, held_out, random_state, incremental)
        if not all(np.isfinite(parameter.data).all() for parameter in self.model_.parameters()):
            raise ValueError("Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed.")

    def _validation(self, X: Any, y: Any) -> tuple[Array, Array, Array | None] | None:
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val belong together, and one of them is missing")
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=is_regressor(self), dtype=_DTYPES, order="C", reset=False)
        encoded, widths, _ = self._encode(y, incremental=True)
        if sum(widths) != self.n_outputs_:
            raise ValueError(f"y_val has {sum(widths)} columns, y {self.n_outputs_}")
        return X.astype(self.model_.dtype, copy=False), encoded, self._class_weights(y, None)

    def _fit_lbfgs(self, X: Array, y: Array, encoded: Array, weights: Array | None) -> None:
        if self.dropout or self.batch_norm:
            raise ValueError("solver='lbfgs' needs a net that gives the same result each time: use dropout=0 and batch_norm=False, or another solver")
        loss, scale, report = self._loss()
        decay = self.alpha / (len(X) if weights is None else weights.sum())
        settings = {"max_eval": self.max_fun, "max_iter": self.max_iter, "tol": self.tol}
        targets = loss.prepare_target(encoded, (self.n_outputs_,), X.dtype)
        told = tasks(self, "lbfgs-iter", self.max_iter + 1, X, y, weights)

        def listen(iteration: int, reached: float) -> bool:
            if self.verbose:
                print(f"Iteration {iteration}, loss = {reached:.8f}")
            return told is not None and told.next()

        with told or nullcontext():
            value, curve, problem = _lbfgs.train(self.model_, loss, (X, targets, weights), decay, scale, settings, listen)
        self.loss_, self.n_iter_ = report / scale * value, len(curve)
        self.history_.setdefault("loss", []).extend(report / scale * value for value in curve)
        if problem:
            warnings.warn(f"lbfgs stopped after {self.n_iter_} iterations: {problem}. Raise max_iter, or scale the data.", ConvergenceWarning, stacklevel=5)

    def _fit_epochs(
        self,
        X: Array,
        y: Array,
        encoded: Array,
        weights: Array | None,
        held_out: tuple[Array, Array, Array | None] | None,
        random_state: np.random.RandomState,
        incremental: bool,
    ) -> None:
        auto = self.batch_size == "auto"
        batch = min(200 if auto else int(self.batch_size), len(X))
        if not auto and int(self.batch_size) > len(X):
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5)
        mean_weight = 1.0 if weights is None else float(weights.mean())
        loss, scale, report = self._loss()
        trainer = self._trainer if incremental else None
        if trainer is None:
            self._trainer = trainer = Trainer(self.model_, loss, make_optimizer(self, self.model_, scale))
        trainer.loss = loss
        set_decay(trainer.optimizer, self.alpha, batch * mean_weight, scale)
        score = (lambda: self._validation_score(*held_out)) if self.early_stopping and held_out else None
        epochs = Epochs(self, report, scale if self.solver == "sgd" else 1.0, self.alpha / (batch * mean_weight), len(X), score)
        count = 1 if incremental else self.max_iter
        told = tasks(self, "epoch", count, X, y, weights)
        self.n_iter_ = 0
        try:
            with told or nullcontext():
                trainer.fit(
                    X,
                    encoded,
                    sample_weight=weights,
                    epochs=count,
                    batch_size=batch,
                    shuffle=self.shuffle,
                    seed=draw_seed(random_state),
                    validation_data=held_out,
                    callbacks=[epochs, *self.callbacks, *([] if told is None else [told])],
                    verbose=False,
                )
        except FloatingPointError as error:
            raise ValueError(
                f"Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed: {error}"
            ) from error
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        for name, values in trainer.history.items():
            self.history_.setdefault(name, []).extend(values)
        if epochs.best_weights is not None:
            self.model_.load_state_dict(epochs.best_weights)
        if self.n_iter_ == self.max_iter and not epochs.converged and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _split(self, encoded: Array, random_state: np.random.RandomState) -> tuple[Array, Array]:
        """Rows to train on, and rows to hold out."""
        stratify = encoded if is_classifier(self) and self.n_outputs_ == 1 else None
        train, test = train_test_split(np.arange(len(encoded)), random_state=random_state, test_size=self.validation_fraction, stratify=stratify)
        if len(test) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        return train, test

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
        """What the net makes of rows: logits, values, or logarithms of expected counts; (n, n_outputs_)."""
        check_is_fitted(self)
        return self.model_(validate_data(self, X, dtype=_DTYPES, order="C", reset=False))
