"""CSV files whose label is in any column: found by name or by content, or rejected, never taken
from a column of pixels.
"""

import numpy as np
import pytest

from cnet import datasets

NAMES = [f"pixel{index}" for index in range(784)]
COUNT = 24


@pytest.fixture(scope="module")
def digits():
    """Images that are 0 in their corners, as handwriting is, and their labels."""
    labels = np.arange(COUNT) * 7 % 10
    return datasets.draw_digits(labels).reshape(COUNT, 784), labels


@pytest.fixture
def load(tmp_path):
    def load(columns, names=None, name="train.csv"):
        lines = ["".join(",".join(names))] if names else []
        lines += [",".join(map(str, row)) for row in np.column_stack(columns).tolist()]
        (tmp_path / name).write_text("\n".join(lines))
        return datasets.mnist(tmp_path / name, validation=0, normalize=False)

    return load


def assert_holds(data, digits):
    x, y = digits
    np.testing.assert_array_equal(data.train.x, x[: len(data.train.x)])
    np.testing.assert_array_equal(data.train.y, y[: len(data.train.x)])


@pytest.mark.parametrize(
    "name", ["label", "Labels", "CLASS", "target", "y", "digit", '"label"', " 'Class' ", "# label"]
)
@pytest.mark.parametrize("place", [0, 1, 400, 784])
def test_a_label_is_found_by_its_name(name, place, digits, load):
    x, y = digits
    names = [*NAMES[:place], name, *NAMES[place:]]
    assert_holds(load([x[:, :place], y, x[:, place:]], names), digits)


@pytest.mark.parametrize("extra", ["id", "", "Unnamed: 0", "Index", "image_id", '"row"'])
@pytest.mark.parametrize(
    "values",
    [
        np.arange(COUNT),
        np.arange(COUNT) % 10,
        np.arange(COUNT) * 1000,
        [f"train/{index}.png" for index in range(COUNT)],
    ],
)
@pytest.mark.parametrize("place", [0, 1, 785])
def test_row_numbers_are_skipped_by_their_name(extra, values, place, digits, load):
    x, y = digits
    columns = [y, *x.T]
    names = ["label", *NAMES]
    assert_holds(
        load([*columns[:place], values, *columns[place:]], [*names[:place], extra, *names[place:]]),
        digits,
    )


def test_row_numbers_are_no_labels(digits, load, tmp_path):
    x, y = digits
    with pytest.raises(ValueError, match=r"784 columns, expected 785: a label"):
        load([np.arange(COUNT) % 10, x], ["id", *NAMES])
    (tmp_path / "test.csv").write_text(",".join(["id", *NAMES]) + "\n" + ",".join(["0"] * 785))
    assert load([y, x], ["label", *NAMES]).test is None


@pytest.mark.parametrize("count", [COUNT, 10])
@pytest.mark.parametrize(
    "names", [None, [f"V{index}" for index in range(1, 786)], list(map(str, range(785)))]
)
def test_without_a_name_the_label_is_first_or_last(count, names, digits, load):
    x, y = (part[:count] for part in digits)
    assert_holds(load([y, x], names), digits)
    assert_holds(load([x, y], names), digits)


def test_labels_beside_a_few_other_small_numbers(digits, load):
    """A corner may be touched now and then, and columns in between hold small numbers."""
    x, y = digits
    x = x.copy()
    x[::11, [0, 300, 783]] = 3
    assert_holds(load([y, x]), (x, y))
    assert_holds(load([x, y]), (x, y))
    assert_holds(load([y, x // 200]), (x // 200 * 255, y))


@pytest.mark.parametrize("count", [2, 6, COUNT])
@pytest.mark.parametrize("place", [1, 400, 783])
def test_a_label_in_the_middle_needs_a_name(count, place, digits, load):
    x, y = (part[:count] for part in digits)
    with pytest.raises(
        ValueError,
        match="add a header line that names the label column 'label'",
    ):
        load([x[:, :place], y, x[:, place:]])


@pytest.mark.parametrize("count", [2, 6, COUNT])
def test_columns_that_may_both_be_labels(count, digits, load):
    x, y = (part[:count].copy() for part in digits)
    x[:, 783] = y[::-1]
    with pytest.raises(
        ValueError, match=r"column (1 or 785|785 or 1) may hold the labels.*add a header line"
    ):
        load([y, x])


def test_one_line(digits, load):
    """It is accepted where it can mean one thing only."""
    x, y = digits
    for row in (1, 2):
        data = load([y[row : row + 1], x[row : row + 1]])
        assert data.train.y.tolist() == [y[row]]
    for columns in ([x[1:2], y[1:2]], [y[:1], x[:1]]):
        with pytest.raises(
            ValueError,
            match="a single line does not show whether column 1 or 785 is the label: add a "
            "header line",
        ):
            load(columns)
    assert load([y[:1], x[:1]], ["label", *NAMES]).train.y.tolist() == [0]


@pytest.mark.parametrize("label", [0, 7])
@pytest.mark.parametrize("names", [None, ["label", *NAMES]])
def test_labels_that_are_all_alike(label, names, digits, load):
    with pytest.raises(ValueError, match=f"every label is {label}"):
        load([np.full(COUNT, label), digits[0]], names)


def test_a_label_that_is_named_but_constant_is_not_looked_for_elsewhere(digits, load):
    x, y = digits
    names = ["label", *NAMES[:783], "last"]
    with pytest.raises(
        ValueError, match="every label is 0, so this is probably not the label data"
    ):
        load([np.zeros(COUNT, int), x[:, :783], y], names)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_test_file_without_names_follows_the_training_file(shift, digits, load, tmp_path):
    """Two labels alone would not show where they are."""
    x, y = digits
    test = np.column_stack([x[:2], y[:2]] if shift else [y[:2], x[:2]])
    np.savetxt(tmp_path / "test.csv", test, "%d", ",")
    data = load([x, y] if shift else [y, x])
    np.testing.assert_array_equal(data.test.y, y[:2])
    np.testing.assert_array_equal(data.test.x, x[:2])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (
            ["label", "class", *NAMES[:783]],
            r"more than one label column, expected one: 'label' \(column 1\), 'class' \(column 2\)",
        ),
        (
            ["label", *NAMES[:783]],
            "line 1 names 783 pixel columns besides the label, expected 784",
        ),
        (
            ["label", *NAMES, "pixel784"],
            "line 1 names 785 pixel columns besides the label, expected 784",
        ),
        (["label", "1", *NAMES[:100]], "line 1 names 101 pixel columns"),
        ([*NAMES, "a", "b"], "line 1 has 786 cells, expected 785: a label, then 784 pixels"),
        (
            ["label", *sorted(NAMES)],
            "column 15, 'pixel11', follows 'pixel109': expected the pixels in increasing order",
        ),
        (
            ["label", *NAMES[::-1]],
            "column 3, 'pixel782', follows 'pixel783': expected the pixels in increasing order",
        ),
        (
            ["label", *(f"{column}x{row}" for row in range(28) for column in range(28))],
            "follows '27x0': expected the pixels in increasing order",
        ),
    ],
)
def test_names_that_do_not_fit(names, problem, digits, load):
    x, y = digits
    columns = np.column_stack([y, x, x])[:, : len(names)]
    with pytest.raises(ValueError, match=problem):
        load([columns], names)


@pytest.mark.parametrize(
    "names",
    [
        [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)],
        ["p"] * 784,
        [f"a{index:03}" for index in range(784)],
    ],
)
def test_names_of_pixels_in_order(names, digits, load):
    x, y = digits
    assert_holds(load([y, x], ["label", *names]), digits)


def test_separators_at_the_ends_of_lines(digits, load, tmp_path):
    x, y = digits
    path = tmp_path / "ends.csv"
    path.write_text(
        "\n".join(",".join(map(str, row)) + "," for row in np.column_stack([y, x]).tolist())
    )
    with pytest.raises(
        ValueError, match="line 1 has 786 cells, the last of which is empty, expected 785"
    ):
        datasets.mnist(path, validation=0)
