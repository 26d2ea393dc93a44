"""Holding rows out: by count, by fraction, by class; from one's own arrays and in the loaders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import datasets

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=80)


def numbered(n):
    """Inputs that say which row they are."""
    return np.arange(n)[:, None]


def rows_of(split):
    return [] if split is None else split.x[:, 0].tolist()


@given(
    n=st.integers(1, 60),
    part=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**64),
)
def test_every_row_is_in_one_split_with_its_target(n, part, shuffle, seed):
    validation, test = part
    x, y = numbered(n), np.arange(n) * 3
    if validation + test >= n:
        with pytest.raises(ValueError, match="expected an integer from 0 to"):
            datasets.split(x, y, validation=validation, test=test, shuffle=shuffle, seed=seed)
        return
    data = datasets.split(x, y, validation=validation, test=test, shuffle=shuffle, seed=seed)
    assert (data.validation is None) == (validation == 0)
    assert (data.test is None) == (test == 0)
    sizes = [len(rows_of(split)) for split in (data.train, data.validation, data.test)]
    assert sizes == [n - validation - test, validation, test]
    assert sorted(rows_of(data.train) + rows_of(data.validation) + rows_of(data.test)) == list(
        range(n)
    )
    for split in filter(None, (data.train, data.validation, data.test)):
        np.testing.assert_array_equal(split.y, split.x[:, 0] * 3)


def test_without_shuffling_rows_come_in_order_and_those_held_out_last():
    data = datasets.split(numbered(10), np.zeros(10), validation=2, test=3, shuffle=False)
    assert (rows_of(data.train), rows_of(data.validation), rows_of(data.test)) == (
        [0, 1, 2, 3, 4],
        [5, 6],
        [7, 8, 9],
    )


def test_the_seed_decides_the_order():
    first, again, other = (
        datasets.split(numbered(50), np.zeros(50), seed=seed) for seed in (1, 1, 2)
    )
    assert rows_of(first.train) == rows_of(again.train) != rows_of(other.train)


@given(labels=LABELS, count=st.integers(0, 79), shuffle=st.booleans())
@settings(deadline=None)
def test_stratified_shares_differ_from_the_exact_ones_by_less_than_a_row(labels, count, shuffle):
    n = len(labels)
    count = min(count, n - 1)
    if len(set(labels)) == n:
        return
    data = datasets.split(numbered(n), labels, validation=count, stratify=True, shuffle=shuffle)
    held = np.zeros(0, int) if data.validation is None else data.validation.y
    assert len(held) == count
    for label in set(labels):
        assert abs((held == label).sum() - count * labels.count(label) / n) < 1


def test_stratified_targets_of_any_form():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    for y in (
        labels,
        np.eye(3, dtype=np.float32)[labels],
        np.stack([labels, labels], axis=1),
        labels * 0.5 - 1,
    ):
        data = datasets.split(numbered(100), y, validation=0.1, test=0.2, stratify=True)
        for split, count in ((data.validation, 10), (data.test, 20), (data.train, 70)):
            shares = np.bincount(labels[split.x[:, 0]])
            np.testing.assert_array_equal(shares, np.array([5, 3, 2]) * count // 10)


def test_arrays_are_copied_and_left_alone():
    x, y = numbered(10).astype(float), np.zeros(10)
    x.flags.writeable = y.flags.writeable = False
    data = datasets.split(x, y, shuffle=False)
    data.train.x[:] = 7
    np.testing.assert_array_equal(x, numbered(10))


@pytest.mark.parametrize(
    ("fraction", "count"),
    [(0.0, 0), (0.1, 6), (0.001, 1), (np.float32(0.5), 30), (np.float64(0.25), 15), (0.99, 59)],
)
def test_fractions(fraction, count):
    data = datasets.split(numbered(60), np.zeros(60), validation=fraction)
    assert len(rows_of(data.validation)) == count


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            {"validation": 1.0},
            ValueError,
            "validation is 1.0, expected an integer from 0 to 9, or a fraction below 1 of the 10 "
            "samples",
        ),
        ({"validation": -0.1}, ValueError, "validation is -0.1"),
        ({"validation": float("nan")}, ValueError, "validation is nan"),
        ({"validation": 10}, ValueError, "from 0 to 9"),
        ({"validation": 0.97}, ValueError, "from 0 to 9"),
        ({"validation": "1"}, TypeError, "validation is '1', expected an integer from 0 to 9"),
        ({"validation": True}, TypeError, "validation is True"),
        (
            {"test": 8, "validation": 2},
            ValueError,
            "validation is 2, expected an integer from 0 to 1",
        ),
        ({"test": None}, TypeError, "test is None, expected an integer"),
        ({"seed": -1}, ValueError, "seed is -1, expected an integer of at least 0"),
        ({"y": np.zeros(9)}, ValueError, "x has 10 samples, y 9: expected one target per sample"),
        ({"y": 1}, ValueError, "y is a single number"),
        ({"x": ["a"] * 10}, TypeError, "x has dtype"),
        ({"x": [], "y": []}, ValueError, "x has no samples"),
        (
            {"stratify": True},
            ValueError,
            "stratify requires targets that are classes, but all 10 samples have different targets",
        ),
    ],
)
def test_bad_arguments(arguments, error, sentence):
    arguments = {"x": numbered(10), "y": np.arange(10)} | arguments
    with pytest.raises(error, match=sentence):
        datasets.split(arguments.pop("x"), arguments.pop("y"), **arguments)


def test_loaders_stratify_from_the_end_of_each_class(files, arrays, tmp_path):
    folder = files.idx(tmp_path, arrays)
    data = datasets.mnist(folder, validation=0.5, stratify=True, normalize=False)
    labels = arrays.train_labels
    held = np.concatenate(
        [
            np.flatnonzero(labels == digit)[-count:]
            for digit, count in enumerate(np.bincount(data.validation.y, minlength=10))
            if count
        ]
    )
    np.testing.assert_array_equal(
        data.validation.x, arrays.train_images.reshape(60, 784)[np.sort(held)]
    )
    np.testing.assert_array_equal(data.train.y, np.delete(labels, held))
    assert (
        np.abs(np.bincount(data.validation.y, minlength=10) - np.bincount(labels, minlength=10) / 2)
        < 1
    ).all()
