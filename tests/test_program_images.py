"""Networks of images, dropout and GELU as compiled programs: the bits of the layer-by-layer
loop.
"""

import numpy as np
import pytest

from cnet import Trainer, nn, optim
from cnet._data.samples import Rows
from cnet._training import engine as _engine

# Bits are compared here, for any network with any loss.
pytestmark = pytest.mark.filterwarnings(r"ignore:the network ends in (Softmax|Sigmoid)\(\), but")

NETS = {
    "cnn": ((1, 12, 12), [
        lambda: nn.Conv2d(1, 9, 3), nn.ReLU, lambda: nn.MaxPool2d(2), lambda: nn.Conv2d(9, 5, 2),
        nn.LeakyReLU, lambda: nn.MaxPool2d(2), nn.Flatten,
        lambda: nn.Linear(20, 8), nn.ReLU, nn.Dropout, lambda: nn.Linear(8, 3),
    ]),
    "colors": ((3, 7, 8), [
        lambda: nn.Conv2d(3, 4, (2, 3), stride=(1, 2), padding=1), nn.GELU, lambda: nn.Conv2d(4, 17,
        3, bias=False), nn.Tanh,
        lambda: nn.AvgPool2d(2, stride=1, padding=1), nn.ELU, nn.Flatten, lambda: nn.Linear(17 * 7 *
        3, 3),
    ]),
    "first dropped": ((2, 4, 4), [
        lambda: nn.Dropout(0.3), lambda: nn.Conv2d(2, 3, 3), lambda: nn.Dropout(0.2), nn.Flatten,
        lambda: nn.Linear(12, 3),
    ]),
    "first pooled": ((2, 6, 6), [
        lambda: nn.MaxPool2d(3, stride=2, padding=1), nn.Sigmoid, nn.Flatten, lambda: nn.Linear(18,
        3),
    ]),
    "nested networks": ((1, 5, 5), [
        lambda: nn.Sequential(nn.Identity(), nn.Conv2d(1, 6, 5)), nn.ReLU, nn.Flatten, lambda:
        nn.Sequential(nn.Linear(6, 3), nn.Softmax()), nn.Softmax,
    ]),
    "few channels": ((2, 1, 1), [lambda: nn.Conv2d(2, 4, 1), nn.Flatten, lambda: nn.Linear(4, 3)]),
    "dense": ((5,), [
        lambda: nn.Dropout(0.1), lambda: nn.Linear(5, 40), nn.GELU, lambda: nn.GELU("tanh"), lambda:
        nn.Dropout(0), lambda: nn.Linear(40, 3), nn.GELU,
    ]),
    "batch norm": ((2, 6, 5), [
        lambda: nn.BatchNorm2d(2), lambda: nn.Conv2d(2, 5, 3), lambda: nn.BatchNorm2d(5,
        momentum=None), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Flatten,
        lambda: nn.Linear(10, 9, bias=False), lambda: nn.BatchNorm1d(9, affine=False), nn.Tanh,
        lambda: nn.Linear(9, 3), lambda: nn.BatchNorm1d(3),
    ]),
    "layer norm": ((2, 3, 7), [
        lambda: nn.LayerNorm(7), nn.GELU, nn.Flatten, lambda: nn.Linear(42, 12), lambda:
        nn.LayerNorm(12, bias=False), nn.ELU, lambda: nn.Linear(12, 3),
        lambda: nn.LayerNorm(3, elementwise_affine=False),
    ]),
    "group norms": (
        (4, 6, 5),
        [
            lambda: nn.GroupNorm(2, 4),
            lambda: nn.Conv2d(4, 6, 3),
            lambda: nn.GroupNorm(3, 6, eps=0.1),
            nn.ReLU,
            nn.Flatten,
            lambda: nn.GroupNorm(8, 72, affine=False),
            lambda: nn.Linear(72, 3),
        ],
    ),
    "only norms": ((3,), [lambda: nn.BatchNorm1d(3, momentum=0.3), lambda: nn.LayerNorm(3)]),
}  # fmt: skip
nets = pytest.mark.parametrize("net", NETS)


def make(net, dtype=np.float32):
    shape, layers = NETS[net]
    return shape, nn.Sequential(*(layer() for layer in layers), seed=1, dtype=dtype)


def data(rng, shape, n=37):
    return rng.random((n, *shape)).astype("f4"), rng.integers(0, 3, n)


def train(
    net, dtype, x, y, compiled, batch=8, freeze=None, epochs=2, optimizer=optim.SGD, **settings
):
    _, model = make(net, dtype)
    parameters = model.parameters() if freeze is None else model.parameters()[freeze:]
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer(parameters, **{"lr": 0.05, **settings}),
        compile=compiled,
    )
    engine = _engine.make_engine(
        model, trainer.loss, trainer.optimizer, Rows(x, model.dtype), y, compiled=compiled
    )
    assert type(engine) is (_engine.CompiledEngine if compiled else _engine.EagerEngine)
    history = trainer.fit(
        x, y, epochs=epochs, batch_size=batch, seed=3, validation_data=(x, y), verbose=False
    )
    steps = [layer.step for layer in model.modules() if isinstance(layer, nn.Dropout)]
    return [*model.state_dict().values(), np.array(steps), *history.values()]


def same(a, b):
    for value, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(value, other)


@nets
@pytest.mark.parametrize(
    "settings",
    [{"momentum": 0.9, "nesterov": True}, {"optimizer": optim.Adam, "lr": 0.01, "clip_norm": 0.5}],
    ids=["nesterov", "adam"],
)
def test_layers(net, settings, isa, dtype, rng, threads):
    x, y = data(rng, NETS[net][0])
    x = x.astype(dtype)
    expected = train(net, dtype, x, y, compiled=False, **settings)
    for n in (1, 2) if "momentum" in settings else (1, 7):
        threads(n)
        same(train(net, dtype, x, y, compiled=True, **settings), expected)


@nets
@pytest.mark.parametrize("batch", [1, 3, 150, 400])
def test_batches(net, batch, rng):
    x, y = data(rng, NETS[net][0], n=302)
    batch = max(batch, 2) if "norm" in net else batch  # of one row there is no variance
    same(
        *(
            train(net, np.float32, x, y, compiled, batch=batch, epochs=1)
            for compiled in (True, False)
        )
    )


@nets
def test_uint8_and_frozen_layers(net, rng):
    x, y = rng.integers(0, 8, (40, *NETS[net][0]), dtype=np.uint8), rng.integers(0, 3, 40)
    for freeze in (None, 1):
        same(*(train(net, np.float32, x, y, compiled, freeze=freeze) for compiled in (True, False)))


@pytest.mark.parametrize(("seconds", "most"), [(1e-9, 1), (1e-4, 1), (1, 1), (1, 1e-4), (1, -1)])
def test_masks_go_on_however_steps_are_split_over_calls(seconds, most, rng, compiler_options):
    compiler_options(seconds_per_call=seconds, max_seconds=most)
    x, y = data(rng, NETS["cnn"][0])
    same(
        *(train("cnn", np.float32, x, y, compiled, epochs=3, batch=5) for compiled in (True, False))
    )


@nets
@pytest.mark.parametrize("n", [0, 1, 5, 300])
def test_predictions(net, n, isa, dtype, rng, threads):
    shape, model = make(net, dtype)
    x = rng.random((n, *shape)).astype(dtype)
    out = x
    for layer in model:
        out = layer.forward(out)
    for count in (1, 2, 7):
        threads(count)
        np.testing.assert_array_equal(model(x), out)


def test_a_batch_that_is_too_small_for_its_variance_is_rejected_before_any_work(rng):
    x, y = data(rng, (3,), n=9)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), seed=0)
    before = model.state_dict()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()))
    with pytest.raises(ValueError, match="mini-batch of 1 sample with 1 value of each feature"):
        trainer.fit(x, y, batch_size=4, verbose=False)
    same(model.state_dict().values(), before.values())


def test_images_out_of_a_net_are_compared_in_the_order_of_their_axes(rng):
    x, y = rng.random((20, 2, 5, 5)).astype("f4"), rng.random((20, 3, 4, 4)).astype("f4")
    results = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Conv2d(2, 3, 2), seed=0)
        trainer = Trainer(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), compile=compiled
        )
        history = trainer.fit(x, y, epochs=3, batch_size=6, seed=0, verbose=False)
        results.append([model[0].weight.data, history["loss"]])
    same(*results)
