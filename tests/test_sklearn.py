"""The estimators: what they do around the training, and what scikit-learn's MLP has not."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.class_weight import compute_sample_weight

from cnet import callbacks
from cnet.sklearn import MLPClassifier, MLPRegressor

unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return scale(x), y


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return scale(x), y


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return scale(x), y / 100


# Around the training


def sgd(kind=MLPClassifier, **settings):
    return kind(
        **{
            "hidden_layer_sizes": 8,
            "solver": "sgd",
            "learning_rate_init": 0.1,
            "random_state": 0,
            "max_iter": 30,
            "tol": 0.0,
            **settings,
        }
    )


@unconverged
def test_float32_stays_float32(iris):
    x, y = iris
    model = sgd().fit(x.astype(np.float32), y)
    assert {
        a.dtype
        for a in (*model.coefs_, *model.intercepts_, model.predict_proba(x.astype(np.float32)))
    } == {np.dtype(np.float32)}
    assert sgd().fit(x, y).predict_proba(x.astype(np.float32)).dtype == np.float64


@unconverged
def test_early_stopping_keeps_the_best_and_ends(iris):
    model = sgd(
        early_stopping=True, max_iter=300, n_iter_no_change=5, tol=1e-3, validation_fraction=0.2
    ).fit(*iris)
    assert model.n_iter_ < 300
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert (
        len(model.validation_scores_)
        == len(model.loss_curve_)
        == model.n_iter_
        == len(model.history_["val_loss"])
    )
    assert model.validation_scores_ == pytest.approx(model.history_["val_accuracy"])
    assert model.best_loss_ is None
    assert (
        sgd(MLPRegressor, early_stopping=True).fit(iris[0], iris[0][:, 0]).best_validation_score_
        > 0.5
    )


@unconverged
def test_validation_data_of_ones_own(iris, cancer):
    for x, y in (iris, cancer):
        model = sgd(early_stopping=True).fit(x[::2], y[::2], X_val=x[1::2], y_val=y[1::2])
        assert model.score(x[1::2], y[1::2]) == pytest.approx(model.best_validation_score_)
        model = sgd().fit(x[::2], y[::2], X_val=x[1::2], y_val=y[1::2])
        assert sorted(model.history_) == ["accuracy", "loss", "val_accuracy", "val_loss"]
        assert model.validation_scores_ is None
        with pytest.raises(ValueError, match="X_val and y_val belong together"):
            sgd().fit(x, y, X_val=x)


@unconverged
def test_partial_fit_goes_on(iris):
    x, y = iris
    model = sgd()
    for _ in range(20):
        model.partial_fit(x[::2], y[::2], classes=[0, 1, 2])
        model.partial_fit(x[1::2], y[1::2])
    assert model.score(x, y) > 0.9
    assert len(model.loss_curve_) == 40
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="early_stopping"):
        sgd(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes not in"):
        model.partial_fit(x, y + 1)


@unconverged
def test_warm_start_goes_on(iris):
    model = sgd(warm_start=True, max_iter=5).fit(*iris)
    first = model.loss_
    assert model.fit(*iris).loss_ < first
    assert len(model.loss_curve_) == len(model.history_["loss"]) == 10
    assert model.n_iter_ == 5
    with pytest.raises(ValueError, match="same classes"):
        model.fit(iris[0], iris[1] + 1)


@unconverged
def test_same_seed_same_bits_also_after_pickling(iris):
    a, b = sgd().fit(*iris), clone(sgd()).fit(*iris)
    again = pickle.loads(pickle.dumps(a))
    for other in (b, again):
        for x, y in zip(a.coefs_, other.coefs_, strict=True):
            np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(
        a.partial_fit(*iris).coefs_[0], again.partial_fit(*iris).coefs_[0]
    )
    assert a.coefs_[0] is a.model_[0].weight.data


@unconverged
def test_all_coefficients_may_be_assigned(iris):
    a, b = sgd().fit(*iris), sgd(random_state=1).fit(*iris)
    b.coefs_, b.intercepts_ = a.coefs_, a.intercepts_
    np.testing.assert_array_equal(a.predict_proba(iris[0]), b.predict_proba(iris[0]))
    with pytest.raises(AttributeError, match="no coefs_ before fit"):
        MLPClassifier().coefs_  # noqa: B018
    with pytest.raises(NotFittedError):
        MLPClassifier().predict(iris[0])


@unconverged
@pytest.mark.parametrize("jobs", [1, 2])
def test_grid_search_in_a_pipeline(jobs, iris):
    grid = {"mlpclassifier__alpha": [0.01, 1.0], "mlpclassifier__hidden_layer_sizes": [4, (4, 4)]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), sgd(solver="lbfgs", max_iter=100)), grid, n_jobs=jobs, cv=3
    ).fit(*iris)
    assert search.best_score_ > 0.9
    assert "MLPClassifier" in search.best_estimator_._repr_html_()


def test_it_says_when_it_has_not_converged(iris):
    for solver in ("sgd", "lbfgs"):
        with pytest.warns(ConvergenceWarning):
            sgd(solver=solver, max_iter=2).fit(*iris)


@unconverged
def test_callbacks_and_verbosity(iris, capsys):
    stopping = callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    assert sgd(callbacks=[stopping], verbose=True).fit(*iris).n_iter_ == 2
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")
    sgd(solver="lbfgs", max_iter=2, verbose=True).fit(*iris)
    assert "Iteration 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be > 0"),
        ({"alpha": -1}, "'alpha' parameter"),
        ({"activation": "sine"}, "'activation' parameter"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"solver": "lbfgs", "dropout": 0.5, "hidden_layer_sizes": ()}, "same result each time"),
        ({"learning_rate_init": 1e9, "max_iter": 9}, "Solver produced non-finite"),
    ],
)
def test_rejected(settings, problem, iris):
    with pytest.raises(ValueError, match=problem):
        sgd(MLPRegressor, **settings).fit(iris[0], iris[0][:, 0])


# What scikit-learn's MLP has not


@unconverged
@pytest.mark.parametrize(
    "settings",
    [
        {"dropout": 0.2},
        {"batch_norm": True},
        {"activation": "leaky_relu"},
        {"activation": "elu"},
        {"activation": "gelu"},
    ],
    ids=repr,
)
def test_layers_that_scikit_learn_has_not(settings, iris):
    assert sgd(**settings, max_iter=100).fit(*iris).score(*iris) > 0.9


@unconverged
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("loss", "theirs"),
    [
        ({"loss": "absolute_error"}, lambda target, output: np.abs(target - output).mean()),
        (
            {"loss": "huber", "delta": 0.7},
            lambda target, output: (
                0.49
                * (lambda z: np.where(z < 1, z * z / 2, z - 0.5))(
                    np.abs(target - output) / 0.7
                ).mean()
            ),
        ),
        (
            {"loss": "quantile", "quantile": 0.8},
            lambda target, output: mean_pinball_loss(target, output, alpha=0.8),
        ),
    ],
    ids=["absolute_error", "huber", "quantile"],
)
def test_robust_losses(loss, theirs, solver, diabetes):
    x, y = diabetes
    model = MLPRegressor(
        hidden_layer_sizes=8,
        solver=solver,
        learning_rate_init=0.01,
        max_iter=200,
        alpha=0.0,
        random_state=0,
        **loss,
    ).fit(x, y)
    assert model.history_["loss"][-1] == pytest.approx(
        theirs(y, model.predict(x)), rel=0.05
    )  # that of Adam is the epoch's mean
    assert theirs(y, model.predict(x)) < 0.8 * theirs(
        y, np.full_like(y, np.quantile(y, loss.get("quantile", 0.5)))
    )
    if loss["loss"] == "quantile":
        assert np.mean(y < model.predict(x)) == pytest.approx(0.8, abs=0.05)
    both = MLPRegressor(
        hidden_layer_sizes=8, solver=solver, max_iter=20, random_state=0, **loss
    ).fit(x, np.stack([y, -y], axis=1))
    assert both.predict(x).shape == (len(x), 2)


def rare(iris):
    """Two classes that overlap, one of them rare."""
    x, y = iris
    kept = np.flatnonzero(y)
    kept = kept[(y[kept] == 1) | (kept % 10 == 0)]
    return x[kept], np.array(["common", "rare"])[y[kept] - 1]


@unconverged
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_class_weights_are_weights_of_rows(solver, iris):
    x, y = rare(iris)
    settings = {"solver": solver, "batch_size": len(x), "max_iter": 20}
    given = {"rare": 5.0, "common": 0.5}
    by_class = sgd(**settings, class_weight=given).fit(x, y)
    by_row = sgd(**settings).fit(x, y, sample_weight=[given[label] for label in y])
    np.testing.assert_array_equal(by_class.coefs_[0], by_row.coefs_[0])
    balanced = sgd(**settings, class_weight="balanced").fit(x, y)
    by_row = sgd(**settings).fit(x, y, sample_weight=compute_sample_weight("balanced", y))
    np.testing.assert_array_equal(balanced.coefs_[0], by_row.coefs_[0])
    both = sgd(**settings, class_weight={"rare": 2}).fit(x, y, sample_weight=np.arange(len(x)) + 1)
    by_row = sgd(**settings).fit(
        x, y, sample_weight=(np.arange(len(x)) + 1) * np.where(y == "rare", 2.0, 1.0)
    )
    np.testing.assert_array_equal(both.coefs_[0], by_row.coefs_[0])


@unconverged
def test_class_weights_elsewhere(iris):
    x, y = rare(iris)
    sgd(class_weight={"rare": 3.0}, early_stopping=True).fit(x, y)
    model = sgd(class_weight={"rare": 3.0}).partial_fit(x[:20], y[:20], classes=["common", "rare"])
    model.partial_fit(x[:20], y[:20])
    with pytest.raises(ValueError, match="'balanced' needs the labels of all samples"):
        sgd(class_weight="balanced").partial_fit(x, y, classes=["common", "rare"])
    with pytest.raises(ValueError, match="the classes are"):
        sgd(class_weight={"rarely": 3.0}).fit(x, y)
    with pytest.raises(ValueError, match="a dict for each column"):
        sgd(class_weight=[{"rare": 1}, {"rare": 2}]).fit(x, y)
    labels = np.stack([y == "rare", y != "rare"], axis=1).astype(int)
    sgd(class_weight=[{1: 3.0}, {0: 2.0, 1: 1.0}]).fit(x, labels)


@unconverged
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_several_columns_of_classes(solver, iris):
    x, species = iris
    y = np.stack(
        [
            np.array(["setosa", "versicolor", "virginica"])[species],
            np.where(x[:, 0] > 0, "long", "short"),
        ],
        axis=1,
    )
    model = sgd(solver=solver, max_iter=200, learning_rate_init=0.05).fit(x, y)
    assert [list(classes) for classes in model.classes_] == [
        ["setosa", "versicolor", "virginica"],
        ["long", "short"],
    ]
    assert (model.n_outputs_, [coefs.shape[1] for coefs in model.coefs_]) == (5, [8, 3, 2])
    predicted = model.predict(x)
    assert predicted.shape == y.shape
    assert (predicted == y).mean() > 0.9
    assert model.score(x, y) == (predicted == y).all(axis=1).mean()
    for column, (probabilities, logarithms) in enumerate(
        zip(model.predict_proba(x), model.predict_log_proba(x), strict=True)
    ):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(logarithms), probabilities, atol=1e-12)
        np.testing.assert_array_equal(np.isfinite(logarithms), probabilities > 0)
        np.testing.assert_array_equal(
            model.classes_[column][probabilities.argmax(axis=1)], predicted[:, column]
        )
    if solver == "lbfgs":
        return
    assert {"accuracy_0", "accuracy_1"} <= set(model.history_)
    best = sgd(solver=solver, early_stopping=True, class_weight="balanced").fit(x, y)
    assert best.best_validation_score_ > 0.5
    again = sgd(solver=solver).partial_fit(x[:50], y[:50], classes=model.classes_)
    assert again.partial_fit(x, y).predict(x).shape == y.shape
    with pytest.raises(ValueError, match="before"):
        again.partial_fit(x, y, classes=[["a", "b"], ["c", "d"]])
    with pytest.raises(ValueError, match="classes not in"):
        again.partial_fit(x, y[:, ::-1])
    with pytest.raises(ValueError, match="expected 2 columns"):
        again.partial_fit(x, species)


@unconverged
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_schedule_of_learning_rates(solver, iris):
    x, y = iris
    asked = []

    def schedule(epoch):
        asked.append(epoch)
        return 0.1 * 0.5**epoch

    model = sgd(solver=solver, learning_rate=schedule, max_iter=4).fit(x, y)
    assert asked == [0, 1, 2, 3, 4]
    assert model._trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * 0.5**4)
    constant, one = (
        sgd(solver=solver, max_iter=3).fit(x, y),
        sgd(solver=solver, learning_rate=lambda epoch: 0.1, learning_rate_init=7.0, max_iter=3).fit(
            x, y
        ),
    )
    np.testing.assert_array_equal(constant.coefs_[0], one.coefs_[0])
    asked.clear()
    model.partial_fit(x, y)
    assert asked == [4, 5]
    with pytest.raises(ValueError, match=r"learning_rate\(0\) is -1"):
        sgd(learning_rate=lambda epoch: -1).fit(x, y)


def test_weights_and_counts_are_checked(iris):
    with pytest.raises(ValueError, match="must not be negative, and not all zero"):
        sgd().fit(*iris, sample_weight=np.arange(150.0) - 1)
