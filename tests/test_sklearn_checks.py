"""scikit-learn's checks of estimators, and its own tests of its MLP, run on cnet's estimators."""

import importlib.util
import pathlib
import warnings

import pytest

pytest.importorskip("sklearn")

import sklearn
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.utils import estimator_checks

import cnet.sklearn


class Classifier(TheirClassifier):
    """scikit-learn checks its own class with parameters of its choice; a subclass is checked with
    those that it is given.
    """


class Regressor(TheirRegressor):
    """The same."""


def checked(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks warn on purpose, or do not train to the end
        return estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)


def failed(results):
    return {
        result["check_name"]: result["exception"]
        for result in results
        if result["status"] == "failed"
    }


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize(
    ("ours", "theirs", "rate"),
    [(cnet.sklearn.MLPClassifier, Classifier, 0.05), (cnet.sklearn.MLPRegressor, Regressor, 0.01)],
)
def test_every_check_passes_that_scikit_learns_own_mlp_passes(
    ours, theirs, rate, solver, early_stopping
):
    """Early stopping alone fails some, as `partial_fit` rejects it and a few samples are too few to
    hold some out.
    """
    width = 100 if early_stopping and solver != "lbfgs" else 10
    settings = {
        "solver": solver,
        "early_stopping": early_stopping,
        "learning_rate_init": rate,
        "max_iter": 30 if solver == "lbfgs" else 100,
        "hidden_layer_sizes": width,
    }
    results = checked(ours(**settings))
    assert len(results) > 50
    for result in results:
        if result["status"] == "skipped":
            assert any(
                reason in str(result["exception"])
                for reason in ("pandas is not installed", "ARRAY_API", "decision_function")
            )
    if not early_stopping:
        assert not failed(results)
    elif failures := failed(results):
        assert failures.keys() <= failed(checked(theirs(**settings))).keys(), failures


def test_every_check_passes_for_counts_that_passes_for_scikit_learns_own():
    """Targets of the checks are negative, too, which neither rejects."""
    settings = {
        "loss": "poisson",
        "hidden_layer_sizes": 10,
        "max_iter": 100,
        "learning_rate_init": 0.05,
    }
    assert (
        failed(checked(cnet.sklearn.MLPRegressor(**settings))).keys()
        <= failed(checked(Regressor(**settings))).keys()
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"activation": "elu"}, set()),
        (
            {"batch_norm": True},
            {"check_sample_weight_equivalence_on_dense_data"},
        ),  # a mean over the batch is one over samples, whatever they weigh
        (
            {
                "class_weight": "balanced"
            },  # which counts samples, whatever they weigh, and partial_fit rejects
            {
                "check_sample_weight_equivalence_on_dense_data",
                "check_fit_score_takes_y",
                "check_n_features_in_after_fitting",
                "check_estimators_partial_fit_n_features",
            },
        ),
    ],
    ids=["elu", "batch_norm", "class_weight"],
)
def test_checks_of_what_scikit_learn_has_not(settings, expected):
    assert (
        failed(
            checked(
                cnet.sklearn.MLPClassifier(10, max_iter=100, learning_rate_init=0.05, **settings)
            )
        ).keys()
        == expected
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced"}], ids=repr)
def test_the_logarithm_of_a_probability_of_0_passes_the_checks(settings):
    """L-BFGS makes such probabilities."""
    estimator_checks.check_classifiers_train(
        "MLPClassifier", cnet.sklearn.MLPClassifier(solver="lbfgs", **settings)
    )


# scikit-learn's own tests, with another import

PRIVATE = {
    "test_gradient": "asks for the private _loss_grad_lbfgs",
    "test_learning_rate_warmstart": "asks for the private _optimizer",
    "test_adaptive_learning_rate": "asks for the private _optimizer",
}
EXPECTED = {**PRIVATE, "test_sparse_matrices": "sparse X is rejected"}


@pytest.fixture
def global_random_seed():
    return 42


def _their_tests():
    found = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    if not sklearn.__version__.startswith("1.9.") or found is None or found.origin is None:
        return {}
    before, after = (
        "from sklearn.neural_network import MLPClassifier, MLPRegressor",
        "from cnet.sklearn import MLPClassifier, MLPRegressor",
    )
    source = pathlib.Path(found.origin).read_text(encoding="utf-8")
    assert source.count(before) == 1
    namespace = {"__name__": __name__}
    exec(compile(source.replace(before, after), found.origin, "exec"), namespace)
    tests = {name: value for name, value in namespace.items() if name.startswith("test_")}
    assert EXPECTED.keys() <= tests.keys()
    ignore = pytest.mark.filterwarnings("ignore")
    return {
        name: ignore(
            pytest.mark.xfail(reason=EXPECTED[name], strict=True)(test)
            if name in EXPECTED
            else test
        )
        for name, test in tests.items()
    }


globals().update(_their_tests())


@pytest.mark.skipif(
    not sklearn.__version__.startswith("1.9."), reason="these are the tests of scikit-learn 1.9"
)
def test_scikit_learns_tests_are_run():
    assert sum(name in globals() for name in EXPECTED) == len(EXPECTED)
