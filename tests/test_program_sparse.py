"""Data of which few elements are not 0: a program works from lists of those, to the bits of the
layer-by-layer loop.
"""

import numpy as np
import pytest
from test_program import OPTIMIZERS, same, train

from cnet import Trainer, nn, optim
from cnet._core import loops
from cnet._data.samples import Rows

SETTINGS = [
    {"optimizer": optim.SGD},
    {"optimizer": optim.SGD, "weight_decay": 0.1},
    {"optimizer": optim.SGD, "clip_norm": 0.1},
    *OPTIMIZERS,
]


def sparse(rng, rows, width, share=0.15):
    """Numbers from -1 to 1, or -0.0, or 0; a row and a column of nothing else, and a row without
    any.
    """
    x = np.where(
        rng.random((rows, width)) < share,
        rng.uniform(-1, 1, (rows, width)),
        rng.choice([0.0, -0.0], (rows, width)),
    )
    x[rows // 2], x[rows // 3], x[:, width // 5] = rng.uniform(-1, 1, width), 0, 0.5
    x[:, : width // 8] = 0
    return x


def is_sparse(x, dtype, outputs=10):
    return type(Rows(x, np.dtype(dtype)).source(outputs)).__name__ == "Sparse"


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("width", "outputs"), [(40, 3), (202, 10), (400, 70), (784, 130)])
def test_optimizers(settings, width, outputs, isa, dtype, rng, threads):
    x, y = sparse(rng, 61, width).astype(dtype), rng.integers(0, 3, 61)
    assert is_sparse(x, dtype)
    layers = [
        lambda: nn.Linear(width, outputs, bias=outputs != 10),
        nn.LeakyReLU,
        lambda: nn.Linear(outputs, 3),
    ]
    by_hand = train(layers, nn.CrossEntropyLoss, dtype, x, y, batch=20, compiled=False, **settings)
    for n in (1, 2) if dtype == "float32" else (1, 5):
        threads(n)
        same(
            train(layers, nn.CrossEntropyLoss, dtype, x, y, batch=20, compiled=True, **settings),
            by_hand,
        )


@pytest.mark.parametrize("batch", [1, 5, 17, 202, 300])
@pytest.mark.parametrize("outputs", [1, 7, 16, 33, 48, 65, 300])
def test_nets_and_batches_of_any_size(batch, outputs, isa, dtype, rng, threads, compiler_options):
    """The largest is walked in blocks of rows."""
    compiler_options(max_block=256)
    n = 301 if batch > 17 else 61
    x, y = sparse(rng, n, 260, 0.1), rng.integers(0, 3, n)
    layers = [lambda: nn.Linear(260, outputs), nn.Tanh, lambda: nn.Linear(outputs, 3)]
    arguments = (layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y)
    by_hand = train(*arguments, epochs=1, batch=batch, compiled=False)
    for count in (1, 2, 3):
        threads(count)
        same(train(*arguments, epochs=1, batch=batch, compiled=True), by_hand)


@pytest.mark.parametrize("batch", [20, 300])
def test_images_of_uint8(batch, isa, dtype, rng, threads, compiler_options):
    compiler_options(max_block=200)
    x = np.where(rng.random((301, 28, 28)) < 0.15, rng.integers(1, 8, (301, 28, 28)), 0).astype(
        np.uint8
    )
    assert is_sparse(x, dtype)
    layers = [nn.Flatten, lambda: nn.Linear(784, 70), nn.ReLU, lambda: nn.Linear(70, 3)]
    arguments = (layers, nn.CrossEntropyLoss, dtype, x, rng.integers(0, 3, 301))
    by_hand = train(*arguments, batch=batch, compiled=False)
    for n in (1, 3):
        threads(n)
        same(train(*arguments, batch=batch, compiled=True), by_hand)


def test_rows_in_their_own_order(dtype, rng, threads):
    x, y = sparse(rng, 61, 300).astype(dtype), rng.integers(0, 3, 61)
    trained = []
    for n in (1, 2, 3):
        threads(n)
        model = nn.Sequential(nn.Linear(300, 40), nn.Tanh(), nn.Linear(40, 3), seed=0, dtype=dtype)
        trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        trainer.fit(x, y, epochs=2, batch_size=24, shuffle=False, verbose=False)
        trained.append(
            np.concatenate(
                [
                    trainer.evaluate(x, y)["loss"],
                    *(parameter.data for parameter in model.parameters()),
                ],
                axis=None,
            )
        )
    np.testing.assert_array_equal(trained[0], trained[1])
    np.testing.assert_array_equal(trained[0], trained[2])


def test_nets_that_do_not_begin_with_a_dense_layer_read_all_elements(rng):
    x, y = sparse(rng, 61, 64).astype("f4"), rng.integers(0, 3, 61)
    heads = nn.Heads(nn.Linear(64, 3), nn.Linear(64, 3))
    for layers, loss, target in [
        ([nn.ReLU(), nn.Linear(64, 3)], nn.CrossEntropyLoss(), y),
        ([heads], nn.HeadsLoss(heads, nn.CrossEntropyLoss()), [y, y]),
    ]:
        model = nn.Sequential(*layers, seed=0)
        trainer = Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1))
        assert np.diff(trainer.fit(x, target, epochs=2, seed=0, verbose=False)["loss"]) < 0


@pytest.mark.parametrize("rows", [1, 2, 7, 201, 300])
@pytest.mark.parametrize("share", [0, 0.1, 0.6])
@pytest.mark.parametrize("width", [5, 100, 784, 9000])
def test_predictions(rows, share, width, isa, dtype, rng, threads):
    """Rows are looked at as they come; some parts of a batch may be made into lists, and others
    not.
    """
    model = nn.Sequential(nn.Linear(width, 70), nn.Tanh(), nn.Linear(70, 3), seed=0, dtype=dtype)
    x = np.where(rng.random((rows, width)) < share, rng.standard_normal((rows, width)), 0).astype(
        dtype
    )
    x[rows // 2 :] = np.where(rng.random((rows - rows // 2, width)) < 0.2, 1, x[rows // 2 :])
    for n in (1, 3):
        threads(n)
        np.testing.assert_array_equal(model(x), model.forward(x))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_data_that_is_not_sparse_is_found_out(n, dtype, rng, threads):
    threads(n)
    compress = loops(dtype).compress
    x = rng.standard_normal((50, 40)).astype(dtype)
    assert compress(x, 0.9, np.empty) is None
    x[:20] = 0
    assert compress(x, 0.25, np.empty) is None
    x[:49] = 0
    assert compress(x, 0.25, np.empty) is not None
    assert compress(np.zeros((0, 40), dtype), 0.25, np.empty) is None
    assert compress(np.zeros((3, 0), np.uint8), 0.25, np.empty) is None


def test_where_lists_are_used(rng, tmp_path):
    x = sparse(rng, 100, 64).astype("f4")
    assert is_sparse(x, "f4")
    assert is_sparse(x.reshape(100, 8, 8), "f4")
    assert not is_sparse(x[:, :31].copy(), "f4"), "too narrow to gain"
    assert not is_sparse(x.astype("f8"), "f4"), "converted batch by batch"
    assert not is_sparse(np.ones((100, 64), "f4"), "f4")
    third = np.where(rng.random((1000, 64)) < 0.33, 1, 0)
    assert not is_sparse(third.astype("f4"), "f4"), "too few outputs"
    assert is_sparse(third.astype("f4"), "f4", outputs=48)
    assert not is_sparse(third.astype("u1"), "f4", outputs=48), (
        "lists would take more than half as much memory"
    )
    np.save(tmp_path / "x.npy", x)
    assert not is_sparse(np.load(tmp_path / "x.npy", mmap_mode="r"), "f4"), (
        "it may be larger than memory"
    )
    assert not is_sparse(np.load(tmp_path / "x.npy", mmap_mode="r")[10:].reshape(90, 4, 16), "f4")
