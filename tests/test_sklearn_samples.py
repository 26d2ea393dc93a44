"""The samples of a fit: validation data, what early stopping holds out, the last mini-batch, and
sparse ones.
"""

import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

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


def test_validation_data_has_its_figures_with_lbfgs_too():
    model = make(solver="lbfgs").fit(X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2])
    assert sorted(model.history_) == ["loss", "val_accuracy", "val_loss"]
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}
    assert model.history_["val_accuracy"][-1] == model.score(X[1::2], Y[1::2])
    probabilities = model.predict_proba(X[1::2])[np.arange(75), Y[1::2]]
    assert model.history_["val_loss"][-1] == pytest.approx(-np.log(probabilities).mean())
    same_nets(model, make(solver="lbfgs").fit(X[::2], Y[::2]))


@pytest.mark.parametrize("rows", [201, 401, 9])
@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_size": 8}, {"batch_size": 2}, {"shuffle": False, "batch_size": 4}],
    ids=repr,
)
def test_a_single_last_sample_joins_the_mini_batch_before_for_batch_norm(rows, settings):
    x, y = np.resize(X, (rows, 4)), np.resize(Y, rows)
    seen = []
    model = make(
        batch_norm=True,
        callbacks=[lambda trainer, logs: seen.append(trainer.global_step)],
        max_iter=2,
        **settings,
    ).fit(x, y)
    size = min(settings.get("batch_size", 200), rows)
    assert seen[0] == rows // size  # and not one more
    assert np.isfinite(model.loss_)
    again = make(batch_norm=True, warm_start=True, max_iter=1, **settings).fit(x, y).fit(x, y)
    assert again.partial_fit(x, y).predict(x).shape == y.shape


def test_the_joined_mini_batch_is_one_of_all_its_samples():
    """As if all were in one, where there is one before."""
    x, y = X[:9], Y[:9] + np.arange(9) % 2
    whole, joined = (
        make(batch_norm=True, solver="sgd", batch_size=size, shuffle=False).fit(x, y)
        for size in (9, 8)
    )
    same_nets(whole, joined)
    assert whole.loss_curve_ == joined.loss_curve_


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_one_sample_is_rejected_for_batch_norm_with_what_to_do(kind):
    with pytest.raises(
        ValueError,
        match=r"batch_norm=True needs at least 2 samples, .* got 1 sample: pass more samples, or "
        r"use batch_norm=False",
    ):
        make(kind, batch_norm=True).fit(X[:1], Y[:1])
    model = make(kind, batch_norm=True).fit(X, Y)
    with pytest.raises(
        ValueError, match="got 1 sample: pass more samples at a time, or use batch_norm=False"
    ):
        model.partial_fit(X[:1], Y[:1])
    make(kind, batch_norm=True, hidden_layer_sizes=()).fit(
        X[:1], Y[:1]
    )  # which has no layer to normalize


@pytest.mark.parametrize("targets", ["several classes", "a table of labels", "several columns"])
def test_what_is_held_out_has_its_share_of_each_class(targets):
    classes = np.repeat([0, 1, 2, 3], [100, 60, 30, 10])
    y = {
        "several classes": classes,
        "a table of labels": np.stack([classes == 3, classes > 1, classes != 1], axis=1).astype(
            int
        ),
        "several columns": np.stack([classes, classes + 1], axis=1),
    }[targets]
    for seed in range(5):
        model = make(random_state=seed)
        encoded, _, _ = model._encode(y, incremental=False)
        train, test = model.set_params(validation_fraction=0.1)._split(
            encoded, np.random.RandomState(seed)
        )
        assert sorted([*train, *test]) == list(range(200))
        counts = np.bincount(classes[test], minlength=4)
        assert np.abs(counts - [10, 6, 3, 1]).max() <= 1
        if targets != "a table of labels":  # whose rows say less than the classes
            assert list(counts) == [10, 6, 3, 1]


def test_a_class_of_one_member_is_learned_from_or_named():
    y = np.where(np.arange(150) == 7, 3, Y)
    for seed in range(20):
        model = make(random_state=seed)
        encoded, _, _ = model._encode(y, incremental=False)
        assert 7 in model._split(encoded, np.random.RandomState(seed))[0]
    assert make(early_stopping=True).fit(X, y).classes_.tolist() == [0, 1, 2, 3]
    assert (
        make(early_stopping=True).fit(X[::10], np.arange(15)).best_validation_score_ == 0
    )  # each is the only one of its class
    shown = re.escape(repr(np.str_("yes")))  # NumPy 1 shows it without its type
    with pytest.raises(
        ValueError,
        match=rf"least populated .* True class {shown}\): raise validation_fraction, pass "
        r"validation data as X_val and y_val",
    ):
        make(early_stopping=True).fit(X, np.where(np.arange(150) == 7, "yes", "no"))
    with pytest.raises(
        ValueError,
        match=r"test_size = 1 .* early_stopping=True holds out 0\.1 of the 5 samples, with samples "
        r"of each class in both parts",
    ):
        make(early_stopping=True).fit(X[:5], [0, 1, 0, 1, 0])


def test_sparse_samples_are_rejected_with_what_to_do():
    sparse = pytest.importorskip("scipy.sparse")
    model = make().fit(X, Y)
    for use in (
        lambda: make().fit(sparse.csr_matrix(X), Y),
        lambda: model.predict(sparse.csr_array(X)),
        lambda: make().fit(X, Y, X_val=sparse.csr_matrix(X), y_val=Y),
    ):
        with pytest.raises(
            TypeError, match=r"Sparse data was passed .* OneHotEncoder\(sparse_output=False\)"
        ):
            use()
