"""Callbacks: when training ends, which weights remain, and what is written."""

import copy
import csv
import functools
import math
import os
import pathlib
import sys
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnet
from cnet import nn, optim, plot
from cnet.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ProgressBar,
    TensorBoard,
)
from cnet.optim import lr_scheduler


class Scripted(nn.Loss):
    """A loss that reports what the test says, whatever the network does."""

    def __init__(self, values):
        self.values = iter(values)

    def forward(self, output, target):
        self.grad = np.ones_like(output)
        return next(self.values)

    def backward(self):
        return self.grad


def fit(losses, *callbacks, **arguments):
    """A trainer after epochs of one step whose losses are these; the network's weight falls by one
    each.
    """
    model = nn.Sequential(nn.Linear(1, 1, bias=False, weight_init="zeros"))
    trainer = cnet.Trainer(model, Scripted(losses), optim.SGD(model.parameters(), lr=1.0))
    trainer.fit(
        [[1.0]],
        [0.0],
        callbacks=callbacks,
        **{"epochs": len(losses), "verbose": False, **arguments},
    )
    return trainer


# EarlyStopping


@pytest.mark.parametrize(
    ("losses", "patience", "min_delta", "stopped", "best_epoch"),
    [
        ([5, 4, 4, 3, 3, 3, 9], 2, 0.0, 6, 4),
        ([5, 4, 4, 3, 3, 3, 9], 1, 0.0, 3, 2),
        ([5, 4, 4, 3, 3, 3, 9], 0, 0.0, 3, 2),
        ([5, 4.5, 4, 3.5, 3], 2, 0.5, 0, 5),
        ([5, 4.5, 4, 3.5, 3], 1, 0.5, 2, 1),
        ([5, 4, 3], 1, 0.0, 0, 3),
    ],
)
def test_training_stops_after_epochs_without_improvement(
    losses, patience, min_delta, stopped, best_epoch
):
    stopping = EarlyStopping("loss", min_delta, patience)
    trainer = fit(losses, stopping)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best_epoch)
    assert stopping.best == losses[best_epoch - 1]
    assert len(trainer.history["loss"]) == (stopped or len(losses))


@pytest.mark.parametrize(("mode", "best_epoch"), [("auto", 4), ("max", 4), ("min", 1)])
@pytest.mark.parametrize("monitor", ["accuracy_a", "val_accuracy_a"])
def test_more_is_better_for_accuracies_of_heads(monitor, mode, best_epoch, monkeypatch, tmp_path):
    heads = nn.Heads(a=nn.Linear(1, 2), b=nn.Linear(1, 2))
    trainer = cnet.Trainer(
        nn.Sequential(heads, seed=0),
        nn.HeadsLoss(heads, nn.CrossEntropyLoss()),
        optim.SGD(heads.parameters()),
    )
    accuracies = iter([0.265, 0.545, 0.605, 0.615])

    def figures(of):
        return lambda *_: {
            "loss": 1.0,
            "accuracy_a": next(accuracies) if monitor == of else 0.5,
            "accuracy_b": 0.5,
        }

    monkeypatch.setattr(trainer, "_train_epoch", figures("accuracy_a"))
    monkeypatch.setattr(trainer, "_evaluate", figures("val_accuracy_a"))
    stopping, saving = (
        EarlyStopping(monitor, patience=9, mode=mode),
        ModelCheckpoint(tmp_path / "{epoch}", monitor, save_best_only=True, mode=mode),
    )
    data = [[1.0]], {"a": [0], "b": [0]}
    trainer.fit(*data, epochs=4, validation_data=data, callbacks=[stopping, saving], verbose=False)
    assert stopping.best_epoch == best_epoch
    assert sorted(os.listdir(tmp_path)) == (["1", "2", "3", "4"] if best_epoch == 4 else ["1"])


def keras(values, sign, min_delta, patience, baseline, start_from_epoch):
    """Keras's documented rules: epoch of the stop or 0, and epoch of the best value, of values of
    which more is better after `sign`.
    """
    best, best_epoch, without = -math.inf, 0, 0
    for epoch, value in enumerate((sign * value for value in values), 1):
        if epoch <= start_from_epoch:
            continue
        without += 1
        if value - min_delta > best:
            best, best_epoch = value, epoch
            if baseline is None or value - min_delta > sign * baseline:
                without = 0
        elif without >= patience:
            return epoch, best_epoch
    return 0, best_epoch


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(
        st.integers(-4, 4).map(lambda n: n / 4) | st.floats(-3, 3), min_size=1, max_size=12
    ),
    mode=st.sampled_from(["min", "max"]),
    min_delta=st.sampled_from([0, 0.0, 0.1, 0.25, 1]),
    patience=st.integers(0, 4),
    baseline=st.none() | st.sampled_from([-0.5, 0, 0.3]),
    start_from_epoch=st.integers(0, 3),
    restore=st.booleans(),
)
def test_early_stopping_follows_the_rules_of_keras(
    values, mode, min_delta, patience, baseline, start_from_epoch, restore
):
    stopping = EarlyStopping(
        "loss", min_delta, patience, 0, mode, baseline, restore, start_from_epoch
    )
    trainer = fit(values, stopping)
    stopped, best_epoch = keras(
        values, 1 if mode == "max" else -1, min_delta, patience, baseline, start_from_epoch
    )
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best_epoch)
    assert stopping.best == (values[best_epoch - 1] if best_epoch else None)
    assert trainer.epoch == (stopped or len(values))
    assert trainer.model[0].weight.data.item() == -(
        best_epoch if restore and best_epoch else trainer.epoch
    )


def test_arguments_come_in_the_order_of_keras(tmp_path):
    stopping = EarlyStopping("loss", 0.5, 3, 1, "max", 0.7, True, 2)
    assert (stopping.monitor, stopping.min_delta, stopping.patience, stopping.verbose) == (
        "loss",
        0.5,
        3,
        1,
    )
    assert (
        stopping.mode,
        stopping.baseline,
        stopping.restore_best_weights,
        stopping.start_from_epoch,
    ) == ("max", 0.7, True, 2)
    saving = ModelCheckpoint(tmp_path / "a", "loss", 1, True, False, "min", "epoch", 0.5)
    assert (saving.monitor, saving.verbose, saving.save_best_only, saving.save_weights_only) == (
        "loss",
        1,
        True,
        False,
    )
    assert (saving.mode, saving.save_freq, saving.initial_value_threshold) == ("min", "epoch", 0.5)


def test_verbose_lines_go_to_standard_output(tmp_path, capsys):
    saving = ModelCheckpoint(tmp_path / "best", "loss", 1, True)
    fit(
        [3, 2.5, 2.5, 2.5, 1],
        saving,
        EarlyStopping("loss", patience=2, verbose=1, restore_best_weights=True),
        ModelCheckpoint(tmp_path / "{epoch}", verbose=True),
    )
    captured = capsys.readouterr()
    assert captured.out.replace(f"{tmp_path}{os.sep}", "").splitlines() == [
        "Epoch 1: loss improved from inf to 3.00000, saving model to best",
        "Epoch 1: saving model to 1",
        "Epoch 2: loss improved from 3.00000 to 2.50000, saving model to best",
        "Epoch 2: saving model to 2",
        "Epoch 3: loss did not improve from 2.50000",
        "Epoch 3: saving model to 3",
        "Epoch 4: loss did not improve from 2.50000",
        "Epoch 4: saving model to 4",
        "Epoch 4: early stopping",
        "Restoring model weights from the end of the best epoch: 2.",
    ]
    assert captured.err == ""
    fit([3, 4, 5], EarlyStopping("loss"), ModelCheckpoint(tmp_path / "best", "loss", 0, True))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("restore", "weight"), [(True, -2), (False, -4)])
def test_best_weights_come_back(restore, weight):
    trainer = fit([3, 1, 2, 2, 2], EarlyStopping("loss", patience=2, restore_best_weights=restore))
    assert trainer.model[0].weight.data.item() == weight


def test_best_weights_come_back_when_all_epochs_are_over_and_when_training_fails():
    assert (
        fit([1, 2, 3], EarlyStopping("loss", patience=9, restore_best_weights=True))
        .model[0]
        .weight.data.item()
        == -1
    )
    stopping = EarlyStopping("loss", patience=9, restore_best_weights=True)
    model = nn.Sequential(nn.Linear(1, 1, bias=False, weight_init="zeros"))
    trainer = cnet.Trainer(model, Scripted([1, 2, math.inf]), optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(FloatingPointError):
        trainer.fit([[1.0]], [0.0], epochs=3, callbacks=[stopping], verbose=False)
    assert model[0].weight.data.item() == -1


def test_every_fit_starts_afresh():
    stopping = EarlyStopping("loss", patience=2)
    fit([1, 2, 2, 2], stopping)
    assert len(fit([5, 4, 3], stopping).history["loss"]) == 3


SETTINGS = [
    ({"monitor": 3}, TypeError, "monitor is 3, expected the name of a metric"),
    ({"mode": "most"}, ValueError, "mode is 'most', expected 'auto', 'min' or 'max'"),
    ({"mode": 1}, ValueError, "mode is 1"),
    ({"verbose": "auto"}, TypeError, "verbose is 'auto', expected an integer of at least 0"),
    ({"verbose": -1}, ValueError, "verbose is -1"),
]
OF_STOPPING = [
    *SETTINGS,
    ({"patience": -1}, ValueError, "patience is -1"),
    ({"patience": 1.5}, TypeError, "patience is 1.5"),
    ({"patience": True}, TypeError, "patience is True, expected an integer of at least 0"),
    ({"min_delta": -1.0}, ValueError, "min_delta is -1.0, expected a finite number of at least 0"),
    ({"min_delta": math.nan}, ValueError, "min_delta is nan"),
    ({"min_delta": "1"}, TypeError, "min_delta is '1'"),
    ({"min_delta": False}, TypeError, "min_delta is False"),
    ({"baseline": math.inf}, ValueError, "baseline is inf, expected a finite number"),
    ({"baseline": 10**400}, ValueError, "baseline is 1000.*, expected a finite number"),
    ({"baseline": "0.5"}, TypeError, "baseline is '0.5'"),
    (
        {"restore_best_weights": "False"},
        TypeError,
        "restore_best_weights is 'False', expected True or False",
    ),
    ({"restore_best_weights": 1}, TypeError, "restore_best_weights is 1"),
    ({"start_from_epoch": -1}, ValueError, "start_from_epoch is -1"),
    ({"start_from_epoch": 2.0}, TypeError, "start_from_epoch is 2.0"),
]
OF_SAVING = [
    *SETTINGS,
    ({"save_best_only": "yes"}, TypeError, "save_best_only is 'yes', expected True or False"),
    ({"save_weights_only": 1}, TypeError, "save_weights_only is 1"),
    (
        {"save_freq": 100},
        ValueError,
        "save_freq is 100, expected 'epoch': training can only resume from the end of an epoch",
    ),
    (
        {"save_best_only": True, "initial_value_threshold": math.nan},
        ValueError,
        "initial_value_threshold is nan",
    ),
    (
        {"save_best_only": True, "initial_value_threshold": "1"},
        TypeError,
        "initial_value_threshold is '1'",
    ),
    (
        {"initial_value_threshold": 0.5},
        ValueError,
        "initial_value_threshold requires save_best_only=True",
    ),
    ({"filepath": b"a"}, TypeError, "filepath is b'a', expected a string or a path"),
]
REFUSED = [(EarlyStopping, *case) for case in OF_STOPPING] + [
    (functools.partial(ModelCheckpoint, filepath="a"), *case) for case in OF_SAVING
]


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "problem"),
    REFUSED,
    ids=[f"{i}-{next(iter(case[1]))}" for i, case in enumerate(REFUSED)],
)
def test_settings_are_checked_at_once_and_whenever_training_begins(kind, arguments, error, problem):
    with pytest.raises(error, match=problem):
        kind(**arguments)
    callback = kind(
        **{
            name: value
            for name, value in arguments.items()
            if name == "save_best_only" and value is True
        }
    )
    for name, value in arguments.items():
        setattr(callback, name, value)
    assert_rejected_before_the_first_step(callback, error, problem)


def assert_rejected_before_the_first_step(callback, error, problem, **arguments):
    """In the first `fit` and in a later one; what the trainer has learned stays as it was."""
    model = nn.Sequential(nn.Linear(2, 2), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    for epochs in (0, 2):
        history = trainer.fit(np.eye(2), [0, 1], epochs=epochs, verbose=False)
        before = {name: values.tobytes() for name, values in model.state_dict().items()}
        live = plot.LivePlot()
        with pytest.raises(error, match=problem):
            trainer.fit(
                np.eye(2),
                [0, 1],
                epochs=2,
                callbacks=[live, callback, ProgressBar()],
                verbose=False,
                **arguments,
            )
        assert {name: values.tobytes() for name, values in model.state_dict().items()} == before
        assert (trainer.epoch, trainer.global_step, trainer.history) == (epochs, epochs, history)
        assert live.axes is None


DECLARE = (
    r"; a callback that adds f1 to logs has to declare it, as in metrics = \{'f1': 'max'\}, and "
    r"to come earlier in the list$"
)
WATCHERS = {
    "stopping": lambda monitor: EarlyStopping(monitor),
    "saving": lambda monitor: ModelCheckpoint("a", monitor, save_best_only=True),
}


@pytest.mark.parametrize("watcher", WATCHERS)
@pytest.mark.parametrize(
    ("monitor", "validation", "problem"),
    [
        (
            "val_loss",
            False,
            "monitor is 'val_loss', but an epoch ends with loss, accuracy; pass validation_data "
            "to fit$",
        ),
        (
            "val_acc",
            True,
            "monitor is 'val_acc', but an epoch ends with loss, accuracy, val_loss, val_accuracy",
        ),
        ("accuracy_a", False, "monitor is 'accuracy_a', but an epoch ends with loss, accuracy$"),
        ("f1", False, "monitor is 'f1', but an epoch ends with loss, accuracy" + DECLARE),
    ],
)
def test_a_metric_that_is_not_there_is_rejected_before_the_first_step(
    watcher, monitor, validation, problem, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = {"validation_data": (np.eye(2), [0, 1])} if validation else {}
    assert_rejected_before_the_first_step(
        WATCHERS[watcher](monitor), ValueError, problem, **arguments
    )
    assert os.listdir(tmp_path) == []


PATHS = [
    (
        "{val_acc}",
        ValueError,
        "filepath is '{val_acc}', but the metrics of an epoch are epoch, loss, accuracy: there "
        "is no "
        "'val_acc'",
    ),
    ("{}", ValueError, "but the metrics of an epoch are epoch, loss, accuracy"),
    ("{0}", ValueError, "but the metrics of an epoch are epoch, loss, accuracy"),
    (
        "{loss:d}",
        ValueError,
        "which cannot be formatted with epoch, loss, accuracy: Unknown format code 'd'",
    ),
    ("{epoch:.f}", ValueError, "which cannot be formatted"),
    ("{epoch.day}", ValueError, "which cannot be formatted"),
    ("{loss[0]}", ValueError, "which cannot be formatted"),
    ("{epoch", ValueError, "which cannot be formatted"),
    ("nowhere/{epoch}", FileNotFoundError, "there is no folder '.*nowhere': create it first"),
    (
        "nowhere/{epoch}/{loss}",
        FileNotFoundError,
        "there is no folder '.*nowhere': create it first",
    ),
    ("file/{epoch}", NotADirectoryError, "file/"),
    ("folder", IsADirectoryError, "it is a folder, expected a file"),
    ("folder/", IsADirectoryError, "it names no file"),
    ("", FileNotFoundError, "it names no file"),
    ("locked/{epoch}", PermissionError, "the folder '.*locked' is not writable"),
]


@pytest.mark.parametrize(
    ("filepath", "error", "problem"), PATHS, ids=[path or "nothing" for path, _, _ in PATHS]
)
def test_a_path_that_cannot_be_is_rejected_before_the_first_step(
    filepath, error, problem, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("folder", "locked"):
        os.mkdir(name)
    pathlib.Path("file").touch()
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode, **arguments: (
            not str(path).endswith("locked") and access(path, mode, **arguments)
        ),
    )  # the superuser may write anywhere
    assert_rejected_before_the_first_step(ModelCheckpoint(filepath), error, problem)
    assert sorted(os.listdir()) == ["file", "folder", "locked"]


def test_paths_with_fields(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for template, names in (
        ("{epoch:02d}-{loss:.1f}", ["01-3.0", "02-2.0"]),
        ("{{x}}{epoch}", ["{x}1", "{x}2"]),
        ("run{epoch}/{loss:.0f}/a", ["run1/3/a", "run2/2/a"]),
        ("~/home{epoch}", ["home1", "home2"]),
    ):
        fit(
            [3, 2],
            ModelCheckpoint(
                template if template.startswith("~") else tmp_path / template,
                save_weights_only=True,
            ),
        )
        for name in names:
            assert (tmp_path / name).is_file()


def test_a_threshold_keeps_a_better_file(tmp_path):
    fit(
        [3, 2.5, 2, 2.2, 1],
        ModelCheckpoint(
            tmp_path / "{epoch}", "loss", save_best_only=True, initial_value_threshold=2.5
        ),
    )
    assert sorted(os.listdir(tmp_path)) == ["3", "5"]


def test_the_best_so_far_is_of_one_trainer(tmp_path):
    """Later fits of a trainer extend the record; another trainer or a copy starts a new one."""
    saving = ModelCheckpoint(tmp_path / "{epoch}-{loss}", "loss", save_best_only=True)
    trainer = fit([1.0, 2.0], saving)
    trainer.loss.values = iter([1.5, 0.5])
    trainer.fit([[1.0]], [0.0], epochs=2, callbacks=[saving], verbose=False)
    assert saving.best == 0.5
    fit([0.7], saving)
    assert saving.best == 0.7
    fit([0.9], twin := copy.deepcopy(saving))
    assert twin.best == 0.9
    assert sorted(os.listdir(tmp_path)) == ["1-0.7", "1-0.9", "1-1.0", "4-0.5"]


def test_a_file_that_could_not_be_written_is_not_the_best(tmp_path, monkeypatch):
    saving = ModelCheckpoint(tmp_path / "a", "loss", save_best_only=True)
    monkeypatch.setattr(
        cnet.Trainer, "save_checkpoint", mock.Mock(side_effect=OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        fit([1.0], saving)
    assert saving.best is None


# Metrics of one's own


class Adds(Callback):
    """A metric with the values of a list."""

    def __init__(self, name, mode, values):
        self.metrics = {name: mode}
        self.name, self.values = name, iter(values)

    def on_epoch_end(self, trainer, logs):
        logs[self.name] = next(self.values)


@pytest.mark.parametrize(("mode", "best_epoch"), [("max", 2), ("min", 3)])
def test_a_declared_metric_is_in_the_history_and_can_be_watched(mode, best_epoch, tmp_path, capsys):
    stopping, seen = EarlyStopping("val_auc", patience=9), []
    log = CSVLogger(tmp_path / "log.csv")
    saving = ModelCheckpoint(tmp_path / "{epoch}-{val_auc}", "val_auc", save_best_only=True)
    adds = Adds("val_auc", mode, [np.float32(0.5), np.array(0.75), 0.25])
    trainer = fit(
        [3, 2, 1],
        adds,
        stopping,
        saving,
        log,
        lambda trainer, logs: seen.append(trainer.history["val_auc"][-1]),
        verbose=True,
    )
    assert list(trainer.history) == ["loss", "val_auc"]
    assert trainer.history["val_auc"] == [0.5, 0.75, 0.25] == seen
    assert all(type(value) is float for value in trainer.history["val_auc"])
    assert trainer.metric_modes == {"loss": "min", "val_auc": mode}
    assert stopping.best_epoch == best_epoch
    assert sorted(os.listdir(tmp_path)) == [
        *(["1-0.5", "2-0.75"] if mode == "max" else ["1-0.5", "3-0.25"]),
        "log.csv",
    ]
    assert read(tmp_path / "log.csv")[0] == ["epoch", "loss", "val_auc"]
    assert capsys.readouterr().err.splitlines()[0].endswith("val. auc")
    assert len(plot.history(trainer.history)) == 2


def test_a_metric_that_nobody_declares_is_seen_by_later_callbacks_only(tmp_path):
    def adds(trainer, logs):
        logs["f1"] = 0.5

    trainer = fit([3, 2], adds, log := CSVLogger(tmp_path / "log.csv"))
    assert list(trainer.history) == ["loss"]
    assert log._columns == ["epoch", "loss", "f1"]
    for watcher in (
        EarlyStopping("f1"),
        ModelCheckpoint(tmp_path / "a", "f1", save_best_only=True),
    ):
        with pytest.raises(ValueError, match="but an epoch ends with loss" + DECLARE):
            fit([3, 2], adds, watcher)
    with pytest.raises(
        ValueError,
        match=r"there is no 'f1'\. A metric that another callback adds must be declared",
    ):
        fit([3, 2], adds, ModelCheckpoint(tmp_path / "{f1}"))


def test_a_metric_has_to_come_before_those_that_watch_it():
    with pytest.raises(ValueError, match="monitor is 'f1', but an epoch ends with loss" + DECLARE):
        fit([3, 2], EarlyStopping("f1"), Adds("f1", "max", [1, 2]))


@pytest.mark.parametrize(
    ("metrics", "error", "problem"),
    [
        (
            {"f1": "more"},
            ValueError,
            "Adds.metrics has 'f1': 'more', expected the name of a metric and 'min' or 'max'",
        ),
        ({1: "max"}, ValueError, "Adds.metrics has 1: 'max'"),
        (["f1"], TypeError, "Adds.metrics is .'f1'., expected a dictionary such as"),
        (
            {"loss": "min"},
            ValueError,
            "Adds.metrics has 'loss', which is already in use: use another name",
        ),
        ({"epoch": "max"}, ValueError, "Adds.metrics has 'epoch', which is already in use"),
    ],
)
def test_declarations_that_cannot_be(metrics, error, problem):
    adds = Adds("f1", "max", [1])
    adds.metrics = metrics
    with pytest.raises(error, match=problem):
        fit([1], adds)
    with pytest.raises(ValueError, match=r"Adds\.metrics has 'a', which is already in use"):
        fit([1], Adds("a", "max", [1]), Adds("a", "max", [1]))


@pytest.mark.parametrize("value", ["0.5", None, [1.0, 2.0], np.ones(2)], ids=str)
def test_a_metric_has_to_be_a_number(value):
    with pytest.raises(TypeError, match=r"logs\['f1'\] of Adds is .*, expected a number"):
        fit([1], Adds("f1", "max", [value]))


def test_a_metric_that_is_not_added_is_an_error_and_the_history_stays_whole():
    class Forgets(Callback):
        metrics = {"f1": "max"}  # noqa: RUF012 - as users write it

        def on_epoch_end(self, trainer, logs):
            if trainer.epoch < 2:
                logs["f1"] = 0.5

    stopping = EarlyStopping("loss", patience=9)
    with pytest.raises(
        ValueError, match=r"Forgets\.metrics has 'f1', but on_epoch_end did not add it to logs"
    ):
        fit([3, 2, 1], stopping, Forgets())
    model = nn.Sequential(nn.Linear(1, 1))
    trainer = cnet.Trainer(model, Scripted([2, 1]), optim.SGD(model.parameters()))
    with pytest.raises(ValueError, match="did not add it"):
        trainer.fit([[1.0]], [0.0], epochs=2, callbacks=[Forgets()], verbose=False)
    assert trainer.history == {"loss": [2, 1], "f1": [0.5, pytest.approx(math.nan, nan_ok=True)]}


# What is no callback


class Named:
    """Methods of other libraries' callbacks."""

    def on_epoch_begin(self, epoch, logs=None): ...
    def on_train_batch_end(self, batch, logs=None): ...
    def on_batch_begin(self, batch, logs=None): ...
    def on_test_end(self, logs=None): ...
    def on_epoch_ends(self, trainer, logs): ...
    def on_validation_epoch_end(self, trainer, module): ...


@pytest.mark.parametrize("name", [name for name in vars(Named) if name.startswith("on_")])
def test_methods_that_would_never_be_called_are_rejected(name):
    kind = type("Mine", (Callback,), {name: vars(Named)[name]})
    message = (
        rf"Mine defines {name}, which cnet never calls; a callback may define "
        rf"on_train_begin\(trainer, "
        r"epochs, steps\), on_batch_end\(trainer, step, loss\), "
    )
    with pytest.raises(TypeError, match=message):
        fit([1], kind())
    callback = Callback()
    setattr(callback, name, lambda *_: None)
    with pytest.raises(TypeError, match=f"Callback defines {name}, which cnet never calls"):
        fit([1], callback)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("on_epoch_end", lambda self, epoch, logs=None: None),
        ("on_epoch_end", lambda self, logs: None),
        ("on_epoch_end", lambda self, logs, trainer: None),
        ("on_epoch_end", lambda self, trainer, logs, more: None),
        ("on_epoch_end", lambda self, trainer, *, logs: None),
        ("on_train_begin", lambda self, logs=None: None),
        ("on_train_begin", lambda self, trainer: None),
        ("on_train_begin", lambda self, trainer, steps, epochs: None),
        ("on_train_end", lambda self, logs=None: None),
        ("on_train_end", lambda self: None),
        ("on_batch_end", lambda self, batch, logs=None: None),
        ("on_batch_end", lambda self, trainer, batch, logs: None),
        ("state_dict", lambda self, trainer: None),
    ],
)
def test_methods_with_other_arguments_are_rejected(name, method):
    kind = type(
        "Mine",
        (Callback,),
        {
            name: method,
            **({"load_state_dict": lambda self, state: None} if name == "state_dict" else {}),
        },
    )
    with pytest.raises(TypeError, match=rf"Mine.{name} takes \(.*\), expected \("):
        fit([1], kind())


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda trainer: None,
        lambda epoch, logs: None,
        lambda logs, trainer: None,
        lambda trainer, logs, more: None,
        lambda trainer, *, logs: None,
    ],
)
def test_functions_with_other_arguments_are_rejected(function):
    with pytest.raises(TypeError, match=r"<lambda> takes \(.*\), expected \(trainer, logs\)"):
        fit([1], function)


def test_functions_and_methods_that_can_be_called_are_taken():
    class Mine(Callback):
        def on_batch_end(self, trainer, batch, loss): ...
        def on_train_begin(self, *arguments): ...
        def on_train_end(self, t): ...
        def on_epoch_end(self, _trainer, figures, more=None): ...

    class Callable:
        def __call__(self, trainer, logs): ...

    functions = [
        lambda *_: None,
        lambda t, logs=None: None,
        functools.partial(lambda a, trainer, logs: None, 1),
        Callable(),
        mock.Mock(),
    ]
    fit([1, 2], Mine(), *functions)
    assert functions[-1].call_count == 2


def test_a_method_that_is_set_on_an_object_is_called():
    callback, steps = Callback(), []
    callback.on_batch_end = lambda trainer, step, loss: steps.append((step, loss))
    fit([3.0, 2.0], callback)
    assert steps == [(1, 3.0), (1, 2.0)]


@pytest.mark.parametrize(
    ("callbacks", "error", "problem"),
    [
        (
            [EarlyStopping],
            TypeError,
            r"EarlyStopping is a class, expected an instance of it: EarlyStopping\(\.\.\.\)",
        ),
        (EarlyStopping, TypeError, "EarlyStopping is a class, expected an instance of it"),
        ([lr_scheduler.StepLR], TypeError, "StepLR is a class"),
        ([5], TypeError, "5 is not a callback: expected a cnet.callbacks.Callback or a function"),
        (5, TypeError, "callbacks is 5, expected a callback or a list such as .callback."),
        ("log", TypeError, "'l' is not a callback"),
        ([None], TypeError, "None is not a callback"),
        ([int], TypeError, "is not a callback"),
        (
            [EarlyStopping("loss")] * 2,
            ValueError,
            "callbacks contains the same EarlyStopping twice",
        ),
    ],
    ids=[
        "class",
        "class alone",
        "scheduler",
        "number",
        "number alone",
        "text",
        "none",
        "type",
        "twice",
    ],
)
def test_callbacks_that_are_none(callbacks, error, problem):
    with pytest.raises(error, match=problem):
        fit_with(callbacks)


def test_one_callback_needs_no_list():
    epochs = []
    fit_with(lambda trainer, logs: epochs.append(trainer.epoch))
    assert epochs == [1, 2]
    recorder = Callback()
    recorder.on_epoch_end = lambda trainer, logs: epochs.append(trainer.epoch)
    fit_with(recorder)
    assert epochs == [1, 2, 1, 2]
    assert len(fit_with(None)["loss"]) == 2
    model = nn.Sequential(nn.Linear(1, 1), seed=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    cnet.Trainer(model, nn.MSELoss(), optimizer).fit(
        [[1.0]], [0.0], callbacks=lr_scheduler.ExponentialLR(optimizer, 0.5), verbose=False
    )
    assert optimizer.param_groups[0]["lr"] == 0.05


def fit_with(callbacks):
    model = nn.Sequential(nn.Linear(1, 1), seed=0)
    trainer = cnet.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    return trainer.fit([[1.0]], [0.0], epochs=2, callbacks=callbacks, verbose=False)


def test_a_callback_without_interest_in_batches_costs_no_call_per_step(monkeypatch):
    """Only classes that override `on_batch_end` are told of batches."""
    monkeypatch.setattr(Callback, "on_batch_end", lambda *_: pytest.fail("told of a batch"))
    fit([1.0, 1.0], EarlyStopping("loss"))


# CSVLogger


def read(path, delimiter=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_csv_holds_the_history(tmp_path):
    path = tmp_path / "log.csv"
    model = nn.Sequential(nn.Linear(2, 3), seed=0)
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    data = np.eye(2), [0, 1]
    history = trainer.fit(
        *data,
        epochs=3,
        validation_data=data,
        callbacks=[CSVLogger(path, separator=";")],
        verbose=False,
    )
    header, *rows = read(path, ";")
    assert header == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for i, name in enumerate(header[1:], 1):
        assert [float(row[i]) for row in rows] == history[name]


def test_csv_is_written_line_by_line_and_closed_after_an_error(tmp_path):
    path = tmp_path / "log.csv"

    def fail(trainer, logs):
        assert len(read(path)) == 1 + trainer.epoch
        if trainer.epoch == 2:
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fit([1.0, 2.0, 3.0], CSVLogger(path), fail)
    assert read(path) == [["epoch", "loss"], ["1", "1.0"], ["2", "2.0"]]


def test_csv_is_replaced_or_appended_to(tmp_path):
    path = tmp_path / "log.csv"
    fit([1.0], CSVLogger(path))
    fit([2.0], CSVLogger(path, append=True))
    assert read(path) == [["epoch", "loss"], ["1", "1.0"], ["1", "2.0"]]
    with pytest.raises(
        ValueError,
        match="has the columns epoch, loss, but the values of an epoch are epoch, loss, "
        "val_loss: use a "
        "new file",
    ):
        fit([3.0, 3.0], CSVLogger(path, append=True), validation_data=([[1.0]], [0.0]))
    fit([4.0], CSVLogger(path))
    assert read(path) == [["epoch", "loss"], ["1", "4.0"]]


def test_a_file_without_an_end_of_line_gets_one(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss\n1,2.0")
    fit([3.0], CSVLogger(path, append=True))
    assert read(path) == [["epoch", "loss"], ["1", "2.0"], ["1", "3.0"]]


def test_a_file_that_lacks_a_column_is_rejected_before_the_first_step(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(text := "epoch,loss\n1,2.0\n")
    problem = (
        "has the columns epoch, loss, but the values of an epoch are epoch, loss, accuracy: use "
        "a new file"
    )
    assert_rejected_before_the_first_step(CSVLogger(path, append=True), ValueError, problem)
    assert path.read_text() == text


def test_a_file_is_replaced_when_the_first_epoch_ends(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("before")
    fit([1.0], CSVLogger(path), epochs=0)
    assert path.read_text() == "before"
    fit([1.0], CSVLogger(path))
    assert read(path) == [["epoch", "loss"], ["1", "1.0"]]


def test_csv_rejects(tmp_path):
    with pytest.raises(ValueError, match="separator is 'ab', expected a single character"):
        CSVLogger(tmp_path / "a", separator="ab")
    with pytest.raises(ValueError, match="expected a single character"):
        CSVLogger(tmp_path / "a", separator="\n")
    with pytest.raises(
        FileNotFoundError, match=r"there is no folder '.*nowhere': create it first: '.*log\.csv'"
    ):
        fit([], CSVLogger(tmp_path / "nowhere" / "log.csv"), epochs=1)
    with pytest.raises(IsADirectoryError, match="it is a folder, expected a file"):
        fit([], CSVLogger(tmp_path), epochs=1)
    (tmp_path / "log.csv").touch(mode=0o444)
    with pytest.raises(PermissionError, match="the file is read-only"):
        fit([], CSVLogger(tmp_path / "log.csv", append=True), epochs=1)


def test_a_log_is_not_lost_if_training_fails_before_an_epoch_is_done(tmp_path):
    path = tmp_path / "log.csv"
    fit([1.0], CSVLogger(path))
    before = path.read_bytes()
    with pytest.raises(FileNotFoundError):
        fit([2.0], CSVLogger(path), CSVLogger(tmp_path / "nowhere" / "log.csv"))
    assert path.read_bytes() == before
    with pytest.raises(FloatingPointError):
        fit([math.inf], CSVLogger(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("torn", ["", "2", "2,0.4", "2,0.48", "2,0.48,0."])
def test_a_line_that_was_cut_off_is_not_glued_to_the_next(torn, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,loss\n1,0.5\n{torn}")
    fit([1.0, 2.0], CSVLogger(path, append=True))
    cut = [torn.split(",")] if torn else []
    assert read(path) == [["epoch", "loss"], ["1", "0.5"], *cut, ["1", "1.0"], ["2", "2.0"]]


@pytest.mark.parametrize("header", ["epoch,loss", "epoch,loss\r\n", "\ufeffepoch,loss\n", ""])
def test_headers_that_fit(header, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(header, encoding="utf-8", newline="")
    fit([1.0], CSVLogger(path, append=True))
    with open(path, encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["epoch", "loss"], ["1", "1.0"]]


@pytest.mark.parametrize(
    "header",
    [
        "epoch,lo",
        "epoch,loss,val_loss\n",
        "epoch,accuracy,loss\n",
        "loss,epoch\n",
        "epoch\n",
        "step,loss\n",
        "epoch;loss\n",
    ],
)
def test_other_columns_are_found_out_before_the_first_step(header, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(header)
    with pytest.raises(
        ValueError,
        match=r"log\.csv has the columns .*, but the values of an epoch are epoch, loss: use a "
        r"new file",
    ):
        fit([], CSVLogger(path, append=True), epochs=1)
    assert path.read_text() == header


def test_columns_that_another_callback_adds(tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        fit([1.0], lambda trainer, logs: logs.update(f1=0.5), CSVLogger(path, append=True))
    assert read(path) == [["epoch", "loss", "f1"], *[["1", "1.0", "0.5"]] * 2]
    with pytest.raises(
        ValueError,
        match="has the columns epoch, loss, f1, but the values of an epoch are epoch, loss: use "
        "a new file",
    ):
        fit([1.0], CSVLogger(path, append=True))


def test_logs_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit([1.0], CSVLogger("~/log.csv"))
    fit([2.0], CSVLogger("~/log.csv", append=True))
    assert read(tmp_path / "log.csv") == [["epoch", "loss"], ["1", "1.0"], ["1", "2.0"]]


# TensorBoard


def test_tensorboard_writes_to_a_folder_that_is_looked_at_before_the_first_step(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "file").touch()
    assert_rejected_before_the_first_step(TensorBoard(tmp_path / "file" / "logs"), OSError, "file")


def test_tensorboard_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "cnet\[tensorboard\]"'):
        TensorBoard()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_number(tmp_path, monkeypatch):
    library = pytest.importorskip("tensorboardX")
    written = []
    add = library.SummaryWriter.add_scalar
    monkeypatch.setattr(
        library.SummaryWriter,
        "add_scalar",
        lambda self, *args: (written.append((self.logdir, *args)), add(self, *args)),
    )
    fit(
        [3.0, 0.5, 2.0, 0.5], TensorBoard(tmp_path), validation_data=([[1.0]], [0.0]), epochs=2
    )  # each epoch takes two losses
    assert (str(tmp_path / "train"), "epoch_loss", 3.0, 1) in written
    assert (str(tmp_path / "validation"), "epoch_loss", 0.5, 2) in written
    assert (str(tmp_path / "train"), "learning_rate", 1.0, 2) in written
    for run in ("train", "validation"):
        (file,) = (tmp_path / run).iterdir()
        assert file.stat().st_size > 100


def scalars(folder):
    """Tag, step and value of all that was written to a folder for TensorBoard."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            size = int.from_bytes(content[:8], "little")
            event = proto.Event.FromString(content[12 : 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + size :]
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_keeps_what_was_written_before(tmp_path, monkeypatch):
    """Files are named by the second, and by the process: two that are alike in both stay apart."""
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    data = {"validation_data": ([[1.0]], [0.0]), "epochs": 1}
    for losses in ([1.0, 0.5], [2.0, 0.25]):
        fit(losses, TensorBoard(tmp_path), **data)
    one = TensorBoard(tmp_path)
    fit([3.0, 0.125], one, TensorBoard(tmp_path), **data)
    fit([4.0, 0.0625], one, **data)
    losses = [
        (name, value) for name, _, value in scalars(tmp_path / "train") if name == "epoch_loss"
    ]
    assert losses == [("epoch_loss", value) for value in (1.0, 2.0, 3.0, 3.0, 4.0)], "in order"
    assert sorted(value for _, _, value in scalars(tmp_path / "validation")) == [
        0.0625,
        0.125,
        0.125,
        0.25,
        0.5,
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_folder_for_tensorboard_is_tried_before_the_first_step(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit([1.0], TensorBoard("~/logs"))
    assert len(scalars(tmp_path / "logs" / "train")) == 2
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        fit([], TensorBoard(tmp_path / "file"), epochs=1)
