"""Agreement with scikit-learn's MLP: the same initial weights, the same mini-batches, and the same
numbers to rounding.
"""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import scale

from cnet import nn, optim
from cnet.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore")  # neither trains to the end

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(100, 5, n_classes=4, random_state=0)
DATA = {
    "many classes": (scale(IRIS[0]), np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]),
    "two classes": (scale(CANCER[0]), CANCER[1]),
    "labels": (scale(LABELS[0]), LABELS[1]),
    "numbers": (scale(DIABETES[0]), DIABETES[1] / 100),
    "two numbers": (scale(DIABETES[0]), np.stack([DIABETES[1] / 100, np.cos(DIABETES[1])], axis=1)),
    "counts": (scale(DIABETES[0]), np.round(DIABETES[1] / 50)),
    # large values: probabilities of 0 and 1, whose logarithms scikit-learn bounds
    "saturated": CANCER,
}
ADAM, SGD = {"solver": "adam"}, {"solver": "sgd"}
SETTINGS = {
    "adam": ADAM,
    "eps": {**ADAM, "epsilon": 0.1},
    "eps and betas": {**ADAM, "epsilon": 1e-3, "beta_1": 0.0, "beta_2": 0.9, "alpha": 1.0},
    "plain": {**SGD, "momentum": 0.0},
    "momentum": {**SGD, "momentum": 0.5, "nesterovs_momentum": False},
    "nesterov": SGD,
    "invscaling": {**SGD, "learning_rate": "invscaling", "power_t": 0.2},
    "invscaling without nesterov": {
        **SGD,
        "learning_rate": "invscaling",
        "nesterovs_momentum": False,
    },
    "adaptive": {**SGD, "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
    "no penalty": {**SGD, "alpha": 0.0},
    "stops": {**ADAM, "tol": 0.02, "n_iter_no_change": 1},
    "linear": {**SGD, "hidden_layer_sizes": ()},
    "logistic": {**ADAM, "activation": "logistic", "hidden_layer_sizes": (5, 4)},
    "one batch": {**ADAM, "batch_size": 10_000},
}


def pair(data, settings, sample_weight=None, **changes):
    x, y = DATA[data]
    regression = data in ("numbers", "two numbers", "counts")
    ours, theirs = (
        (MLPRegressor, TheirRegressor) if regression else (MLPClassifier, TheirClassifier)
    )
    arguments = {
        "hidden_layer_sizes": 7,
        "activation": "tanh",
        "max_iter": 25,
        "random_state": 3,
        "alpha": 0.1,
        "learning_rate_init": 0.01,
        "batch_size": 32,
    }
    arguments |= {"loss": "poisson"} if data == "counts" else {}
    arguments |= {**settings, **changes}
    return ours(**arguments).fit(x, y, sample_weight), theirs(**arguments).fit(x, y, sample_weight)


def assert_same(a, b, rtol=1e-11):
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_", "n_features_in_"):
        assert getattr(a, name) == getattr(b, name), name
    for name in (
        "loss_",
        "best_loss_",
        "loss_curve_",
        "validation_scores_",
        "best_validation_score_",
    ):
        ours, theirs = getattr(a, name, "absent"), getattr(b, name, "absent")
        assert type(ours) is type(theirs), name
        if isinstance(ours, list):
            assert list(map(type, ours)) == list(map(type, theirs)), name
        if theirs is not None and not isinstance(theirs, str):
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-15)
    for x, y in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    "data", ["many classes", "two classes", "labels", "numbers", "two numbers", "counts"]
)
def test_epochs_agree(data, settings, shuffle):
    """Also the last mini-batch, which is smaller, and the order of samples."""
    assert_same(*pair(data, settings, shuffle=shuffle))


@pytest.mark.parametrize(
    "settings",
    [ADAM, SGD, SETTINGS["invscaling"], SETTINGS["stops"]],
    ids=["adam", "sgd", "invscaling", "stops"],
)
@pytest.mark.parametrize("data", ["many classes", "two classes", "numbers", "counts"])
def test_weights_of_samples_agree(data, settings):
    """Each mini-batch weighs something else, and so does its penalty."""
    rng = np.random.default_rng(0)
    n = len(DATA[data][0])
    assert_same(*pair(data, settings, rng.uniform(0, 3, n) * (rng.random(n) < 0.9)))


@pytest.mark.parametrize("data", ["two classes", "numbers", "two numbers", "counts"])
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping_agrees(data, weighted):
    """Where scikit-learn stratifies, too, or neither does."""
    weights = np.random.default_rng(0).uniform(0, 3, len(DATA[data][0])) if weighted else None
    assert_same(
        *pair(
            data,
            ADAM,
            weights,
            early_stopping=True,
            n_iter_no_change=2,
            tol=1e-3,
            max_iter=40,
            validation_fraction=0.2,
        )
    )


@pytest.mark.parametrize(
    "settings",
    [{"solver": "sgd", "learning_rate_init": 1e-4}, {"solver": "adam", "learning_rate_init": 0.1}],
    ids=["sgd", "adam"],
)
def test_losses_of_saturated_probabilities_agree(settings):
    ours, theirs = pair("saturated", {**settings, "activation": "identity", "n_iter_no_change": 3})
    assert max(theirs.loss_curve_) > 5
    assert_same(ours, theirs, 1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("data", ["many classes", "two classes", "labels", "numbers", "counts"])
def test_lbfgs_agrees(data, alpha):
    """scikit-learn's loss of several numbers is not the one that its gradient is of, so that there
    is nothing to agree with.
    """
    for weights in (None, np.random.default_rng(0).uniform(0, 3, len(DATA[data][0]))):
        ours, theirs = pair(data, {"solver": "lbfgs", "max_iter": 12, "alpha": alpha}, weights)
        assert_same(ours, theirs, 1e-7)
        assert (
            not {"loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"}
            & vars(ours).keys()
        )


def test_lbfgs_agrees_for_float32_too():
    x, y = DATA["many classes"]
    ours, theirs = (
        kind(7, solver="lbfgs", max_iter=9, random_state=0).fit(x.astype(np.float32), y)
        for kind in (MLPClassifier, TheirClassifier)
    )
    assert_same(ours, theirs, 1e-6)
    assert (
        ours.predict_proba(x.astype(np.float32)).dtype
        == theirs.predict_proba(x.astype(np.float32)).dtype
        == np.float64
    )


def test_the_loss_of_several_numbers_by_lbfgs_has_the_whole_penalty():
    x, y = DATA["two numbers"]
    model = MLPRegressor(
        hidden_layer_sizes=7, solver="lbfgs", alpha=50.0, max_iter=30, random_state=0
    ).fit(x, y)
    penalty = 25.0 * sum((w**2).sum() for w in model.coefs_) / len(x)
    assert model.loss_ == pytest.approx(
        ((model.predict(x) - y) ** 2).mean() / 2 + penalty, rel=1e-9
    )
    assert model.history_["loss"][-1] == pytest.approx(
        ((model.predict(x) - y) ** 2).mean(), rel=1e-9
    )  # without it


@pytest.mark.parametrize("seed", range(8))
def test_any_sequence_of_fits_agrees(seed):
    """`partial_fit` continues with the optimizer, and `fit` with the weights where it starts
    warm.
    """
    rng = np.random.default_rng(seed)
    ours, theirs = (MLPClassifier, TheirClassifier) if seed % 2 else (MLPRegressor, TheirRegressor)
    x, y = DATA["many classes"][0], IRIS[1]
    settings = {
        "solver": ["sgd", "adam"][seed % 4 // 2],
        "learning_rate": ["invscaling", "adaptive"][seed // 4],
        "hidden_layer_sizes": 6,
        "activation": "tanh",
        "learning_rate_init": 0.05,
        "batch_size": 16,
        "random_state": seed,
        "tol": 0.5,
        "n_iter_no_change": 2,
        "max_iter": 3,
        "warm_start": seed > 3,
    }
    a, b = ours(**settings), theirs(**settings)
    for step in range(10):
        rows = np.append(rng.choice(150, int(rng.integers(5, 60))), [0, 50, 100])
        weights = rng.uniform(0.1, 2, len(rows)) if step % 4 == 3 else None
        for model in (a, b):
            if step % 5 == 4:
                model.fit(x[rows], y[rows])
            else:
                model.partial_fit(
                    x[rows],
                    y[rows],
                    sample_weight=weights,
                    **({"classes": [0, 1, 2]} if seed % 2 else {}),
                )
        assert_same(a, b)


@pytest.mark.parametrize(
    ("data", "rate"),
    [("numbers", 1.0), ("numbers", 1e5), ("two numbers", 1e30), ("two classes", 30.0)],
)
def test_divergence_with_early_stopping_ends_as_in_scikit_learn(data, rate):
    """With the best weights, and a score of the network that holds NaN: NaN for numbers."""
    settings = {"solver": "sgd", "activation": "identity", "learning_rate_init": rate}
    ours, theirs = pair(data, settings, early_stopping=True, n_iter_no_change=4)
    assert (
        ours.n_iter_
        == theirs.n_iter_
        == len(ours.loss_curve_)
        == len(ours.history_["val_loss"])
        == len(ours.history_["loss"])
    )
    np.testing.assert_array_equal(ours.validation_scores_[-1], theirs.validation_scores_[-1])
    assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_)
    for x, y in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)
    assert np.isnan(ours.loss_)


def test_divergence_is_told():
    x, y = DATA["numbers"]
    settings = {
        "solver": "sgd",
        "learning_rate_init": 10.0,
        "activation": "identity",
        "max_iter": 20,
        "random_state": 0,
    }
    with pytest.warns(
        ConvergenceWarning,
        match=r"training diverged in epoch 3: .* Early stopping keeps the weights of the best "
        r"validation score: -3",
    ):
        model = MLPRegressor(early_stopping=True, **settings).fit(x, y)
    assert np.isnan(model.validation_scores_[2:]).all()
    assert np.isfinite(model.predict(x)).all()
    with pytest.raises(ValueError, match=r"Solver produced non-finite parameter weights\."):
        TheirRegressor(**settings).fit(x, y)
    with pytest.raises(
        ValueError,
        match=r"Solver produced non-finite parameter weights\. .*training diverged in epoch 2: .* "
        r"below 10 may help",
    ):
        MLPRegressor(**settings).fit(x, y)
    x, y = DATA["two classes"]
    settings |= {"early_stopping": True, "learning_rate_init": 1e200}
    with pytest.raises(
        ValueError, match="Solver produced non-finite parameter weights"
    ):  # which have the best score, as all is one class to them
        TheirClassifier(**settings).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="training diverged in epoch 1"):
        assert np.isfinite(MLPClassifier(**settings).fit(x, y).predict_proba(x)).all()


@pytest.mark.parametrize("data", ["many classes", "two classes", "labels"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_predictions_agree(data, solver):
    ours, theirs = pair(data, {"solver": solver})
    x, y = DATA[data]
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-6)
    assert ours.score(x, y) == theirs.score(x, y)
    assert list(ours.classes_) == list(theirs.classes_)


def test_the_logarithm_of_a_probability_of_0_is_as_in_scikit_learn():
    x, y = DATA["two classes"]
    models = [
        kind(5, solver="lbfgs", alpha=0.0, max_iter=300, random_state=0).fit(x, y)
        for kind in (MLPClassifier, TheirClassifier)
    ]
    for model in models:
        for values in (model.coefs_[-1], model.intercepts_[-1]):
            values *= 100
    ours, theirs = (model.predict_log_proba(x) for model in models)
    assert np.isneginf(ours).any()
    np.testing.assert_array_equal(np.isneginf(ours), np.isneginf(theirs))
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(ours, np.log(models[0].predict_proba(x)))


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
@pytest.mark.parametrize(
    "asked",
    [np.float16, np.float32, np.float64, np.int16, np.int64, np.uint8, bool, object],
    ids=lambda dtype: dtype.__name__,
)
def test_dtypes_of_predictions_agree(fitted, asked, solver):
    x, y = np.abs(DATA["two classes"][0]), DATA["two classes"][1]
    settings = {"hidden_layer_sizes": 5, "solver": solver, "max_iter": 3, "random_state": 0}
    for ours, theirs, methods in (
        (MLPClassifier, TheirClassifier, ["predict", "predict_proba", "predict_log_proba"]),
        (MLPRegressor, TheirRegressor, ["predict"]),
    ):
        a, b = (kind(**settings).fit(x.astype(fitted), y) for kind in (ours, theirs))
        for method in methods:
            got, expected = (getattr(model, method)(x.astype(asked)) for model in (a, b))
            assert got.dtype == expected.dtype
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_one_class_is_as_in_scikit_learn():
    x = DATA["two classes"][0]
    ours, theirs = (
        kind(5, max_iter=5, random_state=0).fit(x, np.full(len(x), "yes"))
        for kind in (MLPClassifier, TheirClassifier)
    )
    assert_same(ours, theirs)
    assert ours.predict_proba(x).shape == theirs.predict_proba(x).shape == (len(x), 2)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))


def test_negative_counts_train_as_in_scikit_learn_with_a_warning():
    x, y = DATA["numbers"]
    with pytest.warns(
        UserWarning, match="loss='poisson' is for counts, and y holds negative values"
    ):
        ours = MLPRegressor("poisson", 5, max_iter=9, random_state=0).fit(x, y - 1)
    theirs = TheirRegressor("poisson", 5, max_iter=9, random_state=0).fit(x, y - 1)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-10)
    assert np.isfinite(ours.loss_curve_).all()  # scikit-learn's are NaN


def test_adam_and_sgd_of_cnet_are_pytorchs_still():
    """The estimators have their own optimizers."""
    ours = MLPClassifier(5, max_iter=2, random_state=0).fit(*DATA["two classes"])._trainer.optimizer
    assert type(ours) is not optim.Adam
    rule = optim.Adam([nn.Parameter((1,))], weight_decay=0.1)
    assert not rule._rule(rule.param_groups[0]).inner
    assert not rule._rule(rule.param_groups[0]).summed
