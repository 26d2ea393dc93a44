"""nn.Rescale, and uint8 as numbers like any other."""

import numpy as np
import pytest
from test_program import same, train
from test_program_sparse import sparse

import cnet
from cnet import augment, datasets, nn, optim
from cnet._data.samples import Rows

PIXELS = [(1 / 255, 0.0), (1 / 127.5, -1.0)]


@pytest.mark.parametrize(("scale", "offset"), [*PIXELS, (-3.0, 0.5), (1.0, 0.0)])
@pytest.mark.parametrize("given", ["u1", "i8", "f4", "f8", "?"])
def test_values(scale, offset, given, rng):
    x = rng.integers(0, 2 if given == "?" else 256, (6, 5)).astype(given)
    real = np.float64 if given == "f8" else np.float32
    out = nn.Rescale(scale, offset)(x)
    assert out.dtype == real
    np.testing.assert_array_equal(out, x.astype(real) * real(scale) + real(offset))


def test_gradients_and_layouts(rng):
    layer = nn.Rescale(-2.5, 7)
    x = rng.standard_normal((4, 3, 5, 6))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for images in (x, last):
        out = layer.forward(images, training=True)
        assert out.strides == images.strides
        np.testing.assert_array_equal(out, -2.5 * x + 7)
        np.testing.assert_array_equal(layer.backward(np.asfortranarray(x)), -2.5 * x)
    with pytest.raises(ValueError, match=r"gradient of shape \(2, 3\), expected \(4, 3, 5, 6\)"):
        layer.backward(np.ones((2, 3)))


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": 0},
        {"scale": 1e-40},
        {"scale": np.nan},
        {"scale": np.inf},
        {"scale": "1"},
        {"scale": True},
        {"scale": None},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ValueError, match=r"^scale is "):
        nn.Rescale(**settings)
    with pytest.raises(ValueError, match=r"^offset is nan, expected a finite number"):
        nn.Rescale(1 / 255, np.nan)


def test_it_is_saved_with_the_net(tmp_path):
    model = nn.Sequential(nn.Rescale(1 / 255), nn.Linear(4, 3), nn.Rescale(2, offset=-1), seed=0)
    model.save(tmp_path / "m.safetensors")
    loaded = cnet.load(tmp_path / "m.safetensors")
    assert repr(loaded) == repr(model)
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)
    np.testing.assert_array_equal(loaded(x), model(x))


def image_net(shape, scale, offset):
    return [
        lambda: nn.Rescale(scale, offset),
        nn.Flatten,
        lambda: nn.Linear(int(np.prod(shape)), 20),
        nn.ReLU,
        lambda: nn.Linear(20, 3),
    ]


@pytest.mark.parametrize(("scale", "offset"), PIXELS)
@pytest.mark.parametrize("share", [0.15, 1.0], ids=["few", "dense"])
@pytest.mark.parametrize("given", ["u1", "f4", "f8", "i4"])
def test_a_program_rescales_as_it_gathers_to_the_bits_of_the_layer(
    scale, offset, share, given, isa, dtype, rng, threads, compiler_options
):
    compiler_options(max_block=200)
    x = np.where(rng.random((301, 20, 20)) < share, rng.integers(1, 256, (301, 20, 20)), 0)
    y = rng.integers(0, 3, 301)
    layers = image_net((20, 20), scale, offset)
    expected = train(
        layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y, batch=60, compiled=False
    )
    sums = train(layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y, batch=250, compiled=False)
    for n in (1, 3):
        threads(n)
        same(
            train(layers, nn.CrossEntropyLoss, dtype, x.astype(given), y, batch=60, compiled=True),
            expected,
        )
        same(
            train(layers, nn.CrossEntropyLoss, dtype, x.astype(given), y, batch=250, compiled=True),
            sums,
        )


def test_bytes_are_kept_sparse_where_zeros_stay_zeros(rng):
    x = (255 * np.abs(sparse(rng, 61, 300))).astype(np.uint8)
    rows = Rows(x, np.dtype("f4"))
    assert type(rows.source(10, 1 / 255)).__name__ == "Sparse"
    assert rows.source(10, 1 / 255, -1.0) is rows.flat
    reals = Rows(x.astype("f4"), np.dtype("f4"))
    assert type(reals.source(10)).__name__ == "Sparse"
    assert reals.source(10, 1 / 255) is reals.flat


NETS = {
    "images": lambda: [
        nn.Rescale(1 / 255, -0.5),
        nn.Conv2d(2, 4, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 3),
    ],
    "nested": lambda: [
        nn.Sequential(nn.Flatten(), nn.Rescale(1 / 255)),
        nn.Sequential(nn.Linear(128, 9), nn.Tanh()),
        nn.Linear(9, 3),
    ],
    "twice, and inside": lambda: [
        nn.Rescale(1 / 255),
        nn.Rescale(2, -1),
        nn.Flatten(),
        nn.Linear(128, 9),
        nn.Rescale(0.5, 1),
        nn.Tanh(),
        nn.Linear(9, 3),
    ],
    "no parameters before": lambda: [
        nn.Rescale(1 / 255),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.BatchNorm1d(32),
        nn.Linear(32, 3),
    ],
    "softmax regression": lambda: [nn.Flatten(), nn.Rescale(-1 / 255, 1), nn.Linear(128, 3)],
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("batch", [7, 40])
def test_wherever_it_stands(net, batch, isa, dtype, rng, threads):
    x, y = rng.integers(0, 256, (53, 2, 8, 8), np.uint8), rng.integers(0, 3, 53)
    results = []
    for given, compiled, n in (
        (x, False, 1),
        (x, True, 1),
        (x, True, 3),
        (x.astype(dtype), True, 2),
    ):
        threads(n)
        layers = [lambda layer=layer: layer for layer in NETS[net]()]
        results.append(
            train(layers, nn.CrossEntropyLoss, dtype, given, y, batch=batch, compiled=compiled)
        )
    for result in results[1:]:
        same(result, results[0])


@pytest.mark.parametrize("n", [1, 5, 300])
@pytest.mark.parametrize("net", NETS)
def test_predictions(net, n, isa, dtype, rng, threads):
    x = rng.integers(0, 256, (n, 2, 8, 8), np.uint8)
    x[:, :, 3:] = 0
    model = nn.Sequential(*NETS[net](), seed=0, dtype=dtype)
    expected = model.forward(x)
    for count in (1, 2, 7):
        threads(count)
        for given in (x, x.astype(dtype), x.astype("f8"), x.astype("i4")):
            np.testing.assert_array_equal(model(given), expected)


def test_heads_that_rescale(rng, threads):
    x, y = rng.integers(0, 256, (40, 30), np.uint8), rng.integers(0, 3, 40)
    results = []
    for compiled in (True, False):
        heads = nn.Heads(
            nn.Sequential(nn.Rescale(1 / 255), nn.Linear(30, 3)),
            nn.Sequential(nn.Rescale(1 / 255), nn.Linear(30, 3)),
        )
        model = nn.Sequential(nn.Rescale(0.9), heads, seed=0)
        trainer = cnet.Trainer(
            model,
            nn.HeadsLoss(heads, nn.CrossEntropyLoss()),
            optim.SGD(model.parameters(), lr=0.1),
            compile=compiled,
        )
        history = trainer.fit(x, [y, y], epochs=2, batch_size=8, seed=0, verbose=False)
        results.append(([*model.state_dict().values()], history))
    same(*results)


def test_no_copy_of_the_images_is_made_as_floats(rng):
    import tracemalloc

    x, y = rng.integers(0, 256, (4000, 1, 28, 28), np.uint8), rng.integers(0, 10, 4000)
    model = nn.Sequential(nn.Rescale(1 / 255), nn.Flatten(), nn.Linear(784, 10), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(x[:64], y[:64], verbose=False)
    tracemalloc.start()
    trainer.fit(x, y, epochs=2, batch_size=32, verbose=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_uint8_is_numbers_like_any_other_for_nets_and_augmentation(rng):
    table = rng.integers(0, 2, (200, 7), np.uint8)
    y = table[:, 0] ^ table[:, 1]
    losses = []
    for dtype in ("u1", "?", "i8", "f4"):
        model = nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 2), seed=0)
        trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.3))
        history = trainer.fit(table.astype(dtype), y, epochs=30, seed=0, verbose=False)
        losses.append(
            (
                history["loss"],
                trainer.evaluate(table.astype(dtype), y),
                model(table.astype(dtype)).tolist(),
            )
        )
    assert all(loss == losses[0] for loss in losses)
    assert losses[0][0][-1] < 0.1
    images = datasets.digits(20, 0, normalize=False).train.x
    change = augment.Augment(shift=2, rotation=15, noise=3, seed=0)
    np.testing.assert_array_equal(change(images, epoch=1), change(images.astype("f4"), epoch=1))


def test_estimators_agree_with_their_nets_on_every_array():
    sklearn = pytest.importorskip("cnet.sklearn")
    data = datasets.digits(300, 100, normalize=False, seed=0)
    estimator = sklearn.MLPClassifier(16, max_iter=3, n_iter_no_change=1, tol=1e9, random_state=0)
    with pytest.warns(UserWarning, match="mean square of"):
        estimator.fit(*data.train)
    for x in (data.test.x, data.test.x.astype("f4"), data.test.x.astype("i8")):
        np.testing.assert_array_equal(estimator.predict(x), estimator.model_(x).argmax(axis=1))
