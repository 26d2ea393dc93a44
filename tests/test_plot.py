"""Plots: what they show, where they draw, how often, and what they reject. Drawn without a
screen.
"""

import subprocess
import sys
import types

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.colors import to_hex  # noqa: E402

import cnet  # noqa: E402
from cnet import nn, optim, plot  # noqa: E402
from cnet.callbacks import WeightRecorder  # noqa: E402
from cnet.plot import _axes, _live  # noqa: E402

HISTORY = {
    "loss": [0.9, 0.4, 0.2],
    "accuracy": [0.7, 0.9, 0.95],
    "val_loss": [0.8, 0.5, 0.6],
    "val_accuracy": [0.75, 0.85, 0.8],
}


@pytest.fixture(autouse=True)
def no_figures_left():
    """Each test has to do with its own figures alone, and all that it drew can be rendered."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), seed=0)


def fit(model, callback, epochs=4, **settings):
    x = np.eye(4, dtype=np.float32)[:3]
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(
        x, np.arange(3), epochs=epochs, seed=0, callbacks=[callback], verbose=False, **settings
    )
    return trainer


def curves(ax):
    return {line.get_label(): line for line in ax.get_lines()}


# History


def test_history_shows_every_number():
    loss, accuracy = plot.history(HISTORY)
    for ax, name in ((loss, "loss"), (accuracy, "accuracy")):
        assert ax.get_title() == name
        assert ax.get_xlabel() == "epoch"
        for label, key in (("training", name), ("validation", f"val_{name}")):
            np.testing.assert_array_equal(curves(ax)[label].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(curves(ax)[label].get_ydata(), HISTORY[key])


def test_history_marks_the_best_validation_figure():
    loss, accuracy = plot.history(HISTORY)
    assert "best: 0.5, epoch 2" in curves(loss)
    assert "best: 85.00 %, epoch 2" in curves(accuracy)


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("accuracy", "best: 85.00 %, epoch 2"),
        ("accuracy_digit", "best: 85.00 %, epoch 2"),
        ("accuracy_val_loss", "best: 85.00 %, epoch 2"),
        ("loss", "best: 0.25, epoch 3"),
        ("auc", None),
        ("accuracies", None),
        ("lossless", None),
    ],
)
def test_the_best_figure_is_marked_where_the_name_tells_what_is_better(name, best):
    (ax,) = plot.history({name: [0.5, 0.6, 0.7], f"val_{name}": [0.5, 0.85, 0.25]})
    assert [label for label in curves(ax) if label.startswith("best")] == ([best] if best else [])
    plt.gcf().canvas.draw()
    assert any("%" in tick.get_text() for tick in ax.get_yticklabels()) == (
        best is not None and "%" in best
    )


def test_figures_that_are_not_finite_are_never_the_best():
    (ax,) = plot.history({"val_loss": [np.nan, -np.inf, 0.5, np.inf]})
    assert "best: 0.5, epoch 3" in curves(ax)
    (ax,) = plot.history({"loss": [0.5, 0.5], "val_loss": [np.nan, np.inf]})
    assert not any(label.startswith("best") for label in curves(ax))


@pytest.mark.parametrize(
    "names", [["loss"], ["loss", "val_loss"], ["loss", "mean_error"], ["val_loss"]]
)
def test_history_of_what_there_is(names):
    axes = plot.history({name: [0.5, 0.25] for name in names})
    assert [ax.get_title() for ax in axes] == list(
        dict.fromkeys(name.removeprefix("val_").replace("_", " ") for name in names)
    )
    assert (axes[0].get_legend() is None) == (names != ["loss", "val_loss"])


def test_a_single_epoch_is_a_dot():
    (ax,) = plot.history({"loss": [0.5]})
    assert curves(ax)["training"].get_marker() == "o"


def test_history_of_a_fit(model):
    trainer = fit(model, lambda trainer, logs: None, validation_data=(np.eye(4)[:3], np.arange(3)))
    assert len(plot.history(trainer.history)) == 2


@pytest.mark.parametrize(
    ("history", "error", "sentence"),
    [
        ([1, 2], TypeError, "history is of type list, expected a dict as returned by Trainer.fit"),
        ({}, ValueError, "history has no epochs"),
        ({"loss": []}, ValueError, "history has no epochs"),
        ({"loss": [1, 2], "accuracy": [1]}, ValueError, "history has lists of 1 and 2 numbers"),
    ],
)
def test_bad_histories(history, error, sentence):
    with pytest.raises(error, match=sentence):
        plot.history(history)


# Where to draw


def test_given_axes_are_drawn_into():
    _, given = plt.subplots(1, 2)
    axes = plot.history(HISTORY, ax=given)
    assert list(axes) == list(given)
    assert plot.confusion_matrix([0, 1], [0, 1], ax=given[0]) is given[0]
    assert plot.images(np.zeros((2, 4)), ax=given)[1] is given[1]
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("ax", "error", "sentence"),
    [
        (3, TypeError, "ax is 3, expected Matplotlib Axes \\(at least 2\\) or None"),
        ([None, None], TypeError, "expected Matplotlib Axes"),
        ([], ValueError, "ax holds 0 Axes, expected at least 2"),
    ],
)
def test_bad_axes(ax, error, sentence):
    with pytest.raises(error, match=sentence):
        plot.history(HISTORY, ax=ax)


def test_too_few_axes():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="ax holds 1 Axes, expected at least 2"):
        plot.history(HISTORY, ax=ax)


def test_settings_of_matplotlib_stay_as_they_are(model):
    before = matplotlib.rcParams.copy()
    plot.history(HISTORY)
    plot.weights(model)
    plot.confusion_matrix([0, 1], [0, 0])
    assert matplotlib.rcParams == before


# The largest weights


def test_largest_weights_are_recorded_before_training_and_after_each_epoch(model):
    seen = [
        {
            name: np.abs(value).max()
            for name, value in model.state_dict().items()
            if name.endswith("weight")
        }
    ]
    recorder = WeightRecorder()

    class Check(cnet.callbacks.Callback):
        def on_epoch_end(self, trainer, logs):
            seen.append(
                {
                    name: np.abs(value).max()
                    for name, value in trainer.model.state_dict().items()
                    if name.endswith("weight")
                }
            )

    x = np.eye(4, dtype=np.float32)[:3]
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(x, np.arange(3), epochs=3, callbacks=[recorder, Check()], verbose=False)
    trainer.fit(x, np.arange(3), epochs=2, callbacks=[recorder, Check()], verbose=False)
    assert recorder.max_abs == {
        name: [float(values[name]) for values in seen] for name in ("0.weight", "2.weight")
    }
    ax = plot.max_weights(recorder)
    for name, line in curves(ax).items():
        np.testing.assert_array_equal(line.get_ydata(), recorder.max_abs[name])
    assert len(plot.max_weights(recorder.max_abs).get_lines()) == 2
    assert ax.get_ylim()[0] == 0


def test_names_are_listed_as_the_curves_end():
    ax = plot.max_weights({"a": [3, 1], "b": [1, 2], "c": [1, 3]})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("recorder", "error", "sentence"),
    [
        (3, TypeError, "recorder is of type int, expected a callbacks.WeightRecorder"),
        (WeightRecorder(), ValueError, "the recorder is empty"),
    ],
)
def test_nothing_recorded(recorder, error, sentence):
    with pytest.raises(error, match=sentence):
        plot.max_weights(recorder)


# Confusion matrix


def test_confusion_matrix_shows_counts():
    ax = plot.confusion_matrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0])
    texts = {tuple(round(v) for v in text.get_position()): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "2", (0, 2): "1"}
    assert ax.get_title() == "4 of 6 correct, 66.67 %"
    np.testing.assert_allclose(
        ax.images[0].get_array(), [[0.5, 0.5, 0], [0, 1, 0], [1 / 3, 0, 2 / 3]]
    )


def test_confusion_matrix_with_names():
    ax = plot.confusion_matrix([0, 1], [0, 0], labels=["cat", "dog", "caterpillar"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["cat", "dog", "caterpillar"]


def test_confusion_matrix_of_many_classes_has_no_numbers(rng):
    labels = rng.integers(0, 60, 500)
    assert not plot.confusion_matrix(labels, labels).texts


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (([], []), ValueError, "y_true has no samples"),
        (([0], [0, 1]), ValueError, "y_true has 1 samples, y_pred 2"),
        (([0], [3], ["a", "b"]), ValueError, "there is a label 3, expected 0 to 1"),
    ],
)
def test_bad_labels(arguments, error, sentence):
    true, predicted, *labels = arguments
    with pytest.raises(error, match=sentence):
        plot.confusion_matrix(true, predicted, labels=labels[0] if labels else None)


# Grids


def shown(axes):
    return [ax for ax in axes.flat if ax.images]


def test_images_in_order_with_their_labels(rng):
    x = rng.integers(0, 256, (7, 28, 28), np.uint8)
    axes = plot.images(x, list("abcdefg"), columns=3)
    assert axes.shape == (3, 3)
    assert [ax.get_title() for ax in axes.flat] == [*"abcdefg", "", ""]
    for ax, image in zip(shown(axes), x, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        assert ax.images[0].get_clim() == (x.min(), x.max())


@pytest.mark.parametrize(("height", "width"), [(20, 30), (30, 20)])
def test_cells_have_the_shape_of_the_images(height, width, rng):
    """Two columns of three images each: a cell is as wide as any, and its height follows."""
    x = rng.random((6, height, width))
    plain, titled = (
        plot.images(x, titles, columns=2)[0, 0].figure.get_size_inches()
        for titles in (None, list("abcdef"))
    )
    cell = plain[0] / 2
    assert plain[1] == pytest.approx(3 * cell * height / width)
    assert titled[0] == plain[0]
    assert 0.3 < titled[1] - plain[1] < cell  # a line of text above each row


def test_wrong_predictions_stand_out():
    axes = plot.images(np.zeros((3, 4)), [1, 2, 3], [1, 5, 3]).ravel()
    assert [ax.get_title() for ax in axes[:3]] == ["1", "5, is 2", "3"]
    assert [to_hex(ax.title.get_color()) == _axes.WRONG for ax in axes[:3]] == [False, True, False]
    assert plot.images(np.zeros((1, 4)), predicted=[7])[0, 0].get_title() == "7"
    assert plot.images(np.zeros((1, 4)))[0, 0].get_title() == ""


@pytest.mark.parametrize(
    ("x", "shape", "picture"),
    [
        (np.zeros((2, 784)), None, (28, 28)),
        (np.zeros((2, 1176), np.uint8), (42, 28), (42, 28)),
        (np.zeros((2, 1, 5, 7), np.float16), None, (5, 7)),
        (np.zeros((2, 3, 5, 7)), None, (5, 7, 3)),
        (np.zeros((2, 75)), (5, 5), (5, 5, 3)),
        (np.zeros((2, 5, 7)).tolist(), None, (5, 7)),
    ],
)
def test_images_of_any_form(x, shape, picture):
    axes = plot.images(x, shape=shape)
    assert [ax.images[0].get_array().shape for ax in shown(axes)] == [picture] * 2


def test_channels_are_colors(rng):
    x = rng.random((1, 3, 4, 5))
    np.testing.assert_array_equal(
        plot.images(x)[0, 0].images[0].get_array(), x[0].transpose(1, 2, 0)
    )


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ((np.zeros((401, 4)),), ValueError, "x has 401 images, expected at most 400"),
        ((np.zeros((0, 4)),), ValueError, "x has no images"),
        ((3,), ValueError, "x is a single number"),
        (
            (np.zeros((1, 5)),),
            ValueError,
            "samples have 5 elements, expected images that are square",
        ),
        ((np.zeros((1, 2, 4, 4)),), ValueError, "images have 2 channels, expected 1 or 3"),
        ((np.zeros((2, 4)), [1]), ValueError, r"y has shape \(1,\), expected \(2,\)"),
        ((np.zeros((2, 4)), None, [1]), ValueError, r"predicted has shape \(1,\)"),
    ],
)
def test_bad_images(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        plot.images(*arguments)


@pytest.mark.parametrize("columns", [0, 1.5, "3"])
def test_bad_columns(columns):
    with pytest.raises(ValueError, match=r"columns is .*, expected an integer of at least 1"):
        plot.images(np.zeros((2, 4)), columns=columns)


class Answers(nn.Module):
    """A model whose outputs are its inputs."""

    def forward(self, x, training=False):
        return np.asarray(x, np.float32)


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_worst_mistakes_come_first(one_hot):
    x = np.array([[9, 0, 0, 0], [5, 6, 0, 0], [0, 9, 1, 0], [0, 3, 3.5, 0]], np.float32)
    y = np.array([0, 0, 3, 1])
    axes = plot.mistakes(Answers(), x, np.eye(4)[y] if one_hot else y)
    assert [ax.get_title() for ax in axes.flat if ax.images] == ["1, is 3", "1, is 0", "2, is 1"]
    assert len(shown(plot.mistakes(Answers(), x, y, n=2))) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            ("net", np.zeros((1, 4)), [0]),
            TypeError,
            "model is 'net', expected a module such as nn.Sequential",
        ),
        ((Answers(), np.eye(4), np.arange(4)), ValueError, "the model makes no mistake"),
        ((Answers(), np.eye(4), np.arange(3)), ValueError, r"x has 4 samples, y the shape \(3,\)"),
        (
            (Answers(), np.zeros((0, 4)), np.zeros(0, int)),
            ValueError,
            "expected at least one sample",
        ),
        (
            (Answers(), np.eye(4), [0, 1, 2, 4]),
            ValueError,
            "y has values other than classes 0 to 3",
        ),
        ((Answers(), np.eye(4), [0.5] * 4), ValueError, "y has values other than classes 0 to 3"),
        ((Answers(), np.zeros((2, 2, 2)), [0, 1]), ValueError, r"outputs have shape \(2, 2, 2\)"),
    ],
)
def test_mistakes_that_cannot_be_shown(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        plot.mistakes(*arguments)


def test_weights_of_the_first_layer(model):
    axes = plot.weights(model)
    for ax, unit in zip(shown(axes), model.state_dict()["0.weight"], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), unit.reshape(2, 2))
        low, high = ax.images[0].get_clim()
        assert low == -high
    assert len(shown(plot.weights(model, n=2))) == 2
    assert (
        len(shown(plot.weights(nn.Sequential(nn.Flatten(), nn.Linear(6, 5), seed=0), shape=(2, 3))))
        == 5
    )


def test_a_net_without_weights():
    with pytest.raises(ValueError, match="has no weights"):
        plot.weights(nn.Sequential(nn.ReLU()))
    with pytest.raises(TypeError, match="model is 3"):
        plot.weights(3)


# While training runs


@pytest.fixture
def clock(monkeypatch):
    """A time that stands still unless it is told to move; drawing takes as long as `drawing`
    says.
    """
    state = types.SimpleNamespace(now=100.0, drawing=0.0, draws=[])
    monkeypatch.setattr(_live.time, "monotonic", lambda: state.now)
    draw = _live.history

    def history(history, *, ax=None):
        state.now += state.drawing
        state.draws.append(len(history["loss"]))
        return draw(history, ax=ax)

    monkeypatch.setattr(_live, "history", history)
    return state


class Tick(cnet.callbacks.Callback):
    """Epochs that take so many seconds."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def on_epoch_end(self, trainer, logs):
        self.clock.now += self.seconds


def fit_live(model, clock, live, seconds, epochs):
    x = np.eye(4, dtype=np.float32)[:3]
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    trainer.fit(
        x,
        np.arange(3),
        epochs=epochs,
        seed=0,
        callbacks=[Tick(clock, seconds), live],
        verbose=False,
    )
    return trainer


def test_the_live_plot_shows_all_epochs_in_the_end(model):
    live = plot.LivePlot(interval=1000)
    trainer = fit(model, live, epochs=5)
    loss, accuracy = live.axes
    np.testing.assert_array_equal(curves(loss)["training"].get_ydata(), trainer.history["loss"])
    np.testing.assert_array_equal(
        curves(accuracy)["training"].get_ydata(), trainer.history["accuracy"]
    )
    assert len(plt.get_fignums()) == 1


def test_the_live_plot_is_drawn_at_most_every_interval(model, clock):
    fit_live(model, clock, plot.LivePlot(interval=1), seconds=0.25, epochs=10)
    assert clock.draws == [1, 5, 9, 10]


def test_the_live_plot_takes_a_twentieth_of_the_time_at_most(model, clock):
    clock.drawing = 0.5
    fit_live(model, clock, plot.LivePlot(interval=0), seconds=1, epochs=25)
    assert clock.draws == [1, 11, 21, 25]


def test_the_live_plot_draws_into_given_axes(model):
    _, given = plt.subplots(2, 1)
    live = plot.LivePlot(ax=given)
    fit(model, live)
    fit(model, live)
    assert list(live.axes) == list(given)
    assert len(given[0].get_lines()) == 1
    assert len(plt.get_fignums()) == 1


def test_the_live_plot_of_no_epochs(model):
    live = plot.LivePlot()
    fit(model, live, epochs=0)
    assert live.axes is None


def test_what_the_live_plot_drew_before_does_not_pile_up(model):
    live = plot.LivePlot(interval=0)
    fit(model, live, epochs=30)
    assert [len(ax.get_lines()) for ax in live.axes] == [1, 1]


def test_the_live_plot_survives_an_interrupt(model):
    live = plot.LivePlot(interval=1000)

    class Interrupt(cnet.callbacks.Callback):
        def on_epoch_end(self, trainer, logs):
            if trainer.epoch == 3:
                raise KeyboardInterrupt

    x = np.eye(4, dtype=np.float32)[:3]
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(x, np.arange(3), epochs=9, callbacks=[live, Interrupt()], verbose=False)
    assert len(curves(live.axes[0])["training"].get_ydata()) == 3


def test_in_a_notebook_the_picture_is_replaced(model, monkeypatch):
    handles = []

    class Handle:
        def __init__(self, figure):
            self.updates = [figure]

        def update(self, figure):
            self.updates.append(figure)

    def display(figure, display_id):
        assert display_id is True
        handles.append(Handle(figure))
        return handles[-1]

    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    live = plot.LivePlot(interval=0)
    fit(model, live, epochs=50)
    (handle,) = handles
    assert 2 <= len(handle.updates) <= 50
    assert set(handle.updates) == {live.axes[0].figure}
    assert not plt.get_fignums()


def test_a_window_is_opened_once(model, monkeypatch):
    events = []
    manager = type(plt.figure().canvas.manager)
    plt.close("all")
    monkeypatch.setattr(manager, "show", lambda self: events.append("show"), raising=False)
    monkeypatch.setattr(
        matplotlib.backend_bases.FigureCanvasBase,
        "flush_events",
        lambda self: events.append("flush"),
    )
    fit(model, plot.LivePlot(interval=0), epochs=3)
    assert events.count("show") == 1
    assert events.count("flush") >= 2


@pytest.mark.parametrize(
    ("interval", "error"),
    [("soon", TypeError), (None, TypeError), (-1, ValueError), (float("nan"), ValueError)],
)
def test_bad_intervals(interval, error):
    with pytest.raises(error, match=r"interval in seconds is .*, expected a finite number"):
        plot.LivePlot(interval=interval)


# Matplotlib is an extra


def test_cnet_does_not_import_matplotlib():
    code = (
        "import sys, cnet; cnet.plot.history; cnet.plot.LivePlot; print('matplotlib' in "
        "sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
        ).stdout
        == "False\n"
    )


@pytest.mark.parametrize(
    "draw",
    [
        lambda model: plot.history(HISTORY),
        lambda model: plot.max_weights({"0.weight": [1]}),
        lambda model: plot.confusion_matrix([0], [0]),
        lambda model: plot.images(np.zeros((1, 4))),
        lambda model: plot.mistakes(Answers(), np.eye(2), [1, 0], shape=(1, 2)),
        plot.weights,
        lambda model: plot.LivePlot(),
    ],
)
def test_without_matplotlib_it_is_said_how_to_install_it(draw, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.delattr(matplotlib, "pyplot")
    with pytest.raises(
        ModuleNotFoundError, match=r'plots require Matplotlib: pip install "cnet\[plot\]"'
    ):
        draw(model)


def test_unknown_names():
    with pytest.raises(AttributeError, match=r"module 'cnet\.plot' has no attribute 'pie'"):
        _ = plot.pie
    assert {"history", "LivePlot"} <= set(dir(plot))
