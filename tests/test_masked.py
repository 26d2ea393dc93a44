"""Values that are masked or missing: rejected with their place wherever arrays come in, as NumPy
would show what lies under a mask.
"""

import sys

import numpy as np
import pytest

from cnet import Trainer, datasets, metrics, nn, optim, plot
from cnet.augment import Augment

X = np.random.default_rng(0).standard_normal((12, 4))
Y = np.arange(12) % 3


def masked(array, place=7):
    """With a value that is not to be seen."""
    result = np.ma.array(array)
    result.data[place] = 1
    result[place] = np.ma.masked
    return result


def make(loss=nn.CrossEntropyLoss):
    model = nn.Sequential(nn.Linear(4, 3), seed=0)
    return Trainer(model, loss(), optim.SGD(model.parameters(), lr=0.1))


def estimator(name, **settings):
    from cnet import sklearn

    return getattr(sklearn, name)(
        hidden_layer_sizes=(3,),
        random_state=0,
        max_iter=300,
        tol=1.0,
        n_iter_no_change=1,
        **settings,
    )


class Lazy:
    """An object that gives a masked array, as netCDF4's variables do."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


PLACES = {
    "x of fit": lambda m: make().fit(m(X), Y, verbose=False),
    "y of fit": lambda m: make().fit(X, m(Y), verbose=False),
    "rows of y": lambda m: make(nn.MSELoss).fit(X, m(np.eye(3)[Y]), verbose=False),
    "sample_weight of fit": lambda m: make().fit(X, Y, sample_weight=m(np.ones(12)), verbose=False),
    "validation x": lambda m: make().fit(X, Y, validation_data=(m(X), Y), verbose=False),
    "validation y": lambda m: make().fit(X, Y, validation_data=(X, m(Y)), verbose=False),
    "validation weights": lambda m: make().fit(
        X, Y, validation_data=(X, Y, m(np.ones(12))), verbose=False
    ),
    "x of a batch": lambda m: make().fit([(m(X), Y)], verbose=False),
    "y of a batch": lambda m: make().fit([(X, m(Y))], verbose=False),
    "weights of a batch": lambda m: make().fit([(X, Y, m(np.ones(12)))], verbose=False),
    "a list of rows": lambda m: make().fit([*m(X)], Y, verbose=False),
    "an object": lambda m: make().fit(Lazy(m(X)), Y, verbose=False),
    "evaluate": lambda m: make().evaluate(m(X), Y),
    "a prediction": lambda m: make().model(m(X)),
    "forward": lambda m: make().model.forward(m(X)),
    "backward": lambda m: (
        net := make().model,
        net.forward(X, training=True),
        net.backward(m(X[:, :3])),
    ),
    "a loss": lambda m: nn.MSELoss().forward(m(X), X),
    "a target": lambda m: nn.MSELoss().forward(X, m(X)),
    "class weights": lambda m: nn.CrossEntropyLoss(weight=m(np.ones(12))),
    "weights": lambda m: setattr(nn.Linear(4, 12).bias, "data", m(np.ones(12))),
    "a state": lambda m: nn.Linear(4, 12, seed=0).load_state_dict(
        {"weight": np.ones((12, 4)), "bias": m(np.ones(12))}
    ),
    "images": lambda m: Augment(shape=(2, 2), shift=1)(m(X)),
    "images to measure": lambda m: Augment(shape=(2, 2), standardize=True).fit(m(X)),
    "accuracy": lambda m: metrics.accuracy(Y, m(Y)),
    "accuracy of truth": lambda m: metrics.accuracy(m(Y), Y),
    "scores": lambda m: metrics.top_k_accuracy(Y, m(X), k=1),
    "confusion": lambda m: metrics.confusion_matrix(m(Y), Y),
    "splits": lambda m: datasets.split(m(X), Y),
    "splits of labels": lambda m: datasets.split(X, m(Y)),
    "standardized": lambda m: datasets.Dataset(
        datasets.Split(X, Y), None, None, np.zeros(4), np.ones(4)
    ).standardize(m(X)),
    "digits": lambda m: datasets.draw_digits(m(Y)),
}
PICTURES = {
    "a picture": lambda m: plot.images(m(X), shape=(2, 2)),
    "titles": lambda m: plot.images(X, m(Y), shape=(2, 2)),
}
ESTIMATORS = {
    "X of an estimator": lambda m: estimator("MLPClassifier").fit(m(X), Y),
    "y of an estimator": lambda m: estimator("MLPClassifier").fit(X, m(Y)),
    "weights of an estimator": lambda m: estimator("MLPClassifier").fit(
        X, Y, sample_weight=m(np.ones(12))
    ),
    "X_val": lambda m: estimator("MLPClassifier", early_stopping=True).fit(
        X, Y, X_val=m(X), y_val=Y
    ),
    "y_val": lambda m: estimator("MLPClassifier", early_stopping=True).fit(
        X, Y, X_val=X, y_val=m(Y)
    ),
    "partial_fit": lambda m: estimator("MLPRegressor").partial_fit(m(X), Y),
    "L-BFGS": lambda m: estimator("MLPRegressor", solver="lbfgs").fit(X, m(X[:, 0])),
    "predict": lambda m: estimator("MLPClassifier").fit(X, Y).predict(m(X)),
    "predict_proba": lambda m: estimator("MLPClassifier").fit(X, Y).predict_proba(m(X)),
    "a regressor's predict": lambda m: estimator("MLPRegressor").fit(X, Y).predict(m(X)),
    "score": lambda m: estimator("MLPClassifier").fit(X, Y).score(X, m(Y)),
    "a regressor's score": lambda m: estimator("MLPRegressor").fit(X, Y).score(X, m(Y)),
    "weights of a score": lambda m: (
        estimator("MLPRegressor").fit(X, Y).score(X, Y, sample_weight=m(np.ones(12)))
    ),
}


@pytest.fixture(params=[*PLACES, *PICTURES, *ESTIMATORS])
def use(request):
    """Something that takes an array, given by a function that makes it a masked one."""
    if request.param in ESTIMATORS:
        pytest.importorskip("sklearn")
    if request.param in PICTURES:
        pytest.importorskip("matplotlib")
    yield {**PLACES, **PICTURES, **ESTIMATORS}[request.param]
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def test_masked_values_are_rejected(use):
    with pytest.raises(
        ValueError,
        match=r"is masked at \(7(, 0)?,?\): fill in a value with .*\.filled\(value\), or leave out "
        r"such rows",
    ):
        use(masked)


def test_arrays_whose_masks_are_not_set_are_taken(use):
    use(lambda array: np.ma.array(array))
    use(lambda array: np.ma.array(array, mask=np.zeros(array.shape, bool)))


def test_nothing_is_changed_by_data_that_is_rejected():
    trainer = make()
    before = trainer.model.state_dict()
    for data in ((masked(X), Y), (X, masked(Y))):
        with pytest.raises(ValueError, match="is masked at"):
            trainer.fit(*data, verbose=False)
    for name, values in trainer.model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert trainer.epoch == 0


def test_dask_keeps_a_mask():
    dask = pytest.importorskip("dask.array")
    x = dask.ma.masked_array(dask.from_array(X, chunks=5), masked(X).mask)
    with pytest.raises(ValueError, match=r"x is masked at \(7, 0\)"):
        make().model(x)
    np.testing.assert_array_equal(make().model(dask.from_array(X, chunks=5)), make().model(X))


def of_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(
        {
            "a": pandas.array([1, 0, 1], dtype),
            "b": pandas.array([1, None, 0], dtype),
            "c": [0.5, 1.0, 1.5],
            "d": [1, 2, 3],
        }
    )


@pytest.mark.parametrize("dtype", ["Int64", "boolean"])
def test_missing_values_of_pandas_are_named_with_their_place(dtype):
    table = of_pandas(dtype)
    for call in (lambda x: make().fit(x, [0, 1, 2], verbose=False), make().model):
        with pytest.raises(
            ValueError,
            match=r"x holds a missing value \(<NA>\) at row 1, column 'b': fill it in, or leave "
            r"out such rows",
        ):
            call(table)
    with pytest.raises(ValueError, match=r"y holds a missing value \(<NA>\) at \(1,\)"):
        make().fit(X[:3], np.array(table["b"], object), verbose=False)
    full = table.fillna({"b": True if dtype == "boolean" else 1})
    np.testing.assert_array_equal(make().model(full), make().model(full.to_numpy(float)))


def test_none_is_a_missing_value():
    with pytest.raises(ValueError, match=r"x holds a missing value \(None\) at \(1, 2\)"):
        make().model([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, None, 4.0]])


LABELS = {
    "words": ["cat", "dog", "cow"],
    "digits": ["0", "1", "2"],
    "bytes": [b"0", b"1", b"2"],
}


@pytest.mark.parametrize("kind", ["list", "array", "objects", "pandas", "category", "polars"])
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_in_text_are_rejected_alike(labels, kind):
    if kind in ("pandas", "category"):
        pandas = pytest.importorskip("pandas")
        y = pandas.Series(labels, dtype="category" if kind == "category" else None)
    elif kind == "polars":
        y = pytest.importorskip("polars").Series(labels)
    else:
        y = {"list": labels, "array": np.array(labels), "objects": np.array(labels, object)}[kind]
    with pytest.raises(
        TypeError,
        match=r"y (has dtype|holds the text).*, expected real numbers: numbers in text become "
        r"numbers by y\.astype\(float\), and labels by ",
    ) as e:
        make().fit(X[:3], y, verbose=False)
    advice = str(e.value).rpartition(" by ")[2].partition(" (x has")[0]
    numbered = eval(advice, {"np": np, "y": np.asarray(y)})
    make().fit(X[:3], numbered, verbose=False)
    if labels is LABELS["digits"]:
        np.testing.assert_array_equal(np.asarray(y).astype(float), [0, 1, 2])


def test_other_objects_get_advice():
    cases = [
        (
            {"a": [1.0], "b": [2.0]},
            r"it is of type dict: for columns pass np\.column_stack\(list\(x\.values\(\)\)\)",
        ),
        ((row for row in X), r"it is of type generator: pass list\(x\)"),
        ({1.0, 2.0}, "it is of type set$"),
        (None, "it is of type NoneType$"),
    ]
    for x, message in cases:
        with pytest.raises(
            TypeError, match=f"x cannot be read as an array of real numbers: {message}"
        ):
            make().model(x)


def test_a_lazy_frame_has_to_be_collected():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=[*"abcd"])
    with pytest.raises(TypeError, match=r"it is of type LazyFrame: read it with x\.collect\(\)"):
        make().fit(frame.lazy(), Y, verbose=False)
    np.testing.assert_array_equal(make().model(frame.lazy().collect()), make().model(X))
