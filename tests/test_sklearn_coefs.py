"""`coefs_` and `intercepts_`: lists whose elements may be assigned."""

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import scale

from cnet.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = scale(load_iris().data), load_iris().target


def make(**settings):
    return MLPClassifier(
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


def test_an_array_that_is_assigned_to_an_element_goes_to_the_net():
    model = make().fit(X, Y)
    before, array = model.predict_proba(X), np.zeros((4, 8))
    held = model.coefs_[0]
    model.coefs_[0] = array
    assert not np.array_equal(model.predict_proba(X), before)
    array += 1
    assert not model.coefs_[0].any()  # a copy of what was assigned
    assert held.any()  # and the array of before is as it was
    model.intercepts_[-1] = [1, 2, 3]
    model.coefs_[-1] = model.coefs_[-1][::-1]
    model.coefs_[0] += 1
    np.testing.assert_array_equal(model.model_[0].weight.data, 1)
    np.testing.assert_allclose(
        model.model_(X),
        np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0) @ model.coefs_[1] + [1, 2, 3],
    )
    model.coefs_[:] = [np.full((4, 8), 2.0), model.coefs_[1]]
    assert model.partial_fit(X, Y).coefs_[0].std() > 0  # and is trained on
    assert model.coefs_ is model.coefs_


def test_layers_may_change_places():
    model = make(hidden_layer_sizes=(4, 4)).fit(X, Y)
    first, second = (array.copy() for array in model.coefs_[:2])
    model.coefs_[0], model.coefs_[1] = model.coefs_[1], model.coefs_[0]
    np.testing.assert_array_equal(model.coefs_[0], second)
    np.testing.assert_array_equal(model.coefs_[1], first)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda c: c.__setitem__(0, np.zeros((8, 4))),
            ValueError,
            r"coefs_\[0\] is set to an array of shape \(8, 4\), expected \(4, 8\)",
        ),
        (
            lambda c: c.__setitem__(-1, "none"),
            ValueError,
            r"coefs_\[1\] is set to 'none', expected an array of real numbers",
        ),
        (lambda c: c.__setitem__(2, c[0]), IndexError, "coefs_ has 2 arrays, and none at 2"),
        (
            lambda c: c.__setitem__(slice(None), [c[0]]),
            ValueError,
            "coefs_ got 1 arrays for 2 places",
        ),
        (
            lambda c: c.__setitem__(slice(None), [np.zeros((4, 8)), c[0]]),
            ValueError,
            r"coefs_\[1\] is set to an array of shape \(4, 8\)",
        ),
        (lambda c: c.__delitem__(0), TypeError, "coefs_ has an array for each of the 2 layers"),
        (lambda c: c.append(c[0]), TypeError, "assign to its elements, or copy it"),
        (lambda c: c.pop(), TypeError, "assign to its elements, or copy it"),
        (lambda c: c.__iadd__([c[0]]), TypeError, "assign to its elements, or copy it"),
        (lambda c: c.reverse(), TypeError, "assign to its elements, or copy it"),
    ],
)
def test_changes_that_do_not_fit_the_net_are_errors(change, error, message):
    model = make().fit(X, Y)
    before = copy.deepcopy(model)
    with pytest.raises(error, match=message):
        change(model.coefs_)
    same_nets(model, before)
    with pytest.raises(ValueError, match="got 1 arrays for 2 places"):
        model.coefs_ = [model.coefs_[0]]
    same_nets(model, before)


def test_the_list_is_a_list():
    model = make().fit(X, Y)
    coefs = model.coefs_
    assert isinstance(coefs, list)
    assert [array.shape for array in coefs] == [(4, 8), (8, 3)]
    for other in (
        coefs + model.intercepts_,
        coefs[:],
        copy.copy(coefs),
        copy.deepcopy(coefs),
        pickle.loads(pickle.dumps(coefs)),
        list(coefs),
    ):
        assert type(other) is list
        np.testing.assert_array_equal(other[1], coefs[1])
    copy.deepcopy(coefs)[0][:] = 0
    assert coefs[0].any()
    assert np.asarray(make(hidden_layer_sizes=4).fit(X, Y % 2).intercepts_, dtype=object).shape == (
        2,
    )


def test_weights_that_are_assigned_before_the_first_fit_are_begun_with():
    """Where scikit-learn begins with them, too."""
    first = make().fit(X, Y)
    for begin in (
        lambda m: m.partial_fit(X, Y, classes=[0, 1, 2]),
        lambda m: m.set_params(warm_start=True, max_iter=1).fit(X, Y),
    ):
        model = make(learning_rate_init=1e-9)
        model.coefs_, model.intercepts_ = (
            [array.copy() for array in first.coefs_],
            list(first.intercepts_),
        )
        with pytest.raises(NotFittedError):
            model.predict(X)
        np.testing.assert_allclose(begin(model).predict_proba(X), first.predict_proba(X), atol=1e-6)
    model = make()
    model.coefs_ = first.coefs_
    same_nets(model.fit(X, Y), first)  # a fit that is not warm begins again
    wrong = make(hidden_layer_sizes=3)
    wrong.coefs_ = first.coefs_
    with pytest.raises(
        ValueError, match=r"coefs_\[0\] is set to an array of shape \(4, 8\), expected \(4, 3\)"
    ):
        wrong.partial_fit(X, Y, classes=[0, 1, 2])
    assert not hasattr(wrong, "model_")


def test_weights_that_a_callback_assigns_are_trained_on(monkeypatch):
    """The compiled program takes up the array, as the layer-by-layer loop does."""

    def changes(trainer, logs):
        if trainer.epoch == 2:
            model.coefs_[0] = np.ones((4, 8))
            model.intercepts_[1][:] = 3

    nets = []
    for compiled in (True, False):
        if not compiled:  # the estimator makes its own trainer
            monkeypatch.setattr("cnet._training.engine.lower", lambda *parts: None)
        model = make(callbacks=[changes], batch_size=30)
        nets.append(model.fit(X, Y, X_val=X, y_val=Y))
    same_nets(*nets)
    assert str(nets[0].history_) == str(nets[1].history_)
    assert nets[0].coefs_[0].std() > 0
