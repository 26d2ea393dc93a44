"""What an estimator keeps, and what changes it: warm starts, fits that fail, and files."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import scale
from sklearn.utils.validation import check_is_fitted

from cnet import nn
from cnet.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = scale(load_iris().data), load_iris().target


def make(kind=MLPClassifier, **settings):
    return kind(
        **{
            "hidden_layer_sizes": 8,
            "learning_rate_init": 0.05,
            "random_state": 0,
            "max_iter": 5,
            **settings,
        }
    )


def same_nets(a, b):
    for x, y in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True):
        np.testing.assert_array_equal(x, y)


# Warm starts


def test_a_warm_start_follows_the_activation_and_the_dropout():
    model = make(warm_start=True, solver="sgd").fit(X, Y)
    weights = model.coefs_[0]
    model.set_params(activation="tanh", dropout=0.5, learning_rate_init=1e-9).fit(X, Y)
    assert [type(layer) for layer in model.model_] == [nn.Linear, nn.Tanh, nn.Dropout, nn.Linear]
    assert model.coefs_[0] is weights
    np.testing.assert_allclose(
        model.model_(X),
        np.tanh(X @ model.coefs_[0] + model.intercepts_[0]) @ model.coefs_[1]
        + model.intercepts_[1],
    )
    net = model.model_
    assert model.fit(X, Y).model_ is net
    model.set_params(activation="elu", dropout=0.0).partial_fit(X, Y)
    assert [type(layer) for layer in model.model_] == [nn.Linear, nn.ELU, nn.Linear]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"hidden_layer_sizes": 50},
            r"hidden_layer_sizes is \[50\], but training continues with a network for which it is "
            r"\[8\]: construct a new estimator",
        ),
        ({"hidden_layer_sizes": (8, 8)}, r"hidden_layer_sizes is \[8, 8\]"),
        ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes is \[\]"),
        (
            {"batch_norm": True},
            "batch_norm is True, but training continues with a network for which it is False",
        ),
    ],
    ids=str,
)
def test_a_warm_start_rejects_other_layers(settings, message):
    model = make(warm_start=True).fit(X, Y)
    before = copy.deepcopy(model)
    model.set_params(**settings)
    for go_on in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=message):
            go_on(X, Y)
        same_nets(model, before)
    model.set_params(warm_start=False).fit(X, Y)


def test_a_warm_start_rejects_other_targets():
    numbers = make(MLPRegressor, warm_start=True).fit(X, X[:, 0])
    with pytest.raises(
        ValueError,
        match=r"the number of outputs for y is \[2\], but training continues with a network for "
        r"which it is \[1\]",
    ):
        numbers.fit(X, X[:, :2])
    with pytest.raises(ValueError, match=r"the number of outputs for y is \[2\]"):
        numbers.partial_fit(X, X[:, :2])
    several = make(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"same classes .* of another kind"):
        several.fit(
            X, np.eye(3, dtype=int)[Y]
        )  # a table of labels, whose classes are 0, 1 and 2, too
    with pytest.raises(
        ValueError, match=r"y has shape \(150, 3\), expected \(n_samples,\), as before"
    ):
        several.partial_fit(X, np.eye(3, dtype=int)[Y])
    with pytest.raises(ValueError, match=r"X_val and y_val: .*y has shape \(150, 3\)"):
        several.fit(X, Y, X_val=X, y_val=np.eye(3, dtype=int)[Y])


def test_a_net_of_float32_goes_on_in_float32_and_rejects_what_that_cannot_hold():
    model = make(warm_start=True).fit(X.astype(np.float32), Y)
    assert model.fit(X, Y).coefs_[0].dtype == np.float32
    large = np.where(np.arange(4) == 2, 1e39, X)
    for use in (lambda: model.fit(large, Y), lambda: model.predict(large)):
        with pytest.raises(ValueError, match="X holds values beyond the range of float32"):
            use()


def test_partial_fit_follows_the_parameters_of_its_optimizer():
    for changes, expected in (
        ({"learning_rate_init": 0.5}, {"lr": 0.5}),
        ({"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}, {"eps": 0.1, "lr": 0.05}),
        (
            {"solver": "sgd", "momentum": 0.3, "nesterovs_momentum": False},
            {"momentum": 0.3, "nesterov": False, "lr": 0.05},
        ),
        ({"alpha": 3.0}, {"weight_decay": 3.0}),
    ):
        model = make().fit(X, Y).set_params(**changes).partial_fit(X, Y)
        group = model._trainer.optimizer.param_groups[0]
        assert {name: group[name] for name in expected} == pytest.approx(expected)
        assert group.get("betas") in ((model.beta_1, model.beta_2), None)
    kept = make(solver="sgd", learning_rate="invscaling").fit(X, Y)
    rate = kept._trainer.learning_rate
    assert kept.set_params(momentum=0.5)._trainer.learning_rate == rate < 0.05


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_early_stopping_after_a_warm_start_returns_the_weights_that_it_says(kind, own):
    """A ruinous second fit is undone."""
    validation = {"X_val": X[::3], "y_val": Y[::3]} if own else {}
    model = make(kind, early_stopping=True, warm_start=True, max_iter=60, n_iter_no_change=60).fit(
        X, Y, **validation
    )
    best, predicted, scores = (
        model.best_validation_score_,
        model.predict(X),
        len(model.validation_scores_),
    )
    assert best > 0.8
    model.set_params(learning_rate_init=5.0, max_iter=5).fit(X, Y, **validation)
    assert max(model.validation_scores_[scores:]) < best
    assert model.best_validation_score_ == best
    np.testing.assert_array_equal(model.predict(X), predicted)
    if own:
        assert model.score(X[::3], Y[::3]) == pytest.approx(best)
    model.fit(
        X, Y, X_val=X[:9], y_val=Y[:9] + 1
    )  # which it has not learned: the best of before was of other samples
    assert model.best_validation_score_ < best


def test_early_stopping_may_come_and_go():
    model = make(warm_start=True).fit(X, Y)
    model.set_params(early_stopping=True).fit(X, Y)
    assert len(model.validation_scores_) == 5
    assert model.best_loss_ is None
    model.set_params(early_stopping=False).partial_fit(X, Y)
    assert model.validation_scores_ is None
    assert model.best_loss_ == model.loss_
    model.set_params(solver="lbfgs").fit(X, Y)
    assert model.set_params(solver="sgd").fit(X, Y).n_iter_ == 5


# Fits that fail


class Boom(Exception):
    pass


def fails(trainer, logs):
    raise Boom


def interrupts(trainer, logs):
    raise KeyboardInterrupt


FAILURES = {
    "X_val": ({}, {"X_val": X[:, :2], "y_val": Y}, ValueError, "X_val and y_val: X has 2 features"),
    "y_val": (
        {},
        {"X_val": X, "y_val": Y + 1},
        ValueError,
        "X_val and y_val: `y` has classes not in",
    ),
    "one of two": ({}, {"X_val": X}, ValueError, "belong together"),
    "weights": ({}, {"sample_weight": -np.ones(150)}, ValueError, "must not be negative"),
    "hold-out": (
        {"early_stopping": True, "validation_fraction": 0.001},
        {},
        ValueError,
        "The validation set is too small",
    ),
    "lbfgs and dropout": (
        {"solver": "lbfgs", "dropout": 0.5},
        {},
        ValueError,
        "same result each time",
    ),
    "lbfgs and callbacks": (
        {"solver": "lbfgs", "callbacks": [fails]},
        {},
        ValueError,
        "callbacks are called after epochs",
    ),
    "lbfgs stops early": (
        {"solver": "lbfgs", "early_stopping": True},
        {"X_val": X, "y_val": Y},
        ValueError,
        "X_val and y_val cannot stop",
    ),
    "divergence": (
        {"solver": "sgd", "learning_rate_init": 1e200, "activation": "identity"},
        {},
        ValueError,
        "Solver produced non-finite",
    ),
    "callback": ({"callbacks": [fails]}, {}, Boom, None),
    "no callback": (
        {"callbacks": 3},
        {},
        TypeError,
        "callbacks is 3, expected a callback or a list",
    ),
    "schedule": (
        {"learning_rate": lambda epoch: 0.1 if epoch < 3 else -1},
        {},
        ValueError,
        r"learning_rate\(\d+\) is -1",
    ),
    "batch norm": (
        {"batch_norm": True, "batch_size": 1},
        {},
        ValueError,
        "batch_norm=True needs at least 2 samples in a mini-batch, and batch_size is 1",
    ),
    "sizes": ({"hidden_layer_sizes": (3, 0)}, {}, ValueError, "hidden_layer_sizes must be > 0"),
    "solver": ({"solver": "none"}, {}, ValueError, "'solver' parameter"),
}


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("settings", "data", "error", "message"), FAILURES.values(), ids=FAILURES)
def test_a_fit_that_fails_leaves_the_estimator_as_it_was(settings, data, error, message, warm):
    new = make(warm_start=warm, **settings)
    with pytest.raises(error, match=message):
        new.fit(X, Y, **data)
    with pytest.raises(NotFittedError):
        check_is_fitted(new)
    with pytest.raises(NotFittedError):
        new.predict(X)
    assert not [name for name in vars(new) if name.endswith("_") or name in ("_labels", "_trainer")]

    batch_norm = settings.get("batch_norm", False)
    fitted = make(
        warm_start=warm,
        batch_norm=batch_norm,
        **({"solver": settings["solver"]} if settings.get("solver") == "lbfgs" else {}),
    ).fit(X, Y)
    before, attributes = pickle.dumps(fitted), set(vars(fitted))
    parameters = fitted.get_params()
    with pytest.raises((error, ValueError)):  # or that layers are others
        fitted.set_params(**settings).fit(X, Y, **data)
    fitted.set_params(**{name: parameters[name] for name in settings})
    assert set(vars(fitted)) == attributes
    again = pickle.loads(before)
    same_nets(fitted, again)
    assert str(fitted.__getstate__()["history_"]) == str(again.__getstate__()["history_"])
    np.testing.assert_array_equal(fitted.predict(X), again.predict(X))
    if not batch_norm and fitted.solver != "lbfgs":
        same_nets(
            fitted.partial_fit(X, Y), again.partial_fit(X, Y)
        )  # the optimizer is as it was, too


def test_a_partial_fit_that_fails_leaves_the_estimator_as_it_was():
    new = make()
    for data in ((X, Y), (X, Y[:5], None, [0, 1, 2]), (X, Y, None, [0, 1])):
        with pytest.raises(ValueError, match=r"classes|inconsistent"):
            new.partial_fit(*data)
        assert not [name for name in vars(new) if name.endswith("_")]
    a, b = (
        make(solver="sgd", learning_rate="invscaling", batch_size=10).partial_fit(
            X, Y, classes=[0, 1, 2]
        )
        for _ in range(2)
    )
    diverging = {"learning_rate_init": 1e250, "activation": "identity"}
    for settings, error in (
        ({"callbacks": [fails]}, Boom),
        (diverging, ValueError),
        ({"batch_norm": True}, ValueError),
    ):
        with pytest.raises(error):
            a.set_params(**settings).partial_fit(X, Y)
        a.set_params(callbacks=(), learning_rate_init=0.05, activation="relu", batch_norm=False)
    assert a.loss_curve_ == b.loss_curve_
    assert (a.t_, a.n_iter_) == (b.t_, b.n_iter_)
    same_nets(a, b)
    same_nets(a.partial_fit(X, Y), b.partial_fit(X, Y))


def test_an_interrupt_keeps_what_was_learned_or_the_estimator_as_it_was(monkeypatch):
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model = make(callbacks=[interrupts]).fit(X, Y)
    assert model.n_iter_ == 1
    assert model.predict(X).shape == Y.shape
    before = copy.deepcopy(model)
    monkeypatch.setattr(
        "cnet.sklearn._trainer._OrderedData.iter_epoch",
        lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt),
    )
    for estimator in (model, model.set_params(warm_start=True)):
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, Y)
        same_nets(model, before)
        assert model.n_iter_ == 1
    new = make()
    with pytest.raises(KeyboardInterrupt):
        new.fit(X, Y)
    assert not hasattr(new, "model_")


# Files, and arrays that are mapped from them


@pytest.mark.parametrize(
    "model",
    [
        make(batch_norm=True, dropout=0.2, warm_start=True),
        make(
            MLPRegressor, solver="sgd", learning_rate="invscaling", warm_start=True, batch_size=64
        ),
        make(solver="lbfgs", warm_start=True),
    ],
    ids=["adam", "sgd", "lbfgs"],
)
def test_an_estimator_in_read_only_arrays_predicts_and_trains_to_the_same_bits(model, tmp_path):
    model = clone(model).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    uses = [lambda m: m, lambda m: m.fit(X, Y), lambda m: m.set_params(warm_start=False).fit(X, Y)]
    if model.solver != "lbfgs":
        uses += [
            lambda m: m.partial_fit(X, Y).partial_fit(X, Y),
            lambda m: m.set_params(learning_rate_init=0.01).partial_fit(X, Y),
        ]
    for use in uses:
        mapped = joblib.load(tmp_path / "model", mmap_mode="r")
        assert not mapped.coefs_[0].flags.writeable
        same_nets(use(mapped), use(copy.deepcopy(model)))
        np.testing.assert_array_equal(mapped.predict(X), use(copy.deepcopy(model)).predict(X))
    mapped = joblib.load(tmp_path / "model", mmap_mode="r")
    mapped.set_params(callbacks=[fails] if model.solver != "lbfgs" else (), early_stopping=True)
    with pytest.raises((Boom, ValueError)):
        mapped.fit(X, Y, X_val=X, y_val=Y)
    same_nets(mapped, model)
    mapped.coefs_[0] = np.zeros_like(model.coefs_[0])
    mapped.intercepts_ = [array + 1 for array in model.intercepts_]
    assert not mapped.coefs_[0].any()
    assert (tmp_path / "model").read_bytes() == content


def test_an_estimator_trains_in_a_worker_that_maps_its_arrays():
    model = make(batch_norm=True, warm_start=True).fit(X, Y)
    fit = joblib.delayed(
        type(model).fit
    )  # not a function of this file, which a worker cannot import
    results = joblib.Parallel(n_jobs=2, max_nbytes=64)(fit(model, X, Y) for _ in range(2))
    expected = copy.deepcopy(model).fit(X, Y)
    for result in results:
        same_nets(result, expected)
        np.testing.assert_array_equal(result.predict_proba(X), expected.predict_proba(X))


def test_a_pickle_grows_by_8_bytes_for_each_figure():
    model = make().partial_fit(X, Y, classes=[0, 1, 2])
    size = len(pickle.dumps(model))
    for _ in range(100):
        model.partial_fit(X, Y)
    assert (
        len(pickle.dumps(model)) - size < 100 * 8 * 3 + 200
    )  # a loss with the penalty, one without, and an accuracy
    again = pickle.loads(pickle.dumps(model))
    assert again.loss_curve_ == model.loss_curve_
    assert again.history_ == model.history_
    assert type(again.loss_curve_[0]) is np.float64
    stopped = make(early_stopping=True).fit(X, Y)
    assert pickle.loads(pickle.dumps(stopped)).validation_scores_ == stopped.validation_scores_


def test_an_estimator_is_fitted_once_at_a_time():
    model = make(warm_start=True).fit(X, Y)
    model.set_params(callbacks=[lambda trainer, logs: model.partial_fit(X, Y)])
    before = copy.deepcopy(model)
    with pytest.raises(
        RuntimeError, match="this estimator is being fitted already: another thread, or a callback"
    ):
        model.fit(X, Y)
    same_nets(model, before)
    model.set_params(callbacks=()).fit(X, Y)
