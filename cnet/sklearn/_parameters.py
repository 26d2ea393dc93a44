"""Common parameters of the estimators: defaults, bounds and documentation.

scikit-learn reads parameters from the signature of ``__init__``, which `dataclass` generates.
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
    """An estimator with keyword parameters. Subclasses add those that may be positional."""

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
        Widths of the hidden layers. With an empty sequence, the model is linear.
    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "gelu"}
        Activation of the hidden layers. The last three are not in scikit-learn, see `cnet.nn`.
    solver : {"lbfgs", "sgd", "adam"}
        Optimizer: L-BFGS on all samples, or SGD or Adam on mini-batches.
    alpha : float
        Coefficient of the L2 penalty of weights, without biases. The loss of a mini-batch is ``(sum
        of the losses of its samples + alpha / 2 * sum(w**2)) / n``, with `n` the number of its
        samples or the sum of their weights.
    batch_size : int or "auto"
        Number of samples of a mini-batch. "auto" is 200, or all samples if there are fewer. With
        `batch_norm`, a single sample at the end of an epoch joins the mini-batch before.
    learning_rate : {"constant", "invscaling", "adaptive"} or callable
        Schedule of the learning rate for "sgd". "constant" is `learning_rate_init`. "invscaling" is
        ``learning_rate_init / (t_ + 1) ** power_t`` after each epoch. "adaptive" divides the rate
        by 5 whenever training stalls. Not in scikit-learn: a function from the number of an epoch,
        from 0, to its learning rate, also for "adam".
    learning_rate_init : float
        Initial learning rate for "sgd" and "adam", above 0.
    power_t : float
        Exponent of "invscaling".
    max_iter : int
        Maximum number of epochs or, for "lbfgs", of iterations.
    shuffle : bool
        Whether to visit the samples in a new random order in each epoch.
    random_state : int, RandomState or None
        Seed of the initial weights, which are scikit-learn's bitwise, of the order of samples, and
        of the split for early stopping.
    tol, n_iter_no_change : float, int
        For "sgd" and "adam": training ends when the loss, or with early stopping the validation
        score, has not improved by `tol` for more than `n_iter_no_change` epochs. "lbfgs" ends when
        no element of the gradient exceeds `tol`.
    verbose : bool
        Whether to print a line for each epoch.
    warm_start : bool
        Whether `fit` continues with the existing network, and with the present activation and
        dropout of the parameters. Other sizes of layers are an error.
    momentum, nesterovs_momentum : float, bool
        For "sgd": momentum, from 0 to 1, and whether it is Nesterov's.
    early_stopping, validation_fraction : bool, float
        For "sgd" and "adam": whether to hold out a fraction of the samples, end training when their
        score (accuracy or R2) stalls, and keep the weights with the best score, even if training
        diverges. The classes have the same fractions in both parts.
    beta_1, beta_2, epsilon : float
        For "adam": decay rates of the means, and the term that avoids division by 0, see
        `optim.Adam`.
    max_fun : int
        For "lbfgs": maximum number of evaluations of the loss.
    dropout : float
        Not in scikit-learn: probability that a hidden value is dropped during training.
    batch_norm : bool
        Not in scikit-learn: whether to apply `nn.BatchNorm1d` before each activation. It needs
        mini-batches of at least 2 samples.
    callbacks : callback, iterable of callbacks, or None
        Not in scikit-learn: see `cnet.callbacks`. For "sgd" and "adam". `fit` uses the objects
        themselves, and not copies, so their attributes can be read afterwards. Those of cnet are
        reset in each `fit` that starts again. `clone` copies them."""

ATTRIBUTES = """model_ : nn.Sequential
        Network without the output activation. ``model_.save(path)`` writes it to a file, and
        ``cnet.to_onnx(model_, path)`` exports it for other runtimes.
    coefs_, intercepts_ : list of ndarray
        Weights, of shape (inputs, outputs), and biases of each layer: the arrays of the network
        itself. ``coefs_[i] = array`` copies an array of the same shape into the network.
    history_ : dict of lists
        For each metric, one number per epoch, or per iteration of "lbfgs": ``"loss"``, for
        classifiers ``"accuracy"`` (not with "lbfgs") and, with validation data, ``"val_loss"`` and
        ``"val_accuracy"``. This loss has no penalty; squared errors are not halved, and that of
        several labels is their mean. ``pandas.DataFrame(history_)`` makes a table of it.
    loss_, best_loss_, loss_curve_ : float, float, list of float
        Loss of the last epoch, minimum, and loss of each epoch, as scikit-learn defines them: the
        mean over all samples of the loss of their mini-batch before its step, with the penalty.
        With "lbfgs" there is only `loss_`, after the last iteration.
    validation_scores_, best_validation_score_ : list of float, float
        Score of each epoch, and maximum, with early stopping; None without. The network has the
        weights of the maximum.
    n_iter_, t_ : int
        Number of epochs or iterations of the last fit, and number of samples visited in all fits.
    n_features_in_, n_outputs_, n_layers_, out_activation_ : int, int, int, str
        Numbers of features, of outputs, and of layers including the input; name of the output
        activation.
    feature_names_in_ : ndarray
        Names of the columns of `X`, if it had any."""
