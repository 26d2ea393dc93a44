"""The parameters that both estimators have: their defaults and bounds, and what they and the
attributes mean.

scikit-learn reads parameters off the signature of ``__init__``, which `dataclass` writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from cnet.sklearn._network import ACTIVATIONS


@dataclass(kw_only=True, eq=False, repr=False)
class Parameters(BaseEstimator):
    """An estimator with parameters. Those that may be given by position are the subclasses'."""

    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str | Callable[[int], float] = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: int = 10
    max_fun: int = 15000
    dropout: float = 0.0
    batch_norm: bool = False
    callbacks: Any = ()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), callable],
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


PARAMETERS = """hidden_layer_sizes : int or sequence of int
        Widths of the hidden layers; an empty sequence makes a linear model.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu"}
        Of the hidden layers. The last three are not in scikit-learn; see `cnet.nn`.
    solver : {"lbfgs", "sgd", "adam"}
        L-BFGS on the whole data set, or steps on batches.
    alpha : float
        L2 penalty of the weights, without biases: half of alpha times the sum of their squares is
        added to the sum of the losses of a mini-batch, which is divided by the number, or the
        weight, of its samples.
    batch_size : int or "auto"
        "auto" is 200, or all samples if there are fewer. With `batch_norm`, a single sample at the
        end of an epoch joins the mini-batch before.
    learning_rate : {"constant", "invscaling", "adaptive"} or callable
        For "sgd": as it is; divided by ``(t_ + 1) ** power_t`` after each epoch; or divided by 5
        whenever training stalls. Not in scikit-learn: a function from the number of an epoch, from
        0, to its learning rate, for "adam" too.
    learning_rate_init : float
    power_t : float
    max_iter : int
        The most epochs or, for "lbfgs", iterations.
    shuffle : bool
        Visit the samples in a new random order in each epoch.
    random_state : int, RandomState or None
        For initial weights, which are scikit-learn's bitwise, the order of samples, and the
        split for early stopping.
    tol, n_iter_no_change : float, int
        Training ends when the loss, or with early stopping the validation score, has not improved
        by `tol` for more than so many epochs.
    verbose : bool
        Print a line for each epoch.
    warm_start : bool
        `fit` continues with the network there is, and with the activation and the dropout that the
        parameters have now. Other layers are an error.
    momentum, nesterovs_momentum : float, bool
        For "sgd".
    early_stopping, validation_fraction : bool, float
        For "sgd" and "adam": hold out a part of the samples, end when its score (accuracy or R2)
        stalls, and keep the weights that scored best, also where training diverges. Each class has
        its share of what is held out.
    beta_1, beta_2, epsilon : float
        For "adam".
    max_fun : int
        For "lbfgs": the most evaluations of the loss.
    dropout : float
        Not in scikit-learn: the probability of a hidden value to be dropped while training.
    batch_norm : bool
        Not in scikit-learn: normalize over the mini-batch before each activation. It needs
        mini-batches of at least 2 samples.
    callbacks : callback, iterable of callbacks, or None
        Not in scikit-learn: see `cnet.callbacks`. For "sgd" and "adam". `fit` uses the callbacks
        themselves, so that they show what they saw.
        Those of cnet start again in each `fit` that does; `clone` copies them."""

ATTRIBUTES = """model_ : nn.Sequential
        The network, without the output activation. ``model_.save(path)`` writes it to a file,
        ``cnet.to_onnx(model_, path)`` to one for other runtimes.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, outputs) and biases of each layer: the network's own arrays. ``coefs_[i] =
        array`` copies an array of the same shape into the net.
    history_ : dict of lists
        A number per epoch, or per iteration of "lbfgs": ``"loss"`` (without the penalty, for
        squared errors not halved, for several labels their mean), ``"accuracy"`` where there is one
        (not of "lbfgs"), and ``"val_"`` of both with validation data.
        ``pandas.DataFrame(history_)`` makes a table of it.
    loss_, best_loss_, loss_curve_ : float, float, list of float
        As scikit-learn defines them: mean over the samples of the loss, with the penalty, that
        their mini-batch had before its step. The curve and the best are those of "sgd" and "adam".
    validation_scores_, best_validation_score_ : list of float, float
        With early stopping; None without. The network has the weights of the best score.
    n_iter_, t_ : int
        Epochs of the last fit, and samples visited in all of them.
    n_features_in_, n_outputs_, n_layers_, out_activation_ : int, int, int, str
    feature_names_in_ : ndarray
        If `X` had names of columns."""
