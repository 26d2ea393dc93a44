"""Several heads on one trunk as compiled programs: the bits of the layer-by-layer loop."""

import numpy as np
import pytest

from cnet import Trainer, nn, optim
from cnet._compiler import predictor as _predictor
from cnet._compiler import program as _program
from cnet._training import engine as _engine

ROWS, FEATURES = 53, 7


def heads():
    return nn.Heads(
        digit=nn.Linear(9, 4),
        deep=nn.Sequential(nn.Dropout(0.2), nn.Linear(9, 6), nn.GELU(), nn.Linear(6, 3), nn.Tanh()),
        trunk=nn.Identity(),
        chances=nn.Sequential(nn.ReLU(), nn.Linear(9, 2, bias=False), nn.Softmax()),
    )


TRUNKS = {
    "dense": ((FEATURES,), lambda: [nn.Linear(FEATURES, 9), nn.LeakyReLU()]),
    "images": (
        (1, 6, 6),
        lambda: [
            nn.Conv2d(1, 9, 3),
            nn.BatchNorm2d(9),
            nn.ReLU(),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.LayerNorm(9),
        ],
    ),
    "none": ((9,), lambda: []),
}
LOSSES = {
    "digit": nn.CrossEntropyLoss(weight=[1, 2, 0.5, 3], label_smoothing=0.1),
    "deep": nn.CrossEntropyLoss(),
    "trunk": nn.MSELoss(),
    "chances": nn.NLLLoss(),
}


def make(trunk, dtype=np.float32):
    end = heads()
    return nn.Sequential(*TRUNKS[trunk][1](), end, seed=1, dtype=dtype), end


def data(rng, trunk, n=ROWS):
    one_hot = np.eye(3, dtype="f4")[rng.integers(0, 3, n)]
    y = {
        "digit": rng.integers(0, 4, n),
        "deep": one_hot,
        "trunk": rng.random((n, 9)),
        "chances": rng.integers(0, 2, n),
    }
    return rng.random((n, *TRUNKS[trunk][0])).astype("f4"), y


def train(
    trunk,
    dtype,
    x,
    y,
    compiled,
    batch=8,
    freeze=None,
    weights=None,
    optimizer=optim.SGD,
    **settings,
):
    model, end = make(trunk, dtype)
    parameters = [
        parameter
        for name, parameter in model.named_parameters()
        if freeze is None or not name.startswith(freeze)
    ]
    trainer = Trainer(
        model,
        nn.HeadsLoss(end, LOSSES, weights),
        optimizer(parameters, **{"lr": 0.05, **settings}),
        compile=compiled,
    )
    kinds = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (_engine.EagerEngine, _engine.CompiledEngine):
            patch.setattr(
                kind,
                "run",
                lambda self, *parts, run=kind.run, **options: (
                    kinds.append(type(self)) or run(self, *parts, **options)
                ),
            )
        history = trainer.fit(
            x, y, epochs=2, batch_size=batch, seed=3, validation_data=(x, y), verbose=False
        )
    assert {*kinds} == {_engine.CompiledEngine if compiled else _engine.EagerEngine}
    return [*model.state_dict().values(), *history.values()], list(history)


def same(a, b):
    assert a[1] == b[1]
    for value, other in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize(
    "settings",
    [{"momentum": 0.9}, {"optimizer": optim.Adam, "lr": 0.01, "clip_norm": 0.5}],
    ids=["momentum", "adam"],
)
def test_several_heads(trunk, settings, isa, dtype, rng, threads):
    x, y = data(rng, trunk)
    expected = train(trunk, dtype, x, y, compiled=False, **settings)
    assert [name for name in expected[1] if name.startswith("accuracy")] == [
        "accuracy_digit",
        "accuracy_deep",
        "accuracy_chances",
    ]
    for n in (1, 2) if "momentum" in settings else (1, 7):
        threads(n)
        same(train(trunk, dtype, x, y, compiled=True, **settings), expected)


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("batch", [2, 45, 1500])
def test_batches(trunk, batch, rng):
    x, y = data(rng, trunk, n=3005)
    same(
        *(
            train(
                trunk, np.float32, x, y, compiled, batch=batch, weights={"digit": 0.3, "trunk": 2}
            )
            for compiled in (True, False)
        )
    )


@pytest.mark.parametrize("freeze", ["0.", "1.", "2.digit", "2.deep.1"])
def test_frozen_parts(freeze, rng):
    x, y = data(rng, "dense")
    same(
        *(
            train("dense", np.float32, x, y, compiled, freeze=freeze, weights=[1, 0, 2, 0.1])
            for compiled in (True, False)
        )
    )


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("n", [1, 5, 300])
def test_predictions(trunk, n, dtype, rng, threads):
    model, _ = make(trunk, dtype)
    x = rng.random((n, *TRUNKS[trunk][0])).astype(dtype)
    for count in (1, 2, 7):
        threads(count)
        assert _predictor.predict(model, x) is not None
        np.testing.assert_array_equal(model(x), model.forward(x))


def test_what_has_no_compiled_form_is_run_from_python(rng):
    end = nn.Heads(nn.Linear(5, 2), nn.Linear(5, 3))
    net = nn.Sequential(nn.Linear(4, 5), end, seed=0)
    assert _program.lower(net, nn.HeadsLoss(end, nn.MSELoss()), None, (4,)) is not None
    for model, loss in [
        (net, nn.MSELoss()),
        (net, nn.HeadsLoss(nn.Heads(nn.Linear(5, 2), nn.Linear(5, 3)), nn.MSELoss())),
        (nn.Sequential(nn.Linear(4, 5), nn.Heads(end, nn.ReLU())), nn.HeadsLoss(end, nn.MSELoss())),
        (nn.Sequential(end, nn.ReLU()), nn.HeadsLoss(end, nn.MSELoss())),
    ]:
        assert _program.lower(model, loss, None, model.input_shape) is None
