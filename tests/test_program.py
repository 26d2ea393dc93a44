"""The compiled program and the layer-by-layer loop give the same bits, for every layer, loss and
optimizer there is.
"""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnet import Trainer, nn, optim
from cnet._compiler import predictor as _predictor
from cnet._data.samples import Rows
from cnet._training import engine as _engine
from cnet.callbacks import Callback

# Bits are compared here, for any network with any loss.
pytestmark = pytest.mark.filterwarnings(r"ignore:the network ends in (Softmax|Sigmoid)\(\), but")

ACTIVATIONS = [
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.ELU,
    nn.SiLU,
    nn.Softplus,
    nn.Softmax,
    nn.Identity,
    nn.Flatten,
]


def train(
    layers,
    loss,
    dtype,
    x,
    y,
    *,
    compiled,
    batch=8,
    epochs=2,
    groups=None,
    optimizer=optim.SGD,
    **settings,
):
    model = nn.Sequential(*(layer() for layer in layers), seed=1, dtype=dtype)
    parameters = model.parameters() if groups is None else groups(model)
    trainer = Trainer(
        model, loss(), optimizer(parameters, **{"lr": 0.1, **settings}), compile=compiled
    )
    kind = type(
        _engine.make_engine(
            model,
            trainer.loss,
            trainer.optimizer,
            Rows(x, model.dtype),
            trainer.loss.prepare_target(y, (3,), model.dtype),
            compiled=compiled,
        )
    )
    assert kind is (_engine.CompiledEngine if compiled else _engine.EagerEngine)
    history = trainer.fit(
        x, y, epochs=epochs, batch_size=batch, seed=3, validation_data=(x, y), verbose=False
    )
    states = trainer.optimizer._copy_state()
    remembered = [states[parameter] for parameter in model.parameters() if parameter in states]
    return [
        *model.state_dict().values(),
        *(state.arrays for state in remembered),
        *(state.steps for state in remembered),
    ], history


def same(a, b):
    (weights, history), (others, other_history) = a, b
    np.testing.assert_equal(history, other_history)  # NaN equals NaN
    assert len(weights) == len(others)
    for value, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(value, other)


def data(rng, n=37, width=5):
    return rng.standard_normal((n, width)), rng.integers(0, 3, n)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "sgd",
    [{}, {"momentum": 0.9, "weight_decay": 0.01}, {"momentum": 0.9, "nesterov": True}],
    ids=["plain", "momentum", "nesterov"],
)
def test_layers(activation, sgd, isa, dtype, rng):
    x, y = data(rng)
    layers = [
        activation,
        lambda: nn.Linear(5, 20),
        activation,
        activation,
        lambda: nn.Linear(20, 70, bias=False),
        activation,
        lambda: nn.Linear(70, 3),
        activation,
    ]
    arguments = (layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y)
    same(train(*arguments, compiled=True, **sgd), train(*arguments, compiled=False, **sgd))


OPTIMIZERS = [
    {"optimizer": optim.SGD, "momentum": 0.5},
    {"optimizer": optim.Adam, "lr": 0.01, "weight_decay": 0.1},
    {"optimizer": optim.Adam, "lr": 0.01, "amsgrad": True},
    {"optimizer": optim.AdamW, "lr": 0.01},
    {"optimizer": optim.NAdam, "lr": 0.01},
    {"optimizer": optim.RMSprop, "lr": 0.01},
    {"optimizer": optim.RMSprop, "lr": 0.01, "momentum": 0.5, "weight_decay": 0.1},
    {"optimizer": optim.RMSprop, "lr": 0.01, "centered": True},
]
optimizers = pytest.mark.parametrize(
    "settings",
    OPTIMIZERS,
    ids=lambda s: "-".join(map(str, [s["optimizer"].__name__, *list(s)[1:]])),
)
LAYERS = [
    lambda: nn.Linear(5, 33),
    nn.ReLU,
    lambda: nn.Linear(33, 9, bias=False),
    nn.Tanh,
    lambda: nn.Linear(9, 3),
]


@optimizers
def test_optimizers(settings, isa, dtype, rng, threads):
    x, y = data(rng)
    arguments = (LAYERS, nn.CrossEntropyLoss, dtype, x.astype(dtype), y)
    by_hand = train(*arguments, compiled=False, **settings)
    for n in (1, 2, 7):
        threads(n)
        same(train(*arguments, compiled=True, **settings), by_hand)


@optimizers
def test_optimizers_of_large_batches(settings, dtype, rng, compiler_options):
    compiler_options(max_block=200)
    x, y = data(rng, n=701)
    same(
        *(
            train(
                LAYERS,
                nn.CrossEntropyLoss,
                dtype,
                x.astype(dtype),
                y,
                batch=300,
                compiled=compiled,
                **settings,
            )
            for compiled in (True, False)
        )
    )


@pytest.mark.parametrize(
    "settings",
    [*OPTIMIZERS, {"optimizer": optim.SGD}, {"optimizer": optim.SGD, "clip_norm": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("columns", [201, 400, 784])
@pytest.mark.parametrize("outputs", [10, 40])
def test_inputs_of_the_first_layer_are_shared_out(settings, columns, outputs, isa, rng, threads):
    x = np.where(np.arange(columns) % 3, rng.integers(0, 8, (61, columns)), 0)
    layers = [
        lambda: nn.Linear(columns, outputs, bias=outputs == 10),
        nn.LeakyReLU,
        lambda: nn.Linear(outputs, 3),
    ]
    for data, counts in ((x.astype(np.uint8), (1, 3)), ((x / 8).astype(np.float32), (2, 5))):
        arguments = (layers, nn.CrossEntropyLoss, "float32", data, rng.integers(0, 3, 61))
        by_hand = train(*arguments, batch=20, compiled=False, **settings)
        for n in counts:
            threads(n)
            same(train(*arguments, batch=20, compiled=True, **settings), by_hand)


@pytest.mark.parametrize("shuffle", [True, False])
def test_shared_inputs_of_rows_in_their_own_order(shuffle, dtype, rng, threads):
    x, y = data(rng, width=300)
    trained = []
    for n in (1, 2, 3):
        threads(n)
        model = nn.Sequential(nn.Linear(300, 40), nn.Tanh(), nn.Linear(40, 3), seed=0, dtype=dtype)
        Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)).fit(
            x.astype(dtype), y, epochs=2, batch_size=24, shuffle=shuffle, seed=0, verbose=False
        )
        trained.append(np.concatenate([parameter.data.ravel() for parameter in model.parameters()]))
    np.testing.assert_array_equal(trained[0], trained[1])
    np.testing.assert_array_equal(trained[0], trained[2])


@pytest.mark.parametrize(
    "limits",
    [
        {"clip_norm": 0.1},
        {"clip_value": 0.01},
        {"clip_norm": 0.1, "clip_value": 0.05},
        {"clip_norm": 1e6},
    ],
    ids=str,
)
@pytest.mark.parametrize("batch", [8, 300])
def test_gradients_are_limited_alike(limits, batch, isa, dtype, rng, threads, compiler_options):
    compiler_options(max_block=200)
    x, y = data(rng, n=301 if batch == 300 else 61)
    layers = [
        lambda: nn.Linear(5, 150),
        nn.ReLU,
        lambda: nn.Linear(150, 60),
        nn.Tanh,
        lambda: nn.Linear(60, 3),
    ]  # 9,000 weights: some chunks
    arguments = (layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y)
    settings = {"batch": batch, "epochs": 1, "momentum": 0.9, **limits}
    by_hand = train(*arguments, compiled=False, **settings)
    for n in (1, 2, 7):
        threads(n)
        same(train(*arguments, compiled=True, **settings), by_hand)


def test_limits_of_gradients_may_come_and_go(rng):
    x, y = data(rng)
    results = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=1)
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def change(trainer, logs, optimizer=optimizer):
            optimizer.clip_norm = 0.1 * trainer.epoch if trainer.epoch % 3 else None

        Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled).fit(
            x.astype("f4"), y, epochs=7, seed=3, callbacks=[change], verbose=False
        )
        results.append(model.state_dict()["0.weight"])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("slices", [1, 3, 10**6])
def test_steps_are_counted_however_they_are_split_over_calls(slices, rng, compiler_options):
    x, y = data(rng, n=200)
    arguments = (LAYERS, nn.CrossEntropyLoss, np.float32, x.astype("f4"), y)
    expected = train(*arguments, compiled=False, epochs=3, batch=7, optimizer=optim.Adam)
    compiler_options(seconds_per_call=slices * 1e-5)
    compiled = train(*arguments, compiled=True, epochs=3, batch=7, optimizer=optim.Adam)
    same(compiled, expected)
    assert compiled[0][-1] == 3 * 29


def test_what_an_optimizer_remembers_is_kept_while_settings_come_and_go(rng):
    x, y = data(rng)
    results = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=1)
        optimizer = optim.RMSprop(model.parameters(), lr=0.01)

        def change(trainer, logs, optimizer=optimizer):
            optimizer.param_groups[0]["momentum"] = 0.9 if trainer.epoch % 3 == 1 else 0
            if trainer.epoch == 4:
                optimizer._set_state(optimizer._copy_state())

        Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled).fit(
            x.astype("f4"), y, epochs=7, seed=3, callbacks=[change], verbose=False
        )
        results.append(model.state_dict()["0.weight"])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss])
@pytest.mark.parametrize("targets", ["labels", "one-hot", "soft"])
def test_losses(loss, targets, isa, dtype, rng):
    x, y = data(rng)
    if targets == "one-hot" or (loss is nn.MSELoss and targets == "labels"):
        y = np.eye(3, dtype=dtype)[y]
    elif targets == "soft":
        y = rng.random((len(y), 3))
    layers = [
        lambda: nn.Linear(5, 6),
        nn.Tanh,
        lambda: nn.Linear(6, 3),
        *([nn.Softmax] if loss is nn.NLLLoss else []),
    ]
    same(
        *(
            train(layers, loss, dtype, x.astype(dtype), y, compiled=compiled)
            for compiled in (True, False)
        )
    )


@pytest.mark.parametrize("batch", [8, 300])
@pytest.mark.parametrize(
    ("loss", "target"),
    [
        (lambda: nn.CrossEntropyLoss([0.5, 1, 3]), "labels"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), "labels"),
        (lambda: nn.CrossEntropyLoss([0, 1, 3], label_smoothing=0.1), "labels"),
        (lambda: nn.CrossEntropyLoss([0.5, 1, 3], label_smoothing=0.1), "one-hot"),
        (nn.L1Loss, "real"),
        (lambda: nn.HuberLoss(0.5), "real"),
        (lambda: nn.SmoothL1Loss(beta=0.5), "real"),
        (lambda: nn.QuantileLoss(0.9), "real"),
        (nn.PoissonNLLLoss, "one-hot"),
        (nn.BCEWithLogitsLoss, "one-hot"),
    ],
)
def test_losses_with_settings(loss, target, batch, isa, dtype, rng, threads, compiler_options):
    compiler_options(max_block=200)
    n = 301 if batch == 300 else 61
    x, y = data(rng, n)
    y = (
        y
        if target == "labels"
        else np.eye(3)[y]
        if target == "one-hot"
        else rng.standard_normal((n, 3))
    )
    arguments = (LAYERS, loss, dtype, x.astype(dtype), y)
    by_hand = train(*arguments, compiled=False, epochs=1, batch=batch)
    for n in (1, 3):
        threads(n)
        same(train(*arguments, compiled=True, epochs=1, batch=batch), by_hand)


@pytest.mark.parametrize("batch", [1, 7, 37, 100, 300])
def test_batches_of_any_size(batch, dtype, rng):
    x, y = data(rng, n=301)
    layers = [lambda: nn.Linear(5, 33), nn.ReLU, lambda: nn.Linear(33, 3)]
    same(
        *(
            train(
                layers,
                nn.CrossEntropyLoss,
                dtype,
                x.astype(dtype),
                y,
                batch=batch,
                compiled=compiled,
                momentum=0.5,
            )
            for compiled in (True, False)
        )
    )


@pytest.mark.parametrize("batch", [130, 300, 1100, 2500])
@pytest.mark.parametrize(
    "sgd", [{}, {"momentum": 0.9, "weight_decay": 0.01}], ids=["plain", "momentum"]
)
def test_large_batches_are_walked_in_blocks_of_rows(batch, sgd, dtype, rng, compiler_options):
    compiler_options(max_block=200)
    x, y = data(rng, n=2501)
    layers = [
        lambda: nn.Linear(5, 33),
        nn.ReLU,
        lambda: nn.Linear(33, 9, bias=False),
        nn.Softmax,
        lambda: nn.Linear(9, 3),
    ]
    same(
        *(
            train(
                layers,
                nn.CrossEntropyLoss,
                dtype,
                x.astype(dtype),
                y,
                batch=batch,
                compiled=compiled,
                **sgd,
            )
            for compiled in (True, False)
        )
    )


def test_images_of_uint8(isa, dtype, rng):
    x, y = rng.integers(0, 8, (50, 4, 5), np.uint8), rng.integers(0, 3, 50)
    layers = [nn.Flatten, lambda: nn.Linear(20, 9), nn.ReLU, lambda: nn.Linear(9, 3)]
    compiled = train(layers, nn.CrossEntropyLoss, dtype, x, y, compiled=True)
    same(compiled, train(layers, nn.CrossEntropyLoss, dtype, x, y, compiled=False))
    same(compiled, train(layers, nn.CrossEntropyLoss, dtype, x.astype(dtype), y, compiled=True))


def test_groups_of_parameters_and_layers_that_are_not_trained(rng):
    x, y = data(rng)
    layers = [
        lambda: nn.Linear(5, 8),
        nn.ReLU,
        lambda: nn.Linear(8, 9),
        nn.Tanh,
        lambda: nn.Linear(9, 3),
    ]

    def own_rates(model):
        return [
            {"params": model[2].parameters(), "lr": 0.3, "momentum": 0.9},
            {"params": [model[4].bias]},
        ]

    same(
        *(
            train(
                layers,
                nn.CrossEntropyLoss,
                np.float32,
                x.astype("f4"),
                y,
                compiled=compiled,
                groups=own_rates,
            )
            for compiled in (True, False)
        )
    )


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), min_size=0, max_size=3),
    kinds=st.lists(st.sampled_from(ACTIVATIONS), min_size=3, max_size=3),
    batch=st.integers(1, 20),
    momentum=st.sampled_from([0, 0.9]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 100),
)
def test_any_net(widths, kinds, batch, momentum, dtype, seed):
    x, y = data(np.random.default_rng(seed), n=23)
    sizes = [5, *widths, 3]
    layers = []
    for i in range(len(sizes) - 1):
        layers += [lambda i=i: nn.Linear(sizes[i], sizes[i + 1]), kinds[i % 3]]
    same(
        *(
            train(
                layers,
                nn.CrossEntropyLoss,
                dtype,
                x.astype(dtype),
                y,
                batch=batch,
                compiled=compiled,
                momentum=momentum,
                lr=0.01,
            )
            for compiled in (True, False)
        )
    )


def test_same_bits_for_any_number_of_threads(isa, dtype, rng, threads):
    x, y = data(rng, n=60)
    layers = [
        lambda: nn.Linear(5, 70),
        nn.ReLU,
        lambda: nn.Linear(70, 33),
        nn.Tanh,
        lambda: nn.Linear(33, 3),
    ]
    results = []
    for n in (1, 2, 3, 4, 7):
        threads(n)
        results.append(
            train(
                layers,
                nn.CrossEntropyLoss,
                dtype,
                x.astype(dtype),
                y,
                batch=25,
                compiled=True,
                momentum=0.9,
            )
        )
    for result in results[1:]:
        same(result, results[0])


def test_threads_may_be_added_while_it_runs(rng, threads):
    """The scratch of an update has room for the threads that there were when the program was
    built.
    """
    x, y = data(rng, n=60)

    class More(Callback):
        def on_batch_end(self, trainer, step, loss):
            threads(step % 7 + 1)

    layers = [nn.Linear(5, 70), nn.ReLU(), nn.Linear(70, 3)]
    threads(1)
    model = nn.Sequential(*layers, seed=1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(x, y, epochs=3, batch_size=4, seed=3, callbacks=[More()], verbose=False)
    threads(1)
    other = nn.Sequential(nn.Linear(5, 70), nn.ReLU(), nn.Linear(70, 3), seed=1)
    Trainer(other, nn.CrossEntropyLoss(), optim.SGD(other.parameters(), lr=0.1)).fit(
        x, y, epochs=3, batch_size=4, seed=3, verbose=False
    )
    np.testing.assert_array_equal(model.state_dict()["0.weight"], other.state_dict()["0.weight"])


def test_settings_changed_between_epochs_take_effect(rng):
    x, y = data(rng)
    results = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3), seed=1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def change(trainer, logs, optimizer=optimizer):
            optimizer.param_groups[0].update(
                lr=0.01 * trainer.epoch, momentum=0.9 if trainer.epoch > 1 else 0
            )

        Trainer(model, nn.CrossEntropyLoss(), optimizer, compile=compiled).fit(
            x.astype("f4"), y, epochs=4, seed=3, callbacks=[change], verbose=False
        )
        results.append(model.state_dict()["0.weight"])
    np.testing.assert_array_equal(*results)


def test_what_is_written_in_python_runs_layer_by_layer(rng):
    class Square(nn.Module):
        def forward(self, x, training=False):
            self.x = x
            return x * x

        def backward(self, grad):
            return 2 * grad * self.x

    class Louder(nn.ReLU):
        def forward(self, x, training=False):
            return 2 * super().forward(x, training)

    class Own(nn.CrossEntropyLoss):
        pass

    class Slower(optim.SGD):
        pass

    x, y = data(rng)
    for layer, loss, kind in [
        (Square, nn.CrossEntropyLoss, optim.SGD),
        (Louder, nn.CrossEntropyLoss, optim.SGD),
        (nn.ReLU, Own, optim.SGD),
        (nn.ReLU, nn.CrossEntropyLoss, Slower),
    ]:
        model = nn.Sequential(nn.Linear(5, 8), layer(), nn.Linear(8, 3), seed=1)
        rows = Rows(x.astype("f4"), model.dtype)
        assert (
            type(_engine.make_engine(model, loss(), kind(model.parameters()), rows, y))
            is _engine.EagerEngine
        )


def test_evaluation_goes_on_where_a_loss_is_infinite(rng):
    model = nn.Sequential(nn.Linear(1, 2, bias=False), seed=0)
    model[0].weight.data = [[3e38, -3e38]]
    x, y = np.ones((2000, 1), np.float32), rng.integers(0, 2, 2000)
    for compiled in (True, False):
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), compile=compiled
        )
        assert trainer.evaluate(x, y) == {"loss": np.inf, "accuracy": (y == 0).mean()}


@pytest.mark.parametrize("rows", [0, 1, 3, 128, 300])
def test_predictions(rows, isa, dtype, rng, threads):
    """`model(x)` runs a program, `model.forward(x)` layer by layer."""
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(35, 150),
        nn.Tanh(),
        nn.Linear(150, 3),
        nn.Softmax(),
        seed=0,
        dtype=dtype,
    )
    x = rng.standard_normal((rows, 5, 7)).astype(dtype)
    assert _predictor.predict(model, x) is not None
    for n in (1, 3):
        threads(n)
        np.testing.assert_array_equal(model(x), model.forward(x))
        x[:, 1:4] = 0
        np.testing.assert_array_equal(model(x), model.forward(x))


def test_predictions_follow_the_net(rng):
    x = rng.standard_normal((4, 5)).astype("f4")
    model = nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(), nn.Linear(6, 3), seed=0)
    model(x)
    model[0].weight.data = rng.standard_normal((5, 6))
    np.testing.assert_array_equal(model(x), model.forward(x))
    model[1].negative_slope = 0.7
    np.testing.assert_array_equal(model(x), model.forward(x))
    model[2].weight.cast(np.dtype(np.float64))
    model[2].bias.cast(np.dtype(np.float64))
    model[0].weight.cast(np.dtype(np.float64))
    model[0].bias.cast(np.dtype(np.float64))
    np.testing.assert_array_equal(model(x.astype("f8")), model.forward(x.astype("f8")))
    with pytest.raises(ValueError, match="takes input"):
        model(x[:, :4])


def test_a_program_for_predictions_goes_with_its_net(rng):
    x = rng.standard_normal((4, 5)).astype("f4")
    model = nn.Sequential(nn.Linear(5, 3), seed=0)
    gc.collect()
    before = len(_predictor._predictors)
    model(x)
    model[0].weight.data = np.zeros((5, 3))  # another program
    model(x)
    assert len(_predictor._predictors) == before + 1
    del model
    gc.collect()
    assert len(_predictor._predictors) == before


def test_threads_may_share_a_net_for_predictions(rng):
    x = [rng.standard_normal((200, 5)).astype("f4") for _ in range(4)]
    model = nn.Sequential(nn.Linear(5, 60), nn.ReLU(), nn.Linear(60, 3), seed=0)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for rows, out in zip(x, pool.map(model, x), strict=True):
                np.testing.assert_array_equal(out, model.forward(rows))


def test_a_module_of_ones_own_may_compare_as_it_likes(rng):
    """One that defines `__eq__` has no hash, and so no place among the networks whose programs are
    kept.
    """

    class Twice(nn.Module):
        def forward(self, x, training=False):
            return 2 * np.asarray(x)

        def __eq__(self, other):
            return isinstance(other, Twice)

    x = rng.standard_normal((2, 3)).astype("f4")
    np.testing.assert_array_equal(Twice()(x), 2 * x)


def test_compile_false_runs_eagerly_to_the_same_bits(caplog):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 6)).astype("f4"), np.arange(100) % 3
    results = []
    for compiled in (True, False):
        model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3), seed=0)
        trainer = Trainer(
            model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), compile=compiled
        )
        with caplog.at_level("DEBUG", "cnet"):
            history = trainer.fit(x, y, epochs=2, seed=0, verbose=False)
        results.append((history, *(p.data.tobytes() for p in model.parameters())))
        assert ("compile is False" in trainer.explain()) is not compiled
    assert results[0] == results[1]
    assert [record.message for record in caplog.records] == [
        "Sequential: Training runs layer by layer: compile is False."
    ]


def test_the_log_says_why_a_model_runs_eagerly(caplog):
    class Twice(nn.Module):
        def forward(self, x, training=False):
            return 2 * x

        def backward(self, grad):
            return 2 * grad

        def output_shape(self, input_shape):
            return input_shape

    model = nn.Sequential(nn.Linear(6, 3), Twice(), seed=0)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with caplog.at_level("DEBUG", "cnet"):
        trainer.fit(np.zeros((8, 6)), np.arange(8) % 3, verbose=False)
    assert (
        caplog.messages
        == [f"Sequential: {trainer.explain()}"]
        == ["Sequential: Training runs layer by layer: Twice() has no compiled form."]
    )
