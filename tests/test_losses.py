"""What losses take for labels and outputs, and what they reject: columns, one output, names,
probabilities, weights of nothing.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnet
from cnet import Trainer, nn, optim

N = 24
X = np.random.default_rng(0).standard_normal((N, 3))
LABELS = (X[:, 0] > 0).astype(np.int64)
YES = (X[:, :1] > 0).astype(np.float64)

# The loss, the layers behind nn.Linear(3, outputs), and targets (n,) for it.
COLUMNS = {
    "cross-entropy": (nn.CrossEntropyLoss, 2, [], LABELS),
    "weights": (lambda: nn.CrossEntropyLoss([1, 3]), 2, [], LABELS),
    "many classes": (nn.CrossEntropyLoss, 9, [], LABELS),
    "nll": (nn.NLLLoss, 2, [nn.Softmax], LABELS),
    "bce": (nn.BCEWithLogitsLoss, 1, [], LABELS),
    "mse": (nn.MSELoss, 1, [], X[:, 1]),
    "l1": (nn.L1Loss, 1, [], X[:, 1]),
    "huber": (nn.HuberLoss, 1, [], X[:, 1]),
    "smooth l1": (nn.SmoothL1Loss, 1, [], X[:, 1]),
    "quantile": (nn.QuantileLoss, 1, [], X[:, 1]),
    "poisson": (nn.PoissonNLLLoss, 1, [], LABELS),
    "poisson of means": (lambda: nn.PoissonNLLLoss(log_input=False), 1, [nn.Sigmoid], LABELS),
}
columns = pytest.mark.parametrize(("loss", "outputs", "end", "y"), COLUMNS.values(), ids=COLUMNS)


def make(loss, outputs, end=(), heads=False, compiled=True):
    layers = [nn.Linear(3, outputs), *(layer() for layer in end)]
    if not heads:
        model, loss = nn.Sequential(*layers, seed=0), loss()
    else:
        model = nn.Sequential(nn.Heads(a=nn.Sequential(*layers), b=nn.Linear(3, 1)), seed=0)
        loss = nn.HeadsLoss(model[0], {"a": loss(), "b": nn.MSELoss()})
    return Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), compile=compiled)


def batches(x, y):
    return [(x[start : start + 8], y[start : start + 8]) for start in range(0, len(x), 8)]


WAYS = {
    "arrays": lambda trainer, y: trainer.fit(X, y, epochs=2, seed=0, verbose=False),
    "batches": lambda trainer, y: trainer.fit(batches(X, y), epochs=2, verbose=False),
    "weights": lambda trainer, y: trainer.fit(
        X, y, epochs=2, seed=0, verbose=False, sample_weight=np.arange(1, N + 1)
    ),
    "evaluate": lambda trainer, y: trainer.evaluate(X, y),
    "validation": lambda trainer, y: trainer.fit(
        X, np.ravel(y), epochs=2, seed=0, verbose=False, validation_data=(X, y)
    ),
    "validation in batches": lambda trainer, y: trainer.fit(
        X, np.ravel(y), epochs=2, seed=0, verbose=False, validation_data=batches(X, y)
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by layers"])
@columns
def test_a_column_of_targets_is_read_as_the_targets(loss, outputs, end, y, compiled, way):
    flat, column = (make(loss, outputs, end, compiled=compiled) for _ in range(2))
    assert way(column, y[:, None]) == way(flat, y)
    for one, other in zip(column.model.parameters(), flat.model.parameters(), strict=True):
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("dtype", ["f4", "i1", "u1", "bool", "O", ">i4"])
def test_a_column_of_labels_of_any_dtype(dtype):
    trainer = make(nn.CrossEntropyLoss, 2)
    expected = trainer.evaluate(X, LABELS)
    assert trainer.evaluate(X, LABELS.astype(dtype)[:, None]) == expected
    assert trainer.evaluate(X, LABELS.astype(dtype)[:, None].tolist()) == expected
    assert trainer.evaluate(X, np.asfortranarray(LABELS.astype(dtype)[:, None])) == expected


@columns
def test_a_column_of_targets_by_hand(loss, outputs, end, y):
    output = make(loss, outputs, end).model(X)
    loss = loss()
    expected = loss.forward(output, y)
    gradient = loss.backward()
    for got in (
        loss.forward(output, y[:, None]),
        loss(output, y[:, None]),
        loss(output, y[:, None].tolist()),
        loss.forward_backward(output, y[:, None])[0],
    ):
        assert got == expected
    np.testing.assert_array_equal(loss.forward_backward(output, y[:, None])[1], gradient)
    weights = np.arange(1.0, N + 1)
    assert (
        loss.weighted(output, y[:, None], weights)[0]
        == loss.weighted(output, loss.prepare_target(y, output.shape[1:], output.dtype), weights)[0]
    )


@columns
def test_a_column_of_targets_of_a_head(loss, outputs, end, y):
    other = X[:, 2]
    flat, column, array = (make(loss, outputs, end, heads=True) for _ in range(3))
    expected = WAYS["arrays"](flat, {"a": y, "b": other})
    assert WAYS["arrays"](column, {"a": y[:, None], "b": other[:, None]}) == expected
    assert WAYS["arrays"](array, np.column_stack([y, other])) == expected


@pytest.mark.parametrize(
    "make_loss",
    [
        nn.CrossEntropyLoss,
        lambda: nn.CrossEntropyLoss([2.0]),
        lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.NLLLoss,
    ],
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        LABELS * 0,
        LABELS[:, None],
        np.ones((N, 1)),
        LABELS[:, None] > 0,
        np.zeros((N, 1), "f4"),
    ],
)
def test_one_output_has_no_classes(make_loss, way, y):
    trainer = make(make_loss, 1, [nn.Sigmoid] if make_loss is nn.NLLLoss else [])
    before = trainer.model.state_dict()
    with pytest.raises(
        ValueError,
        match=r"got one output.*use nn\.BCEWithLogitsLoss, .* or give the model two outputs",
    ):
        way(trainer, y)
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_one_output_has_no_classes_by_hand_or_in_a_head():
    output = np.ones((4, 1))
    for loss in (nn.CrossEntropyLoss(), nn.NLLLoss()):
        for target in (np.zeros(4, int), np.ones((4, 1)), [[1], [0], [1], [0]]):
            for ask in (
                loss.forward,
                loss,
                loss.forward_backward,
                lambda output, target, loss=loss: loss.weighted(output, target, np.ones(4)),
            ):
                with pytest.raises(ValueError, match="got one output"):
                    ask(output, target)
    trainer = make(nn.CrossEntropyLoss, 1, heads=True)
    with pytest.raises(ValueError, match=r"^head a: CrossEntropyLoss got one output"):
        trainer.fit(X, {"a": LABELS, "b": X[:, 0]}, verbose=False)
    with pytest.raises(ValueError, match=r"^head a: CrossEntropyLoss got one output"):
        trainer.evaluate(X, {"a": LABELS[:, None], "b": X[:, 0]})


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 6), st.integers(1, 3))
def test_a_table_of_targets_is_a_row_of_weights_or_an_error(classes, width, extra):
    y = np.zeros((N, width, *[1] * (extra - 1)))
    y[:, 0] = 1
    loss = nn.CrossEntropyLoss()
    if y.shape == (N, classes) or y.shape == (N, 1):
        assert loss.prepare_target(y, (classes,), np.dtype("f8")).shape == (
            (N,) if width == 1 else (N, classes)
        )
    else:
        with pytest.raises(ValueError, match=r"expected labels \(n,\) or soft targets"):
            loss.prepare_target(y, (classes,), np.dtype("f8"))


@pytest.mark.parametrize(
    ("loss", "outputs", "y", "message"),
    [
        (
            nn.MSELoss,
            3,
            LABELS,
            r"y has shape \(24,\), expected \(n, 3\): the shape of the outputs; labels of "
            r"classes are for nn\.CrossEntropyLoss",
        ),
        (nn.MSELoss, 3, X.T, r"y has shape \(3, 24\), expected \(n, 3\)"),
        (nn.MSELoss, 1, X[:, :1].T, r"y has shape \(1, 24\), expected \(n, 1\)"),
        (nn.BCEWithLogitsLoss, 3, LABELS[:, None], r"expected \(n, 3\).*nn\.CrossEntropyLoss"),
        (
            nn.BCEWithLogitsLoss,
            1,
            LABELS * 2 - 1,
            "y holds -1.0: targets of BCEWithLogitsLoss are from 0 to 1",
        ),
        (nn.CrossEntropyLoss, 2, LABELS[None], r"y has shape \(1, 24\), expected labels"),
        (
            nn.CrossEntropyLoss,
            2,
            LABELS + 1,
            "y holds label 2, but the model has 2 outputs, so labels are 0 to 1",
        ),
        (nn.CrossEntropyLoss, 2, LABELS - 100, "y holds label -100, .*there is no ignore_index"),
        (nn.CrossEntropyLoss, 2, LABELS + 0.5, "y holds fractions, expected labels"),
        (nn.CrossEntropyLoss, 2, np.where(LABELS, np.nan, 0), "y holds nan"),
    ],
)
def test_targets_of_another_shape_or_range(loss, outputs, y, message):
    trainer = make(loss, outputs)
    for ask in (
        trainer.evaluate,
        lambda x, y: trainer.fit(x, y, verbose=False),
        lambda x, y: loss()(trainer.model(x), y),
    ):
        with pytest.raises(ValueError, match=message):
            ask(X, y)


@pytest.mark.parametrize(
    "y",
    [
        np.array(["no", "yes"])[LABELS],
        np.array(["no", "yes"], object)[LABELS],
        ["a"] * N,
        LABELS.astype(str),
    ],
)
def test_names_of_classes_are_told_how_to_be_numbered(y):
    trainer = make(nn.CrossEntropyLoss, 2)
    for ask in (
        lambda: trainer.fit(X, y, verbose=False),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.loss(trainer.model(X), y),
    ):
        with pytest.raises(TypeError, match=r"np\.unique\(y, return_inverse=True\)"):
            ask()


def test_a_column_of_labels_is_read_by_metrics_too():
    predicted = np.roll(LABELS, 1)
    for column in (LABELS[:, None], LABELS[:, None].tolist()):
        assert (
            cnet.metrics.accuracy(column, predicted)
            == cnet.metrics.accuracy(predicted[:, None], LABELS)
            == cnet.metrics.accuracy(LABELS, predicted)
        )
        np.testing.assert_array_equal(
            cnet.metrics.confusion_matrix(column, predicted),
            cnet.metrics.confusion_matrix(LABELS, predicted),
        )
    with pytest.raises(
        ValueError,
        match=r"expected labels of shape \(n,\); for outputs of a model pass "
        r"y_true\.argmax\(axis=1\)",
    ):
        cnet.metrics.accuracy(np.ones((N, 2)), predicted)


class Row(nn.Module):
    """Rows without an axis."""

    def output_shape(self, input_shape):
        return ()

    def forward(self, x):
        return x[:, 0]

    def backward(self, grad):
        return grad[:, None]


@pytest.mark.parametrize(
    "loss", [nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss, nn.QuantileLoss]
)
def test_a_column_of_targets_for_outputs_without_an_axis(loss):
    expected = WAYS["arrays"](make(loss, 1), X[:, 1])
    for y in (X[:, 1], X[:, 1:2]):
        assert WAYS["arrays"](make(loss, 1, [Row]), y)["loss"] == pytest.approx(
            expected["loss"], rel=1e-6
        )


def test_whole_numbers_are_targets_of_a_regression():
    assert make(nn.MSELoss, 1).evaluate(X, LABELS) == make(nn.MSELoss, 1).evaluate(
        X, LABELS.astype(float)
    )
    assert make(nn.BCEWithLogitsLoss, 1).evaluate(X, LABELS > 0) == make(
        nn.BCEWithLogitsLoss, 1
    ).evaluate(X, LABELS)


# Losses of users


class Squares(nn.Loss):
    def forward(self, output, target):
        self.difference = output - target
        return float((self.difference**2).mean())

    def backward(self):
        return 2 * self.difference / self.difference.size


def squares(output, target):
    difference = output - target
    return (difference**2).mean(), 2 * difference / difference.size


@pytest.mark.parametrize("loss", [Squares, lambda: squares])
@pytest.mark.parametrize("way", [WAYS[name] for name in ("arrays", "batches", "evaluate")])
def test_a_loss_that_spreads_targets_over_a_column_of_outputs_is_told_so(loss, way):
    with pytest.raises(
        ValueError,
        match=r"gradient of shape \((8|24), \1\), expected that of the output, \(\1, 1\): the "
        r"target is of shape \(\1,\), .*reshape",
    ):
        way(make(loss, 1), X[:, 1])
    expected = WAYS["evaluate"](make(nn.MSELoss, 1), X[:, 1])
    assert WAYS["evaluate"](make(loss, 1), X[:, 1:2])["loss"] == pytest.approx(expected["loss"])


def test_a_loss_for_each_sample_is_no_loss():
    class Each(nn.Loss):
        def forward(self, output, target):
            return (output - target) ** 2

        def backward(self):
            return np.zeros((N, 1))

    with pytest.raises(
        TypeError,
        match=r"returned an array of shape \(24, 1\), expected the mean over the batch, a single "
        r"number",
    ):
        make(Each, 1).evaluate(X, X[:, 1:2])
    with pytest.raises(TypeError, match="a single number"):
        Each()(X[:, :1], X[:, 1:2])

    class Nothing(Each):
        def forward(self, output, target):
            pass

    with pytest.raises(
        TypeError,
        match=r"Nothing\(\) returned None, expected the mean over the batch, a single number",
    ):
        make(Nothing, 1).fit(X, X[:, 1:2], verbose=False)


def test_targets_of_any_dtype_by_hand_in_one_go():
    output = make(nn.MSELoss, 1).model(X)
    for target in (LABELS, LABELS[:, None], LABELS.tolist(), LABELS.astype("f4"), LABELS > 0):
        assert nn.MSELoss().forward_backward(output, target)[0] == nn.MSELoss().forward(
            output, LABELS
        )


# Probabilities and logits


def ends(*layers, width=2):
    model = nn.Sequential(nn.Linear(3, width), *layers, seed=0)
    return model, optim.SGD(model.parameters())


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, lambda: nn.CrossEntropyLoss(label_smoothing=0.1)],
)
@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Softmax()],
        lambda: [nn.Sigmoid()],
        lambda: [nn.Softmax(), nn.Identity()],
        lambda: [nn.Sigmoid(), nn.Flatten(), nn.Dropout(0.1)],
        lambda: [nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.Sequential(nn.Softmax()))],
        lambda: [nn.Sequential(nn.Softmax()), nn.Sequential(nn.Identity())],
    ],
)
def test_probabilities_before_a_loss_of_logits_are_warned_of_once(loss, layers):
    model, optimizer = ends(*layers())
    with pytest.warns(
        UserWarning,
        match=r"^the network ends in (Softmax|Sigmoid)\(\), but .*Loss takes logits, .*: leave "
        r"that layer out",
    ) as caught:
        trainer = Trainer(model, loss(), optimizer)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    y = np.eye(2)[LABELS]
    trainer.fit(X, y, epochs=2, verbose=False)  # warnings are errors here
    trainer.evaluate(X, y)


def test_probabilities_of_a_head_before_a_loss_of_logits_are_warned_of():
    heads = nn.Heads(
        good=nn.Linear(2, 2),
        bad=nn.Sequential(nn.Linear(2, 2), nn.Softmax()),
        fine=nn.Sequential(nn.Linear(2, 2), nn.Softmax()),
    )
    model, optimizer = ends(heads)
    loss = nn.HeadsLoss(
        heads, {"good": nn.CrossEntropyLoss(), "bad": nn.CrossEntropyLoss(), "fine": nn.NLLLoss()}
    )
    with pytest.warns(
        UserWarning, match=r"^head bad ends in Softmax\(\), but CrossEntropyLoss takes logits"
    ) as caught:
        Trainer(model, loss, optimizer)
    assert len(caught) == 1
    trunk = nn.Heads(a=nn.Identity(), b=nn.Linear(2, 2))
    model, optimizer = ends(nn.Softmax(), trunk)
    with pytest.warns(UserWarning, match=r"^head a ends in Softmax\(\)"):
        Trainer(model, nn.HeadsLoss(trunk, nn.CrossEntropyLoss()), optimizer)


@pytest.mark.parametrize(
    ("layers", "loss"),
    [
        ([], nn.CrossEntropyLoss),
        ([nn.Softmax], nn.NLLLoss),
        ([nn.Sigmoid], nn.NLLLoss),
        ([nn.Softmax, nn.Identity], nn.NLLLoss),
        ([nn.Sigmoid], nn.MSELoss),
        ([nn.Softmax], nn.L1Loss),
        ([nn.Softmax, lambda: nn.Linear(2, 2)], nn.CrossEntropyLoss),
        ([nn.ReLU], nn.CrossEntropyLoss),
        ([nn.ReLU], lambda: nn.PoissonNLLLoss(log_input=False)),
        ([nn.Sigmoid], nn.PoissonNLLLoss),
    ],
)
def test_what_belongs_together_is_not_warned_of(layers, loss):
    model, optimizer = ends(*(layer() for layer in layers))
    trainer = Trainer(model, loss(), optimizer)
    assert np.isfinite(trainer.fit(X, np.eye(2)[LABELS], verbose=False)["loss"]).all()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Identity,
        nn.ReLU,
        nn.Tanh,
        nn.LeakyReLU,
        nn.ELU,
        nn.GELU,
        lambda: nn.Linear(2, 2),
        lambda: nn.LayerNorm(2),
    ],
)
def test_a_net_without_probabilities_before_a_loss_of_probabilities_is_rejected(layer):
    model, optimizer = ends(layer())
    trainer, before = Trainer(model, nn.NLLLoss(), optimizer), model.state_dict()
    for ask in (
        lambda: trainer.fit(X, LABELS, verbose=False),
        lambda: trainer.fit(batches(X, LABELS), verbose=False),
        lambda: trainer.evaluate(X, LABELS),
    ):
        with pytest.raises(
            ValueError,
            match=r"^the network ends in .*, but NLLLoss takes probabilities, .*use "
            r"nn\.CrossEntropyLoss, or put nn\.Softmax\(\) at",
        ):
            ask()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    heads = nn.Heads(a=nn.Linear(2, 2), b=nn.Softmax())
    model, optimizer = ends(layer(), heads)
    with pytest.raises(ValueError, match=r"^head a ends in Linear"):
        Trainer(model, nn.HeadsLoss(heads, nn.NLLLoss()), optimizer).fit(
            X, {"a": LABELS, "b": LABELS}, verbose=False
        )


class LogSoftmax(nn.Module):
    """As PyTorch's users end a net."""

    def forward(self, x, training=False):
        self.probabilities = nn.Softmax()(x)
        return np.log(self.probabilities)

    def backward(self, grad):
        return grad - self.probabilities * grad.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "end", [LogSoftmax, lambda: lambda x: (x, lambda grad: grad)], ids=["class", "function"]
)
def test_outputs_of_a_layer_of_ones_own_are_looked_at_before_the_first_step(end):
    model, optimizer = ends(end())
    trainer, before = Trainer(model, nn.NLLLoss(), optimizer), model.state_dict()
    for ask in (
        lambda: trainer.fit(X, LABELS, verbose=False),
        lambda: trainer.fit(batches(X, LABELS), verbose=False),
        lambda: trainer.evaluate(X, LABELS),
    ):
        with pytest.raises(ValueError, match=r"output holds .*, and NLLLoss takes probabilities"):
            ask()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_outputs_of_a_net_without_layers_of_its_own_are_looked_at():
    model = nn.Sequential(nn.Identity(), nn.Linear(2, 2), seed=0)
    trainer = Trainer(model[:1], nn.NLLLoss(), optim.SGD(model.parameters()))
    assert trainer.evaluate([[0.5, 0.5]], [1])["loss"] == pytest.approx(np.log(2))
    for wrong in ([[-0.1, 1.1]], [[0.0, 2.0]], np.log([[0.5, 0.5]])):
        with pytest.raises(ValueError, match="NLLLoss takes probabilities"):
            trainer.evaluate(wrong, [1])


@pytest.mark.parametrize(
    "output", [np.log([[0.3, 0.7]]), [[2.0, -1.0]], [[0.5, 1.5]], [[40.0, 3.0]], [[-1e-9, 1.0]]]
)
def test_a_loss_of_probabilities_rejects_what_is_none(output, dtype):
    output, loss = np.asarray(output, dtype), nn.NLLLoss()
    target = np.array([0])
    for ask in (
        loss.forward,
        loss,
        loss.forward_backward,
        lambda output, target: loss.weighted(output, target, np.ones(1)),
    ):
        with pytest.raises(
            ValueError,
            match=r"output holds .*NLLLoss takes probabilities, .*not logarithms \(which PyTorch's "
            r"takes\)",
        ):
            ask(output, target)


def test_probabilities_may_be_a_rounding_above_one_or_not_finite(dtype):
    loss, one = nn.NLLLoss(), np.nextafter(dtype.type(1), dtype.type(2))
    assert loss.forward(np.array([[one, 0]], dtype), [0]) == pytest.approx(0, abs=1e-6)
    assert np.isnan(
        loss.forward(np.array([[np.nan, 0]], dtype), [0])
    )  # a training that diverges says so in its own words


def test_means_below_zero_are_no_means():
    loss = nn.PoissonNLLLoss(log_input=False)
    with pytest.raises(
        ValueError, match=r"output holds -1.0: with log_input=False outputs are means, at least 0"
    ):
        loss.forward([[-1.0], [2.0]], [1, 1])
    model, optimizer = ends(width=1)
    with pytest.warns(
        UserWarning,
        match=r"ends in Linear.*which may give numbers below 0.*nn\.ReLU\(\) at the end, or "
        r".*log_input=True",
    ):
        Trainer(model, loss, optimizer)


# Weights that are all 0


@pytest.mark.parametrize("weight", [[0, 0], [0.0], np.zeros(3, "f4")])
def test_weights_of_classes_that_are_all_zero_are_rejected(weight):
    with pytest.raises(ValueError, match="0 for every class, so that nothing would be learned"):
        nn.CrossEntropyLoss(weight=weight)


def test_weights_of_heads_that_are_all_zero_are_rejected():
    heads = nn.Heads(a=nn.Linear(3, 2), b=nn.Linear(3, 2))
    with pytest.raises(ValueError, match="0 for every head"):
        nn.HeadsLoss(heads, nn.CrossEntropyLoss(), weights={"a": 0, "b": 0})
    assert nn.HeadsLoss(heads, nn.CrossEntropyLoss(), weights={"a": 0}).weights == {"a": 0, "b": 1}


@pytest.mark.parametrize(
    ("y", "sample_weight"),
    [
        (LABELS * 0, None),
        (np.tile([1.0, 0.0], (N, 1)), None),
        (LABELS, LABELS == 0),
        (LABELS[:, None] * 0, None),
    ],
    ids=["labels", "rows", "sample weights", "column"],
)
def test_data_whose_classes_have_no_weight_is_rejected(y, sample_weight):
    trainer = make(lambda: nn.CrossEntropyLoss(weight=[0, 1]), 2)
    others = {} if sample_weight is None else {"sample_weight": sample_weight}
    for ask in (
        lambda: trainer.fit(X, y, verbose=False, **others),
        lambda: trainer.evaluate(X, y, **others),
        lambda: trainer.fit(X, LABELS, verbose=False, validation_data=(X, y, *others.values())),
    ):
        with pytest.raises(ValueError, match="the loss has weight 0 for every class in y"):
            ask()
    head = make(lambda: nn.CrossEntropyLoss(weight=[0, 1]), 2, heads=True)
    with pytest.raises(ValueError, match=r"^head a: the loss has weight 0"):
        head.fit(X, {"a": y, "b": X[:, 0]}, verbose=False, **others)


def test_a_batch_whose_classes_have_no_weight_is_passed_over():
    trainer = make(lambda: nn.CrossEntropyLoss(weight=[0, 1]), 2)
    with warnings.catch_warnings(action="error"):
        history = trainer.fit([(X, LABELS * 0), (X, LABELS)], verbose=False)
    assert 0 < history["loss"][0] < 1


def test_cnet_has_no_other_loss_than_those():
    """A new loss wants a place in the table above."""
    found = {
        name
        for name in nn.__all__
        if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Loss)
    }
    assert found - {"Loss", "HeadsLoss"} == {type(loss()).__name__ for loss, *_ in COLUMNS.values()}
    assert cnet.nn is nn
