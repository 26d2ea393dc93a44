"""Callbacks: when training ends, which weights remain, and what is written."""

import csv
import math
import sys

import numpy as np
import pytest

import cnet
from cnet import nn, optim
from cnet.callbacks import Callback, CSVLogger, EarlyStopping, TensorBoard


class Scripted(nn.Loss):
    """A loss that reports what the test says, whatever the net does."""

    def __init__(self, values):
        self.values = iter(values)

    def forward(self, output, target):
        self.grad = np.ones_like(output)
        return next(self.values)

    def backward(self):
        return self.grad


def fit(losses, *callbacks, **arguments):
    """A trainer after epochs of one step whose losses are these; the net's weight falls by one each."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False, weight_init="zeros"))
    trainer = cnet.Trainer(model, Scripted(losses), optim.SGD(model.parameters(), lr=1.0))
    trainer.fit([[1.0]], [0.0], callbacks=callbacks, verbose=False, **{"epochs": len(losses), **arguments})
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
def test_training_stops_after_epochs_without_improvement(losses, patience, min_delta, stopped, best_epoch):
    stopping = EarlyStopping("loss", min_delta, patience)
    trainer = fit(losses, stopping)
    assert (stopping.stopped_epoch, stopping.best_epoch) == (stopped, best_epoch)
    assert stopping.best == losses[best_epoch - 1]
    assert len(trainer.history["loss"]) == (stopped or len(losses))


def test_more_is_better_for_accuracies_and_on_request():
    model = nn.Sequential(nn.Linear(1, 2, weight_init="zeros"))
    trainer = cnet.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.0))
    stopping = EarlyStopping("accuracy", patience=2)
    assert stopping._monitor.sign == EarlyStopping("loss", mode="max")._monitor.sign == 1 == -EarlyStopping("accuracy", mode="min")._monitor.sign
    trainer.fit([[1.0]], [0], epochs=9, callbacks=[stopping], verbose=False)
    assert stopping.stopped_epoch == 3


@pytest.mark.parametrize(("restore", "weight"), [(True, -2), (False, -4)])
def test_best_weights_come_back(restore, weight):
    trainer = fit([3, 1, 2, 2, 2], EarlyStopping("loss", patience=2, restore_best_weights=restore))
    assert trainer.model[0].weight.data.item() == weight


def test_best_weights_come_back_when_all_epochs_are_over_and_when_training_fails():
    assert fit([1, 2, 3], EarlyStopping("loss", patience=9, restore_best_weights=True)).model[0].weight.data.item() == -1
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


def test_a_number_that_is_not_there():
    with pytest.raises(ValueError, match="monitor is 'val_loss', but an epoch ends with loss; pass validation_data"):
        fit([1.0], EarlyStopping())
    with pytest.raises(ValueError, match=r"monitor is 'f1', but an epoch ends with loss$"):
        fit([1.0], EarlyStopping("f1"))


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        ({"mode": "most"}, ValueError, "mode is 'most', expected 'auto', 'min' or 'max'"),
        ({"patience": -1}, ValueError, "patience is -1"),
        ({"patience": 1.5}, TypeError, "patience is 1.5"),
        ({"min_delta": -1.0}, ValueError, "min_delta is -1.0"),
        ({"min_delta": math.nan}, ValueError, "min_delta is nan"),
    ],
)
def test_early_stopping_refuses(arguments, kind, problem):
    with pytest.raises(kind, match=problem):
        EarlyStopping(**arguments)


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
    history = trainer.fit(*data, epochs=3, validation_data=data, callbacks=[CSVLogger(path, separator=";")], verbose=False)
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
    with pytest.raises(ValueError, match="has the columns epoch, loss, but an epoch ends with epoch, loss, val_loss: use a new file"):
        fit([3.0, 3.0], CSVLogger(path, append=True), validation_data=([[1.0]], [0.0]))
    fit([4.0], CSVLogger(path))
    assert read(path) == [["epoch", "loss"], ["1", "4.0"]]


def test_csv_refuses(tmp_path):
    with pytest.raises(ValueError, match="separator is 'ab', expected one character"):
        CSVLogger(tmp_path / "a", separator="ab")
    with pytest.raises(FileNotFoundError):
        fit([1.0], CSVLogger(tmp_path / "nowhere" / "log.csv"))


# TensorBoard


def test_tensorboard_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "cnet\[tensorboard\]"'):
        TensorBoard()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_every_number(tmp_path, monkeypatch):
    library = pytest.importorskip("tensorboardX")
    written = []
    add = library.SummaryWriter.add_scalar
    monkeypatch.setattr(library.SummaryWriter, "add_scalar", lambda self, *args: (written.append((self.logdir, *args)), add(self, *args)))
    fit([3.0, 0.5, 2.0, 0.5], TensorBoard(tmp_path), validation_data=([[1.0]], [0.0]), epochs=2)  # each epoch takes two losses
    assert (str(tmp_path / "train"), "epoch_loss", 3.0, 1) in written
    assert (str(tmp_path / "validation"), "epoch_loss", 0.5, 2) in written
    assert (str(tmp_path / "train"), "learning_rate", 1.0, 2) in written
    for run in ("train", "validation"):
        (file,) = (tmp_path / run).iterdir()
        assert file.stat().st_size > 100
