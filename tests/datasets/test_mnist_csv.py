"""CSV files: the notations that are read, and what is said of the cells that cannot be."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import datasets


def load(path, content):
    path.write_bytes(content)
    return datasets.mnist(path, validation=0, normalize=False)


@pytest.fixture
def holds(few, tmp_path):
    """Whether a file of this content loads to `few`'s training set."""

    def check(content):
        data = load(tmp_path / "digits.csv", content)
        assert data.test is None
        np.testing.assert_array_equal(data.train.x, few.train_images.reshape(-1, 784))
        np.testing.assert_array_equal(data.train.y, few.train_labels)

    return check


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_lines_end_in_any_way(header, newline, end, start, holds, files, few):
    content = files.csv_bytes(few.train_images, few.train_labels, header, newline)
    holds(start + content + end)
    holds(start + content.rstrip() + end)


@pytest.mark.parametrize(
    "written", ["{}.0", " {}", "{} ", "0{}", "{:.18e}", "+{}", '"{}"', ' "{}" ']
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", ", "])
@pytest.mark.parametrize("header", [False, True])
def test_numbers_in_other_notations_and_between_other_separators(
    written, separator, header, holds, few
):
    table = np.c_[few.train_labels, few.train_images.reshape(-1, 784)].tolist()
    lines = (
        [
            [
                "label",
                *(
                    f"pixel {index}" if separator != " " else f"pixel{index}"
                    for index in range(784)
                ),
            ]
        ]
        if header
        else []
    )
    lines += [[written.format(cell) for cell in row] for row in table]
    holds("\n".join(map(separator.join, lines)).encode())


def test_lines_that_end_in_carriage_returns_alone(files, holds, few):
    content = files.csv_bytes(few.train_images, few.train_labels, True, "\r")
    holds(content)
    holds(content.rstrip())


def test_more_than_one_block_of_lines_that_end_in_carriage_returns(files, tmp_path):
    arrays = files.arrays(700, 1)
    data = load(
        tmp_path / "digits.csv",
        files.csv_bytes(arrays.train_images, arrays.train_labels, False, "\r"),
    )
    np.testing.assert_array_equal(data.train.x, arrays.train_images.reshape(-1, 784))


def test_whole_lines_in_quotes(files, holds, few):
    lines = files.csv_bytes(few.train_images, few.train_labels, True).splitlines()
    holds(b"\n".join(b'"' + line + b'"' for line in lines))


@pytest.mark.parametrize("written", ["{!r}", "{:.8f}"])
def test_fractions_are_pixels_divided_by_255(written, few, tmp_path):
    table = np.c_[few.train_labels, few.train_images.reshape(-1, 784) / 255].tolist()
    rows = [
        [f"{label:g}", *(written.format(pixel) for pixel in pixels)] for label, *pixels in table
    ]
    path = tmp_path / "digits.csv"
    path.write_text("\n".join(map(",".join, rows)))
    data = datasets.mnist(path, validation=0, normalize=True)
    np.testing.assert_allclose(data.train.x, few.train_images.reshape(-1, 784) / 255, atol=1e-7)
    np.testing.assert_array_equal(data.train.y, few.train_labels)
    if written == "{!r}":  # nothing was lost
        np.testing.assert_array_equal(
            load(path, path.read_bytes()).train.x, few.train_images.reshape(-1, 784)
        )


def test_zeros_and_ones_are_black_and_white(files, few, tmp_path):
    data = load(
        tmp_path / "digits.csv", files.csv_bytes(few.train_images // 128, few.train_labels, True)
    )
    np.testing.assert_array_equal(data.train.x, few.train_images.reshape(-1, 784) // 128 * 255)


@pytest.mark.parametrize("largest", [2, 255])
def test_fractions_among_larger_numbers(largest, rejected):
    content = (
        f"label,{','.join(f'p{index}' for index in range(784))}\n"
        + ",".join(["5", str(largest), *["0"] * 783])
        + "\n"
        + ",".join(["4", "0", "0.5", *["0"] * 782])
    )
    assert "line 3, column 3 is '0.5', expected a whole number from 0 to 255" in rejected(
        "train.csv", content.encode()
    )


def test_what_savetxt_writes(holds, few, tmp_path):
    np.savetxt(
        tmp_path / "saved",
        np.c_[few.train_labels, few.train_images.reshape(-1, 784)],
        delimiter=",",
    )
    holds((tmp_path / "saved").read_bytes())


def test_more_than_one_block(files, tmp_path):
    arrays = files.arrays(700, 1)
    data = load(
        tmp_path / "digits.csv", files.csv_bytes(arrays.train_images, arrays.train_labels, True)
    )
    np.testing.assert_array_equal(data.train.x, arrays.train_images.reshape(-1, 784))
    np.testing.assert_array_equal(data.train.y, arrays.train_labels)


@given(
    index=st.integers(0, 5),
    column=st.integers(0, 784),
    cell=st.sampled_from(["x", "", "-1", "1.5", "nan", "1e999", "256", "0x1", "1;2"]),
)
@settings(deadline=None)
def test_a_wrong_cell_is_named(index, column, cell, files, few, tmp_path_factory):
    rows = [
        line.split(",")
        for line in files.csv_bytes(few.train_images, few.train_labels, True).decode().splitlines()
    ]
    rows[1 + index][column] = cell
    path = tmp_path_factory.mktemp("csv") / "train.csv"
    largest = 255 if column else 9
    expected = (
        f"line {2 + index}, column {column + 1} is {cell!r}, expected a whole number from 0 to "
        f"{largest}"
    )
    with pytest.raises(ValueError, match=r"train\.csv: ") as caught:
        load(path, "\n".join(map(",".join, rows)).encode())
    assert str(caught.value) == f"{path}: {expected}"


def test_a_wrong_cell_far_down_is_named(files, rejected):
    arrays = files.arrays(2500, 1)
    lines = files.csv_bytes(arrays.train_images, arrays.train_labels, True).splitlines(
        keepends=True
    )
    lines[2345] = lines[2345].replace(b",", b",x", 1)
    assert "line 2346, column 2 is 'x" in rejected("train.csv", b"".join(lines))


@pytest.mark.parametrize("header", ["", ",".join(["label", *map(str, range(784))]) + "\n"])
@pytest.mark.parametrize("label", ["10", "255", "-1", "4.5", "0.5", "five", "", "?"])
def test_labels_are_digits(label, header, rejected):
    content = header + ",".join(["5"] * 785) + "\n" + ",".join([label] + ["0"] * 784)
    message = rejected("train.csv", content.encode())
    assert (
        f"line {2 + bool(header)}, column 1 is {label!r}, expected a whole number from 0 to 9"
        in message
    )


@pytest.mark.parametrize("cell", ["", "?", "x", "NA", "-"])
@pytest.mark.parametrize("column", [0, 1, 784])
def test_a_wrong_cell_makes_no_line_of_names_of_the_first_line(cell, column, files, few, rejected):
    lines = files.csv_bytes(few.train_images, few.train_labels).decode().splitlines()
    cells = lines[0].split(",")
    cells[column] = cell
    message = rejected("train.csv", "\n".join([",".join(cells), *lines[1:]]).encode())
    assert f"line 1, column {column + 1} is {cell!r}, expected a whole number" in message
    assert "line 1, column 1 is '?'" in rejected(
        "train.csv", "\n".join([",".join(["?"] * 785), *lines]).encode()
    )


@pytest.mark.parametrize("cells", [1, 2, 784, 786, 1570])
def test_a_ragged_row_is_named(cells, rejected):
    good = b",".join([b"5"] * 785) + b"\n"
    ragged = b",".join([b"5"] * cells) + b"\n"
    expected = f"line 3 has {cells} cells, expected 785: a label, then 784 pixels"
    assert expected in rejected("train.csv", good * 2 + ragged + good)


def test_rows_that_add_up_are_still_ragged(rejected):
    lines = [b",".join([b"5"] * cells) for cells in (786, 784, 785)]
    assert "line 1 has 786 cells" in rejected("train.csv", b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("blocks", [1, 800])
def test_a_blank_line_between_others(blocks, rejected):
    good = b",".join([b"5"] * 785) + b"\n"
    message = rejected("train.csv", good * blocks + b"\n" + good)
    assert f"line {blocks + 1} has 1 cells" in message or f"line {blocks + 1} is blank" in message


def test_blank_lines_longer_than_a_block_end_the_file(files, few, holds, rejected):
    content = files.csv_bytes(few.train_images, few.train_labels) + b"\n" * 3_000_000
    holds(content)
    assert "line 3000006 is blank, but is not the last one" in rejected("train.csv", content + b"x")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xef\xbb\xbf", b"\n\n\n", b",".join([b"name"] * 785) + b"\n"]
)
def test_no_images(content, rejected):
    assert "holds 0 images or labels, expected 1 to" in rejected("train.csv", content)


def test_an_endless_line(rejected):
    assert "line 1 has more than 50240 characters, expected 785 cells" in rejected(
        "train.csv", b"1," * 2_000_000
    )
    good = b",".join([b"5"] * 785) + b"\n"
    assert "line 3 has more than 50240 characters" in rejected(
        "train.csv", good * 2 + b"1" * 3_000_000
    )


def test_other_text(rejected):
    for content in (
        b"\0" * 5000,
        "5,5".encode("utf-16"),
        b"PK\x03\x04" + bytes(range(256)),
        b"<html>\n</html>",
    ):
        assert "expected" in rejected("train.csv", content)
    for content, kind in (
        ("5,5".encode("utf-16"), "UTF-16 text: save it as UTF-8"),
        (b"\xfe\xff\x00l", "UTF-16 text"),
        (b"PK\x03\x04" + bytes(50), "a zip archive: unpack it"),
        (b"  <!DOCTYPE html>", "an HTML page: the download failed, download the file again"),
        (b'{"error": 404}', "a JSON file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    ):
        assert kind in rejected("train.csv", content)
        assert kind in rejected("train.csv.gz", gzip.compress(content))
    assert "zero bytes" in rejected("train.csv", "5,5".encode("utf-16-le"))


def test_the_test_file_lies_beside(files, few, tmp_path):
    path = files.csv(tmp_path / "train", few)
    for train in ("mnist_train.csv", "train.csv", "my-train-set.csv", "train-train.csv"):
        test = {"train-train.csv": "train-test.csv"}.get(train, train.replace("train", "test"))
        path.with_name("mnist_train.csv").rename(path.with_name(train))
        path.with_name("mnist_test.csv").rename(path.with_name(test))
        data = datasets.mnist(path.with_name(train), validation=0, normalize=False)
        np.testing.assert_array_equal(data.test.y, few.test_labels)
        path.with_name(test).rename(path.with_name(f"{test}.gz"))
        np.testing.assert_array_equal(
            datasets.mnist(path.with_name(train), validation=0).test.y, few.test_labels
        )
        path.with_name(f"{test}.gz").rename(path.with_name(test))
        path.with_name(train).rename(path.with_name("mnist_train.csv"))
        path.with_name(test).rename(path.with_name("mnist_test.csv"))


@pytest.mark.parametrize("header", [False, True])
def test_a_test_file_without_labels_is_no_test_set(header, files, few, tmp_path):
    path = files.csv(tmp_path, few, header)
    sibling = path.with_name("mnist_test.csv")
    unlabeled = [line.split(b",", 1)[1] for line in sibling.read_bytes().splitlines()]
    sibling.write_bytes(b"\n".join(unlabeled))
    assert datasets.mnist(path, validation=0, normalize=False).test is None


@pytest.mark.parametrize("header", [False, True])
def test_a_training_file_without_labels(header, files, few, rejected):
    lines = files.csv_bytes(few.train_images, few.train_labels, header).splitlines()
    message = rejected("train.csv", b"\n".join(line.split(b",", 1)[1] for line in lines))
    assert "784 columns, expected 785: a label, then 784 pixels" in message


def test_a_bad_test_file_is_named(files, few, tmp_path):
    path = files.csv(tmp_path, few)
    path.with_name("mnist_test.csv").write_bytes(b"1,2,3\n")
    with pytest.raises(ValueError, match=r"mnist_test\.csv: line 1 has 3 cells"):
        datasets.mnist(path, normalize=False)
