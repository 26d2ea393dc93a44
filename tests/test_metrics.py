import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnet
from cnet import nn, optim
from cnet.metrics import accuracy, class_report, confusion_matrix, top_k_accuracy

LABELS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1)


@given(LABELS)
def test_matrix_counts_every_pair(pairs):
    true, predicted = zip(*pairs, strict=True)
    matrix = confusion_matrix(true, predicted, classes=7)
    for i in range(7):
        for j in range(7):
            assert matrix[i, j] == pairs.count((i, j))


@given(LABELS)
def test_accuracy_is_the_diagonal_of_the_matrix(pairs):
    true, predicted = np.array(pairs).T
    matrix = confusion_matrix(true, predicted)
    assert accuracy(true, predicted) == pytest.approx(np.trace(matrix) / matrix.sum())


def test_rows_are_true_classes():
    matrix = confusion_matrix([0, 0, 0], [0, 1, 1])
    np.testing.assert_array_equal(matrix, [[1, 2], [0, 0]])
    assert matrix.dtype == np.int64


def test_classes_default_to_the_largest_label_on_either_side():
    assert confusion_matrix([0], [3]).shape == (4, 4)
    assert confusion_matrix([3], [0]).shape == (4, 4)
    assert confusion_matrix([0], [0], classes=10).shape == (10, 10)


def test_no_rows():
    np.testing.assert_array_equal(confusion_matrix([], [], classes=2), np.zeros((2, 2)))
    assert confusion_matrix([], []).shape == (0, 0)
    with pytest.raises(ValueError, match="no samples"):
        accuracy([], [])


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int32, np.uint64, np.float32, np.float64, ">i4", bool]
)
def test_any_real_dtype(dtype):
    labels = np.array([1, 0, 1]).astype(dtype)
    assert accuracy(labels, [1, 0, 0]) == pytest.approx(2 / 3)
    np.testing.assert_array_equal(confusion_matrix(labels, labels), [[1, 0], [0, 2]])


@pytest.mark.parametrize(
    "bad", [[-1], [0.5], [np.nan], [np.inf], [2.0**60], np.array([2**63], np.uint64)]
)
def test_what_is_no_class_number(bad):
    with pytest.raises(ValueError, match="y_pred holds values other than labels"):
        accuracy([0], bad)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (([0, 1], [0]), "y_true has 2 samples, y_pred 1"),
        ((0, [0]), r"y_true has shape \(\), expected labels"),
        (([0], [[0.1, 0.9]]), r"y_pred has shape \(1, 2\).*argmax"),
        (([0], [3], 3), "there is a label 3, expected 0 to 2"),
        (([0], [0], 0), "classes is 0, expected an integer from 1 to 32768, or None"),
        (([0], [0], 1 << 40), "classes is 1099511627776"),
        (([0], [1 << 40]), "there is a label 1099511627776"),
    ],
)
def test_rejected_values(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        confusion_matrix(*arguments)


@pytest.mark.parametrize("arguments", [(["a"], [0]), ([0], [0], 2.5), ([0], [0], "3")])
def test_rejected_types(arguments):
    with pytest.raises(TypeError):
        confusion_matrix(*arguments)


@given(LABELS, st.integers(1, 8))
def test_report_counts_hits(pairs, classes):
    true, predicted = np.array(pairs).T % classes
    report = class_report(true, predicted, classes)
    for i in range(classes):
        hits = int(((true == i) & (predicted == i)).sum())
        for name, whole in (("precision", (predicted == i).sum()), ("recall", (true == i).sum())):
            assert report[name][i] == hits / whole if whole else np.isnan(report[name][i])
        assert report["support"][i] == (true == i).sum()


def test_report_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 5, (2, 100))
    theirs = metrics.precision_recall_fscore_support(true, predicted)
    for ours, values in zip(class_report(true, predicted).values(), theirs, strict=True):
        np.testing.assert_allclose(ours, values)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(-2, 2), min_size=4, max_size=4)),
        min_size=1,
    ),
    st.integers(1, 5),
)
def test_top_k_is_the_start_of_a_stable_order(rows, k):
    true, scores = [row[0] for row in rows], np.array([row[1] for row in rows])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    assert top_k_accuracy(true, scores, k) == pytest.approx(
        np.mean([label in found for label, found in zip(true, best, strict=True)])
    )
    assert top_k_accuracy(true, scores, 1) == accuracy(true, scores.argmax(axis=1))


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        (([0], [0.5]), ValueError, r"scores has shape \(1,\), expected \(1, classes\)"),
        (([0, 1], [[0.5, 0.5]]), ValueError, r"scores has shape \(1, 2\), expected \(2, classes\)"),
        (([2], [[0.5, 0.5]]), ValueError, "there is a label 2, but scores has 2 columns"),
        (([], np.zeros((0, 2))), ValueError, "no samples"),
        (([0], [[np.nan, 0.5]]), ValueError, "scores holds nan"),
        (([0], [[0.5, 0.5]], 0), ValueError, "k is 0"),
        (([0], [[0.5, 0.5]], 1.5), TypeError, "k is 1.5"),
    ],
)
def test_top_k_rejects(arguments, kind, problem):
    with pytest.raises(kind, match=problem):
        top_k_accuracy(*arguments)


def test_reports_and_histories_are_tables_to_pandas():
    pandas = pytest.importorskip("pandas")
    assert list(pandas.DataFrame(class_report([0, 1, 1], [0, 1, 0])).columns) == [
        "precision",
        "recall",
        "f1",
        "support",
    ]
    model = nn.Sequential(nn.Linear(2, 2), seed=0)
    history = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)).fit(
        np.eye(2), [0, 1], epochs=3, verbose=False
    )
    assert pandas.DataFrame(history).shape == (3, 2)
