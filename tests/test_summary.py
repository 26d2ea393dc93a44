"""Text: ``summary``, tables of notebooks, and ``repr``."""

from xml.etree import ElementTree

import pytest

from cnet import nn


def table(capsys):
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line.rstrip()) for line in lines[:-1]}) == 1, "columns are aligned"
    return [line.rsplit(maxsplit=2 if "(n" not in line else 3) for line in lines[2:-2]], lines[-1]


def test_summary_shows_nested_layers_under_their_names_in_the_state(capsys):
    nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Sequential(nn.Linear(128, 10, bias=False), nn.Softmax())
    ).summary()
    rows, total = table(capsys)
    assert [row[0].split()[0] for row in rows] == ["0", "1", "2.0", "2.1"]
    assert [(row[1] + row[2], row[3]) for row in rows] == [
        ("(n,128)", "100,480"),
        ("(n,128)", "0"),
        ("(n,10)", "1,280"),
        ("(n,10)", "0"),
    ]
    assert total == "total: 101,760 parameters, 407.0 kB as float32"


def test_summary_of_a_net_whose_input_shape_is_not_known(capsys):
    model = nn.Sequential(nn.Tanh(), nn.ReLU())
    model.summary()
    rows, total = table(capsys)
    assert [row[1:] for row in rows] == [["?", "0"], ["?", "0"]]
    assert total == "total: 0 parameters, 0.0 kB as float32"
    nn.Sequential(nn.Flatten(), nn.Linear(784, 10, dtype="float64")).summary((28, 28))
    rows, total = table(capsys)
    assert rows[0][1] + rows[0][2] == "(n,784)"
    assert total == "total: 7,850 parameters, 62.8 kB as float64"
    with pytest.raises(ValueError, match=r"takes input of shape \(n, 784\), got \(n, 756\)"):
        nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).summary((28, 27))


def test_summary_of_a_layer_alone(capsys):
    nn.Linear(3, 2).summary()
    rows, _ = table(capsys)
    assert rows[0][0].startswith("0 Linear")


def test_notebooks_show_a_table():
    class Strange(nn.Module):
        def __repr__(self):
            return "<script>alert('&')</script>"

    table = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Flatten(),
        Strange(),
        nn.Heads(digit=nn.Linear(72, 10), parity=nn.Linear(72, 2)),
        seed=0,
    )._repr_html_()
    rows = [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(table).iter("tr")
    ]  # well-formed, and so escaped
    assert rows == [
        ["layer", "output", "parameters"],
        ["0 Conv2d(in_channels=1, out_channels=2, kernel_size=3)", "?", "20"],
        ["1 Flatten()", "?", "0"],
        ["2 <script>alert('&')</script>", "(n, 72)", "0"],
        ["3.digit Linear(in_features=72, out_features=10)", "(n, 10)", "730"],
        ["3.parity Linear(in_features=72, out_features=2)", "(n, 2)", "146"],
    ]
    assert "<script" not in table
    assert "<caption>total: 896 parameters, 3.6 kB as float32</caption>" in table
    assert nn.Linear(3, 2)._repr_html_().count("<tr>") == 2


def test_repr():
    assert repr(nn.Linear(3, 2)) == "Linear(in_features=3, out_features=2)"
    assert repr(nn.Linear(3, 2, bias=False)) == "Linear(in_features=3, out_features=2, bias=False)"
    assert repr(nn.ReLU()) == "ReLU()"
    assert repr(nn.LeakyReLU(0.25)) == "LeakyReLU(negative_slope=0.25)"
    assert repr(nn.CrossEntropyLoss()) == "CrossEntropyLoss()"
    assert repr(nn.init.He()) == "He(distribution='uniform')"
    assert (
        repr(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Tanh())))
        == "Sequential(\n  (0): ReLU()\n  (1): Sequential(\n    (0): Tanh()\n  )\n)"
    )
